/* SPDX-License-Identifier: Apache-2.0
 *
 * Both logs are kept equally long; dead letters have limits of their own. Main thread.
 */
#include "retention.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/log.h"
#include "cursors.h"
#include "history.h"
#include "parts.h"
#include "report_lanes.h"

enum { ROUNDS_MAX = 16, PARK_SEGMENTS = 2, ORPHANS_TELL_MS = 3600 * 1000 };

/* ---- who needs what ---- */

struct needs {
    uint64_t seq;   /* the first number that somebody needs */
    uint64_t held;  /* that somebody needs whom retention may not ask to go on without */
    uint64_t saved; /* the decoder needs the raw log from there on */
    struct history_needs each;
};

static uint64_t lower(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* A cursor of another journal needs nothing of this one. What cannot be read may need all. */
static bool is_orphan(const struct gateway *gateway, const struct cursor_file *file)
{
    struct identity ours = journal_identity(gateway->readings);
    return !gateway_has_sink(gateway, file->name) &&
           (file->identity.bits == ours.bits || file->state.next_seq == 0);
}

static void orphan_tell(const struct cursor_file *file)
{
    log_event(file->readable ? LOG_WARN : LOG_ERROR, "cursor_without_sink",
              "sink=%s next_seq=%" PRIu64 " settled_seq=%" PRIu64
              " why=\"%s\" do=\"tidegate lane drop %s, or configure the sink again\"",
              file->name, file->state.next_seq, file->state.settled_seq,
              file->readable ? "the journal is kept for it" : file->err.text, file->name);
}

/* Read every time: a cursor that was dropped meanwhile holds nothing any more. */
static uint64_t orphans_need(struct gateway *gateway)
{
    struct retention *memory = &gateway->retention;
    struct cursor_list list;
    struct err err;
    uint64_t needed = UINT64_MAX;
    size_t count = 0;
    if (cursor_list_read(&disk_real, gateway->paths.cursors, &list, &err)) {
        log_event(LOG_WARN, "cursors_not_listed", "why=\"%s\"", err.text);
        return 0; /* then nothing goes */
    }
    for (size_t i = 0; i < list.count; i++)
        count += is_orphan(gateway, &list.files[i]);
    int64_t now = clock_monotonic_ms();
    bool tell = count != memory->orphans || now - memory->orphans_told_ms >= ORPHANS_TELL_MS;
    for (size_t i = 0; i < list.count; i++) {
        const struct cursor_file *file = &list.files[i];
        if (!is_orphan(gateway, file))
            continue;
        needed = lower(needed, file->state.settled_seq);
        if (tell)
            orphan_tell(file);
    }
    if (tell) {
        memory->orphans = count;
        memory->orphans_told_ms = now;
    }
    cursor_list_fini(&list);
    return needed;
}

static bool room_is_short(const struct gateway *gateway);

static bool may_be_parked(const struct gateway *gateway, size_t lane)
{
    return gateway->config_started->sinks[lane].when_full == WHEN_FULL_PARK;
}

static void needs_collect(struct gateway *gateway, struct needs *out)
{
    uint64_t saved = decoder_stats(gateway->decoder)->saved_seq;
    out->each =
        (struct history_needs){UINT64_MAX, orphans_need(gateway), UINT64_MAX, UINT64_MAX, 0};
    out->held = lower(journal_next_seq(gateway->readings), out->each.cursor);
    out->seq = UINT64_MAX;
    for (size_t i = 0; i < gateway->lane_count; i++) {
        uint64_t settled = lane_stats(gateway->lanes[i])->settled_seq;
        out->seq = lower(out->seq, settled);
        if (settled < out->each.sink) {
            out->each.sink = settled;
            out->each.lane = i;
        }
        if (!may_be_parked(gateway, i))
            out->held = lower(out->held, settled);
    }
    /* What comes in now goes before what is sent again: a replay whose sink is down must not stop the
     * intake. It tells what it lost. */
    if (gateway->replays && !room_is_short(gateway))
        out->each.replay = replays_need(gateway->replays);
    out->held = lower(out->held, out->each.replay);
    out->seq = lower(out->seq, out->held);
    out->saved = saved ? saved : UINT64_MAX;
    out->each.decoder = out->saved;
}

/* ---- room ---- */

static bool log_is_short(const struct gateway *gateway, struct journal *log, uint64_t segments)
{
    /* As the logs were opened: a reload does not change them. */
    const struct config_journal *limits = &gateway->config_started->journal;
    return limits->max_bytes &&
           journal_bytes(log) + segments * limits->segment_bytes > limits->max_bytes;
}

static bool volume_is_short(const struct gateway *gateway, uint64_t segments)
{
    const struct config_journal *limits = &gateway->config_started->journal;
    struct disk_space space;
    return disk_real.space(&disk_real, gateway->paths.data, &space) == 0 &&
           space.available < limits->reserve_bytes + segments * limits->segment_bytes;
}

static bool room_is_short(const struct gateway *gateway)
{
    return volume_is_short(gateway, 2) ||
           log_is_short(gateway, rawlog_journal(gateway->rawlog), 2) ||
           log_is_short(gateway, gateway->readings, 2);
}

static void retain(struct journal *journal, uint64_t needed, int64_t keep_ms, uint64_t keep_bytes)
{
    struct err err;
    if (journal_retain(journal, needed, keep_ms, keep_bytes, clock_wall_ms(), &err))
        log_event(LOG_WARN, "retention_failed", "why=\"%s\"", err.text);
}

/* Two segments less than now. */
static uint64_t shrunk(struct journal *journal, uint64_t segment_bytes)
{
    uint64_t bytes = journal_bytes(journal);
    return bytes > 2 * segment_bytes ? bytes - 2 * segment_bytes : 1;
}

/* ---- parking ---- */

/* Where the oldest segments of a log end; the newest is never one of them. */
struct oldest {
    uint64_t ends[PARK_SEGMENTS];
    size_t count;    /* of ends */
    uint64_t before; /* next_seq of the segment before */
};

static void on_segment(void *arg, const struct journal_segment_info *info)
{
    struct oldest *oldest = arg;
    /* The end of a segment is where its successor begins, or later when it says so itself. */
    if (oldest->before && oldest->count < PARK_SEGMENTS)
        oldest->ends[oldest->count++] =
            oldest->before > info->first_seq ? oldest->before : info->first_seq;
    oldest->before = info->next_seq;
}

/* How far a log could be cut, at most up to `limit`; 0: not at all. *first: its oldest segment. */
static uint64_t park_target(struct journal *log, uint64_t limit, uint64_t *first)
{
    struct oldest oldest = {.count = 0};
    uint64_t target = 0;
    journal_segments(log, on_segment, &oldest);
    for (size_t i = 0; i < oldest.count && oldest.ends[i] <= limit; i++)
        target = oldest.ends[i];
    if (target)
        *first = oldest.ends[0];
    return target;
}

/* The next segment has no room although everything went that may go. A lane that is only a moment
 * behind gets this round to pass the oldest segment by itself. */
static void park(struct gateway *gateway, const struct needs *needs)
{
    struct journal *raw = rawlog_journal(gateway->rawlog);
    bool volume = volume_is_short(gateway, 1);
    uint64_t first = 0, below = 0;
    if (volume || log_is_short(gateway, gateway->readings, 1))
        below = park_target(gateway->readings, needs->held, &first);
    if (volume || log_is_short(gateway, raw, 1)) {
        uint64_t target = park_target(raw, lower(needs->held, needs->saved), &first);
        below = target > below ? target : below;
    }
    bool again = first && first == gateway->retention.tight_seq;
    gateway->retention.tight_seq = first;
    for (size_t i = 0; again && i < gateway->lane_count; i++)
        if (may_be_parked(gateway, i) && lane_stats(gateway->lanes[i])->settled_seq < below)
            lane_park(gateway->lanes[i], below);
}

/* ---- a round ---- */

static void make_room(struct gateway *gateway, const struct needs *needs)
{
    const struct config_journal *limits = &gateway->config->journal;
    struct journal *raw = rawlog_journal(gateway->rawlog);
    uint64_t segment_bytes = gateway->config_started->journal.segment_bytes;
    for (int round = 0; round < ROUNDS_MAX && room_is_short(gateway); round++) {
        uint64_t before = journal_bytes(raw) + journal_bytes(gateway->readings);
        retain(gateway->readings, needs->seq, limits->keep_ms,
               shrunk(gateway->readings, segment_bytes));
        retain(raw, lower(needs->seq, needs->saved), limits->keep_ms, shrunk(raw, segment_bytes));
        if (journal_bytes(raw) + journal_bytes(gateway->readings) == before)
            return; /* the rest is needed */
    }
}

void retention_run(struct gateway *gateway)
{
    const struct config_journal *limits = &gateway->config->journal;
    struct journal *raw = rawlog_journal(gateway->rawlog);
    struct needs needs;
    needs_collect(gateway, &needs);
    gateway->retention.held_seq = needs.held;
    retain(gateway->readings, needs.seq, limits->keep_ms, limits->keep_bytes);
    retain(raw, lower(needs.seq, needs.saved), limits->keep_ms, limits->keep_bytes);
    retain(gateway->dead, journal_next_seq(gateway->dead), limits->dead_keep_ms,
           limits->dead_bytes);
    refused_retain(gateway->refused, limits->dead_keep_ms, limits->dead_bytes);
    if (room_is_short(gateway))
        decoder_save_soon(
            gateway->decoder); /* for the next time: it is what the raw log waits for */
    make_room(gateway, &needs);
    park(gateway, &needs);
    history_run(gateway, &needs.each, room_is_short(gateway));
    if (gateway->replays)
        replays_retain(gateway->replays, journal_first_seq(gateway->readings));
}
