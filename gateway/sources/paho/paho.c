/* SPDX-License-Identifier: Apache-2.0
 *
 * The gateway's side of existing brokers: one thread with a loop, which starts the worker processes,
 * starts them again when they die, and moves what stands in their intake files to the raw log.
 *
 * A message goes: intake_take -> chunk -> rawlog_submit -> (journal thread: durable) -> on_done ->
 * this loop -> intake_release (move.c). The processes are process.c's, the file is intake.c's.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "sources/paho/state.h"
#include "sources/stat.h"

/* ---- the loop ---- */

static void on_round(uv_timer_t *round);

static void round_arm(struct paho *paho)
{
    if (paho->round_wanted && !uv_is_active((uv_handle_t *)&paho->round))
        uv_timer_start(&paho->round, on_round, ROUND_MS, 0);
}

static void on_wake(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct broker_worker *worker = container_of(poll, struct broker_worker, wake);
    uint64_t count;
    while (read(worker->wake_fd, &count, sizeof count) > 0)
        ;
    worker_move(worker);
    round_arm(worker->paho);
}

static bool all_ended(const struct paho *paho)
{
    for (size_t i = 0; i < paho->worker_count; i++)
        if (paho->workers[i].running)
            return false;
    return true;
}

static bool all_moved(struct paho *paho)
{
    bool moved = true;
    for (size_t i = 0; i < paho->worker_count; i++) {
        bool more = worker_move(&paho->workers[i]);
        moved = moved && !more && paho->workers[i].flight_count == 0;
    }
    return moved;
}

static void handles_close(struct paho *paho)
{
    pthread_mutex_lock(&paho->lock);
    paho->mail_open = false;
    uv_close((uv_handle_t *)&paho->mail, NULL);
    pthread_mutex_unlock(&paho->lock);
    uv_close((uv_handle_t *)&paho->tick, NULL);
    uv_close((uv_handle_t *)&paho->round, NULL);
    for (size_t i = 0; i < paho->worker_count; i++) {
        struct broker_worker *worker = &paho->workers[i];
        uv_poll_stop(&worker->wake);
        uv_close((uv_handle_t *)&worker->wake, NULL);
        uv_close((uv_handle_t *)&worker->again, NULL);
        worker_end(worker);
        if (worker->running) /* it did not end in time */
            uv_process_kill(&worker->process, SIGKILL);
    }
}

/* Closing: the workers end when their standard input does; then what they left is moved on, and
 * what the time does not suffice for stays in the files. */
static void close_step(struct paho *paho)
{
    if (!paho->closing) {
        paho->closing = true;
        for (size_t i = 0; i < paho->worker_count; i++)
            worker_end(&paho->workers[i]);
    }
    bool moved = all_moved(paho);
    bool late = clock_monotonic_ms() >= paho->drain_until_ms;
    if ((!all_ended(paho) || !moved) && !late)
        return;
    handles_close(paho);
}

/* Rules that were loaded again may have other limits. */
static void limits_renew(struct paho *paho)
{
    uint64_t generation = access_generation(paho->place.access);
    if (generation == paho->generation)
        return;
    paho->generation = generation;
    for (size_t i = 0; i < paho->worker_count; i++) {
        struct broker_worker *worker = &paho->workers[i];
        struct access_grant grant;
        if (worker->broker == NULL)
            continue;
        access_vendor(paho->place.access, paho_counts_for(worker->broker), &grant);
        worker->vendor = vendor_table_find(paho->place.vendors, &grant);
        worker->seat = worker->vendor->seats[paho->seat];
    }
}

static void connection_count(struct broker_worker *worker)
{
    bool connected = intake_worker(worker->intake)->connected != 0;
    if (worker->seat == NULL || connected == worker->counted_connected)
        return;
    worker->counted_connected = connected;
    (connected ? stat_add : stat_sub)(&worker->seat->connections, 1);
}

/* Each time another is the first: several may share what one vendor may send. */
static void move_all(struct paho *paho)
{
    for (size_t i = 0; i < paho->worker_count; i++)
        worker_move(&paho->workers[(paho->turn + i) % paho->worker_count]);
    paho->turn++;
}

static void step(struct paho *paho)
{
    if (uv_is_closing((uv_handle_t *)&paho->tick))
        return;
    paho->round_wanted = false;
    pthread_mutex_lock(&paho->lock);
    paho->mail_wanted = false;
    pthread_mutex_unlock(&paho->lock);
    if (paho->close_wanted)
        close_step(paho);
    else
        move_all(paho);
    round_arm(paho);
}

static void on_mail(uv_async_t *mail)
{
    step(container_of(mail, struct paho, mail));
}

static void on_round(uv_timer_t *round)
{
    step(container_of(round, struct paho, round));
}

static void on_tick(uv_timer_t *tick)
{
    struct paho *paho = container_of(tick, struct paho, tick);
    limits_renew(paho);
    step(paho);
    for (size_t i = 0; i < paho->worker_count && !paho->close_wanted; i++) {
        connection_count(&paho->workers[i]);
        worker_sync_waiting(&paho->workers[i]);
    }
}

static void *paho_main(void *arg)
{
    struct paho *paho = arg;
    limits_renew(paho);
    for (size_t i = 0; i < paho->worker_count; i++) {
        worker_move(&paho->workers[i]); /* what an earlier process left comes first */
        if (paho->workers[i].broker)
            worker_start(&paho->workers[i]);
    }
    round_arm(paho);
    uv_run(&paho->loop, UV_RUN_DEFAULT);
    paho->closed(paho->closed_arg);
    return NULL;
}

/* ---- life: main thread ---- */

static int paho_start(struct source *source, struct err *err)
{
    struct paho *paho = container_of(source, struct paho, source);
    if (pthread_create(&paho->thread, NULL, paho_main, paho))
        return err_set(err, GW_ELIMIT, "brokers: no thread can be made");
    pthread_setname_np(paho->thread, "brokers");
    paho->started = true;
    return 0;
}

static void paho_pause(struct source *source)
{
    container_of(source, struct paho, source)->paused = true;
}

/* While it closes, the loop may have closed its handles by now. */
static void mail_send(struct paho *paho)
{
    pthread_mutex_lock(&paho->lock);
    if (paho->mail_open)
        uv_async_send(&paho->mail);
    pthread_mutex_unlock(&paho->lock);
}

static void paho_resume(struct source *source)
{
    struct paho *paho = container_of(source, struct paho, source);
    paho->paused = false;
    mail_send(paho);
}

static void paho_close(struct source *source, int64_t drain_ms, void (*closed)(void *arg),
                       void *arg)
{
    struct paho *paho = container_of(source, struct paho, source);
    if (!paho->started) {
        closed(arg);
        return;
    }
    if (!paho->close_wanted) { /* else only the time changes, and the thread may be reading these */
        paho->closed = closed;
        paho->closed_arg = arg;
    }
    paho->drain_until_ms = clock_monotonic_ms() + drain_ms;
    paho->close_wanted = true;
    mail_send(paho);
}

void paho_leave(struct source *source)
{
    container_of(source, struct paho, source)->leaving = true;
}

static void on_nothing(void *arg)
{
    (void)arg;
}

static void worker_fini(struct broker_worker *worker)
{
    intake_close(worker->intake);
    if (worker->wake_fd >= 0)
        close(worker->wake_fd);
    buffer_fini(&worker->settings_text);
    free(worker->name);
    free(worker->path);
}

static void paho_free(struct source *source)
{
    if (source == NULL)
        return;
    struct paho *paho = container_of(source, struct paho, source);
    if (paho->started && !paho->close_wanted)
        paho_close(source, 0, on_nothing, NULL); /* another part failed to start */
    if (paho->started)
        pthread_join(paho->thread, NULL);
    else
        handles_close(paho);
    uv_run(&paho->loop, UV_RUN_DEFAULT);
    gw_assert(uv_loop_close(&paho->loop) == 0);
    for (size_t i = 0; i < paho->worker_count; i++) {
        struct broker_worker *worker = &paho->workers[i];
        for (unsigned j = 0; j < FLIGHT_MAX; j++)
            if (worker->flights[j].durable) /* the others are still the raw log's */
                chunk_release(paho->place.rawlog, worker->flights[j].chunk);
        worker_fini(worker);
    }
    pthread_mutex_destroy(&paho->lock);
    free(paho->workers);
    free(paho->program);
    free(paho);
}

/* ---- making ---- */

static int worker_add(struct paho *paho, const struct paho_options *broker, unsigned number,
                      const char *name, struct err *err)
{
    struct rawlog *rawlog = paho->place.rawlog;
    struct broker_worker *worker = &paho->workers[paho->worker_count++];
    *worker = (struct broker_worker){.paho = paho, .broker = broker, .number = number};
    worker->name = mem_strdup(name);
    worker->path = mem_printf("%s/%s.intake", paho->place.dir, name);
    worker->moved_ms = clock_monotonic_ms();
    worker->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    gw_assert(worker->wake_fd >= 0);
    gw_assert(uv_poll_init(&paho->loop, &worker->wake, worker->wake_fd) == 0);
    uv_poll_start(&worker->wake, UV_READABLE, on_wake);
    uv_timer_init(&paho->loop, &worker->again);
    uint64_t durable = sessions_intake(rawlog_sessions(rawlog), bytes_text(name));
    return intake_open(&worker->intake, paho->place.disk, worker->path,
                       journal_identity(rawlog_journal(rawlog)), broker ? broker->intake_bytes : 0,
                       durable, err);
}

static bool name_known(const struct paho *paho, const char *name)
{
    for (size_t i = 0; i < paho->worker_count; i++)
        if (strcmp(paho->workers[i].name, name) == 0)
            return true;
    return false;
}

/* "emqx-0.intake" -> "emqx-0"; false for anything else. */
static bool file_name(const char *name, char out[128])
{
    const char *dot = strrchr(name, '.');
    if (dot == NULL || strcmp(dot, ".intake") != 0 || (size_t)(dot - name) >= 128)
        return false;
    memcpy(out, name, (size_t)(dot - name));
    out[dot - name] = '\0';
    return true;
}

/* Files of workers that the configuration no longer has: what they hold was acknowledged. */
static int left_add(struct paho *paho, const struct disk_names *names, struct err *err)
{
    char name[128];
    for (size_t i = 0; i < names->count; i++) {
        if (!file_name(names->names[i], name) || name_known(paho, name))
            continue;
        int rc = worker_add(paho, NULL, 0, name, err);
        if (rc)
            return rc;
        log_event(LOG_INFO, "intake_without_broker", "file=%s waiting_bytes=%" PRIu64,
                  names->names[i],
                  intake_waiting_bytes(paho->workers[paho->worker_count - 1].intake));
    }
    return 0;
}

static int workers_add(struct paho *paho, const struct paho_options *options, size_t count,
                       struct err *err)
{
    struct disk_names names = {0};
    size_t total = 0;
    int rc = paho->place.disk->list(paho->place.disk, paho->place.dir, &names);
    if (rc < 0)
        return err_set(err, GW_EIO, "folder %s: %s", paho->place.dir, strerror(-rc));
    for (size_t i = 0; i < count; i++)
        total += (size_t)options[i].workers;
    paho->workers = mem_zalloc((total + names.count + 1) * sizeof *paho->workers);
    rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        for (unsigned number = 0; number < options[i].workers && rc == 0; number++) {
            char *name = mem_printf("%s-%u", options[i].name, number);
            rc = worker_add(paho, &options[i], number, name, err);
            free(name);
        }
    }
    if (rc == 0)
        rc = left_add(paho, &names, err);
    disk_names_fini(&names);
    return rc;
}

/* ---- any thread ---- */

bool paho_status(const struct source *source, size_t index, struct paho_worker_status *out)
{
    const struct paho *paho = (const struct paho *)source; /* its first member */
    if (index >= paho->worker_count)
        return false;
    const struct broker_worker *worker = &paho->workers[index];
    const struct intake_worker *told = intake_worker(worker->intake);
    *out = (struct paho_worker_status){
        .broker = worker->broker ? worker->broker->name : worker->name,
        .vendor = worker->broker ? paho_counts_for(worker->broker) : NULL,
        .hold = (enum hold)worker->hold,
        .worker = worker->number,
        .connected = told->connected,
        .messages = told->messages,
        .bytes = told->bytes,
        .connects = told->connects,
        .sessions_lost = told->sessions_lost,
        .oversize = told->oversize,
        .holds = told->holds,
        .filters_refused = told->filters_refused,
        .restarts = worker->restarts,
        .damaged = worker->damaged,
        .waiting_bytes = intake_waiting_bytes(worker->intake),
        .room_bytes = intake_room_bytes(worker->intake),
    };
    intake_note(worker->intake, out->note);
    return true;
}

#define AT(member) offsetof(struct paho_worker_status, member)
static const struct {
    const char *name, *type, *help;
    size_t offset;
} metric_rows[] = {
    {"messages_total", "counter", "Messages put into the intake file.", AT(messages)},
    {"bytes_total", "counter", "Topic and payload bytes of them.", AT(bytes)},
    {"connects_total", "counter", "Connections that came to stand.", AT(connects)},
    {"sessions_lost_total", "counter",
     "Connections at which the broker had forgotten us and what it held for us.",
     AT(sessions_lost)},
    {"oversize_total", "counter", "Messages too large for the intake file, given up.",
     AT(oversize)},
    {"holds_total", "counter", "Times the broker was made to wait for room.", AT(holds)},
    {"refused_filters", "gauge", "Topic filters that the broker refused.", AT(filters_refused)},
    {"restarts_total", "counter", "Deaths of the worker process.", AT(restarts)},
    {"damaged_total", "counter", "Places in the intake file that could not be read.", AT(damaged)},
    {"waiting_bytes", "gauge", "Bytes in the intake file that are not in the journal yet.",
     AT(waiting_bytes)},
};
#undef AT

static void metric_put(const struct source *source, const char *name, size_t offset,
                       struct buffer *out)
{
    struct paho_worker_status status;
    for (size_t i = 0; paho_status(source, i, &status); i++) {
        uint64_t value;
        memcpy(&value, (const char *)&status + offset, sizeof value);
        buffer_printf(out, "tidegate_broker_%s{broker=\"%s\",worker=\"%u\"} %" PRIu64 "\n", name,
                      status.broker, status.worker, value);
    }
}

static void held_put(const struct paho_worker_status *status, struct buffer *out)
{
    for (int i = HOLD_NONE + 1; i < HOLD_KINDS; i++)
        if (i != HOLD_WINDOW) /* of connections to us */
            buffer_printf(out,
                          "tidegate_broker_held{broker=\"%s\",worker=\"%u\",reason=\"%s\"} %d\n",
                          status->broker, status->worker, hold_names[i], (int)status->hold == i);
}

static void paho_metrics(struct source *source, struct buffer *out)
{
    struct paho_worker_status status;
    if (!paho_status(source, 0, &status))
        return;
    buffer_add_text(out, "# HELP tidegate_broker_connected 1 while the worker is connected and "
                         "subscribed.\n# TYPE tidegate_broker_connected gauge\n");
    for (size_t i = 0; paho_status(source, i, &status); i++)
        buffer_printf(out, "tidegate_broker_connected{broker=\"%s\",worker=\"%u\"} %d\n",
                      status.broker, status.worker, status.connected != 0);
    buffer_add_text(out,
                    "# HELP tidegate_broker_held 1 while nothing is moved on to the journal, by "
                    "what lets nothing more in.\n# TYPE tidegate_broker_held gauge\n");
    for (size_t i = 0; paho_status(source, i, &status); i++)
        held_put(&status, out);
    for (size_t i = 0; i < array_count(metric_rows); i++) {
        buffer_printf(out, "# HELP tidegate_broker_%s %s\n# TYPE tidegate_broker_%s %s\n",
                      metric_rows[i].name, metric_rows[i].help, metric_rows[i].name,
                      metric_rows[i].type);
        metric_put(source, metric_rows[i].name, metric_rows[i].offset, out);
    }
}

static const struct source_type paho_type = {
    .name = "brokers",
    .start = paho_start,
    .pause = paho_pause,
    .resume = paho_resume,
    .close = paho_close,
    .free = paho_free,
    .metrics = paho_metrics,
};

struct source *paho_new(const struct paho_options *options, size_t count,
                        const struct paho_place *place, struct err *err)
{
    struct paho *paho = mem_zalloc(sizeof *paho);
    paho->source.type = &paho_type;
    paho->place = *place;
    paho->program = mem_strdup("/proc/self/exe");
    pthread_mutex_init(&paho->lock, NULL);
    gw_assert(uv_loop_init(&paho->loop) == 0);
    gw_assert(uv_async_init(&paho->loop, &paho->mail, on_mail) == 0);
    gw_assert(uv_timer_init(&paho->loop, &paho->tick) == 0);
    gw_assert(uv_timer_init(&paho->loop, &paho->round) == 0);
    uv_timer_start(&paho->tick, on_tick, TICK_MS, TICK_MS);
    paho->mail_open = true;
    paho->seat = vendor_table_seats(place->vendors, 1);
    if (workers_add(paho, options, count, err)) {
        paho_free(&paho->source);
        return NULL;
    }
    return &paho->source;
}
