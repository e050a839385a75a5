/* SPDX-License-Identifier: Apache-2.0
 *
 * What stands behind the row groups: the page index and FileMetaData. One thread.
 */
#ifndef TIDEGATE_SINKS_PARQUET_FOOTER_H
#define TIDEGATE_SINKS_PARQUET_FOOTER_H

#include "sinks/parquet/file.h"

struct index_place {
    uint64_t column_offset, offset_offset;
    uint32_t column_size, offset_size;
};

struct row_group {
    uint32_t rows;
    struct chunk_info chunks[COLUMN_COUNT];
    struct index_place index[COLUMN_COUNT];
};

/* Append the indexes of all chunks; `at` is the place of out's end in the file. */
void footer_put_indexes(struct row_group *groups, size_t count, uint64_t at, struct buffer *out);
/* Append FileMetaData, its length and the magic. */
void footer_put_metadata(const struct row_group *groups, size_t count, bool scaled,
                         const struct file_range *range, struct buffer *out);

#endif
