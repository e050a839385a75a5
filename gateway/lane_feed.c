/* SPDX-License-Identifier: Apache-2.0
 *
 * See lane_feed.h. Live units and the one of a replay share what the sink takes at a time. Live goes
 * first; where there is room for one only, they take turns. A unit that was begun is tried until it is
 * stored, even when its replay was stopped meanwhile: some sinks keep work for a unit that comes again.
 */
#include "lane_feed.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/log.h"
#include "lane_state.h"

enum { STEP_BATCHES = 64 };

void lane_feed_init(struct lane *lane)
{
    pthread_mutex_init(&lane->feed.lock, NULL);
}

static void ahead_drop(struct lane_feed *own)
{
    batch_release(own->ahead);
    own->ahead = NULL;
}

void lane_feed_fini(struct lane *lane)
{
    struct lane_feed *own = &lane->feed;
    slot_release(&own->slot);
    ahead_drop(own);
    feed_free(own->feed);
    feed_free(own->next);
    pthread_mutex_destroy(&own->lock);
}

/* ---- any thread ---- */

int lane_attach(struct lane *lane, struct feed *feed, struct err *err)
{
    struct lane_feed *own = &lane->feed;
    int rc = 0;
    pthread_mutex_lock(&own->lock);
    if (own->feed == NULL)
        own->feed = feed_acquire(feed);
    else if (own->next == NULL && feed_ended(own->feed))
        own->next = feed_acquire(feed);
    else
        rc = err_set(err, GW_EEXIST, "sink %s has a replay already", lane->host.name);
    pthread_mutex_unlock(&own->lock);
    if (rc == 0)
        lane_wake(lane);
    return rc;
}

/* ---- which feed ---- */

/* The one to take from; null: none. One that was ended goes when nothing of it is with the sink. */
static struct feed *feed_current(struct lane_feed *own)
{
    bool kept = own->slot.state == SLOT_OPEN || own->slot.state == SLOT_WAITING;
    pthread_mutex_lock(&own->lock);
    if (own->feed && !kept && feed_ended(own->feed)) {
        slot_release(&own->slot);
        ahead_drop(own);
        feed_free(own->feed);
        own->feed = own->next;
        own->next = NULL;
    }
    struct feed *feed = own->feed;
    pthread_mutex_unlock(&own->lock);
    return feed;
}

/* ---- a unit ---- */

static struct batch *batch_next(struct lane_feed *own, struct feed *feed)
{
    struct batch *batch = own->ahead;
    own->ahead = NULL;
    return batch ? batch : feed_take(feed);
}

bool lane_feed_fill(struct lane *lane)
{
    struct lane_feed *own = &lane->feed;
    struct feed *feed = feed_current(own);
    struct slot *slot = &own->slot;
    if (feed == NULL || lane->stopping || slot->state == SLOT_OPEN || slot->state == SLOT_WAITING)
        return false;
    for (int i = 0; i < STEP_BATCHES; i++) {
        if (slot->items >= lane->rows_max)
            return false;
        struct batch *batch = batch_next(own, feed);
        if (batch == NULL)
            return false;
        if (slot->state == SLOT_FREE)
            *slot = (struct slot){
                .state = SLOT_FILLING, .since_ms = clock_monotonic_ms(), .unit = {.replay = true}};
        if (!slot_takes(slot, batch, lane->rows_max)) {
            own->ahead = batch;
            return false;
        }
        slot_add(slot, batch);
    }
    return true;
}

/* A unit that could still grow waits for company like a live one, but not when the replay waits for
 * it. */
static bool is_whole(const struct lane *lane)
{
    const struct lane_feed *own = &lane->feed;
    return own->slot.items >= lane->rows_max || own->ahead ||
           clock_monotonic_ms() - own->slot.since_ms >= lane->age_max_ms || feed_waits(own->feed);
}

bool lane_feed_ready(struct lane *lane)
{
    const struct slot *slot = &lane->feed.slot;
    /* What the lane itself is still to send goes first: a store that looks for what it replaces must
     * find it. */
    if (lane->stopping || slot->state == SLOT_FREE || slot->unit.last_seq >= lane->saved.next_seq)
        return false;
    return (slot->state == SLOT_FILLING && is_whole(lane)) ||
           (slot->state == SLOT_WAITING && slot->retry_at_ms <= clock_monotonic_ms());
}

void lane_feed_write(struct lane *lane)
{
    struct lane_feed *own = &lane->feed;
    if (!lane_feed_ready(lane) || slots_at_sink(&lane->slots) >= lane->slots.max)
        return;
    own->turn = false;
    own->slot.state = SLOT_OPEN;
    own->slot.since_ms = clock_monotonic_ms();
    own->slot.unit.lane = &own->slot;
    lane->type->write(lane->sink, &own->slot.unit);
}

/* ---- answers ---- */

static void stored(struct lane *lane, const struct sink_result *result)
{
    struct lane_feed *own = &lane->feed;
    const struct unit *unit = &own->slot.unit;
    lane_refusals_count(lane, result);
    lane->stats.replay_units++;
    lane->stats.replay_rows += unit->rows;
    own->stored_at_ms = clock_monotonic_ms();
    feed_stored(own->feed, unit->batches, unit->batch_count);
    slot_release(&own->slot);
    lane_health_update(lane);
}

void lane_feed_answer(struct lane *lane, const struct sink_result *result)
{
    struct slot *slot = &lane->feed.slot;
    struct err err;
    gw_assert(slot->state == SLOT_OPEN);
    if (result->answer == SINK_CLOSED) {
        slot_release(slot); /* the job has it as not stored, and goes on there */
        return;
    }
    if (result->answer == SINK_RETRY)
        lane_retry_later(lane, slot, result->reason, result->why);
    else if (refused_store(lane->options.refused, lane->host.name, &slot->unit, result->refusals,
                           result->refusal_count, &err))
        lane_retry_later(lane, slot, SINK_REASON_DISK, err.text);
    else
        stored(lane, result);
}

void lane_feed_rewound(struct lane *lane)
{
    int64_t age_ms = clock_monotonic_ms() - lane->feed.stored_at_ms;
    if (lane->feed.stored_at_ms == 0 || age_ms > lane->settle.after_ms)
        return;
    log_event(LOG_WARN, "replay_may_be_lost",
              "sink=%s why=\"what a replay stored in the last %" PRId64
              " s may be gone with the rest\" do=\"run that replay again\"",
              lane->host.name, lane->settle.after_ms / 1000);
}
