/* SPDX-License-Identifier: Apache-2.0
 *
 * The sink that writes Parquet files anyone can read.
 */
#ifndef TIDEGATE_SINKS_PARQUET_PARQUET_H
#define TIDEGATE_SINKS_PARQUET_PARQUET_H

#include "sinks/sink.h"

extern const struct sink_type sink_parquet;

enum parquet_value { PARQUET_VALUE_DOUBLE = 0, PARQUET_VALUE_SCALED = 1 };

/* Section of a `parquet` sink. */
struct parquet_sink_options {
    char *path;
    int value; /* enum parquet_value */
    int64_t flush_age_ms;
    int64_t unit_rows;
    int64_t row_group_rows;
    int64_t compression; /* zstd level */
    bool compact;
    int64_t files_max;
    int64_t keep_ms;
    uint64_t keep_bytes;
    uint64_t min_free_bytes;
};

#endif
