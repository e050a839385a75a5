/* SPDX-License-Identifier: Apache-2.0
 *
 * Readings on their way into or out of a file: columns as the file has them, strings as numbers of
 * one table. Filled from batches (a unit) or from files (compaction). One thread.
 */
#ifndef TIDEGATE_SINKS_PARQUET_ROWS_H
#define TIDEGATE_SINKS_PARQUET_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "model/batch.h"
#include "model/string_table.h"

/* The columns that hold strings, in the order of the schema. */
enum rows_text {
    TEXT_VENDOR,
    TEXT_DEVICE,
    TEXT_METRIC,
    TEXT_UNIT,
    TEXT_QUALITY,
    TEXT_FLAGS,
    TEXT_TIME_SOURCE,
    TEXT_GATEWAY,
    TEXT_COUNT
};

struct rows {
    uint32_t count, capacity;
    uint32_t *text[TEXT_COUNT]; /* string numbers */
    int64_t *ts;
    uint64_t
        *value; /* the bits of a double, or of an int64 when `scaled`; 0 where has_value is 0 */
    int64_t *seq, *received;
    uint8_t *scale, *has_value;
    bool scaled;

    struct string_table strings; /* all well-formed UTF-8 */
    uint32_t *rank;              /* of each string among all, by bytes; made by rows_rank */
    uint32_t rank_capacity;
};

enum { ROWS_MAX = 1 << 24 };

void rows_init(struct rows *rows, bool scaled);
void rows_fini(struct rows *rows); /* accepts a zeroed object */
void rows_clear(struct rows *rows);
/* Room for one more; its number. The caller fills every column. */
uint32_t rows_add(struct rows *rows);
/* Room for `more`; the number of the first. */
uint32_t rows_extend(struct rows *rows, uint32_t more);
/* A string, made well-formed. */
uint32_t rows_text(struct rows *rows, struct bytes in, uint32_t guess);

/* Rows from one object to another, string by string only once. */
struct rows_copier {
    struct rows *to;
    const struct rows *from;
    uint32_t *number; /* of each string of `from` in `to`; UINT32_MAX: not yet */
    uint32_t capacity;
};
/* Whenever one of the two was cleared or got other strings; a zeroed copier to begin with. */
void rows_copier_begin(struct rows_copier *copier, struct rows *to, const struct rows *from);
void rows_copier_fini(struct rows_copier *copier);
/* Adds row `row` of `from`. Exact decimals become doubles where `to` wants them, never the other way. */
void rows_copy(struct rows_copier *copier, uint32_t row);
/* That row will be wanted in a moment. */
void rows_prefetch(const struct rows *rows, uint32_t row);

/* The rows of a batch whose ts lies in the UTC day, but for those with a string above text_max. */
void rows_add_batch(struct rows *rows, const struct batch *batch, int64_t day, size_t text_max,
                    struct bytes gateway);

/* Number all strings by their order. */
void rows_rank(struct rows *rows);
/* order[0..count) becomes the row numbers by (vendor, device, metric, ts, seq), equal rows in the
 * order they were added. After rows_rank. */
void rows_sort(const struct rows *rows, uint32_t *order);
/* The same order between rows of different objects. */
int rows_compare(const struct rows *a, uint32_t x, const struct rows *b, uint32_t y);

/* UTC day of a time: floor(ms / 86,400,000), kept within the years 1 to 9999. */
int64_t day_of_ms(int64_t ms);

#endif
