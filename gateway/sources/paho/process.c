/* SPDX-License-Identifier: Apache-2.0
 *
 * The life of worker processes as the gateway sees it: started with their settings on standard
 * input, started again when they die, ended by closing that input. The source's thread.
 */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "sources/paho/settings.h"
#include "sources/paho/state.h"

enum {
    RESTART_MS_MIN = 500,
    RESTART_MS_MAX = 30000,
    LIVED_MS = 60000, /* after that a death is not counted as one of a row */
};

static void on_again(uv_timer_t *timer)
{
    worker_start(container_of(timer, struct broker_worker, again));
}

static void on_process_closed(uv_handle_t *handle)
{
    struct broker_worker *worker =
        container_of((uv_process_t *)handle, struct broker_worker, process);
    worker->process_open = false;
}

static void on_lifeline_closed(uv_handle_t *handle)
{
    struct broker_worker *worker =
        container_of((uv_pipe_t *)handle, struct broker_worker, lifeline);
    worker->lifeline_open = false;
}

void worker_end(struct broker_worker *worker)
{
    char leave = PAHO_LEAVE;
    uv_buf_t byte = uv_buf_init(&leave, 1);
    if (!worker->lifeline_open || uv_is_closing((uv_handle_t *)&worker->lifeline))
        return;
    if (worker->paho->leaving)
        uv_try_write((uv_stream_t *)&worker->lifeline, &byte, 1);
    uv_close((uv_handle_t *)&worker->lifeline, on_lifeline_closed);
}

static void on_exit_of(uv_process_t *process, int64_t status, int signal_number)
{
    struct broker_worker *worker = container_of(process, struct broker_worker, process);
    worker->running = false;
    intake_worker(worker->intake)->connected = 0;
    uv_close((uv_handle_t *)process, on_process_closed);
    worker_end(worker);
    if (worker->paho->closing)
        return;
    if (clock_monotonic_ms() - worker->started_ms > LIVED_MS)
        worker->deaths = 0;
    int64_t wait_ms = RESTART_MS_MIN << (worker->deaths < 6 ? worker->deaths : 6);
    wait_ms = wait_ms > RESTART_MS_MAX ? RESTART_MS_MAX : wait_ms;
    worker->deaths++;
    worker->restarts++;
    log_event(LOG_ERROR, "broker_worker_died",
              "worker=%s status=%" PRId64 " signal=%d again_ms=%" PRId64, worker->name, status,
              signal_number, wait_ms);
    uv_timer_start(&worker->again, on_again, (uint64_t)wait_ms, 0);
}

static void settings_send(struct broker_worker *worker)
{
    struct paho_settings settings;
    char identity[IDENTITY_TEXT_SIZE];
    identity_format(journal_identity(rawlog_journal(worker->paho->place.rawlog)), identity);
    paho_settings_make(worker->broker, worker->number, worker->path, identity, &settings);
    settings.wake_fd = 3; /* where uv_spawn puts it */
    buffer_clear(&worker->settings_text);
    paho_settings_write(&settings, &worker->settings_text);
    paho_settings_fini(&settings);
    uv_buf_t text =
        uv_buf_init((char *)worker->settings_text.data, (unsigned)worker->settings_text.size);
    uv_write(&worker->settings_write, (uv_stream_t *)&worker->lifeline, &text, 1, NULL);
}

void worker_start(struct broker_worker *worker)
{
    struct paho *paho = worker->paho;
    if (paho->closing)
        return;
    if (worker->process_open || worker->lifeline_open) {
        uv_timer_start(&worker->again, on_again, TICK_MS, 0);
        return;
    }
    uv_pipe_init(&paho->loop, &worker->lifeline, 0);
    worker->lifeline_open = worker->process_open = true;
    char verb[] = PAHO_WORKER_VERB, log_format[8];
    char *arguments[] = {paho->program, verb, log_format, NULL};
    snprintf(log_format, sizeof log_format, "%s", log_format_name()); /* it is the same stream */
    uv_stdio_container_t stdio[] = {
        {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE,
         .data.stream = (uv_stream_t *)&worker->lifeline},
        {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
        {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
        {.flags = UV_INHERIT_FD, .data.fd = worker->wake_fd},
    };
    uv_process_options_t options = {
        .file = paho->program,
        .args = arguments,
        .exit_cb = on_exit_of,
        .stdio = stdio,
        .stdio_count = array_count(stdio),
    };
    int rc = uv_spawn(&paho->loop, &worker->process, &options);
    worker->started_ms = clock_monotonic_ms();
    worker->running = rc == 0;
    if (rc == 0) {
        settings_send(worker);
        return;
    }
    log_event(LOG_ERROR, "broker_worker_not_started", "worker=%s why=\"%s\"", worker->name,
              uv_strerror(rc));
    uv_close((uv_handle_t *)&worker->process, on_process_closed);
    worker_end(worker);
    uv_timer_start(&worker->again, on_again, RESTART_MS_MAX, 0);
}
