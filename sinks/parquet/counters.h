/* SPDX-License-Identifier: Apache-2.0
 *
 * What the sink counts, and how it says it. The lane's thread adds; any thread reads.
 */
#ifndef TIDEGATE_SINKS_PARQUET_COUNTERS_H
#define TIDEGATE_SINKS_PARQUET_COUNTERS_H

#include <stdatomic.h>

#include "base/bytes.h"

struct counters {
    _Atomic uint64_t rows, files, bytes, refused, failures, replayed;
    _Atomic uint64_t files_now, bytes_now, waiting_now;
    _Atomic uint64_t compactions, compacted_rows, compaction_failures, days_removed;
};

/* Prometheus text, appended. */
void counters_put(const struct counters *counters, const char *sink, struct buffer *out);

#endif
