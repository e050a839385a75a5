/* SPDX-License-Identifier: Apache-2.0
 *
 * The gateway's metrics in Prometheus text (exposition format 0.0.4). A metric of one value is one
 * row of a table; the labelled ones follow, those of sinks in metrics_lanes.c. Labels are bounded by
 * the configuration (log, sink), and never name a meter, a client or a topic. Any thread.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "metrics.h"
#include "parts.h"
#include "replay_admin.h"
#include "trail.h"

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

/* Prometheus has a word for what has no number. */
static double journal_left(const struct gateway *gateway)
{
    int64_t seconds = gateway->outlook.seconds_left;
    return seconds < 0 ? INFINITY : (double)seconds;
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
    {"tidegate_journal_seconds_left", "gauge",
     "How long the logs have room when no sink takes anything, at the rate of the last minute; "
     "+Inf "
     "while nothing comes.",
     journal_left},
    {"tidegate_reloads_total", "counter", "Configurations reloaded.", reloads},
    {"tidegate_reload_failures_total", "counter",
     "Configurations refused at reload; the old one stayed.", reload_failures},
    {"process_start_time_seconds", "gauge", "Start time of the process since unix epoch.",
     start_time},
    {"process_cpu_seconds_total", "counter", "User and system CPU time spent.", process_cpu},
    {"process_resident_memory_bytes", "gauge", "Resident memory size.", process_memory},
};

void metrics_head(struct buffer *out, const char *name, const char *type, const char *help)
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
    metrics_head(out, "tidegate_journal_bytes", "gauge", "Disk used by a log.");
    for (size_t i = 0; i < array_count(logs); i++)
        buffer_printf(out, "tidegate_journal_bytes{log=\"%s\"} %" PRIu64 "\n", logs[i].label,
                      journal_bytes(logs[i].journal));
    metrics_head(out, "tidegate_journal_first_seq", "gauge",
                 "Oldest sequence number kept in a log.");
    for (size_t i = 0; i < array_count(logs); i++)
        buffer_printf(out, "tidegate_journal_first_seq{log=\"%s\"} %" PRIu64 "\n", logs[i].label,
                      journal_first_seq(logs[i].journal));
    metrics_head(out, "tidegate_journal_next_seq", "gauge", "Next sequence number of a log.");
    for (size_t i = 0; i < array_count(logs); i++)
        buffer_printf(out, "tidegate_journal_next_seq{log=\"%s\"} %" PRIu64 "\n", logs[i].label,
                      journal_next_seq(logs[i].journal));
    history_metrics(gateway, out);
}

void metrics_histogram(struct buffer *out, const char *name, const char *label,
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
    metrics_head(out, "tidegate_rawlog_commit_seconds", "histogram",
                 "Time from taking messages to the end of their sync.");
    metrics_histogram(out, "tidegate_rawlog_commit_seconds", "", stats->commit_us_bucket,
                      (int)array_count(stats->commit_us_bucket), 1e-6,
                      (double)stats->commit_ns_sum / 1e9);
}

void gateway_metrics(struct gateway *gateway, struct buffer *out)
{
    for (size_t i = 0; i < array_count(rows); i++) {
        metrics_head(out, rows[i].name, rows[i].type, rows[i].help);
        double value = rows[i].value(gateway);
        if (isinf(value))
            buffer_printf(out, "%s +Inf\n", rows[i].name);
        else
            buffer_printf(out, "%s %.17g\n", rows[i].name, value);
    }
    metrics_logs(gateway, out);
    metrics_commit(gateway, out);
    metrics_machine(gateway, out);
    metrics_vendors(gateway, out);
    metrics_lanes(gateway, out);
    replay_admin_metrics(gateway, out);
    trail_metrics(gateway, out);
    vendor_table_metrics(&gateway->vendors, out);
    if (gateway->listener->type->metrics)
        gateway->listener->type->metrics(gateway->listener, out);
    if (gateway->brokers)
        gateway->brokers->type->metrics(gateway->brokers, out);
    if (gateway->captures)
        gateway->captures->type->metrics(gateway->captures, out);
}
