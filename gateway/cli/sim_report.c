/* SPDX-License-Identifier: Apache-2.0
 *
 * The progress line (rewritten on a terminal, now and then elsewhere) and the summary. One thread.
 */
#include "cli/sim_report.h"

#include <stdio.h>

static double ms(int64_t ns)
{
    return (double)ns / 1e6;
}

void sim_progress_print(void *arg, const struct publisher_stats *stats)
{
    struct sim_progress *progress = arg;
    int64_t span_ns = stats->now_ns - progress->at_ns;
    double rate =
        span_ns > 0 ? (double)(stats->acknowledged - progress->acknowledged) * 1e9 / (double)span_ns
                    : 0;
    progress->at_ns = stats->now_ns;
    progress->acknowledged = stats->acknowledged;
    fprintf(stderr,
            "%spublished %llu  acknowledged %llu  %.0f/s  ack p50 %.1f ms p99 %.1f ms  "
            "in flight %llu  connections %u%s",
            progress->live ? "\r\033[K" : "", (unsigned long long)stats->published,
            (unsigned long long)stats->acknowledged, rate,
            ms(histogram_quantile(stats->latency, 0.5)),
            ms(histogram_quantile(stats->latency, 0.99)), (unsigned long long)stats->in_flight,
            stats->connections_up, progress->live ? "" : "\n");
}

void sim_progress_end(const struct sim_progress *progress)
{
    if (progress->live)
        fputs("\r\033[K", stderr);
}

static double seconds_of(const struct publisher_stats *stats)
{
    return (double)(stats->now_ns - stats->began_ns) / 1e9;
}

void sim_summary_json(const struct publisher_stats *stats)
{
    double seconds = seconds_of(stats);
    printf("{\"published\":%llu,\"acknowledged\":%llu,\"refused\":%llu,\"unanswered\":%llu,"
           "\"sent_again\":%llu,\"connects\":%llu,\"breaks\":%llu,\"payload_bytes\":%llu,"
           "\"duplicates\":%llu,\"late\":%llu,\"garbage\":%llu,\"resets\":%llu,\"seconds\":%.3f,"
           "\"rate\":%.1f,\"ack_p50_ms\":%.3f,\"ack_p99_ms\":%.3f,\"ack_max_ms\":%.3f}\n",
           (unsigned long long)stats->published, (unsigned long long)stats->acknowledged,
           (unsigned long long)stats->refused, (unsigned long long)stats->in_flight,
           (unsigned long long)stats->resent, (unsigned long long)stats->connects,
           (unsigned long long)stats->breaks, (unsigned long long)stats->payload_bytes,
           (unsigned long long)stats->duplicates, (unsigned long long)stats->late,
           (unsigned long long)stats->garbage, (unsigned long long)stats->resets, seconds,
           (double)stats->published / seconds, ms(histogram_quantile(stats->latency, 0.5)),
           ms(histogram_quantile(stats->latency, 0.99)), ms(stats->latency->max_ns));
}

void sim_summary_text(const struct publisher_stats *stats)
{
    double seconds = seconds_of(stats);
    printf("published     %llu messages, %llu bytes of payload, in %.1f s (%.0f/s)\n",
           (unsigned long long)stats->published, (unsigned long long)stats->payload_bytes, seconds,
           (double)stats->published / seconds);
    printf("acknowledged  %llu, refused %llu, without answer %llu, sent again %llu\n",
           (unsigned long long)stats->acknowledged, (unsigned long long)stats->refused,
           (unsigned long long)stats->in_flight, (unsigned long long)stats->resent);
    printf("ack latency   p50 %.1f ms, p99 %.1f ms, max %.1f ms\n",
           ms(histogram_quantile(stats->latency, 0.5)),
           ms(histogram_quantile(stats->latency, 0.99)), ms(stats->latency->max_ns));
    if (stats->duplicates + stats->late + stats->garbage + stats->resets)
        printf("faults        %llu duplicates, %llu late, %llu garbage, %llu resets\n",
               (unsigned long long)stats->duplicates, (unsigned long long)stats->late,
               (unsigned long long)stats->garbage, (unsigned long long)stats->resets);
}
