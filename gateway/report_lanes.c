/* SPDX-License-Identifier: Apache-2.0
 *
 * See report_lanes.h. Separate from report.c, which holds the whole and the routes. Reads atomics,
 * the journals' thread-safe functions, and the small files of the cursors.
 */
#include "report_lanes.h"

#include <inttypes.h>

#include "base/clock.h"
#include "model/batch_json.h"
#include "parts.h"

/* ---- single facts ---- */

/* The oldest that was read and waits; when the lane reads nothing, because its sink is down, since
 * what it last stored, or since the start. */
int64_t gateway_lane_lag_ms(const struct gateway *gateway, const struct lane_stats *stats)
{
    int64_t waiting_ms = stats->waiting_received_ms;
    int64_t stored_ms = stats->stored_received_ms;
    if (journal_next_seq(gateway->readings) <= stats->next_seq)
        return 0;
    if (waiting_ms == 0)
        waiting_ms = stored_ms ? stored_ms : gateway->started_ms;
    int64_t lag_ms = clock_wall_ms() - waiting_ms;
    return lag_ms > 0 ? lag_ms : 0;
}

uint64_t gateway_lane_lag_readings(const struct gateway *gateway, const struct lane_stats *stats)
{
    /* The lane's number first: the decoder's only grows meanwhile. */
    uint64_t confirmed = stats->confirmed_readings;
    uint64_t made = decoder_stats(gateway->decoder)->readings;
    if (journal_next_seq(gateway->readings) <= stats->next_seq)
        return 0;
    return made > confirmed ? made - confirmed : 0;
}

const char *gateway_lane_when_full(const struct gateway *gateway, size_t lane)
{
    return gateway->config_started->sinks[lane].when_full == WHEN_FULL_PARK ? "park" : "hold";
}

const char *gateway_lane_health_name(int health)
{
    static const char *const names[] = {"ok", "retrying", "stopped"};
    return health >= LANE_OK && health <= LANE_STOPPED ? names[health] : "unknown";
}

bool gateway_has_sink(const struct gateway *gateway, const char *name)
{
    for (size_t i = 0; i < gateway->lane_count; i++)
        if (strcmp(lane_name(gateway->lanes[i]), name) == 0)
            return true;
    return false;
}

uint64_t gateway_cursor_held(const struct gateway *gateway, const struct cursor_list *list,
                             const struct cursor_file *file)
{
    return cursor_list_held(list, file, rawlog_journal(gateway->rawlog)) +
           cursor_list_held(list, file, gateway->readings);
}

/* ---- lanes ---- */

static void time_member(const char *name, int64_t ms, struct buffer *out)
{
    char text[CLOCK_TEXT_SIZE];
    buffer_printf(out, ",\"%s\":", name);
    json_string(bytes_text(ms ? clock_format_ms(ms, text) : ""), out);
}

static void positions(const struct gateway *gateway, const struct lane_stats *stats,
                      struct buffer *out)
{
    uint64_t end = journal_next_seq(gateway->readings);
    uint64_t next = stats->next_seq, settled = stats->settled_seq;
    buffer_printf(out,
                  ",\"next_seq\":%" PRIu64 ",\"settled_seq\":%" PRIu64 ",\"lag_messages\":%" PRIu64
                  ",\"lag_readings\":%" PRIu64 ",\"lag_seconds\":%" PRId64,
                  next, settled ? settled : next, end > next ? end - next : 0,
                  gateway_lane_lag_readings(gateway, stats),
                  gateway_lane_lag_ms(gateway, stats) / 1000);
}

static void counts(const struct lane_stats *stats, struct buffer *out)
{
    const char *comma = "";
    buffer_printf(out,
                  ",\"rows\":%" PRIu64 ",\"units\":%" PRIu64 ",\"open_rows\":%" PRIu64
                  ",\"open_units\":%" PRIu64 ",\"refused_rows\":%" PRIu64
                  ",\"lost_messages\":%" PRIu64 ",\"rewinds\":%" PRIu64 ",\"retries\":%" PRIu64,
                  stats->rows, stats->units, stats->open_rows, stats->open_units,
                  stats->refused_rows, stats->lost_seqs, stats->rewinds, stats->retries);
    buffer_add_text(out, ",\"retries_by_reason\":{");
    for (int reason = 0; reason < SINK_REASON_COUNT; reason++) {
        uint64_t count = stats->retries_by_reason[reason];
        if (count == 0)
            continue;
        buffer_printf(out, "%s\"%s\":%" PRIu64, comma, sink_reason_name((enum sink_reason)reason),
                      count);
        comma = ",";
    }
    buffer_add_text(out, "}");
}

static void lane_object(const struct gateway *gateway, size_t index, struct buffer *out)
{
    struct lane *lane = gateway->lanes[index];
    const struct lane_stats *stats = lane_stats(lane);
    int health = stats->health;
    char why[200];
    lane_why(lane, why);
    buffer_add_text(out, "{\"name\":");
    json_string(bytes_text(lane_name(lane)), out);
    buffer_printf(out, ",\"type\":\"%s\",\"health\":\"%s\",\"started\":%s,\"when_full\":\"%s\"",
                  lane_sink_type(lane), gateway_lane_health_name(health),
                  stats->started ? "true" : "false", gateway_lane_when_full(gateway, index));
    positions(gateway, stats, out);
    counts(stats, out);
    buffer_printf(out,
                  ",\"parked_messages\":%" PRIu64 ",\"parked_first_seq\":%" PRIu64
                  ",\"parked_last_seq\":%" PRIu64 ",\"replay_rows\":%" PRIu64
                  ",\"replay_units\":%" PRIu64,
                  stats->parked_messages, stats->parked_first_seq, stats->parked_last_seq,
                  stats->replay_rows, stats->replay_units);
    time_member("stored_received", stats->stored_received_ms, out);
    buffer_add_text(out, ",\"why\":");
    json_string(bytes_text(why), out);
    buffer_add_text(out, "}");
}

/* ---- cursors without a lane ---- */

static void orphan_object(const struct gateway *gateway, const struct cursor_list *list,
                          const struct cursor_file *file, struct buffer *out)
{
    uint64_t end = journal_next_seq(gateway->readings), next = file->state.next_seq;
    buffer_add_text(out, "{\"name\":");
    json_string(bytes_text(file->name), out);
    buffer_printf(out,
                  ",\"next_seq\":%" PRIu64 ",\"settled_seq\":%" PRIu64 ",\"lag_messages\":%" PRIu64
                  ",\"held_bytes\":%" PRIu64,
                  next, file->state.settled_seq, end > next && file->readable ? end - next : 0,
                  gateway_cursor_held(gateway, list, file));
    time_member("saved", file->modified_ms, out);
    buffer_add_text(out, ",\"why\":");
    json_string(bytes_text(!file->readable ? file->err.text
                           : file->identity.bits == journal_identity(gateway->readings).bits
                               ? ""
                               : "it is of another journal, and holds nothing of this one"),
                out);
    buffer_add_text(out, "}");
}

static void orphan_list(const struct gateway *gateway, struct buffer *out)
{
    struct cursor_list list;
    struct err err;
    const char *comma = "";
    if (cursor_list_read(&disk_real, gateway->paths.cursors, &list, &err))
        list = (struct cursor_list){0}; /* the lanes tell when their folder is gone */
    for (size_t i = 0; i < list.count; i++) {
        if (gateway_has_sink(gateway, list.files[i].name))
            continue;
        buffer_add_text(out, comma);
        orphan_object(gateway, &list, &list.files[i], out);
        comma = ",";
    }
    cursor_list_fini(&list);
}

void report_lanes(const struct gateway *gateway, struct buffer *out)
{
    buffer_add_text(out, "\"lanes\":[");
    for (size_t i = 0; i < gateway->lane_count; i++) {
        buffer_add_text(out, i ? "," : "");
        lane_object(gateway, i, out);
    }
    buffer_add_text(out, "],\"orphan_cursors\":[");
    orphan_list(gateway, out);
    buffer_add_text(out, "]");
}
