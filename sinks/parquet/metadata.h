/* SPDX-License-Identifier: Apache-2.0
 *
 * The footer of a file of ours, read back. One thread.
 */
#ifndef TIDEGATE_SINKS_PARQUET_METADATA_H
#define TIDEGATE_SINKS_PARQUET_METADATA_H

#include "sinks/parquet/file.h"

struct chunk_place {
    uint64_t offset, size; /* of its first page, of all pages; within the file */
};

struct group_place {
    uint32_t rows;
    struct chunk_place chunks[COLUMN_COUNT];
};

struct metadata {
    bool scaled;
    uint64_t rows;
    struct file_range range;
    struct group_place *groups;
    size_t group_count;
};

/* `in` is FileMetaData, `file_size` the size of the whole file. GW_ECORRUPT with a text. */
int metadata_read(struct metadata *metadata, struct bytes in, uint64_t file_size, struct err *err);
void metadata_fini(struct metadata *metadata); /* accepts a zeroed object */

#endif
