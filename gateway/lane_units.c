/* SPDX-License-Identifier: Apache-2.0
 *
 * The life of a unit (lane_slots.h): FILLING -> OPEN, when its bounds are synced -> STORED, or
 * WAITING when the sink said RETRY; the same unit goes again after a backoff. Units are stored in
 * any order and confirmed in theirs. The lane's thread.
 */
#include <inttypes.h>

#include "base/clock.h"
#include "base/log.h"
#include "lane_state.h"

enum { STEP_BATCHES = 64, READ_AGAIN_MS = 1000 };

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
    if (!lane_save(lane)) {
        slot->state = SLOT_FILLING;
        slot->retry_at_ms = clock_monotonic_ms() + LANE_BACKOFF_MS_MIN;
        return;
    }
    lane->feed.turn = true;
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
           now - slot->since_ms >= lane->age_max_ms || ((lane->stopping || lane->hurry) && at_end);
}

void lane_write_due(struct lane *lane)
{
    int64_t now = clock_monotonic_ms();
    for (uint32_t i = 0; i < lane->slots.count && !lane->rewinding; i++) {
        struct slot *slot = slots_at(&lane->slots, i);
        if (slot->state == SLOT_WAITING && slot->retry_at_ms <= now)
            slot_write(lane, slot);
    }
}

/* ---- reading ---- */

static void read_failed(struct lane *lane, const char *why)
{
    if (!lane->unread)
        log_event(LOG_ERROR, "lane_read_failed", "sink=%s why=\"%s\"", lane->host.name, why);
    lane->unread = true;
    lane->read_at_ms = clock_monotonic_ms() + READ_AGAIN_MS;
    lane_why_set(lane, why);
    lane_health_update(lane);
}

static void read_goes_on(struct lane *lane)
{
    if (!lane->unread)
        return;
    lane->unread = false;
    lane_health_update(lane);
}

/* The next batch, or null at the end. */
static struct batch *batch_next(struct lane *lane)
{
    if (lane->unread && clock_monotonic_ms() < lane->read_at_ms)
        return NULL;
    struct batch *batch = lane->ahead;
    lane->ahead = NULL;
    if (batch)
        return batch;
    struct err err;
    int got;
    while ((got = lane_reader_next(&lane->reader, &batch, &err)) == LANE_READ_LOST) {
        lane->stats.lost_seqs += lane->reader.lost_count;
        log_event(LOG_ERROR, "lane_gap",
                  "sink=%s first_seq=%" PRIu64 " count=%" PRIu64 " why=\"%s\"", lane->host.name,
                  lane->reader.lost_first, lane->reader.lost_count, err.text);
    }
    if (got < 0)
        read_failed(lane, err.text);
    else
        read_goes_on(lane);
    return got == LANE_READ_BATCH ? batch : NULL;
}

/* Room at the sink for one more. Units that wait keep theirs. */
static bool has_room(struct lane *lane)
{
    uint32_t taken = slots_at_sink(&lane->slots) + (lane->feed.slot.state == SLOT_OPEN ? 1 : 0);
    bool last = taken + 1 == lane->slots.max;
    return taken < lane->slots.max && !(last && lane->feed.turn && lane_feed_ready(lane));
}

bool lane_fill(struct lane *lane)
{
    for (int i = 0; i < STEP_BATCHES; i++) {
        if (lane->rewinding)
            return false;
        struct slot *slot = slots_filling(&lane->slots);
        if (slot && slot_due(lane, slot, false)) {
            if (has_room(lane))
                slot_open(lane, slot);
            if (slot->state == SLOT_FILLING)
                return false;
            continue;
        }
        if (slot == NULL && lane->slots.count == lane->slots.max)
            return false;
        struct batch *batch = batch_next(lane);
        if (batch == NULL) {
            if (slot && slot_due(lane, slot, true) && has_room(lane))
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

/* The bucket of powers of two that `value` lies in: i holds those below 2^i, the last all above. */
static int bucket_of(uint64_t value, int count)
{
    int bucket = 0;
    while (bucket < count - 1 && value >= 1ULL << bucket)
        bucket++;
    return bucket;
}

static void stored_count(struct lane *lane, const struct slot *slot)
{
    int64_t ms = clock_monotonic_ms() - slot->since_ms;
    lane->stats.write_ms_bucket[bucket_of((uint64_t)ms, LANE_LATENCY_BUCKETS)]++;
    lane->stats.write_ms_sum += (uint64_t)ms;
    lane->stats.unit_rows_bucket[bucket_of(slot->unit.rows, LANE_ROWS_BUCKETS)]++;
    lane->stats.units++;
    lane->stats.rows += slot->unit.rows;
}

/* Units confirmed from the oldest on move the cursor; it is synced with the next bounds, or now
 * when nothing is open, so that an idle lane's cursor is right on disk. */
static void confirm(struct lane *lane)
{
    bool moved = false;
    while (lane->slots.count && slots_at(&lane->slots, 0)->state == SLOT_STORED) {
        const struct slot *slot = slots_at(&lane->slots, 0);
        const struct batch *last = slot->unit.batches[slot->unit.batch_count - 1];
        lane->stats.stored_received_ms = last->received_max_ms;
        if (slot->parked) {
            lane_parked_stored(lane, &slot->unit);
        } else if (!lane->rewinding) {
            lane->saved.generation = slot->unit.generation;
            lane_confirmed(lane, slot->unit.last_seq + 1, last->totals.readings);
            moved = true;
        }
        slots_pop(&lane->slots);
    }
    if (moved)
        lane_save(lane);
}

void lane_retry_later(struct lane *lane, struct slot *slot, enum sink_reason reason,
                      const char *why)
{
    bool stops = reason >= SINK_REASON_OPERATOR;
    slot->backoff_ms = slot->backoff_ms ? slot->backoff_ms * 2 : LANE_BACKOFF_MS_MIN;
    if (slot->backoff_ms > LANE_BACKOFF_MS_MAX || stops)
        slot->backoff_ms = LANE_BACKOFF_MS_MAX;
    /* Jitter of a quarter, so that many gateways do not come back to one server together. */
    slot->retry_at_ms = clock_monotonic_ms() + slot->backoff_ms -
                        (int64_t)(clock_monotonic_ns() / 1000 % (slot->backoff_ms / 4 + 1));
    slot->state = SLOT_WAITING;
    slot->health = stops ? LANE_STOPPED : LANE_RETRYING;
    int health = lane->stats.health;
    if (health < slot->health)
        log_event(stops ? LOG_ERROR : LOG_WARN, stops ? "sink_stopped" : "sink_retry",
                  "sink=%s seq=%" PRIu64 " reason=%s why=\"%s\"", lane->host.name,
                  slot->unit.first_seq, sink_reason_name(reason), why ? why : "");
    lane->stats.retries++;
    lane->stats.retries_by_reason[reason]++;
    lane_why_set(lane, why);
    lane_health_update(lane);
}

void lane_refusals_count(struct lane *lane, const struct sink_result *result)
{
    const struct sink_refusal *first = result->refusals;
    if (result->refusal_count == 0)
        return;
    log_event(LOG_WARN, "sink_refused_rows",
              "sink=%s count=%zu first_seq=%" PRIu64 " reason=%s why=\"%s\"", lane->host.name,
              result->refusal_count, first->seq, first->reason, first->detail);
    lane->stats.refused_rows += result->refusal_count;
}

static void live_answer(struct lane *lane, struct slot *slot, const struct sink_result *result)
{
    struct err err;
    gw_assert(slot->state == SLOT_OPEN);
    if (result->answer == SINK_CLOSED) {
        slot->state = SLOT_WAITING;
        slot->retry_at_ms = INT64_MAX;
        return;
    }
    if (result->answer == SINK_RETRY) {
        lane_retry_later(lane, slot, result->reason, result->why);
        return;
    }
    if (refused_store(lane->options.refused, lane->host.name, &slot->unit, result->refusals,
                      result->refusal_count, &err)) {
        lane_retry_later(lane, slot, SINK_REASON_DISK, err.text);
        return;
    }
    lane_refusals_count(lane, result);
    stored_count(lane, slot);
    slot->state = SLOT_STORED;
    slot->health = LANE_OK;
    lane_health_update(lane);
    confirm(lane);
}

void lane_on_answer(struct sink_host *host, struct unit *unit, const struct sink_result *result)
{
    struct lane *lane = container_of(host, struct lane, host);
    if (result->answer == SINK_RETRY)
        gw_assert((unsigned)result->reason < SINK_REASON_COUNT);
    if (unit->replay)
        lane_feed_answer(lane, result);
    else
        live_answer(lane, unit->lane, result);
    if (!lane->closing)
        uv_async_send(&lane->wake);
}
