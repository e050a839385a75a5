/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows into columns. Rows in the order of the table lie anywhere in their batches, so each is
 * visited once for all its columns. One thread.
 */
#include "sinks/clickhouse/columns.h"

#include <stdlib.h>

void columns_fini(struct columns *columns)
{
    free(columns->received_ms);
    free(columns->seq);
    free(columns->value);
    free(columns->flags);
    free(columns->is_null);
    free(columns->scale);
    free(columns->quality);
    free(columns->time_source);
    *columns = (struct columns){0};
}

static void reserve(struct columns *columns, uint32_t count)
{
    if (count <= columns->capacity)
        return;
    columns_fini(columns);
    columns->capacity = count;
    columns->received_ms = mem_alloc(count * sizeof *columns->received_ms);
    columns->seq = mem_alloc(count * sizeof *columns->seq);
    columns->value = mem_alloc(count * sizeof *columns->value);
    columns->flags = mem_alloc(count * sizeof *columns->flags);
    columns->is_null = mem_alloc(count);
    columns->scale = mem_alloc(count);
    columns->quality = mem_alloc(count);
    columns->time_source = mem_alloc(count);
}

void columns_gather(struct columns *columns, const struct split *split, uint32_t first,
                    uint32_t count)
{
    reserve(columns, count);
    columns->split = split;
    columns->rows = split->rows + first;
    columns->count = count;
    for (uint32_t i = 0; i < count; i++) {
        const struct batch *batch = split->unit->batches[columns->rows[i].batch];
        uint32_t row = columns->rows[i].row;
        columns->received_ms[i] = batch->received_ms[row];
        columns->seq[i] = batch->seq[row];
        columns->is_null[i] = !batch->has_value[row];
        columns->value[i] = batch->has_value[row] ? batch_value(batch, row) : 0;
        columns->flags[i] = batch->flags[row];
        columns->scale[i] = batch->scale[row];
        columns->quality[i] = batch->quality[row];
        columns->time_source[i] = batch->time_source[row];
    }
}
