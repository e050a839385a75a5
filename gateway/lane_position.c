/* SPDX-License-Identifier: Apache-2.0
 *
 * The position of a lane. It moves on with what the destination confirms, and there are three ways
 * it jumps: the destination keeps it itself (follow), lost what it had confirmed (rewind), or the
 * journal is full and the operator chose to go on without it (park). Whatever moves, the cursor file
 * is synced before anybody relies on it. The lane's thread.
 */
#include <inttypes.h>

#include "base/clock.h"
#include "base/log.h"
#include "lane_begin.h"
#include "lane_state.h"

enum { PARK_AGAIN_MS = 1000 };

/* ---- saving ---- */

bool lane_save(struct lane *lane)
{
    struct err err;
    slots_bounds(&lane->slots, &lane->saved);
    if (lane->rewinding)
        lane->saved.unit_count = 0; /* they come again, cut anew */
    if (cursor_save(lane->cursor, &lane->saved, &err) == 0) {
        /* Retention may go by it only now. */
        lane->stats.settled_seq = lane->saved.settled_seq;
        lane->unsaved = false;
        lane_health_update(lane);
        return true;
    }
    if (!lane->unsaved)
        log_event(LOG_ERROR, "lane_cursor_failed", "sink=%s why=\"%s\"", lane->host.name, err.text);
    lane->unsaved = true;
    lane->save_at_ms = clock_monotonic_ms() + LANE_BACKOFF_MS_MIN;
    lane_why_set(lane, err.text);
    lane_health_update(lane);
    return false;
}

static bool settle_advance(struct lane *lane)
{
    uint64_t settled = settle_reached(&lane->settle, clock_monotonic_ms());
    if (settled <= lane->saved.settled_seq)
        return false;
    lane->saved.settled_seq = settled;
    return true;
}

void lane_save_due(struct lane *lane)
{
    bool settled = settle_advance(lane);
    if (lane->unsaved ? clock_monotonic_ms() >= lane->save_at_ms : settled)
        lane_save(lane);
}

void lane_confirmed(struct lane *lane, uint64_t next_seq, uint64_t readings)
{
    lane->saved.next_seq = next_seq;
    lane->saved.readings = readings;
    settle_confirmed(&lane->settle, next_seq, clock_monotonic_ms());
    settle_advance(lane);
}

/* ---- jumps ---- */

/* Everything is read again from there, or nothing before it any more. */
static void jump(struct lane *lane, uint64_t next_seq)
{
    lane->saved.next_seq = next_seq;
    lane->saved.readings = lane_readings_at(lane->options.readings, next_seq);
    batch_release(lane->ahead);
    lane->ahead = NULL;
    lane_reader_seek(&lane->reader, next_seq);
}

/* What the journal no longer holds cannot be sent again. */
static void tell_gone(struct lane *lane)
{
    uint64_t wanted = lane->saved.next_seq;
    uint64_t kept = journal_first_seq(lane->options.readings);
    if (wanted >= kept)
        return;
    lane->stats.lost_seqs += kept - wanted;
    log_event(LOG_ERROR, "lane_begins_later",
              "sink=%s wanted_seq=%" PRIu64 " first_seq=%" PRIu64
              " why=\"the journal keeps nothing before\"",
              lane->host.name, wanted, kept);
}

static void go_back(struct lane *lane, uint64_t seq)
{
    log_event(LOG_ERROR, "lane_goes_back",
              "sink=%s from_seq=%" PRIu64 " to_seq=%" PRIu64
              " why=\"the destination has less than it had confirmed\"",
              lane->host.name, lane->saved.next_seq, seq);
    /* Nothing behind its position is there: units may be cut anew. */
    slots_reset(&lane->slots);
    settle_forget(&lane->settle);
    if (lane->saved.settled_seq > seq)
        lane->saved.settled_seq = seq;
    jump(lane, seq);
    tell_gone(lane);
}

/* Behind what was parked the position is not the destination's: it never heard of it. What it has of
 * that range came before a restart. */
static void follow_parked(struct lane *lane, uint64_t seq)
{
    struct err err;
    if (missed_arrived(lane->missed, seq,
                       &err)) /* then too much stands there, which harms nobody */
        log_event(LOG_WARN, "lane_missed_not_saved", "sink=%s why=\"%s\"", lane->host.name,
                  err.text);
    log_event(LOG_INFO, "lane_stays_parked", "sink=%s at_sink=%" PRIu64 " next_seq=%" PRIu64,
              lane->host.name, seq, lane->saved.next_seq);
    lane_missed_publish(lane);
}

int lane_follow(struct lane *lane, uint64_t seq, struct err *err)
{
    seq = seq ? seq : 1;
    if (lane->missed && seq < lane->saved.next_seq &&
        missed_covers(lane->missed, seq, lane->saved.next_seq - 1)) {
        follow_parked(lane, seq);
        return 0;
    }
    /* Where the raw log ended when this program started: since then this lane sent nothing. */
    uint64_t end = lane->options.received_end;
    if (seq > end)
        return err_set(err, GW_EINVAL,
                       "the destination has everything below %" PRIu64
                       ", but the journal ended at %" PRIu64
                       ": the journal was wiped or restored. Start it under a new identity: "
                       "tidegate journal new-identity --data %s",
                       seq, end, lane->options.data_dir);
    if (seq < lane->saved.next_seq) {
        go_back(lane, seq);
    } else {
        log_event(LOG_INFO, "lane_follows", "sink=%s from_seq=%" PRIu64 " to_seq=%" PRIu64,
                  lane->host.name, lane->saved.next_seq, seq);
        slots_follow(&lane->slots, seq);
        jump(lane, seq);
        lane_confirmed(lane, seq, lane->saved.readings);
    }
    lane_save(lane);
    return 0;
}

/* ---- rewind ---- */

/* Saved at once: should the gateway be killed before what is open is answered, it comes again too. */
void lane_on_rewind(struct sink_host *host, const char *why)
{
    struct lane *lane = container_of(host, struct lane, host);
    uint64_t from = lane->saved.next_seq;
    lane->rewinding = true;
    settle_forget(&lane->settle);
    lane->saved.next_seq = lane->saved.settled_seq;
    lane->saved.readings = lane_readings_at(lane->options.readings, lane->saved.next_seq);
    lane->stats.rewinds++;
    log_event(LOG_WARN, "lane_rewinds",
              "sink=%s from_seq=%" PRIu64 " to_seq=%" PRIu64 " why=\"%s\"", lane->host.name, from,
              lane->saved.next_seq, why ? why : "");
    lane_save(lane);
    lane_feed_rewound(lane);
    if (!lane->closing)
        uv_async_send(&lane->wake);
    /* With nothing open it is done: the sink may not start for long, and a lane that rewinds is not
     * parked. */
    lane_rewind_step(lane);
}

void lane_rewind_step(struct lane *lane)
{
    if (!lane->rewinding || slots_any_open(&lane->slots))
        return;
    slots_reset(&lane->slots);
    jump(lane, lane->saved.next_seq);
    tell_gone(lane);
    lane->rewinding = false;
    lane_health_update(lane);
}

/* ---- park ---- */

static bool missed_note(struct lane *lane, enum missed_kind kind, uint64_t first_seq,
                        uint64_t end_seq)
{
    struct err err;
    if (first_seq >= end_seq)
        return true;
    int64_t now = clock_wall_ms();
    struct missed_range range = {.kind = kind,
                                 .first_seq = first_seq,
                                 .last_seq = end_seq - 1,
                                 .since_ms = now,
                                 .until_ms = now};
    lane_received(lane->options.readings, first_seq, end_seq - 1, &range.received_from_ms,
                  &range.received_to_ms);
    if (missed_add(lane->missed, &range, &err) == 0)
        return true;
    lane->park_at_ms = clock_monotonic_ms() + PARK_AGAIN_MS;
    int suppressed;
    if (log_limit_pass(&lane->park_limit, &suppressed))
        log_event(LOG_ERROR, "lane_not_parked", "sink=%s why=\"%s\" suppressed=%d", lane->host.name,
                  err.text, suppressed);
    return false;
}

void lane_missed_publish(struct lane *lane)
{
    uint64_t first, last, count;
    if (lane->missed == NULL)
        return;
    missed_extent(lane->missed, &first, &last, &count);
    lane->stats.parked_first_seq = first;
    lane->stats.parked_last_seq = last;
    lane->stats.parked_messages = count;
}

/* Again with every segment, so only now and then: the numbers are in the metrics. */
static void park_tell(struct lane *lane, uint64_t end)
{
    int suppressed;
    if (log_limit_pass(&lane->park_limit, &suppressed))
        log_event(LOG_ERROR, "lane_parked",
                  "sink=%s first_seq=%" PRIu64 " end_seq=%" PRIu64 " unsettled_from=%" PRIu64
                  " why=\"the journal is full and only this lane needs its oldest part\""
                  " suppressed=%d",
                  lane->host.name, lane->saved.next_seq, end, lane->saved.settled_seq, suppressed);
}

static void park(struct lane *lane, uint64_t end)
{
    bool units_left = slots_park(&lane->slots, end);
    if (!units_left) {
        jump(lane, end);
    } else {
        lane->saved.next_seq = end;
        lane->saved.readings = lane_readings_at(lane->options.readings, end);
    }
    lane->saved.settled_seq = end;
    settle_forget(&lane->settle);
    raw_messages_fini(&lane->messages); /* its segment is to go */
}

/* The missed range is durable before the cursor passes it, and retention takes it only after that.
 * What is under way stays with the sink, and may still arrive: lane_parked_stored. */
void lane_park_step(struct lane *lane)
{
    uint64_t below = lane->park_below;
    struct cursor_state *saved = &lane->saved;
    if (below <= saved->settled_seq || lane->missed == NULL || lane->rewinding ||
        clock_monotonic_ms() < lane->park_at_ms)
        return;
    uint64_t from = saved->next_seq, unsettled = saved->settled_seq;
    uint64_t end = below > from ? slots_park_end(&lane->slots, below) : from;
    if (!missed_note(lane, MISSED_UNSETTLED, unsettled, from < below ? from : below) ||
        !missed_note(lane, MISSED_PARKED, from, end))
        return;
    park_tell(lane, end);
    if (end > from)
        park(lane, end);
    else
        saved->settled_seq = below;
    lane_missed_publish(lane);
    lane_save(lane);
}

/* The journal is without it by then: should the destination lose it, only this tells. While the lane
 * rewinds a confirmation tells nothing. */
void lane_parked_stored(struct lane *lane, const struct unit *unit)
{
    struct err err;
    uint64_t first = unit->first_seq, last = unit->last_seq;
    if (lane->rewinding)
        return;
    if (lane->settle.after_ms ? missed_confirmed(lane->missed, first, last, &err)
                              : missed_remove(lane->missed, first, last, &err))
        log_event(LOG_WARN, "lane_missed_not_saved", "sink=%s why=\"%s\"", lane->host.name,
                  err.text);
    lane_missed_publish(lane);
}
