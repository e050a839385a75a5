/* SPDX-License-Identifier: Apache-2.0
 *
 * The gateway's metrics in Prometheus text (exposition format 0.0.4). A metric of one value is one
 * row of a table; the labelled ones follow. Labels are bounded by the configuration (log, sink), and
 * never name a meter, a client or a topic. Any thread.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "metrics_merge.h"
#include "parts.h"

struct metric_row {
    const char *name;
    const char *type;
    const char *help;
    double (*value)(const struct gateway *gateway);
};

static double raw_next(const struct gateway *gateway)
{
    return (double)journal_next_seq(rawlog_journal(gateway->rawlog));
}

static double received(const struct gateway *gateway)
{
    return raw_next(gateway) - 1;
}

static double decoded(const struct gateway *gateway)
{
    return (double)decoder_stats(gateway->decoder)->decoded;
}

static double dead(const struct gateway *gateway)
{
    return (double)decoder_stats(gateway->decoder)->dead;
}

static double quarantined(const struct gateway *gateway)
{
    return (double)decoder_stats(gateway->decoder)->quarantined;
}

static double undecoded(const struct gateway *gateway)
{
    return raw_next(gateway) - (double)journal_next_seq(gateway->readings);
}

static double readings(const struct gateway *gateway)
{
    return (double)decoder_stats(gateway->decoder)->readings;
}

static double series(const struct gateway *gateway)
{
    return (double)decoder_stats(gateway->decoder)->series;
}

static double generation(const struct gateway *gateway)
{
    return (double)decoder_stats(gateway->decoder)->generation;
}

static double decoder_waiting(const struct gateway *gateway)
{
    return decoder_stats(gateway->decoder)->health != DECODER_OK;
}

static double ready(const struct gateway *gateway)
{
    return !gateway->stopping && rawlog_health(gateway->rawlog) == RAWLOG_OK;
}

static double stored_bytes(const struct gateway *gateway)
{
    return (double)rawlog_stats(gateway->rawlog)->message_bytes;
}

static double disk_bytes(const struct gateway *gateway)
{
    return (double)rawlog_stats(gateway->rawlog)->disk_bytes;
}

static double extents(const struct gateway *gateway)
{
    return (double)rawlog_stats(gateway->rawlog)->extents;
}

static double failures(const struct gateway *gateway)
{
    return (double)rawlog_stats(gateway->rawlog)->failures;
}

static double bytes_waiting(const struct gateway *gateway)
{
    return (double)rawlog_stats(gateway->rawlog)->bytes_waiting;
}

static double reloads(const struct gateway *gateway)
{
    return (double)gateway->reloads;
}

static double reload_failures(const struct gateway *gateway)
{
    return (double)gateway->reload_failures;
}

static double start_time(const struct gateway *gateway)
{
    return (double)gateway->started_ms / 1000;
}

static double process_cpu(const struct gateway *gateway)
{
    (void)gateway;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static double process_memory(const struct gateway *gateway)
{
    (void)gateway;
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file) {
        if (fscanf(file, "%*s %ld", &pages) != 1)
            pages = 0;
        fclose(file);
    }
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static const struct metric_row rows[] = {
    {"tidegate_messages_received_total", "counter",
     "Messages made durable since the journal was made.", received},
    {"tidegate_messages_decoded_total", "counter",
     "Messages decoded, with or without readings, since the journal was made.", decoded},
    {"tidegate_messages_dead_total", "counter",
     "Messages that became dead letters since the journal was made.", dead},
    {"tidegate_messages_quarantined_total", "counter",
     "Messages lost to damage on disk since the journal was made.", quarantined},
    {"tidegate_messages_undecoded", "gauge", "Durable messages that wait for the decoder.",
     undecoded},
    {"tidegate_readings_total", "counter", "Readings made since the journal was made.", readings},
    {"tidegate_decoder_series", "gauge", "Series that the normaliser remembers.", series},
    {"tidegate_decoder_generation", "gauge", "Present decode generation.", generation},
    {"tidegate_decoder_waiting", "gauge", "1 while a log takes nothing from the decoder.",
     decoder_waiting},
    {"tidegate_ready", "gauge", "1 while messages can be made durable.", ready},
    {"tidegate_rawlog_message_bytes_total", "counter",
     "Topic and payload bytes stored since start.", stored_bytes},
    {"tidegate_rawlog_disk_bytes_total", "counter", "Bytes written to the raw log since start.",
     disk_bytes},
    {"tidegate_rawlog_extents_total", "counter", "Group commits since start.", extents},
    {"tidegate_rawlog_failures_total", "counter",
     "Failed writes and syncs of the raw log since start.", failures},
    {"tidegate_rawlog_waiting_bytes", "gauge", "Bytes that wait to be made durable.",
     bytes_waiting},
    {"tidegate_reloads_total", "counter", "Configurations reloaded.", reloads},
    {"tidegate_reload_failures_total", "counter",
     "Configurations refused at reload; the old one stayed.", reload_failures},
    {"process_start_time_seconds", "gauge", "Start time of the process since unix epoch.",
     start_time},
    {"process_cpu_seconds_total", "counter", "User and system CPU time spent.", process_cpu},
    {"process_resident_memory_bytes", "gauge", "Resident memory size.", process_memory},
};

static void head(struct buffer *out, const char *name, const char *type, const char *help)
{
    buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* ---- logs ---- */

static void metrics_logs(const struct gateway *gateway, struct buffer *out)
{
    const struct {
        const char *label;
        struct journal *journal;
    } logs[] = {
        {"raw", rawlog_journal(gateway->rawlog)},
        {"readings", gateway->readings},
        {"dead", gateway->dead},
    };
    head(out, "tidegate_journal_bytes", "gauge", "Disk used by a log.");
    for (size_t i = 0; i < array_count(logs); i++)
        buffer_printf(out, "tidegate_journal_bytes{log=\"%s\"} %" PRIu64 "\n", logs[i].label,
                      journal_bytes(logs[i].journal));
    head(out, "tidegate_journal_first_seq", "gauge", "Oldest sequence number kept in a log.");
    for (size_t i = 0; i < array_count(logs); i++)
        buffer_printf(out, "tidegate_journal_first_seq{log=\"%s\"} %" PRIu64 "\n", logs[i].label,
                      journal_first_seq(logs[i].journal));
    head(out, "tidegate_journal_next_seq", "gauge", "Next sequence number of a log.");
    for (size_t i = 0; i < array_count(logs); i++)
        buffer_printf(out, "tidegate_journal_next_seq{log=\"%s\"} %" PRIu64 "\n", logs[i].label,
                      journal_next_seq(logs[i].journal));
}

/* Buckets hold powers of two; Prometheus wants them summed up and in seconds. */
static void histogram(struct buffer *out, const char *name, const char *label,
                      const _Atomic uint64_t *buckets, int count, double unit, double sum)
{
    const char *comma = *label ? "," : "";
    uint64_t total = 0;
    for (int i = 0; i < count - 1; i++) {
        total += buckets[i];
        buffer_printf(out, "%s_bucket{%s%sle=\"%.9g\"} %" PRIu64 "\n", name, label, comma,
                      (double)(1ULL << i) * unit, total);
    }
    total += buckets[count - 1];
    buffer_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, label, comma, total);
    const char *open = *label ? "{" : "";
    const char *close = *label ? "}" : "";
    buffer_printf(out, "%s_sum%s%s%s %.9g\n", name, open, label, close, sum);
    buffer_printf(out, "%s_count%s%s%s %" PRIu64 "\n", name, open, label, close, total);
}

static void metrics_commit(const struct gateway *gateway, struct buffer *out)
{
    struct rawlog_stats *stats = rawlog_stats(gateway->rawlog);
    head(out, "tidegate_rawlog_commit_seconds", "histogram",
         "Time from taking messages to the end of their sync.");
    histogram(out, "tidegate_rawlog_commit_seconds", "", stats->commit_us_bucket,
              (int)array_count(stats->commit_us_bucket), 1e-6, (double)stats->commit_ns_sum / 1e9);
}

/* ---- lanes ---- */

struct lane_row {
    const char *name;
    const char *type;
    const char *help;
    double (*value)(const struct gateway *gateway, const struct lane_stats *stats);
};

static double lane_lag(const struct gateway *gateway, const struct lane_stats *stats)
{
    uint64_t end = journal_next_seq(gateway->readings);
    uint64_t next = stats->next_seq;
    return end > next ? (double)(end - next) : 0;
}

static double lane_lag_seconds(const struct gateway *gateway, const struct lane_stats *stats)
{
    return (double)gateway_lane_lag_ms(gateway, stats) / 1000;
}

static double lane_rows_total(const struct gateway *gateway, const struct lane_stats *stats)
{
    (void)gateway;
    return (double)stats->rows;
}

static double lane_units_total(const struct gateway *gateway, const struct lane_stats *stats)
{
    (void)gateway;
    return (double)stats->units;
}

static double lane_retries_total(const struct gateway *gateway, const struct lane_stats *stats)
{
    (void)gateway;
    return (double)stats->retries;
}

static double lane_refused_total(const struct gateway *gateway, const struct lane_stats *stats)
{
    (void)gateway;
    return (double)stats->refused_rows;
}

static double lane_lost_total(const struct gateway *gateway, const struct lane_stats *stats)
{
    (void)gateway;
    return (double)stats->lost_seqs;
}

static double lane_open_rows(const struct gateway *gateway, const struct lane_stats *stats)
{
    (void)gateway;
    return (double)stats->open_rows;
}

static double lane_up(const struct gateway *gateway, const struct lane_stats *stats)
{
    (void)gateway;
    return stats->health == LANE_OK;
}

static const struct lane_row lane_rows[] = {
    {"tidegate_lane_lag_messages", "gauge", "Messages decoded and not yet confirmed by the sink.",
     lane_lag},
    {"tidegate_lane_lag_seconds", "gauge",
     "Age of the oldest reading that waits for the sink; 0 when none does.", lane_lag_seconds},
    {"tidegate_lane_readings_total", "counter", "Readings confirmed by the sink since start.",
     lane_rows_total},
    {"tidegate_lane_units_total", "counter", "Units confirmed by the sink since start.",
     lane_units_total},
    {"tidegate_lane_retries_total", "counter", "Attempts that have to be repeated.",
     lane_retries_total},
    {"tidegate_lane_refused_readings_total", "counter", "Readings that the sink refused for good.",
     lane_refused_total},
    {"tidegate_lane_lost_messages_total", "counter",
     "Messages whose readings damage to the reading log kept from the sink; the raw log has them.",
     lane_lost_total},
    {"tidegate_lane_open_readings", "gauge", "Readings in units under way.", lane_open_rows},
    {"tidegate_lane_up", "gauge", "1 while the sink takes what it is given.", lane_up},
};

/* What the sinks tell of themselves; two of one type tell the same metrics. */
static void metrics_sinks(const struct gateway *gateway, struct buffer *out)
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

static void metrics_lanes(const struct gateway *gateway, struct buffer *out)
{
    for (size_t i = 0; i < array_count(lane_rows); i++) {
        head(out, lane_rows[i].name, lane_rows[i].type, lane_rows[i].help);
        for (size_t j = 0; j < gateway->lane_count; j++)
            buffer_printf(out, "%s{sink=\"%s\"} %.17g\n", lane_rows[i].name,
                          lane_name(gateway->lanes[j]),
                          lane_rows[i].value(gateway, lane_stats(gateway->lanes[j])));
    }
    head(out, "tidegate_lane_write_seconds", "histogram", "Time from write to confirmation.");
    for (size_t j = 0; j < gateway->lane_count; j++) {
        const struct lane_stats *stats = lane_stats(gateway->lanes[j]);
        char *label = mem_printf("sink=\"%s\"", lane_name(gateway->lanes[j]));
        histogram(out, "tidegate_lane_write_seconds", label, stats->write_ms_bucket,
                  LANE_LATENCY_BUCKETS, 1e-3, (double)stats->write_ms_sum / 1e3);
        free(label);
    }
    metrics_sinks(gateway, out);
}

void gateway_metrics(struct gateway *gateway, struct buffer *out)
{
    for (size_t i = 0; i < array_count(rows); i++) {
        head(out, rows[i].name, rows[i].type, rows[i].help);
        buffer_printf(out, "%s %.17g\n", rows[i].name, rows[i].value(gateway));
    }
    metrics_logs(gateway, out);
    metrics_commit(gateway, out);
    metrics_lanes(gateway, out);
    if (gateway->listener->type->metrics)
        gateway->listener->type->metrics(gateway->listener, out);
}
