/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing one Parquet file: row groups, page index, footer. The file is complete only after
 * parquet_file_finish; giving it its final name is the caller's. One thread.
 */
#ifndef TIDEGATE_SINKS_PARQUET_FILE_H
#define TIDEGATE_SINKS_PARQUET_FILE_H

#include <stdatomic.h>

#include "base/disk.h"
#include "base/err.h"
#include "sinks/parquet/chunk.h"

/* What stands in the footer's key-value metadata, and in the name. */
struct file_range {
    uint64_t first_seq, last_seq;
    uint32_t generation;
    uint64_t gateway; /* the journal's identity */
    bool replay;      /* holds what a replay brought where no file was: no unit of a lane */
};

struct parquet_options {
    bool scaled;
    int zstd_level;
    uint32_t row_group_rows;
    uint32_t page_rows;
    const _Atomic bool *stop; /* set: a merge ends early with GW_ECLOSED; null: it never does */
};

struct parquet_file;
/* Makes the file; it must not exist. */
int parquet_file_new(struct parquet_file **out, const struct disk *disk, const char *path,
                     const struct parquet_options *options, const struct file_range *range,
                     struct err *err);
/* One row group, at most row_group_rows rows: order[0..count) of ranked `rows`, or the first `count`
 * when `order` is null. */
int parquet_file_add(struct parquet_file *file, const struct rows *rows, const uint32_t *order,
                     uint32_t count, struct err *err);
/* Index, footer, sync, close. The object stays until free. */
int parquet_file_finish(struct parquet_file *file, struct err *err);
/* Closes what is open; removes nothing. Accepts null. */
void parquet_file_free(struct parquet_file *file);
uint64_t parquet_file_bytes(const struct parquet_file *file);
uint64_t parquet_file_rows(const struct parquet_file *file);

/* For bench/parquet: compressed bytes of a column so far. */
uint64_t parquet_file_column_bytes(const struct parquet_file *file, int column);

#endif
