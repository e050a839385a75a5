/* SPDX-License-Identifier: Apache-2.0
 *
 * See drain.h. The admin interface asks, the main thread acts, a timer looks whether something is left.
 */
#include "drain.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "drain_left.h"
#include "model/batch_json.h"
#include "notify.h"
#include "parts.h"

enum {
    LOOK_MS = 200,
    DRAIN_SOURCES_MS = 30000, /* for acks under way: what gets none stays with its sender */
    /* Whoever waits hears that it is done before the gateway ends. */
    TELL_MS_MIN = 1000,
    TELL_MS_MAX = 15000,
    TELL_AGAIN_MS = 3000, /* started only to send the rest, it has nobody who asked */
};

char *drain_path(const char *data)
{
    return mem_printf("%s/leaving", data);
}

bool drain_begun(const struct gateway *gateway)
{
    return gateway->drain.state != DRAIN_NONE;
}

/* ---- main thread ---- */

static void sources_close(struct gateway *gateway)
{
    struct drain *drain = &gateway->drain;
    drain->state = DRAIN_SOURCES;
    drain->since_ms = clock_wall_ms();
    log_event(LOG_WARN, "draining",
              "why=\"this gateway is to go for good: nothing more is taken in\"");
    notify_status("Draining: letting clients go");
    listener_leave(gateway->listener);
    if (gateway->brokers)
        paho_leave(gateway->brokers);
    gateway_sources_close(gateway, DRAIN_SOURCES_MS);
}

static void on_asked(uv_async_t *asked)
{
    struct gateway *gateway = asked->data;
    if (!gateway->stopping && !drain_begun(gateway))
        sources_close(gateway);
}

bool drain_sources_closed(struct gateway *gateway)
{
    if (gateway->stopping || !drain_begun(gateway))
        return false;
    gateway->drain.state = DRAIN_SENDING;
    for (size_t i = 0; i < gateway->lane_count; i++)
        lane_hurry(gateway->lanes[i]);
    return true;
}

static void finished(struct gateway *gateway)
{
    gateway->drain.state = DRAIN_DONE;
    gateway->drain.done_ms = clock_monotonic_ms();
    log_event(LOG_WARN, "drained", "received=%" PRIu64 " left=0",
              journal_next_seq(rawlog_journal(gateway->rawlog)) - 1);
    notify_status("Drained: nothing is left");
    struct audit_entry entry = {.what = AUDIT_DRAIN, .why = "done: nothing is left"};
    audit_log_add(gateway->audit, &entry);
}

static void on_look(uv_timer_t *timer)
{
    struct gateway *gateway = timer->data;
    struct drain *drain = &gateway->drain;
    struct buffer left = {0};
    if (gateway->stopping)
        return;
    if (drain->state == DRAIN_SENDING) {
        drain_left(gateway, &left);
        if (left.size == 0)
            finished(gateway);
        buffer_fini(&left);
    } else if (drain->state == DRAIN_DONE) {
        int64_t age_ms = clock_monotonic_ms() - drain->done_ms;
        if (age_ms >= (drain->leaving ? TELL_AGAIN_MS : TELL_MS_MAX) ||
            (drain->told && age_ms >= TELL_MS_MIN))
            gateway_end(gateway);
    }
}

void drain_init(struct gateway *gateway)
{
    struct drain *drain = &gateway->drain;
    struct disk_stat stat;
    char *path = drain_path(gateway->paths.data);
    drain->leaving = disk_real.stat(&disk_real, path, &stat) == 0;
    free(path);
    uv_async_init(&gateway->loop, &drain->asked, on_asked);
    uv_timer_init(&gateway->loop, &drain->look);
    drain->asked.data = drain->look.data = gateway;
}

void drain_start(struct gateway *gateway)
{
    uv_timer_start(&gateway->drain.look, on_look, LOOK_MS, LOOK_MS);
    if (gateway->drain.leaving)
        sources_close(gateway);
}

void drain_close(struct gateway *gateway)
{
    uv_close((uv_handle_t *)&gateway->drain.asked, NULL);
    uv_close((uv_handle_t *)&gateway->drain.look, NULL);
}

/* ---- any thread ---- */

static const char *state_name(int state)
{
    static const char *const names[] = {"none", "sources", "sending", "done"};
    return names[state];
}

static void left_list(struct gateway *gateway, struct buffer *out)
{
    struct buffer left = {0};
    const char *comma = "";
    drain_left(gateway, &left);
    struct bytes rest = buffer_bytes(&left);
    while (rest.size) {
        const uint8_t *feed = memchr(rest.data, '\n', rest.size);
        size_t size = (size_t)(feed - rest.data);
        buffer_add_text(out, comma);
        json_string(bytes_of(rest.data, size), out);
        rest = bytes_of(rest.data + size + 1, rest.size - size - 1);
        comma = ",";
    }
    buffer_fini(&left);
}

void drain_status(struct gateway *gateway, struct buffer *out)
{
    struct drain *drain = &gateway->drain;
    char since[CLOCK_TEXT_SIZE];
    int state = drain->state;
    buffer_printf(out, "{\"state\":\"%s\",\"since\":\"%s\",\"left\":[", state_name(state),
                  state == DRAIN_NONE ? "" : clock_format_ms(drain->since_ms, since));
    if (state == DRAIN_SOURCES || state == DRAIN_SENDING)
        left_list(gateway, out);
    buffer_add_text(out, "]}");
}

static int show(struct gateway *gateway, struct buffer *body)
{
    bool done = gateway->drain.state == DRAIN_DONE;
    drain_status(gateway, body);
    body->size--; /* more members */
    const struct decoder_stats *stats = decoder_stats(gateway->decoder);
    buffer_printf(body, ",\"received\":%" PRIu64 ",\"dead\":%" PRIu64 ",\"data\":",
                  journal_next_seq(rawlog_journal(gateway->rawlog)) - 1, stats->dead);
    json_string(bytes_text(gateway->paths.data), body);
    buffer_add_text(body, "}\n");
    if (done)
        gateway->drain.told = true;
    return 200;
}

int drain_admin_show(void *arg, const struct admin_request *request, struct buffer *body)
{
    (void)request;
    return show(arg, body);
}

int drain_admin_begin(void *arg, const struct admin_request *request, struct buffer *body)
{
    struct gateway *gateway = arg;
    if (gateway->stopping) {
        buffer_add_text(body, "the gateway stops\n");
        return 503;
    }
    struct audit_entry entry = {.what = AUDIT_DRAIN,
                                .who = bytes_text(admin_who(request)),
                                .from = admin_from(request),
                                .why = "asked for"};
    char now[CLOCK_TEXT_SIZE];
    char *path = drain_path(gateway->paths.data);
    char *text =
        mem_printf("This gateway goes for good: tidegate drain, %s.\n"
                   "Until this file is removed (tidegate drain --undo) it takes nothing in.\n",
                   clock_format_ms(clock_wall_ms(), now));
    int rc = drain_begun(gateway) ? 0 : disk_replace_file(&disk_real, path, bytes_text(text));
    if (rc < 0)
        buffer_printf(body, "%s: %s\n", path, strerror(-rc));
    entry.result = rc < 0 ? AUDIT_FAILED : AUDIT_OK;
    entry.object = bytes_text(path);
    audit_log_add(gateway->audit, &entry);
    free(text);
    free(path);
    if (rc < 0)
        return 500;
    uv_async_send(&gateway->drain.asked);
    return show(gateway, body);
}
