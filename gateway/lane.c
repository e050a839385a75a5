/* SPDX-License-Identifier: Apache-2.0
 *
 * The life of a unit (lane_slots.h): FILLING -> OPEN, when its bounds are synced -> STORED, or
 * WAITING when the sink said RETRY; the same unit goes again after a backoff. Units are stored in
 * any order and confirmed in theirs. Everything runs on the lane's thread but for the
 * functions at the end.
 */
#include "lane.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "journal/cursor.h"
#include "lane_slots.h"

enum {
    BACKOFF_MS_MIN = 200,
    BACKOFF_MS_MAX = 30000,
    STEP_BATCHES = 64,
    TICK_MS = 100,
    READ_AGAIN_MS = 1000
};

struct lane {
    struct lane_options options;
    const struct sink_type *type;
    struct sink *sink;
    struct sink_host host;
    struct cursor *cursor;
    struct cursor_state saved; /* what the cursor file should say */
    bool unsaved;              /* it does not, because of an error */
    int64_t save_at_ms;        /* not before */
    bool unread;               /* the reading log could not be read */
    int64_t read_at_ms;        /* not before */
    struct journal_reader *reader;
    uint64_t rows_max;
    int64_t age_max_ms;

    struct slots slots;
    struct batch *ahead; /* read, but did not fit into the unit before */
    bool sink_started;
    int64_t start_at_ms;
    int64_t start_backoff_ms;

    uv_loop_t loop;
    uv_async_t wake;
    uv_timer_t tick;
    uint32_t handles_open;
    pthread_t thread;
    bool started;
    bool closing;
    _Atomic bool stopping;
    _Atomic int64_t stop_at_ms;

    pthread_mutex_t why_lock;
    char why[200];
    struct lane_stats stats;
};

/* ---- what others see ---- */

static void why_set(struct lane *lane, const char *why)
{
    pthread_mutex_lock(&lane->why_lock);
    /* Cut where it is too long: a sentence for people. */
    size_t size = why ? strnlen(why, sizeof lane->why - 1) : 0;
    memcpy(lane->why, why ? why : "", size);
    lane->why[size] = '\0';
    pthread_mutex_unlock(&lane->why_lock);
}

static void stats_publish(struct lane *lane)
{
    lane->stats.next_seq = lane->saved.next_seq;
    lane->stats.open_units = lane->slots.count;
    lane->stats.open_rows = slots_rows(&lane->slots);
    const struct unit *oldest = lane->slots.count ? &slots_at(&lane->slots, 0)->unit : NULL;
    lane->stats.waiting_received_ms =
        oldest && oldest->batch_count ? oldest->batches[0]->received_min_ms : 0;
}

/* ---- cursor ---- */

static bool cursor_write(struct lane *lane)
{
    slots_bounds(&lane->slots, &lane->saved);
    struct err err;
    if (cursor_save(lane->cursor, &lane->saved, &err) == 0) {
        if (lane->unsaved) {
            lane->unsaved = false;
            lane->stats.health = LANE_OK;
            why_set(lane, "");
        }
        return true;
    }
    lane->unsaved = true;
    lane->save_at_ms = clock_monotonic_ms() + BACKOFF_MS_MIN;
    if (lane->stats.health == LANE_OK)
        log_event(LOG_ERROR, "lane_cursor_failed", "sink=%s why=\"%s\"", lane->host.name, err.text);
    lane->stats.health = LANE_RETRYING;
    why_set(lane, err.text);
    return false;
}

/* ---- giving units to the sink ---- */

static void slot_write(struct lane *lane, struct slot *slot)
{
    slot->state = SLOT_OPEN;
    slot->since_ms = clock_monotonic_ms();
    slot->unit.lane = slot;
    lane->type->write(lane->sink, &slot->unit);
}

/* The unit is whole: sync its bounds, then the first attempt. When the cursor cannot be saved the
 * unit waits and is tried again. */
static void slot_open(struct lane *lane, struct slot *slot)
{
    slot->state = SLOT_WAITING;
    if (!cursor_write(lane)) {
        slot->state = SLOT_FILLING;
        slot->retry_at_ms = clock_monotonic_ms() + BACKOFF_MS_MIN;
        return;
    }
    slot_write(lane, slot);
}

static bool slot_due(const struct lane *lane, const struct slot *slot, bool at_end)
{
    int64_t now = clock_monotonic_ms();
    if (slot->unit.batch_count == 0 || slot->retry_at_ms > now)
        return false;
    if (slot->bound_last)
        return slot->unit.last_seq >= slot->bound_last || lane->ahead;
    return slot->items >= lane->rows_max || lane->ahead ||
           now - slot->since_ms >= lane->age_max_ms || (lane->stopping && at_end);
}

/* ---- reading ---- */

static void read_failed(struct lane *lane, const char *why)
{
    if (!lane->unread)
        log_event(LOG_ERROR, "lane_read_failed", "sink=%s why=\"%s\"", lane->host.name, why);
    lane->unread = true;
    lane->read_at_ms = clock_monotonic_ms() + READ_AGAIN_MS;
    lane->stats.health = LANE_RETRYING;
    why_set(lane, why);
}

static void read_goes_on(struct lane *lane)
{
    log_event(LOG_INFO, "lane_reads_on", "sink=%s", lane->host.name);
    lane->unread = false;
    lane->stats.health = LANE_OK;
    why_set(lane, "");
}

/* The next batch, or null at the end. */
static struct batch *batch_next(struct lane *lane)
{
    if (lane->unread && clock_monotonic_ms() < lane->read_at_ms)
        return NULL;
    if (lane->ahead) {
        struct batch *batch = lane->ahead;
        lane->ahead = NULL;
        return batch;
    }
    struct extent extent;
    struct err err;
    int got;
    while ((got = journal_reader_next(lane->reader, &extent, &err)) > 0) {
        struct batch *batch;
        if (got == JOURNAL_DAMAGED) {
            lane->stats.lost_seqs += extent.seq_count;
            log_event(LOG_ERROR, "lane_gap", "sink=%s first_seq=%" PRIu64 " count=%u",
                      lane->host.name, extent.first_seq, extent.seq_count);
            continue;
        }
        if (extent.kind != EXTENT_BATCH)
            continue;
        if (lane->unread)
            read_goes_on(lane);
        if (batch_decode(extent.body, &batch, &err) == 0)
            return batch;
        lane->stats.lost_seqs += extent.seq_count;
        log_event(LOG_ERROR, "lane_batch_damaged", "sink=%s seq=%" PRIu64 " why=\"%s\"",
                  lane->host.name, extent.first_seq, err.text);
    }
    if (got < 0)
        read_failed(lane, err.text);
    else if (lane->unread)
        read_goes_on(lane);
    return NULL;
}

/* Add batches to the filling unit and give out what is whole. True when there may be more. */
static bool lane_fill(struct lane *lane)
{
    for (int i = 0; i < STEP_BATCHES; i++) {
        struct slot *slot = slots_filling(&lane->slots);
        if (slot && slot_due(lane, slot, false)) {
            slot_open(lane, slot);
            if (slot->state == SLOT_FILLING)
                return false;
            continue;
        }
        if (slot == NULL && lane->slots.count == lane->slots.max)
            return false;
        struct batch *batch = batch_next(lane);
        if (batch == NULL) {
            if (slot && slot_due(lane, slot, true))
                slot_open(lane, slot);
            return false;
        }
        if (slot == NULL)
            slot = slots_begin(&lane->slots, clock_monotonic_ms());
        if (slot_takes(slot, batch, lane->rows_max))
            slot_add(slot, batch);
        else
            lane->ahead = batch;
    }
    return true;
}

/* ---- answers ---- */

static void latency_count(struct lane *lane, int64_t ms)
{
    int bucket = 0;
    while (bucket < LANE_LATENCY_BUCKETS - 1 && ms >= 1LL << bucket)
        bucket++;
    lane->stats.write_ms_bucket[bucket]++;
    lane->stats.write_ms_sum += (uint64_t)ms;
}

/* Units confirmed from the oldest on move the cursor; it is synced with the next bounds, or now
 * when nothing is open, so that an idle lane's cursor is right on disk. */
static void lane_confirm(struct lane *lane)
{
    bool moved = false;
    while (lane->slots.count && slots_at(&lane->slots, 0)->state == SLOT_STORED) {
        const struct slot *slot = slots_at(&lane->slots, 0);
        lane->saved.next_seq = slot->unit.last_seq + 1;
        lane->saved.generation = slot->unit.generation;
        lane->stats.stored_received_ms =
            slot->unit.batches[slot->unit.batch_count - 1]->received_max_ms;
        lane->stats.units++;
        lane->stats.rows += slot->unit.rows;
        slots_pop(&lane->slots);
        moved = true;
    }
    if (moved)
        cursor_write(lane);
}

static void lane_retry(struct lane *lane, struct slot *slot, enum sink_reason reason,
                       const char *why)
{
    slot->backoff_ms = slot->backoff_ms ? slot->backoff_ms * 2 : BACKOFF_MS_MIN;
    if (slot->backoff_ms > BACKOFF_MS_MAX)
        slot->backoff_ms = BACKOFF_MS_MAX;
    /* Jitter of a quarter, so that many gateways do not come back to one server together. */
    slot->retry_at_ms = clock_monotonic_ms() + slot->backoff_ms -
                        (int64_t)(clock_monotonic_ns() / 1000 % (slot->backoff_ms / 4 + 1));
    slot->state = SLOT_WAITING;
    if (lane->stats.health == LANE_OK)
        log_event(LOG_WARN, "sink_retry", "sink=%s seq=%" PRIu64 " reason=%s why=\"%s\"",
                  lane->host.name, slot->unit.first_seq, sink_reason_name(reason), why ? why : "");
    lane->stats.health = reason >= SINK_REASON_OPERATOR ? LANE_STOPPED : LANE_RETRYING;
    lane->stats.retries++;
    why_set(lane, why);
}

/* They are dead letters by now. */
static void refusals_count(struct lane *lane, const struct sink_refusal *refusals, size_t count)
{
    if (count)
        log_event(LOG_WARN, "sink_refused_rows",
                  "sink=%s count=%zu first_seq=%" PRIu64 " reason=%s why=\"%s\"", lane->host.name,
                  count, refusals[0].seq, refusals[0].reason, refusals[0].detail);
    lane->stats.refused_rows += count;
}

static void on_answer(struct sink_host *host, struct unit *unit, const struct sink_result *result)
{
    struct lane *lane = container_of(host, struct lane, host);
    struct slot *slot = unit->lane;
    gw_assert(slot->state == SLOT_OPEN);
    if (result->answer == SINK_CLOSED) {
        slot->state = SLOT_WAITING;
        slot->retry_at_ms = INT64_MAX;
        return;
    }
    if (result->answer == SINK_RETRY) {
        lane_retry(lane, slot, result->reason, result->why);
        return;
    }
    struct err err;
    if (refused_store(lane->options.refused, host->name, unit, result->refusals,
                      result->refusal_count, &err)) {
        lane_retry(lane, slot, SINK_REASON_DISK, err.text);
        return;
    }
    refusals_count(lane, result->refusals, result->refusal_count);
    latency_count(lane, clock_monotonic_ms() - slot->since_ms);
    slot->state = SLOT_STORED;
    if (lane->stats.health != LANE_OK)
        log_event(LOG_INFO, "sink_goes_on", "sink=%s seq=%" PRIu64, host->name, unit->first_seq);
    lane->stats.health = LANE_OK;
    why_set(lane, "");
    lane_confirm(lane);
    if (!lane->closing)
        uv_async_send(&lane->wake);
}

/* ---- the loop ---- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct lane *lane = handle->data;
    lane->handles_open--;
}

static void on_sink_closed(void *arg)
{
    struct lane *lane = arg;
    uv_close((uv_handle_t *)&lane->wake, on_handle_closed);
    uv_close((uv_handle_t *)&lane->tick, on_handle_closed);
}

static bool lane_idle(const struct lane *lane)
{
    return lane->slots.count == 0 && lane->ahead == NULL;
}

static void lane_check_stop(struct lane *lane, bool more)
{
    if (!lane->stopping || lane->closing)
        return;
    bool late = clock_monotonic_ms() >= lane->stop_at_ms;
    if ((more || !lane_idle(lane)) && !late)
        return;
    lane->closing = true;
    lane->type->close(lane->sink, on_sink_closed, lane);
}

static void sink_start_again(struct lane *lane)
{
    if (clock_monotonic_ms() < lane->start_at_ms)
        return;
    struct err err;
    uint64_t cursor = lane->saved.next_seq;
    int rc = lane->type->start(lane->sink, &cursor, &err);
    if (rc == 0) {
        lane->sink_started = true;
        lane->stats.health = LANE_OK;
        why_set(lane, "");
        return;
    }
    lane->start_backoff_ms = lane->start_backoff_ms ? lane->start_backoff_ms * 2 : BACKOFF_MS_MIN;
    if (lane->start_backoff_ms > BACKOFF_MS_MAX)
        lane->start_backoff_ms = BACKOFF_MS_MAX;
    lane->start_at_ms = clock_monotonic_ms() + lane->start_backoff_ms;
    lane->stats.health = rc == GW_EINVAL ? LANE_STOPPED : LANE_RETRYING;
    lane->stats.retries++;
    why_set(lane, err.text);
}

static void lane_step(struct lane *lane)
{
    if (lane->closing)
        return;
    if (!lane->sink_started)
        sink_start_again(lane);
    bool more = false;
    if (lane->sink_started) {
        int64_t now = clock_monotonic_ms();
        for (uint32_t i = 0; i < lane->slots.count; i++) {
            struct slot *slot = slots_at(&lane->slots, i);
            if (slot->state == SLOT_WAITING && slot->retry_at_ms <= now)
                slot_write(lane, slot);
        }
        more = lane_fill(lane);
        /* An idle lane's cursor must come right too. */
        if (lane->unsaved && clock_monotonic_ms() >= lane->save_at_ms)
            cursor_write(lane);
    }
    stats_publish(lane);
    lane_check_stop(lane, more);
    if (more && !lane->closing)
        uv_async_send(&lane->wake);
}

static void on_wake(uv_async_t *wake)
{
    lane_step(wake->data);
}

static void on_tick(uv_timer_t *tick)
{
    lane_step(tick->data);
}

static void *lane_main(void *arg)
{
    struct lane *lane = arg;
    uv_run(&lane->loop, UV_RUN_DEFAULT);
    return NULL;
}

/* Decoder's thread. */
static void on_append(void *arg)
{
    struct lane *lane = arg;
    if (!lane->stopping)
        uv_async_send(&lane->wake);
}

/* ---- life: main thread ---- */

static int lane_open(struct lane *lane, struct err *err)
{
    const struct lane_options *options = &lane->options;
    int rc = cursor_open(&lane->cursor, options->disk, options->cursor_path,
                         journal_identity(options->readings), err);
    if (rc)
        return err_wrap(err, rc, "sink %s: cursor", lane->host.name);
    lane->saved = *cursor_state(lane->cursor);
    slots_init(&lane->slots, lane->type->open_units_max(options->sink->options), &lane->saved);
    uint64_t end = journal_next_seq(options->readings);
    end = end > options->received_end ? end : options->received_end;
    if (lane->saved.next_seq > end)
        return err_set(err, GW_EINVAL,
                       "sink %s: its cursor says %" PRIu64 " but the journal ends at %" PRIu64
                       ": the journal was wiped or restored. Start it under a new identity: "
                       "tidegate journal new-identity --data %s",
                       lane->host.name, lane->saved.next_seq, end, options->data_dir);
    rc = lane->type->init(&lane->sink, options->sink->options, &lane->host, err);
    if (rc)
        return err_wrap(err, rc, "sink %s", lane->host.name);
    uint64_t at_sink = lane->saved.next_seq;
    rc = lane->type->start(lane->sink, &at_sink, err);
    if (rc == GW_EINVAL)
        return err_wrap(err, rc, "sink %s", lane->host.name);
    uint64_t kept = journal_first_seq(options->readings);
    if (lane->saved.next_seq < kept)
        log_event(LOG_WARN, "lane_begins_later",
                  "sink=%s wanted_seq=%" PRIu64 " first_seq=%" PRIu64, lane->host.name,
                  lane->saved.next_seq, kept);
    lane->sink_started = rc == 0;
    if (rc) {
        log_event(LOG_WARN, "sink_not_started", "sink=%s why=\"%s\"", lane->host.name, err->text);
        lane->stats.health = LANE_RETRYING;
        why_set(lane, err->text);
        lane->start_at_ms = clock_monotonic_ms() + BACKOFF_MS_MIN;
    }
    return journal_reader_new(options->readings, lane->saved.next_seq, &lane->reader, err);
}

int lane_new(const struct lane_options *options, struct lane **out, struct err *err)
{
    struct lane *lane = mem_zalloc(sizeof *lane);
    lane->options = *options;
    lane->type = options->sink->type;
    lane->rows_max = lane->type->unit_rows_max(options->sink->options);
    lane->age_max_ms = lane->type->unit_age_max_ms(options->sink->options);
    pthread_mutex_init(&lane->why_lock, NULL);
    gw_assert(uv_loop_init(&lane->loop) == 0);
    gw_assert(uv_async_init(&lane->loop, &lane->wake, on_wake) == 0);
    gw_assert(uv_timer_init(&lane->loop, &lane->tick) == 0);
    lane->wake.data = lane->tick.data = lane;
    lane->handles_open = 2;
    uv_timer_start(&lane->tick, on_tick, TICK_MS, TICK_MS);
    lane->host = (struct sink_host){
        .loop = &lane->loop,
        .disk = options->disk,
        .identity = journal_identity(options->readings),
        .name = options->sink->name,
        .data_dir = options->data_dir,
        .answer = on_answer,
    };
    int rc = lane_open(lane, err);
    if (rc) {
        lane_free(lane);
        return rc;
    }
    stats_publish(lane);
    *out = lane;
    return 0;
}

int lane_start(struct lane *lane, struct err *err)
{
    int rc = journal_watch(lane->options.readings, on_append, lane);
    if (rc)
        return err_set(err, rc, "sink %s: too many lanes", lane->host.name);
    if (pthread_create(&lane->thread, NULL, lane_main, lane))
        return err_set(err, GW_ELIMIT, "sink %s: no thread can be made", lane->host.name);
    char name[16]; /* what the kernel keeps */
    snprintf(name, sizeof name, "lane-%.10s", lane->host.name);
    pthread_setname_np(lane->thread, name);
    lane->started = true;
    return 0;
}

void lane_stop(struct lane *lane, int64_t timeout_ms)
{
    if (!lane->started)
        return;
    lane->stop_at_ms = clock_monotonic_ms() + timeout_ms;
    lane->stopping = true;
    uv_async_send(&lane->wake);
    pthread_join(lane->thread, NULL);
    lane->started = false;
}

/* A lane that never ran closes its handles here. */
static void lane_close_unstarted(struct lane *lane)
{
    if (lane->closing)
        return;
    lane->closing = true;
    if (lane->sink)
        lane->type->close(lane->sink, on_sink_closed, lane);
    else
        on_sink_closed(lane);
    uv_run(&lane->loop, UV_RUN_DEFAULT);
}

void lane_free(struct lane *lane)
{
    if (lane == NULL)
        return;
    lane_close_unstarted(lane);
    if (lane->sink)
        lane->type->fini(lane->sink);
    gw_assert(lane->handles_open == 0);
    gw_assert(uv_loop_close(&lane->loop) == 0);
    slots_fini(&lane->slots);
    batch_release(lane->ahead);
    if (lane->reader)
        journal_reader_free(lane->reader);
    cursor_close(lane->cursor);
    pthread_mutex_destroy(&lane->why_lock);
    free(lane);
}

/* ---- any thread ---- */

const char *lane_name(const struct lane *lane)
{
    return lane->host.name;
}

const char *lane_sink_type(const struct lane *lane)
{
    return lane->type->name;
}

const struct lane_stats *lane_stats(const struct lane *lane)
{
    return &lane->stats;
}

void lane_why(struct lane *lane, char out[200])
{
    pthread_mutex_lock(&lane->why_lock);
    memcpy(out, lane->why, sizeof lane->why);
    pthread_mutex_unlock(&lane->why_lock);
}

void lane_metrics(struct lane *lane, struct buffer *out)
{
    if (lane->type->metrics)
        lane->type->metrics(lane->sink, out);
}
