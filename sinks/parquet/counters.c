/* SPDX-License-Identifier: Apache-2.0
 *
 * The sink's own metrics, one line of code each. Separate because it is a list.
 */
#include "sinks/parquet/counters.h"

#include <inttypes.h>

static void put_metric(struct buffer *out, const char *sink, const char *name, const char *type,
                       const char *help, const _Atomic uint64_t *value)
{
    buffer_printf(out,
                  "# HELP tidegate_sink_parquet_%s %s\n# TYPE tidegate_sink_parquet_%s %s\n"
                  "tidegate_sink_parquet_%s{sink=\"%s\"} %" PRIu64 "\n",
                  name, help, name, type, name, sink,
                  atomic_load_explicit(value, memory_order_relaxed));
}

void counters_put(const struct counters *counters, const char *sink, struct buffer *out)
{
    put_metric(out, sink, "rows_total", "counter", "Readings written.", &counters->rows);
    put_metric(out, sink, "replayed_rows_total", "counter",
               "Readings of replays put in their place.", &counters->replayed);
    put_metric(out, sink, "replay_waiting_rows", "gauge",
               "Readings of replays that are durable and not in the files yet.",
               &counters->waiting_now);
    put_metric(out, sink, "files_total", "counter", "Files written from units.", &counters->files);
    put_metric(out, sink, "written_bytes_total", "counter", "Bytes of files written from units.",
               &counters->bytes);
    put_metric(out, sink, "refused_rows_total", "counter", "Readings refused for good.",
               &counters->refused);
    put_metric(out, sink, "failures_total", "counter", "Units that could not be written yet.",
               &counters->failures);
    put_metric(out, sink, "compactions_total", "counter", "Merges of small files.",
               &counters->compactions);
    put_metric(out, sink, "compacted_rows_total", "counter", "Readings written again by merges.",
               &counters->compacted_rows);
    put_metric(out, sink, "housekeeping_failures_total", "counter",
               "Merges and removals that failed; they are tried again.",
               &counters->compaction_failures);
    put_metric(out, sink, "removed_folders_total", "counter",
               "Day folders removed by keep and keep_bytes.", &counters->days_removed);
    put_metric(out, sink, "files", "gauge", "Files in the folder.", &counters->files_now);
    put_metric(out, sink, "bytes", "gauge", "Bytes of all files in the folder.",
               &counters->bytes_now);
}
