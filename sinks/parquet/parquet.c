/* SPDX-License-Identifier: Apache-2.0
 *
 * The sink: takes a unit from the lane, has it written by a worker thread, answers when it is durable;
 * beside it one unit of a replay.
 * Between units it merges files and removes old days. The lane's loop never waits for the disk but in
 * start(). Separate from the store, which knows files and no threads.
 *
 * Everything runs on the lane's thread, but for the job, which has the store to itself until on_job_done,
 * and metrics(), which reads atomics.
 */
#include "sinks/parquet/parquet.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "sinks/parquet/compact.h"
#include "sinks/parquet/counters.h"
#include "sinks/parquet/history.h"
#include "sinks/parquet/options.h"
#include "sinks/parquet/retain.h"
#include "sinks/parquet/unit.h"

enum {
    PAGE_ROWS = 20000,
    FRESH_LEVEL = 1, /* zstd: soon merged anyway */
    TICK_MS = 1000,
    OLD_STAYS_MS = 60 * 1000, /* readers that listed a day before it was exchanged may finish */
    SETTLE_MS = 600 * 1000,
    FAILURE_PAUSE_MS = 60 * 1000,
    OLD_MAX = 64,
};

/* What has the store at the moment; one at a time, on a worker thread. */
enum job { JOB_NONE, JOB_UNIT, JOB_REPLAY, JOB_APPLY, JOB_EXCHANGE, JOB_RETAIN, JOB_REMOVE };

/* A folder that was exchanged, until it is removed. */
struct old_day {
    char *path;
    int64_t since_ms;
};

struct sink {
    struct sink_host *host;
    const struct parquet_sink_options *options;
    char *path;
    struct store store;
    struct history history; /* replays that are not in the store's files yet */
    bool started;

    uv_work_t work;
    enum job job;
    int status; /* of the job */
    struct err err;
    struct unit *unit;                    /* written and not answered; at most one */
    struct unit *replay;                  /* the same, of a replay */
    struct history_policy history_policy; /* for the job */
    struct unit_result result;
    int64_t retain_day;

    /* The merge runs beside the jobs: it does not touch the store. */
    uv_work_t merge_work;
    _Atomic bool closing_soon; /* what takes long ends early */
    bool merging, merged;      /* on its thread; done, and waits for its exchange */
    int merge_status;
    struct err merge_err;
    struct compact_plan plan;
    uint64_t safe_below;     /* units from here on may come again */
    uint64_t live_next;      /* what the lane stores next; nothing below is new */
    int64_t paused_until_ms; /* after a failure, monotonic */
    int64_t apply_paused_until_ms;

    struct old_day old[OLD_MAX]; /* oldest first */
    size_t old_count;

    uv_timer_t tick;
    bool tick_is_open;
    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;

    struct counters counters;
};

/* ---- life ---- */

static uint64_t parquet_unit_rows_max(const void *options)
{
    return (uint64_t)((const struct parquet_sink_options *)options)->unit_rows;
}

static int64_t parquet_unit_age_max_ms(const void *options)
{
    return ((const struct parquet_sink_options *)options)->flush_age_ms;
}

/* One thread writes files, one after the other. */
static uint32_t parquet_open_units_max(const void *options)
{
    (void)options;
    return 1;
}

static int parquet_init(struct sink **out, const void *options, struct sink_host *host,
                        struct err *err)
{
    const struct parquet_sink_options *parquet = options;
    if (parquet->path == NULL || parquet->path[0] == '\0')
        return err_set(err, GW_EINVAL, "sink %s: `path` is empty", host->name);
    struct sink *sink = mem_zalloc(sizeof *sink);
    sink->host = host;
    sink->options = parquet;
    sink->path = parquet->path[0] == '/' ? mem_strdup(parquet->path)
                                         : mem_printf("%s/%s", host->data_dir, parquet->path);
    *out = sink;
    return 0;
}

static void show_store(struct sink *sink)
{
    atomic_store_explicit(&sink->counters.files_now, sink->store.file_count, memory_order_relaxed);
    atomic_store_explicit(&sink->counters.bytes_now, sink->store.bytes, memory_order_relaxed);
    atomic_store_explicit(&sink->counters.waiting_now, sink->history.pending.rows,
                          memory_order_relaxed);
}

static void on_tick(uv_timer_t *timer);

static int parquet_start(struct sink *sink, uint64_t *cursor, struct err *err)
{
    if (!sink->tick_is_open) {
        gw_assert(uv_timer_init(sink->host->loop, &sink->tick) == 0);
        sink->tick_is_open = true;
    }
    int result =
        store_open(&sink->store, sink->host->disk, sink->path, sink->host->identity, *cursor, err);
    if (result == 0) {
        result = history_open(&sink->history, &sink->store, err);
        if (result < 0)
            store_close(&sink->store);
    }
    if (result < 0)
        return err_wrap(err, result, "sink %s", sink->host->name);
    sink->started = true;
    sink->safe_below = sink->live_next = *cursor;
    show_store(sink);
    uv_timer_start(&sink->tick, on_tick, TICK_MS, TICK_MS);
    return 0;
}

/* ---- a unit ---- */

static int check_space(const struct sink *sink, struct err *err)
{
    struct disk_space space = {0};
    const struct disk *disk = sink->host->disk;
    int result = disk->space(disk, sink->path, &space);
    if (result < 0)
        return store_error(err, result, "look at the free space of", sink->path);
    if (space.available < sink->options->min_free_bytes)
        return err_set(err, GW_EFULL,
                       "%s: %" PRIu64 " MiB are free and min_free is %" PRIu64
                       " MiB; make room, or set `keep` or `keep_bytes`",
                       sink->path, space.available >> 20, sink->options->min_free_bytes >> 20);
    return 0;
}

static struct parquet_options file_options(const struct sink *sink, int zstd_level)
{
    return (struct parquet_options){
        .scaled = sink->options->value == PARQUET_VALUE_SCALED,
        .zstd_level = zstd_level,
        .row_group_rows = (uint32_t)sink->options->row_group_rows,
        .page_rows = PAGE_ROWS,
    };
}

static int store_unit(struct sink *sink)
{
    struct parquet_options options = file_options(sink, FRESH_LEVEL);
    int status = check_space(sink, &sink->err);
    if (status == 0)
        status = unit_store(&sink->store, sink->unit, &options, &sink->result, &sink->err);
    return status;
}

/* A large file takes longer than closing may; what waits goes on at the next start. */
static struct parquet_options replay_options(const struct sink *sink)
{
    struct parquet_options options = file_options(sink, FRESH_LEVEL);
    options.stop = &sink->closing_soon;
    return options;
}

static int store_replay(struct sink *sink)
{
    struct parquet_options options = replay_options(sink);
    int status = check_space(sink, &sink->err);
    if (status == 0)
        status = history_put(&sink->history, sink->replay, &sink->history_policy, &options,
                             &sink->result, &sink->err);
    if (status == 0)
        unit_refusals(sink->replay, &sink->result);
    return status;
}

static int apply_history(struct sink *sink)
{
    struct parquet_options options = replay_options(sink);
    int status = check_space(sink, &sink->err);
    if (status == 0)
        status = history_apply(&sink->history, &sink->history_policy, &options, &sink->result,
                               &sink->err);
    return status;
}

/* ---- jobs ---- */

static int exchange_merged(struct sink *sink)
{
    char *old = NULL;
    int status = compact_exchange(&sink->store, &sink->plan, &old, &sink->err);
    if (old)
        sink->old[sink->old_count++] = (struct old_day){old, clock_monotonic_ms()};
    if (status < 0)
        compact_give_up(&sink->store, &sink->plan, status);
    return status;
}

static int remove_oldest(struct sink *sink)
{
    struct old_day old = sink->old[0];
    sink->old_count--;
    memmove(&sink->old[0], &sink->old[1], sink->old_count * sizeof sink->old[0]);
    int result = store_remove_dir(&sink->store, old.path);
    if (result < 0) /* the next start removes it */
        result = store_error(&sink->err, result, "remove", old.path);
    free(old.path);
    return result;
}

/* On a worker thread. */
static void do_job(uv_work_t *work)
{
    struct sink *sink = container_of(work, struct sink, work);
    switch (sink->job) {
    case JOB_UNIT: sink->status = store_unit(sink); break;
    case JOB_REPLAY: sink->status = store_replay(sink); break;
    case JOB_APPLY: sink->status = apply_history(sink); break;
    case JOB_EXCHANGE: sink->status = exchange_merged(sink); break;
    case JOB_RETAIN:
        sink->status = retain_remove_day(&sink->store, sink->retain_day, &sink->err);
        break;
    case JOB_REMOVE: sink->status = remove_oldest(sink); break;
    case JOB_NONE: break;
    }
}

static void finish_closing(struct sink *sink);

static void count(struct sink *sink, enum job job)
{
    const struct unit_result *result = &sink->result;
    atomic_fetch_add_explicit(job == JOB_UNIT ? &sink->counters.rows : &sink->counters.replayed,
                              result->rows, memory_order_relaxed);
    atomic_fetch_add_explicit(&sink->counters.files, result->files, memory_order_relaxed);
    atomic_fetch_add_explicit(&sink->counters.bytes, result->bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&sink->counters.refused, result->refusal_count, memory_order_relaxed);
    if (sink->status < 0)
        atomic_fetch_add_explicit(&sink->counters.failures, 1, memory_order_relaxed);
    show_store(sink);
}

/* The unit is no longer ours. */
static struct unit *take_unit(struct sink *sink)
{
    struct unit *unit = sink->unit;
    sink->unit = NULL;
    return unit;
}

static struct unit *take_replay(struct sink *sink)
{
    struct unit *unit = sink->replay;
    sink->replay = NULL;
    return unit;
}

/* A damaged file stays as it is until somebody takes it out of the way. */
static enum sink_reason reason_of(int status)
{
    return status == GW_ECORRUPT ? SINK_REASON_OPERATOR : SINK_REASON_DISK;
}

static void finish_unit(struct sink *sink, enum job job)
{
    struct unit *unit = job == JOB_REPLAY ? sink->replay : sink->unit;
    struct unit_result result = sink->result;
    count(sink, job);
    if (job == JOB_REPLAY)
        take_replay(sink);
    else
        take_unit(sink);
    sink->result = (struct unit_result){0};
    if (sink->status == 0 && job == JOB_UNIT)
        sink->live_next = unit->last_seq + 1;
    if (sink->status == 0)
        sink->host->answer(sink->host, unit,
                           &(struct sink_result){.answer = SINK_STORED,
                                                 .refusals = result.refusals,
                                                 .refusal_count = result.refusal_count});
    else if (sink->status == GW_ECLOSED)
        sink_closed(sink->host, unit);
    else
        sink_retry(sink->host, unit, reason_of(sink->status), sink->err.text);
    unit_result_fini(&result);
    /* If no other unit comes, what waits is not left until the next tick. */
    if (job == JOB_REPLAY && sink->history.pending.count && !sink->closing)
        uv_timer_start(&sink->tick, on_tick, HISTORY_QUIET_MS, TICK_MS);
}

static void finish_apply(struct sink *sink)
{
    count(sink, JOB_APPLY);
    unit_result_fini(&sink->result);
}

static void finish_exchange(struct sink *sink)
{
    if (sink->status == 0) {
        atomic_fetch_add_explicit(&sink->counters.compactions, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&sink->counters.compacted_rows, sink->plan.result.rows,
                                  memory_order_relaxed);
    }
    compact_plan_fini(&sink->plan);
    sink->merged = false;
}

/* Housekeeping that failed is tried again after a pause; readings are safe meanwhile. */
static void pause_after(struct sink *sink, const char *event, const struct err *err)
{
    atomic_fetch_add_explicit(&sink->counters.compaction_failures, 1, memory_order_relaxed);
    sink->paused_until_ms = clock_monotonic_ms() + FAILURE_PAUSE_MS;
    log_event(LOG_WARN, event, "sink=%s why=\"%s\"", sink->host->name, err->text);
}

static void next_job(struct sink *sink);

static void on_job_done(uv_work_t *work, int status)
{
    struct sink *sink = container_of(work, struct sink, work);
    gw_assert(status == 0);
    enum job job = sink->job;
    sink->job = JOB_NONE;
    show_store(sink);
    bool of_lane = job == JOB_UNIT || job == JOB_REPLAY;
    if (!of_lane && sink->status < 0 && sink->status != GW_ECLOSED)
        pause_after(sink, "parquet_housekeeping_failed", &sink->err);
    if (job == JOB_APPLY && sink->status < 0) /* a merge that fails holds no replay */
        sink->apply_paused_until_ms = clock_monotonic_ms() + FAILURE_PAUSE_MS;
    if (job == JOB_APPLY)
        finish_apply(sink);
    else if (job == JOB_EXCHANGE)
        finish_exchange(sink);
    else if (job == JOB_RETAIN && sink->status == 0)
        atomic_fetch_add_explicit(&sink->counters.days_removed, 1, memory_order_relaxed);
    else if (of_lane)
        finish_unit(sink, job);
    next_job(sink);
}

static void begin_job(struct sink *sink, enum job job)
{
    sink->job = job;
    gw_assert(uv_queue_work(sink->host->loop, &sink->work, do_job, on_job_done) == 0);
}

/* ---- housekeeping ---- */

/* On a worker thread, beside the jobs. */
static void do_merge(uv_work_t *work)
{
    struct sink *sink = container_of(work, struct sink, merge_work);
    struct parquet_options options = file_options(sink, (int)sink->options->compression);
    options.stop = &sink->closing_soon;
    sink->merge_status = compact_merge(sink->host->disk, &sink->plan, &options, &sink->merge_err);
}

static void on_merge_done(uv_work_t *work, int status)
{
    struct sink *sink = container_of(work, struct sink, merge_work);
    gw_assert(status == 0);
    sink->merging = false;
    sink->merged = true;
    next_job(sink);
}

static void begin_merge(struct sink *sink)
{
    struct compact_policy policy = {
        .safe_below = sink->safe_below,
        .files_max = (size_t)sink->options->files_max,
        .today = day_of_ms(clock_wall_ms()),
        .now_ms = clock_monotonic_ms(),
        .settle_ms = SETTLE_MS,
    };
    if (!sink->options->compact || sink->old_count + 1 >= OLD_MAX ||
        !compact_choose(&sink->store, &policy, &sink->plan))
        return;
    sink->merging = true;
    gw_assert(uv_queue_work(sink->host->loop, &sink->merge_work, do_merge, on_merge_done) == 0);
}

static void drop_failed_merge(struct sink *sink)
{
    pause_after(sink, "parquet_merge_failed", &sink->merge_err);
    compact_give_up(&sink->store, &sink->plan, sink->merge_status);
    compact_plan_fini(&sink->plan);
    sink->merged = false;
}

static bool retention_due(struct sink *sink)
{
    struct retain_policy policy = {sink->options->keep_ms, sink->options->keep_bytes,
                                   clock_wall_ms()};
    return retain_due(&sink->store, &policy, &sink->retain_day);
}

static bool old_due(const struct sink *sink)
{
    return sink->old_count && clock_monotonic_ms() - sink->old[0].since_ms >= OLD_STAYS_MS;
}

/* A merge reads files that a replay would write anew: then the replay waits on disk. */
static struct history_policy history_policy(const struct sink *sink)
{
    bool merging = sink->merging || sink->merged;
    bool touches = history_touches(&sink->history, sink->plan.day), more_comes = false;
    if (sink->replay) {
        struct pending_unit unit = pending_describe(sink->replay);
        more_comes = unit.rows * 2 >= (uint64_t)sink->options->unit_rows;
        touches |= unit.first_day <= sink->plan.day && unit.last_day >= sink->plan.day;
    }
    return (struct history_policy){
        .live_next = sink->live_next,
        .may_amend = !merging || !touches,
        .more_comes = more_comes,
        .today = day_of_ms(clock_wall_ms()),
        .zstd_closed = (int)sink->options->compression,
    };
}

/* The store is free: what next? Units first. */
static void next_job(struct sink *sink)
{
    if (sink->job != JOB_NONE)
        return;
    if (sink->closing) {
        if (!sink->merging)
            finish_closing(sink);
        return;
    }
    if (sink->merged && sink->merge_status < 0)
        drop_failed_merge(sink);
    bool paused = clock_monotonic_ms() < sink->paused_until_ms;
    bool retain = !paused && !sink->merging && !sink->merged && retention_due(sink);
    sink->history_policy = history_policy(sink);
    bool apply =
        clock_monotonic_ms() >= sink->apply_paused_until_ms && sink->history_policy.may_amend &&
        history_due(&sink->history, sink->live_next, sink->replay != NULL, clock_monotonic_ms());
    if (sink->unit)
        begin_job(sink, JOB_UNIT);
    else if (apply)
        begin_job(sink, JOB_APPLY);
    else if (sink->replay)
        begin_job(sink, JOB_REPLAY);
    else if (sink->merged)
        begin_job(sink, JOB_EXCHANGE);
    else if (retain)
        begin_job(sink, JOB_RETAIN);
    else if (old_due(sink))
        begin_job(sink, JOB_REMOVE);
    else if (!paused && !sink->merging && !sink->replay)
        begin_merge(sink);
}

static void on_tick(uv_timer_t *timer)
{
    next_job(container_of(timer, struct sink, tick));
}

static void parquet_write(struct sink *sink, struct unit *unit)
{
    gw_assert(sink->started && !sink->closing);
    if (unit->replay) {
        gw_assert(sink->replay == NULL);
        sink->replay = unit;
    } else {
        gw_assert(sink->unit == NULL);
        sink->unit = unit;
        /* The lane has synced its cursor behind all units before this one: those never come again. */
        sink->safe_below = unit->first_seq;
        if (unit->first_seq > sink->live_next) /* the lane left something out */
            sink->live_next = unit->first_seq;
    }
    next_job(sink);
}

/* ---- closing ---- */

static void on_tick_closed(uv_handle_t *handle)
{
    struct sink *sink = container_of((uv_timer_t *)handle, struct sink, tick);
    sink->closed(sink->closed_arg);
}

static void finish_closing(struct sink *sink)
{
    if (uv_is_closing((uv_handle_t *)&sink->tick))
        return;
    /* A merge that nobody will put in its place, and folders that wait: the next start removes them. */
    compact_plan_fini(&sink->plan);
    for (size_t i = 0; i < sink->old_count; i++)
        free(sink->old[i].path);
    sink->old_count = 0;
    history_close(&sink->history);
    store_close(&sink->store);
    sink->started = false;
    uv_close((uv_handle_t *)&sink->tick, on_tick_closed);
}

static void parquet_close(struct sink *sink, void (*closed)(void *arg), void *arg)
{
    gw_assert(!sink->closing);
    sink->closing = true;
    atomic_store(&sink->closing_soon, true); /* a large merge would take longer than a drain may */
    sink->closed = closed;
    sink->closed_arg = arg;
    if (!sink->tick_is_open)
        gw_assert(uv_timer_init(sink->host->loop, &sink->tick) == 0);
    /* A unit under way is soon durable or not, and is then answered truly; one that waits behind
     * housekeeping is given back. */
    if (sink->unit && sink->job != JOB_UNIT)
        sink_closed(sink->host, take_unit(sink));
    if (sink->replay && sink->job != JOB_REPLAY)
        sink_closed(sink->host, take_replay(sink));
    next_job(sink);
}

static void parquet_fini(struct sink *sink)
{
    if (sink == NULL)
        return;
    gw_assert(sink->unit == NULL && sink->replay == NULL);
    history_close(&sink->history);
    store_close(&sink->store);
    free(sink->path);
    free(sink);
}

static void parquet_metrics(struct sink *sink, struct buffer *out)
{
    counters_put(&sink->counters, sink->host->name, out);
}

const struct sink_type sink_parquet = {
    .name = "parquet",
    .summary = "columnar files by day, for DuckDB, pandas, Spark, ClickHouse",
    .options = parquet_option_rows,
    .options_size = sizeof(struct parquet_sink_options),
    .unit_rows_max = parquet_unit_rows_max,
    .unit_age_max_ms = parquet_unit_age_max_ms,
    .open_units_max = parquet_open_units_max,
    .init = parquet_init,
    .start = parquet_start,
    .write = parquet_write,
    .close = parquet_close,
    .fini = parquet_fini,
    .metrics = parquet_metrics,
    .probe = parquet_probe,
};
