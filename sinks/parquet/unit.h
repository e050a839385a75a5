/* SPDX-License-Identifier: Apache-2.0
 *
 * One unit of a lane into the store: a file for each UTC day it touches. One thread at a time.
 */
#ifndef TIDEGATE_SINKS_PARQUET_UNIT_H
#define TIDEGATE_SINKS_PARQUET_UNIT_H

#include "sinks/parquet/store.h"
#include "sinks/sink.h"

/* Longer strings are refused: no meter has such a name, and a page of them would be huge. */
enum { TEXT_SIZE_MAX = 4096 };

struct unit_result {
    uint64_t rows, files, bytes;   /* written now */
    struct sink_refusal *refusals; /* freed by unit_result_fini */
    size_t refusal_count;
};
void unit_result_fini(struct unit_result *result);

/* The UTC days of the rows, ascending. */
struct unit_days {
    int64_t *days;
    size_t count;
};
struct unit_days unit_days_of(struct batch *const *batches, uint32_t count);
void unit_days_fini(struct unit_days *days);

/* Rows that cannot be kept, added to result->refusals. */
void unit_refusals(const struct unit *unit, struct unit_result *result);

/* 0 when all of it is durable, from this call or an earlier one. */
int unit_store(struct store *store, const struct unit *unit, const struct parquet_options *options,
               struct unit_result *result, struct err *err);

#endif
