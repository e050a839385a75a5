/* SPDX-License-Identifier: Apache-2.0
 *
 * See history.h. The rule is that of journal_retain, asked the other way round: what would have to change
 * for the oldest segment to stay longer.
 */
#include "history.h"

#include <inttypes.h>

#include "base/clock.h"
#include "metrics.h"
#include "model/batch_json.h"
#include "parts.h"

const char *history_limit_name(enum history_limit limit)
{
    static const char *const names[HISTORY_LIMITS] = {
        [HISTORY_NONE] = "none",           [HISTORY_KEEP] = "keep",
        [HISTORY_KEEP_SIZE] = "keep_size", [HISTORY_ROOM] = "room",
        [HISTORY_SINK] = "sink",           [HISTORY_CURSOR] = "cursor",
        [HISTORY_REPLAY] = "replay",       [HISTORY_DECODER] = "decoder",
    };
    return names[limit];
}

/* ---- judging ---- */

static enum history_limit who_needs(const struct history_needs *needs, uint64_t *lowest)
{
    const struct {
        uint64_t seq;
        enum history_limit limit;
    } all[] = {
        {needs->sink, HISTORY_SINK},
        {needs->cursor, HISTORY_CURSOR},
        {needs->replay, HISTORY_REPLAY},
        {needs->decoder, HISTORY_DECODER},
    };
    enum history_limit who = HISTORY_SINK;
    *lowest = UINT64_MAX;
    for (size_t i = 0; i < array_count(all); i++)
        if (all[i].seq < *lowest) {
            *lowest = all[i].seq;
            who = all[i].limit;
        }
    return who;
}

enum history_limit history_judge(const struct history_now *now, const struct history_needs *needs)
{
    uint64_t lowest;
    enum history_limit who = who_needs(needs, &lowest);
    bool none = now->keep_ms == 0 && now->keep_bytes == 0;
    bool too_old = now->keep_ms && now->oldest_max_ms + now->keep_ms < now->now_ms;
    bool too_large = now->keep_bytes && now->bytes > now->keep_bytes;
    if (now->oldest_end > lowest && (none || too_old || too_large || now->room_is_short))
        return who;
    if (now->room_is_short)
        return HISTORY_ROOM;
    if (none)
        return HISTORY_NONE;
    bool size_is_next =
        now->keep_ms == 0 || (now->keep_bytes && now->bytes + now->segment_bytes > now->keep_bytes);
    return size_is_next ? HISTORY_KEEP_SIZE : HISTORY_KEEP;
}

/* ---- the logs ---- */

struct oldest {
    uint64_t segments, end;
    int64_t min_ms, max_ms;
};

static void on_segment(void *arg, const struct journal_segment_info *info)
{
    struct oldest *oldest = arg;
    if (oldest->segments++ == 0)
        oldest->max_ms = info->received_max_ms;
    else if (oldest->end == 0)
        oldest->end = info->first_seq;
    if (oldest->min_ms == 0) /* a segment may hold no message */
        oldest->min_ms = info->received_min_ms;
}

static void log_run(struct gateway *gateway, int log, struct journal *journal,
                    struct history_now *now, const struct history_needs *needs)
{
    struct oldest oldest = {.segments = 0};
    journal_segments(journal, on_segment, &oldest);
    now->oldest_end = oldest.end;
    now->oldest_max_ms = oldest.max_ms;
    now->bytes = journal_bytes(journal);
    gateway->history.logs[log].oldest_ms = oldest.min_ms;
    gateway->history.logs[log].lane = (uint32_t)needs->lane;
    gateway->history.logs[log].limit = (int)history_judge(now, needs);
}

void history_run(struct gateway *gateway, const struct history_needs *needs, bool room_is_short)
{
    const struct config_journal *limits = &gateway->config->journal;
    struct history_needs of_readings = *needs;
    struct history_now now = {
        .segment_bytes = gateway->config_started->journal.segment_bytes,
        .keep_ms = limits->keep_ms,
        .keep_bytes = limits->keep_bytes,
        .room_is_short = room_is_short,
        .now_ms = clock_wall_ms(),
    };
    log_run(gateway, HISTORY_RAW, rawlog_journal(gateway->rawlog), &now, needs);
    of_readings.decoder = UINT64_MAX;
    log_run(gateway, HISTORY_READINGS, gateway->readings, &now, &of_readings);
    static const struct history_needs nobody = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, 0};
    now.keep_ms = limits->dead_keep_ms;
    now.keep_bytes = limits->dead_bytes;
    now.room_is_short = false;
    log_run(gateway, HISTORY_DEAD, gateway->dead, &now, &nobody);
}

/* ---- telling ---- */

void history_status(const struct gateway *gateway, int log, int64_t now_ms, struct buffer *out)
{
    char time[CLOCK_TEXT_SIZE];
    int64_t oldest_ms = gateway->history.logs[log].oldest_ms;
    enum history_limit limit = (enum history_limit)gateway->history.logs[log].limit;
    uint32_t lane = gateway->history.logs[log].lane;
    if (oldest_ms)
        buffer_printf(out, ",\"oldest\":\"%s\",\"history_seconds\":%" PRId64,
                      clock_format_ms(oldest_ms, time),
                      now_ms > oldest_ms ? (now_ms - oldest_ms) / 1000 : 0);
    else
        buffer_add_text(out, ",\"oldest\":null,\"history_seconds\":0");
    buffer_printf(out, ",\"limited_by\":\"%s\"", history_limit_name(limit));
    if (limit == HISTORY_SINK && lane < gateway->lane_count) {
        buffer_add_text(out, ",\"held_by\":");
        json_string(bytes_text(gateway->config_started->sinks[lane].name), out);
    }
}

void history_metrics(const struct gateway *gateway, struct buffer *out)
{
    static const char *const names[HISTORY_LOGS] = {"raw", "readings", "dead"};
    int64_t now_ms = clock_wall_ms();
    metrics_head(out, "tidegate_journal_history_seconds", "gauge",
                 "Age of the oldest message that a log keeps: how far back a replay can go.");
    for (int i = 0; i < HISTORY_LOGS; i++) {
        int64_t oldest_ms = gateway->history.logs[i].oldest_ms;
        buffer_printf(out, "tidegate_journal_history_seconds{log=\"%s\"} %" PRId64 "\n", names[i],
                      oldest_ms && now_ms > oldest_ms ? (now_ms - oldest_ms) / 1000 : 0);
    }
    metrics_head(out, "tidegate_journal_history_limit", "gauge",
                 "1 for what ends a log's history: keep, keep_size, room, or who still needs the "
                 "oldest part: sink, cursor (without a sink), replay, decoder.");
    for (int i = 0; i < HISTORY_LOGS; i++)
        for (int limit = 0; limit < HISTORY_LIMITS; limit++)
            buffer_printf(out, "tidegate_journal_history_limit{log=\"%s\",by=\"%s\"} %d\n",
                          names[i], history_limit_name((enum history_limit)limit),
                          gateway->history.logs[i].limit == limit);
}
