/* SPDX-License-Identifier: Apache-2.0
 *
 * Several sorted files into one. Memory is one row group of each. One thread.
 */
#ifndef TIDEGATE_SINKS_PARQUET_MERGE_H
#define TIDEGATE_SINKS_PARQUET_MERGE_H

#include "sinks/parquet/file.h"

enum { MERGE_INPUTS_MAX = 16 };

struct merge_result {
    uint64_t rows, bytes;
    size_t damaged; /* with GW_ECORRUPT: the input that cannot be read */
};

/* Writes and syncs `out`; inputs in the order of their sequence numbers. options->scaled is taken from
 * the inputs; GW_EINVAL when they differ. GW_ECORRUPT: an input is damaged. After an error `out` may be
 * there, unfinished. */
int merge_files(const struct disk *disk, char *const *inputs, size_t count, const char *out,
                const struct parquet_options *options, const struct file_range *range,
                struct merge_result *result, struct err *err);

#endif
