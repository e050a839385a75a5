/* SPDX-License-Identifier: Apache-2.0
 *
 * Texts on the wire. A LowCardinality column carries a dictionary of its own in each block: version 1
 * of its serialization, as every server since 18.16 reads it:
 *   u64 version | u64 flags and size of an index | u64 keys, keys as String | u64 rows, indexes
 * One thread.
 */
#include "sinks/clickhouse/text_column.h"

#include <stdlib.h>

enum { VARINT32_MAX = 5 };
enum { DICTIONARY_VERSION = 1, HAS_KEYS = 1 << 9, NEW_DICTIONARY = 1 << 10 };

void text_scratch_fini(struct text_scratch *scratch)
{
    free(scratch->place);
    free(scratch->used);
    *scratch = (struct text_scratch){0};
}

static uint8_t *put_text(uint8_t *at, struct bytes text)
{
    at += store_varint(at, text.size);
    if (text.size)
        memcpy(at, text.data, text.size);
    return at + text.size;
}

void text_column_string(const struct text_column *column, struct buffer *out)
{
    size_t size = 0;
    for (uint32_t i = 0; i < column->rows; i++)
        size += column->texts[column->numbers[i]].size;
    uint8_t *start = buffer_reserve(out, size + (size_t)column->rows * VARINT32_MAX);
    uint8_t *at = start;
    for (uint32_t i = 0; i < column->rows; i++)
        at = put_text(at, column->texts[column->numbers[i]]);
    out->size += (size_t)(at - start);
}

/* ---- LowCardinality ---- */

static void scratch_grow(struct text_scratch *scratch, uint32_t count)
{
    if (count <= scratch->capacity)
        return;
    free(scratch->place);
    free(scratch->used);
    scratch->place = mem_zalloc(count * sizeof *scratch->place);
    scratch->used = mem_alloc(count * sizeof *scratch->used);
    scratch->capacity = count;
}

static uint32_t find_used(const struct text_column *column, struct text_scratch *scratch)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < column->rows; i++) {
        uint32_t number = column->numbers[i];
        if (scratch->place[number] == 0) {
            scratch->used[count++] = number;
            scratch->place[number] = count;
        }
    }
    return count;
}

static void put_indexes(const struct text_column *column, const uint32_t *place, int width,
                        struct buffer *out)
{
    uint8_t *at = buffer_reserve(out, (size_t)column->rows << width);
    for (uint32_t i = 0; i < column->rows; i++) {
        uint32_t index = place[column->numbers[i]] - 1;
        if (width == 0)
            at[i] = (uint8_t)index;
        else if (width == 1)
            store_u16_le(at + 2 * (size_t)i, (uint16_t)index);
        else
            store_u32_le(at + 4 * (size_t)i, index);
    }
    out->size += (size_t)column->rows << width;
}

void text_column_low_cardinality(const struct text_column *column, struct text_scratch *scratch,
                                 struct buffer *out)
{
    scratch_grow(scratch, column->text_count);
    uint32_t count = find_used(column, scratch);
    int width = count <= 1U << 8 ? 0 : count <= 1U << 16 ? 1 : 2;
    buffer_u64_le(out, DICTIONARY_VERSION);
    buffer_u64_le(out, (uint64_t)(HAS_KEYS | NEW_DICTIONARY | width));
    buffer_u64_le(out, count);
    for (uint32_t i = 0; i < count; i++)
        buffer_varbytes(out, column->texts[scratch->used[i]]);
    buffer_u64_le(out, column->rows);
    put_indexes(column, scratch->place, width, out);
    for (uint32_t i = 0; i < count; i++)
        scratch->place[scratch->used[i]] = 0;
}
