/* SPDX-License-Identifier: Apache-2.0
 *
 * A file once more with the rows of a replay in it: a row of the file that has the key of one of
 * theirs, (vendor, device, metric, ts, seq), goes; theirs come, but for those flagged `withdrawn`.
 * One thread.
 */
#ifndef TIDEGATE_SINKS_PARQUET_OVERLAY_H
#define TIDEGATE_SINKS_PARQUET_OVERLAY_H

#include "sinks/parquet/file.h"

/* Rows in the order of rows_sort. */
struct overlay {
    const struct rows *rows; /* exact decimals, whatever form the file has */
    const uint32_t *order;
    uint32_t count;
};

struct overlay_result {
    uint64_t rows, bytes; /* of the new file */
    uint64_t dropped;     /* rows of the old one that went */
};

bool overlay_withdrawn(const struct rows *rows, uint32_t row);

/* Writes and syncs `out` from the file at `path`, which may be null: none. options->scaled is that of
 * the file where there is one. GW_ECORRUPT: it is damaged. After an error `out` may be there,
 * unfinished. */
int overlay_file(const struct disk *disk, const char *path, const struct overlay *overlay,
                 const char *out, const struct parquet_options *options,
                 const struct file_range *range, struct overlay_result *result, struct err *err);

#endif
