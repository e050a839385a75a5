/* SPDX-License-Identifier: Apache-2.0
 *
 * One column of one row group as pages: dictionary, data pages, what the footer and the page index
 * say about them. One thread for one writer.
 */
#ifndef TIDEGATE_SINKS_PARQUET_CHUNK_H
#define TIDEGATE_SINKS_PARQUET_CHUNK_H

#include <zstd.h>

#include "sinks/parquet/schema.h"

/* A minimum or maximum, PLAIN without length. Long strings are cut: then it is a bound, and not
 * itself in the column. */
enum { BOUND_MAX = 64 };
struct bound {
    bool present, exact;
    uint8_t size;
    uint8_t data[BOUND_MAX];
};

struct page_info {
    uint64_t offset; /* from the start of the chunk, later of the file */
    uint32_t size;   /* with its header */
    uint32_t first_row;
    uint32_t rows, null_count;
    struct bound min, max;
};

struct chunk_info {
    uint64_t offset;          /* from the start of the file; set by the caller */
    uint64_t dictionary_size; /* page with header; 0: none */
    uint64_t compressed_size, uncompressed_size;
    uint32_t rows, null_count;
    enum parquet_encoding encoding; /* of the data pages */
    struct bound min, max;
    struct page_info *pages;
    uint32_t page_count;
    enum parquet_boundary boundary;
};
void chunk_info_fini(struct chunk_info *info);

struct chunk_writer;
struct chunk_writer *chunk_writer_new(int zstd_level, uint32_t page_rows);
void chunk_writer_free(struct chunk_writer *writer); /* accepts null */
/* Append the column of rows order[0..count) to `out`. `rows` is ranked; `order` null: as they are.
 * *info is filled; chunk_info_fini frees it. */
void chunk_write(struct chunk_writer *writer, const struct column *column, const struct rows *rows,
                 const uint32_t *order, uint32_t count, struct buffer *out,
                 struct chunk_info *info);

#endif
