/* SPDX-License-Identifier: Apache-2.0
 *
 * Metrics with a label `sink`: of the lanes, of cursors without a lane, and what the sinks tell of
 * themselves. Separate from metrics.c, because each is a list over all lanes. Any thread.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "cursors.h"
#include "metrics.h"
#include "metrics_merge.h"
#include "parts.h"
#include "report_lanes.h"

/* ---- one number a lane ---- */

struct lane_row {
    const char *name;
    const char *type;
    const char *help;
    double (*value)(const struct gateway *gateway, const struct lane_stats *stats);
};

static double lag_messages(const struct gateway *gateway, const struct lane_stats *stats)
{
    uint64_t end = journal_next_seq(gateway->readings);
    uint64_t next = stats->next_seq;
    return end > next ? (double)(end - next) : 0;
}

static double lag_readings(const struct gateway *gateway, const struct lane_stats *stats)
{
    return (double)gateway_lane_lag_readings(gateway, stats);
}

static double lag_seconds(const struct gateway *gateway, const struct lane_stats *stats)
{
    return (double)gateway_lane_lag_ms(gateway, stats) / 1000;
}

static double unsettled(const struct gateway *gateway, const struct lane_stats *stats)
{
    (void)gateway;
    uint64_t next = stats->next_seq, settled = stats->settled_seq;
    return settled && next > settled ? (double)(next - settled) : 0;
}

/* A plain member of lane_stats. */
#define STAT(name, member)                                                                         \
    static double name(const struct gateway *gateway, const struct lane_stats *stats)              \
    {                                                                                              \
        (void)gateway;                                                                             \
        return (double)stats->member;                                                              \
    }
STAT(rows, rows)
STAT(units, units)
STAT(refused, refused_rows)
STAT(lost, lost_seqs)
STAT(open_rows, open_rows)
STAT(open_units, open_units)
STAT(rewinds, rewinds)
STAT(parked, parked_messages)
STAT(replay_rows, replay_rows)
STAT(replay_units, replay_units)
#undef STAT

static double up(const struct gateway *gateway, const struct lane_stats *stats)
{
    (void)gateway;
    return stats->health == LANE_OK;
}

static const struct lane_row lane_rows[] = {
    {"tidegate_lane_lag_messages", "gauge", "Messages decoded and not yet confirmed by the sink.",
     lag_messages},
    {"tidegate_lane_lag_readings", "gauge", "Readings made and not yet confirmed by the sink.",
     lag_readings},
    {"tidegate_lane_lag_seconds", "gauge",
     "Age of the oldest reading that waits for the sink; 0 when none does.", lag_seconds},
    {"tidegate_lane_unsettled_messages", "gauge",
     "Messages confirmed by the sink that the logs keep until they are surely safe there.",
     unsettled},
    {"tidegate_lane_readings_total", "counter", "Readings confirmed by the sink since start.",
     rows},
    {"tidegate_lane_units_total", "counter", "Units confirmed by the sink since start.", units},
    {"tidegate_lane_replay_readings_total", "counter",
     "Readings of replays confirmed by the sink since start; not among the others.", replay_rows},
    {"tidegate_lane_replay_units_total", "counter",
     "Units of replays confirmed by the sink since start.", replay_units},
    {"tidegate_lane_refused_readings_total", "counter", "Readings that the sink refused for good.",
     refused},
    {"tidegate_lane_lost_messages_total", "counter",
     "Messages whose readings damage to the reading log kept from the sink; the raw log has them.",
     lost},
    {"tidegate_lane_open_readings", "gauge", "Readings in units under way.", open_rows},
    {"tidegate_lane_open_units", "gauge", "Units under way.", open_units},
    {"tidegate_lane_rewinds_total", "counter",
     "How often what the sink had confirmed had to be sent again since start.", rewinds},
    {"tidegate_lane_parked_messages", "gauge",
     "Messages that the logs gave up for want of room before the sink had them (when_full: park).",
     parked},
    {"tidegate_lane_up", "gauge", "1 while the sink takes what it is given.", up},
};

static void lanes_rows(const struct gateway *gateway, struct buffer *out)
{
    for (size_t i = 0; i < array_count(lane_rows); i++) {
        metrics_head(out, lane_rows[i].name, lane_rows[i].type, lane_rows[i].help);
        for (size_t j = 0; j < gateway->lane_count; j++)
            buffer_printf(out, "%s{sink=\"%s\"} %.17g\n", lane_rows[i].name,
                          lane_name(gateway->lanes[j]),
                          lane_rows[i].value(gateway, lane_stats(gateway->lanes[j])));
    }
}

/* ---- several numbers a lane ---- */

static void lanes_info(const struct gateway *gateway, struct buffer *out)
{
    static const char name[] = "tidegate_lane_info";
    metrics_head(out, name, "gauge", "Always 1; the labels tell what the lane is.");
    for (size_t i = 0; i < gateway->lane_count; i++)
        buffer_printf(out, "%s{sink=\"%s\",type=\"%s\",when_full=\"%s\"} 1\n", name,
                      lane_name(gateway->lanes[i]), lane_sink_type(gateway->lanes[i]),
                      gateway_lane_when_full(gateway, i));
}

static void lanes_health(const struct gateway *gateway, struct buffer *out)
{
    static const char name[] = "tidegate_lane_health";
    metrics_head(out, name, "gauge", "1 for the state that the lane is in.");
    for (size_t i = 0; i < gateway->lane_count; i++) {
        int health = lane_stats(gateway->lanes[i])->health;
        for (int state = LANE_OK; state <= LANE_STOPPED; state++)
            buffer_printf(out, "%s{sink=\"%s\",state=\"%s\"} %d\n", name,
                          lane_name(gateway->lanes[i]), gateway_lane_health_name(state),
                          health == state);
    }
}

static void lanes_retries(const struct gateway *gateway, struct buffer *out)
{
    static const char name[] = "tidegate_lane_retries_total";
    metrics_head(out, name, "counter", "Attempts that have to be repeated, by what was wrong.");
    for (size_t i = 0; i < gateway->lane_count; i++)
        for (int reason = 0; reason < SINK_REASON_COUNT; reason++)
            buffer_printf(out, "%s{sink=\"%s\",reason=\"%s\"} %" PRIu64 "\n", name,
                          lane_name(gateway->lanes[i]), sink_reason_name((enum sink_reason)reason),
                          (uint64_t)lane_stats(gateway->lanes[i])->retries_by_reason[reason]);
}

static void lanes_histograms(const struct gateway *gateway, struct buffer *out)
{
    metrics_head(out, "tidegate_lane_write_seconds", "histogram",
                 "Time from write to confirmation.");
    for (size_t i = 0; i < gateway->lane_count; i++) {
        const struct lane_stats *stats = lane_stats(gateway->lanes[i]);
        char *label = mem_printf("sink=\"%s\"", lane_name(gateway->lanes[i]));
        metrics_histogram(out, "tidegate_lane_write_seconds", label, stats->write_ms_bucket,
                          LANE_LATENCY_BUCKETS, 1e-3, (double)stats->write_ms_sum / 1e3);
        free(label);
    }
    metrics_head(out, "tidegate_lane_unit_readings", "histogram", "Readings of a confirmed unit.");
    for (size_t i = 0; i < gateway->lane_count; i++) {
        const struct lane_stats *stats = lane_stats(gateway->lanes[i]);
        char *label = mem_printf("sink=\"%s\"", lane_name(gateway->lanes[i]));
        metrics_histogram(out, "tidegate_lane_unit_readings", label, stats->unit_rows_bucket,
                          LANE_ROWS_BUCKETS, 1, (double)stats->rows);
        free(label);
    }
}

/* ---- cursors without a lane ---- */

static void orphans(const struct gateway *gateway, struct buffer *out)
{
    struct cursor_list list;
    struct err err;
    if (cursor_list_read(&disk_real, gateway->paths.cursors, &list, &err))
        list = (struct cursor_list){0}; /* the next scrape may tell */
    size_t count = 0;
    metrics_head(out, "tidegate_orphan_cursor_held_bytes", "gauge",
                 "Bytes of the logs that only a cursor holds whose sink is not configured.");
    for (size_t i = 0; i < list.count; i++)
        if (!gateway_has_sink(gateway, list.files[i].name)) {
            buffer_printf(out, "tidegate_orphan_cursor_held_bytes{sink=\"%s\"} %" PRIu64 "\n",
                          list.files[i].name, gateway_cursor_held(gateway, &list, &list.files[i]));
            count++;
        }
    metrics_head(out, "tidegate_orphan_cursors", "gauge", "Cursors whose sink is not configured.");
    buffer_printf(out, "tidegate_orphan_cursors %zu\n", count);
    cursor_list_fini(&list);
}

/* ---- what the sinks tell of themselves; two of one type tell the same metrics ---- */

static void sinks(const struct gateway *gateway, struct buffer *out)
{
    struct buffer *texts = mem_zalloc((gateway->lane_count + 1) * sizeof *texts);
    struct bytes *parts = mem_zalloc((gateway->lane_count + 1) * sizeof *parts);
    for (size_t i = 0; i < gateway->lane_count; i++) {
        lane_metrics(gateway->lanes[i], &texts[i]);
        parts[i] = buffer_bytes(&texts[i]);
    }
    metrics_merge(parts, gateway->lane_count, out);
    for (size_t i = 0; i < gateway->lane_count; i++)
        buffer_fini(&texts[i]);
    free(texts);
    free(parts);
}

void metrics_lanes(const struct gateway *gateway, struct buffer *out)
{
    lanes_rows(gateway, out);
    lanes_info(gateway, out);
    lanes_health(gateway, out);
    lanes_retries(gateway, out);
    lanes_histograms(gateway, out);
    orphans(gateway, out);
    sinks(gateway, out);
}
