/* SPDX-License-Identifier: Apache-2.0
 *
 * Batches in memory: rows come in one at a time, each string finds its place in a table, and
 * finish() copies everything into one allocation that nobody changes any more. Separate from
 * batch_encode.c, which knows the bytes on disk. A builder belongs to one thread; a finished batch
 * may be held by any.
 */
#include "model/batch.h"

#include <stdlib.h>

#include "model/batch_layout.h"
#include "model/decimal.h"
#include "model/string_table.h"

enum { DRAFT_ROWS_FIRST = 1024 };

struct batch_builder {
    struct batch *draft; /* its columns have room for `capacity` rows; no strings, no rejects */
    uint32_t capacity;
    uint32_t rows;

    struct reject *rejects;
    uint32_t reject_count, reject_capacity;

    struct string_table strings;
};

const char *stage_name(enum reject_stage stage)
{
    static const char *const names[] = {"route", "decode", "normalise", "sink", "empty"};
    gw_assert((unsigned)stage < STAGE_COUNT);
    return names[stage];
}

/* ---- layout ---- */

/* Takes `count` items of `size` bytes from the block that begins at `base`; only counts when base is
 * null. */
static void *take(uint8_t *base, size_t *at, size_t count, size_t size)
{
    *at = (*at + 7) & ~(size_t)7;
    void *out = base ? base + *at : NULL;
    *at += count * size;
    return out;
}

static size_t place(struct batch *batch, uint32_t rows, uint32_t rejects, uint32_t strings,
                    size_t string_bytes, uint8_t *base)
{
    size_t at = sizeof *batch;
    batch->ts_ms = take(base, &at, rows, sizeof *batch->ts_ms);
    batch->unscaled = take(base, &at, rows, sizeof *batch->unscaled);
    batch->seq = take(base, &at, rows, sizeof *batch->seq);
    batch->received_ms = take(base, &at, rows, sizeof *batch->received_ms);
    batch->vendor = take(base, &at, rows, sizeof *batch->vendor);
    batch->device = take(base, &at, rows, sizeof *batch->device);
    batch->metric = take(base, &at, rows, sizeof *batch->metric);
    batch->unit = take(base, &at, rows, sizeof *batch->unit);
    batch->flags = take(base, &at, rows, sizeof *batch->flags);
    batch->scale = take(base, &at, rows, 1);
    batch->has_value = take(base, &at, rows, 1);
    batch->quality = take(base, &at, rows, 1);
    batch->time_source = take(base, &at, rows, 1);
    batch->rejects = take(base, &at, rejects, sizeof *batch->rejects);
    batch->strings = take(base, &at, strings, sizeof *batch->strings);
    batch->string_data = take(base, &at, string_bytes, 1);
    return at;
}

struct batch *batch_layout(uint32_t rows, uint32_t rejects, uint32_t strings, size_t string_bytes)
{
    struct batch sizes = {0};
    size_t total = place(&sizes, rows, rejects, strings, string_bytes, NULL);
    struct batch *batch = mem_alloc(total);
    *batch = (struct batch){0};
    place(batch, rows, rejects, strings, string_bytes, (uint8_t *)batch);
    atomic_init(&batch->references, 1);
    batch->count = rows;
    batch->reject_count = rejects;
    batch->string_count = strings;
    batch->bytes = total;
    return batch;
}

void batch_layout_string(struct batch *batch, uint32_t index, size_t *offset, size_t size)
{
    batch->strings[index] = bytes_of(batch->string_data + *offset, size);
    *offset += size;
}

static void copy_columns(struct batch *to, const struct batch *from, uint32_t rows)
{
    memcpy(to->ts_ms, from->ts_ms, rows * sizeof *to->ts_ms);
    memcpy(to->unscaled, from->unscaled, rows * sizeof *to->unscaled);
    memcpy(to->seq, from->seq, rows * sizeof *to->seq);
    memcpy(to->received_ms, from->received_ms, rows * sizeof *to->received_ms);
    memcpy(to->vendor, from->vendor, rows * sizeof *to->vendor);
    memcpy(to->device, from->device, rows * sizeof *to->device);
    memcpy(to->metric, from->metric, rows * sizeof *to->metric);
    memcpy(to->unit, from->unit, rows * sizeof *to->unit);
    memcpy(to->flags, from->flags, rows * sizeof *to->flags);
    memcpy(to->scale, from->scale, rows);
    memcpy(to->has_value, from->has_value, rows);
    memcpy(to->quality, from->quality, rows);
    memcpy(to->time_source, from->time_source, rows);
}

struct batch *batch_acquire(struct batch *batch)
{
    atomic_fetch_add_explicit(&batch->references, 1, memory_order_relaxed);
    return batch;
}

void batch_release(struct batch *batch)
{
    if (batch == NULL)
        return;
    uint32_t before = atomic_fetch_sub_explicit(&batch->references, 1, memory_order_acq_rel);
    gw_assert(before > 0);
    if (before == 1)
        free(batch);
}

double batch_value(const struct batch *batch, uint32_t row)
{
    static const double power[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8, 1e9,
                                   1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18};
    gw_assert(row < batch->count && batch->scale[row] < array_count(power));
    int64_t unscaled = batch->unscaled[row];
    uint8_t scale = batch->scale[row];
    /* Both sides are exact doubles up to 2^53, so one division gives the nearest double. */
    if (unscaled >= -(1LL << 53) && unscaled <= 1LL << 53)
        return (double)unscaled / power[scale];
    return decimal_to_double((struct decimal){unscaled, (int8_t)-scale});
}

/* ---- builder ---- */

struct batch_builder *batch_builder_new(void)
{
    struct batch_builder *builder = mem_zalloc(sizeof *builder);
    builder->capacity = DRAFT_ROWS_FIRST;
    builder->draft = batch_layout(builder->capacity, 0, 0, 0);
    string_table_init(&builder->strings);
    return builder;
}

void batch_builder_free(struct batch_builder *builder)
{
    if (builder == NULL)
        return;
    batch_release(builder->draft);
    free(builder->rejects);
    string_table_fini(&builder->strings);
    free(builder);
}

static void grow_rows(struct batch_builder *builder)
{
    gw_assert(builder->capacity < UINT32_MAX / 2);
    struct batch *larger = batch_layout(builder->capacity * 2, 0, 0, 0);
    copy_columns(larger, builder->draft, builder->rows);
    batch_release(builder->draft);
    builder->draft = larger;
    builder->capacity *= 2;
}

void batch_builder_add(struct batch_builder *builder, const struct batch_row *row)
{
    gw_assert(row->scale <= 18 && (unsigned)row->quality < QUALITY_COUNT &&
              (unsigned)row->time_source < TIME_SOURCE_COUNT);
    if (builder->rows == builder->capacity)
        grow_rows(builder);
    struct batch *draft = builder->draft;
    struct string_table *strings = &builder->strings;
    uint32_t at = builder->rows++;
    /* Mostly a string is the one of the row before. */
    draft->vendor[at] = string_table_add(strings, row->vendor, at ? draft->vendor[at - 1] : 0);
    draft->device[at] = string_table_add(strings, row->device, at ? draft->device[at - 1] : 0);
    draft->metric[at] = string_table_add(strings, row->metric, at ? draft->metric[at - 1] : 0);
    draft->unit[at] = string_table_add(strings, row->unit, at ? draft->unit[at - 1] : 0);
    draft->ts_ms[at] = row->ts_ms;
    draft->unscaled[at] = row->has_value ? row->unscaled : 0;
    draft->scale[at] = row->scale;
    draft->has_value[at] = row->has_value;
    draft->quality[at] = (uint8_t)row->quality;
    draft->time_source[at] = (uint8_t)row->time_source;
    draft->flags[at] = row->flags;
    draft->seq[at] = row->seq;
    draft->received_ms[at] = row->received_ms;
}

void batch_builder_reject(struct batch_builder *builder, uint64_t seq, enum reject_stage stage,
                          struct bytes vendor, struct bytes codec, uint16_t codec_version,
                          struct bytes reason, struct bytes detail)
{
    gw_assert((unsigned)stage < STAGE_COUNT);
    if (builder->reject_count == builder->reject_capacity) {
        gw_assert(builder->reject_capacity < UINT32_MAX / 4);
        builder->reject_capacity = builder->reject_capacity ? builder->reject_capacity * 2 : 64;
        builder->rejects =
            mem_realloc(builder->rejects, builder->reject_capacity * sizeof *builder->rejects);
    }
    builder->rejects[builder->reject_count++] = (struct reject){
        .seq = seq,
        .stage = (uint8_t)stage,
        .codec_version = codec_version,
        .vendor = string_table_add(&builder->strings, vendor, 0),
        .codec = string_table_add(&builder->strings, codec, 0),
        .reason = string_table_add(&builder->strings, reason, 0),
        .detail = string_table_add(&builder->strings, detail, 0),
    };
}

uint32_t batch_builder_rows(const struct batch_builder *builder)
{
    return builder->rows;
}

uint32_t batch_builder_rejects(const struct batch_builder *builder)
{
    return builder->reject_count;
}

struct batch *batch_builder_finish(struct batch_builder *builder)
{
    struct string_table *strings = &builder->strings;
    struct batch *batch =
        batch_layout(builder->rows, builder->reject_count, strings->count, strings->data.size);
    copy_columns(batch, builder->draft, builder->rows);
    if (builder->reject_count)
        memcpy(batch->rejects, builder->rejects, builder->reject_count * sizeof *batch->rejects);
    if (strings->data.size)
        memcpy(batch->string_data, strings->data.data, strings->data.size);
    size_t offset = 0;
    for (uint32_t i = 0; i < strings->count; i++)
        batch_layout_string(batch, i, &offset, strings->entries[i].size);
    string_table_clear(strings);
    builder->rows = 0;
    builder->reject_count = 0;
    return batch;
}
