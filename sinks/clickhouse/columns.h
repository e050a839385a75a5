/* SPDX-License-Identifier: Apache-2.0
 *
 * The rows of a block, gathered from the batches into columns, once: after that each column of the
 * block is a walk along one array. One thread.
 */
#ifndef TIDEGATE_SINKS_CLICKHOUSE_COLUMNS_H
#define TIDEGATE_SINKS_CLICKHOUSE_COLUMNS_H

#include "sinks/clickhouse/split.h"

struct columns {
    uint32_t count, capacity;
    const struct split *split;    /* names are numbers of its strings */
    const struct split_row *rows; /* [0..count) */
    int64_t *received_ms;
    uint64_t *seq;
    double *value; /* 0 where null */
    uint32_t *flags;
    uint8_t *is_null, *scale, *quality, *time_source;
};

void columns_fini(struct columns *columns); /* accepts a zeroed object */
/* Rows [first, first+count) of the split, which is borrowed. Memory is kept. */
void columns_gather(struct columns *columns, const struct split *split, uint32_t first,
                    uint32_t count);

#endif
