/* SPDX-License-Identifier: Apache-2.0
 *
 * A Native block, column after column:
 *   varint columns | varint rows | for each column: name, type, values
 * Each column is gathered from the batches in the order of the rows, and what fills whole frames is
 * compressed while it is in the processor's cache. One thread.
 */
#include "sinks/clickhouse/block.h"

#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "sinks/clickhouse/columns.h"
#include "sinks/clickhouse/frame.h"
#include "sinks/clickhouse/text_column.h"

enum { LEVEL = 1, GENERATION_BITS = 20, MS_PER_S = 1000 };

struct block_encoder {
    const struct table_shape *shape;
    struct framer *framer;
    struct buffer raw; /* what does not fill a frame yet, and a column in the making */
    XXH3_state_t *hash;
    size_t raw_size; /* of the block so far, without `raw` */
    char gateway[IDENTITY_TEXT_SIZE];
    struct text_scratch scratch;
    struct columns columns;
    uint32_t *numbers; /* a text column in the making */
    uint64_t *values;  /* a column of numbers in the making */
    uint32_t capacity; /* of both */
    struct string_table flag_texts;
};

void block_fini(struct block *block)
{
    buffer_fini(&block->body);
    *block = (struct block){0};
}

struct block_encoder *block_encoder_new(struct identity gateway)
{
    struct block_encoder *encoder = mem_zalloc(sizeof *encoder);
    encoder->framer = framer_new(FRAME_ZSTD, LEVEL);
    encoder->hash = XXH3_createState();
    gw_assert(encoder->hash);
    identity_format(gateway, encoder->gateway);
    string_table_init(&encoder->flag_texts);
    return encoder;
}

void block_encoder_free(struct block_encoder *encoder)
{
    if (!encoder)
        return;
    framer_free(encoder->framer);
    XXH3_freeState(encoder->hash);
    buffer_fini(&encoder->raw);
    text_scratch_fini(&encoder->scratch);
    columns_fini(&encoder->columns);
    free(encoder->numbers);
    free(encoder->values);
    string_table_fini(&encoder->flag_texts);
    free(encoder);
}

/* ---- texts ---- */

/* encoder->numbers as a column. */
static void put_texts(struct block_encoder *encoder, const struct table_column *column,
                      const struct bytes *texts, uint32_t text_count)
{
    struct text_column text_column = {encoder->numbers, encoder->columns.count, texts, text_count};
    if (column->wire == WIRE_LOW_CARDINALITY)
        text_column_low_cardinality(&text_column, &encoder->scratch, &encoder->raw);
    else
        text_column_string(&text_column, &encoder->raw);
}

/* `member` of struct split_row. */
static void put_names(struct block_encoder *encoder, const struct table_column *column,
                      size_t member)
{
    const struct columns *from = &encoder->columns;
    for (uint32_t i = 0; i < from->count; i++)
        memcpy(&encoder->numbers[i], (const char *)&from->rows[i] + member, sizeof(uint32_t));
    put_texts(encoder, column, from->split->strings, from->split->string_count);
}

static void put_words(struct block_encoder *encoder, const struct table_column *column,
                      const uint8_t *codes, const struct bytes *words, uint32_t word_count)
{
    for (uint32_t i = 0; i < encoder->columns.count; i++)
        encoder->numbers[i] = codes[i];
    put_texts(encoder, column, words, word_count);
}

static void put_quality(struct block_encoder *encoder, const struct table_column *column)
{
    struct bytes words[QUALITY_COUNT];
    for (int i = 0; i < QUALITY_COUNT; i++)
        words[i] = bytes_text(quality_name((enum quality)i));
    put_words(encoder, column, encoder->columns.quality, words, QUALITY_COUNT);
}

static void put_time_source(struct block_encoder *encoder, const struct table_column *column)
{
    struct bytes words[TIME_SOURCE_COUNT];
    for (int i = 0; i < TIME_SOURCE_COUNT; i++)
        words[i] = bytes_text(time_source_name((enum time_source)i));
    put_words(encoder, column, encoder->columns.time_source, words, TIME_SOURCE_COUNT);
}

/* Neighbours mostly have the same flags, and mostly none. */
static void number_flags(struct block_encoder *encoder)
{
    struct buffer text = {0};
    uint32_t last_flags = 0, last_number = 0;
    string_table_clear(&encoder->flag_texts);
    for (uint32_t i = 0; i < encoder->columns.count; i++) {
        uint32_t flags = encoder->columns.flags[i];
        if (flags != last_flags) {
            buffer_clear(&text);
            flags_format(flags, &text);
            last_number = string_table_add(&encoder->flag_texts, buffer_bytes(&text), 0);
            last_flags = flags;
        }
        encoder->numbers[i] = last_number;
    }
    buffer_fini(&text);
}

static void put_flags(struct block_encoder *encoder, const struct table_column *column)
{
    number_flags(encoder);
    uint32_t count = encoder->flag_texts.count;
    struct bytes *texts = mem_alloc(count * sizeof *texts);
    for (uint32_t i = 0; i < count; i++)
        texts[i] = string_table_at(&encoder->flag_texts, i);
    put_texts(encoder, column, texts, count);
    free(texts);
}

static void put_gateway(struct block_encoder *encoder, const struct table_column *column)
{
    struct bytes name = bytes_text(encoder->gateway);
    memset(encoder->numbers, 0, encoder->columns.count * sizeof *encoder->numbers);
    put_texts(encoder, column, &name, 1);
}

static void put_text(struct block_encoder *encoder, enum table_column_id id)
{
    const struct table_column *column = &encoder->shape->columns[id];
    switch (id) {
    case COLUMN_VENDOR: put_names(encoder, column, offsetof(struct split_row, vendor)); break;
    case COLUMN_DEVICE: put_names(encoder, column, offsetof(struct split_row, device)); break;
    case COLUMN_METRIC: put_names(encoder, column, offsetof(struct split_row, metric)); break;
    case COLUMN_UNIT: put_names(encoder, column, offsetof(struct split_row, unit)); break;
    case COLUMN_QUALITY: put_quality(encoder, column); break;
    case COLUMN_FLAGS: put_flags(encoder, column); break;
    case COLUMN_TIME_SOURCE: put_time_source(encoder, column); break;
    default: gw_assert(id == COLUMN_GATEWAY); put_gateway(encoder, column);
    }
}

/* ---- numbers ---- */

/* encoder->values as a column of 1 << shift bytes each. */
static void put_narrow(struct block_encoder *encoder, int shift)
{
    uint32_t count = encoder->columns.count;
    const uint64_t *values = encoder->values;
    size_t size = (size_t)count << shift;
    uint8_t *at = buffer_reserve(&encoder->raw, size);
    if (shift == 0)
        for (uint32_t i = 0; i < count; i++)
            at[i] = (uint8_t)values[i];
    else if (shift == 1)
        for (uint32_t i = 0; i < count; i++)
            store_u16_le(at + 2 * (size_t)i, (uint16_t)values[i]);
    else if (shift == 2)
        for (uint32_t i = 0; i < count; i++)
            store_u32_le(at + 4 * (size_t)i, (uint32_t)values[i]);
    else
        for (uint32_t i = 0; i < count; i++)
            store_u64_le(at + 8 * (size_t)i, values[i]);
    encoder->raw.size += size;
}

static void put_values(struct block_encoder *encoder, enum wire_type wire)
{
    static const int shifts[] = {
        [WIRE_INT8] = 0,  [WIRE_INT16] = 1,    [WIRE_INT32] = 2,
        [WIRE_INT64] = 3, [WIRE_DATETIME] = 2, [WIRE_DATETIME64] = 3,
    };
    put_narrow(encoder, shifts[wire]);
}

/* A byte a row that says null, then all values. */
static void put_nullable(struct block_encoder *encoder)
{
    uint32_t count = encoder->columns.count;
    buffer_add(&encoder->raw, encoder->columns.is_null, count);
    memcpy(encoder->values, encoder->columns.value, count * sizeof *encoder->values);
    put_narrow(encoder, 3);
}

/* ---- times ---- */

static int64_t floor_s(int64_t ms)
{
    return ms / MS_PER_S - (ms % MS_PER_S < 0);
}

/* Of `ts`, which the split keeps within the type, and `received`: our own clock, of which nothing
 * outside the type can come but from a machine without one. */
static uint64_t time_value(const struct table_column *column, int64_t ms)
{
    if (column->wire == WIRE_DATETIME64)
        return (uint64_t)(ms * column->ticks_per_ms);
    int64_t seconds = floor_s(ms);
    return (uint64_t)(seconds < 0 ? 0 : seconds > UINT32_MAX ? UINT32_MAX : seconds);
}

static void gather_times(struct block_encoder *encoder, enum table_column_id id)
{
    const struct columns *from = &encoder->columns;
    const struct table_column *column = &encoder->shape->columns[id];
    bool ts = id == COLUMN_TS || id == COLUMN_TS_MS;
    bool below_second = id == COLUMN_TS_MS || id == COLUMN_RECEIVED_MS;
    for (uint32_t i = 0; i < from->count; i++) {
        int64_t ms = ts ? from->rows[i].ts_ms : from->received_ms[i];
        encoder->values[i] =
            below_second ? (uint64_t)(ms - floor_s(ms) * MS_PER_S) : time_value(column, ms);
    }
}

static void gather_numbers(struct block_encoder *encoder, enum table_column_id id)
{
    const struct columns *from = &encoder->columns;
    uint64_t generation = from->split->unit->generation;
    for (uint32_t i = 0; i < from->count; i++)
        switch (id) {
        case COLUMN_SCALE: encoder->values[i] = from->scale[i]; break;
        case COLUMN_SEQ: encoder->values[i] = from->seq[i]; break;
        default:
            encoder->values[i] = ((uint64_t)from->received_ms[i] << GENERATION_BITS) + generation;
        }
}

/* ---- the block ---- */

static void put_column(struct block_encoder *encoder, enum table_column_id id)
{
    const struct table_column *column = &encoder->shape->columns[id];
    buffer_varbytes(&encoder->raw, bytes_text(table_column_name(id)));
    buffer_varbytes(&encoder->raw, bytes_text(column->type));
    switch (id) {
    case COLUMN_VALUE: put_nullable(encoder); break;
    case COLUMN_TS:
    case COLUMN_TS_MS:
    case COLUMN_RECEIVED:
    case COLUMN_RECEIVED_MS:
        gather_times(encoder, id);
        put_values(encoder, column->wire);
        break;
    case COLUMN_SCALE:
    case COLUMN_SEQ:
    case COLUMN_VERSION:
        gather_numbers(encoder, id);
        put_values(encoder, column->wire);
        break;
    default: put_text(encoder, id);
    }
}

/* Frames are cut where they always were: the bytes do not depend on columns. */
static void put_frames(struct block_encoder *encoder, bool all, struct buffer *out)
{
    struct buffer *raw = &encoder->raw;
    size_t size = all ? raw->size : raw->size - raw->size % FRAME_RAW_MAX;
    if (size == 0)
        return;
    XXH3_128bits_update(encoder->hash, raw->data, size);
    framer_add(encoder->framer, bytes_of(raw->data, size), out);
    encoder->raw_size += size;
    raw->size -= size;
    memmove(raw->data, raw->data + size, raw->size);
}

static void put_block(struct block_encoder *encoder, struct buffer *out)
{
    uint32_t columns = 0;
    for (int id = 0; id < COLUMN_COUNT; id++)
        columns += encoder->shape->columns[id].wire != WIRE_ABSENT;
    buffer_clear(&encoder->raw);
    encoder->raw_size = 0;
    XXH3_128bits_reset(encoder->hash);
    buffer_varint(&encoder->raw, columns);
    buffer_varint(&encoder->raw, encoder->columns.count);
    for (int id = 0; id < COLUMN_COUNT; id++) {
        if (encoder->shape->columns[id].wire == WIRE_ABSENT)
            continue;
        put_column(encoder, (enum table_column_id)id);
        put_frames(encoder, false, out);
    }
    put_frames(encoder, true, out);
}

static void reserve(struct block_encoder *encoder, uint32_t count)
{
    if (count <= encoder->capacity)
        return;
    free(encoder->numbers);
    free(encoder->values);
    encoder->numbers = mem_alloc(count * sizeof *encoder->numbers);
    encoder->values = mem_alloc(count * sizeof *encoder->values);
    encoder->capacity = count;
}

void block_encode(struct block_encoder *encoder, const struct table_shape *shape,
                  const struct split *split, uint32_t first, uint32_t count, struct block *out)
{
    gw_assert(count > 0 && first <= split->row_count && count <= split->row_count - first);
    reserve(encoder, count);
    encoder->shape = shape;
    columns_gather(&encoder->columns, split, first, count);
    buffer_clear(&out->body);
    put_block(encoder, &out->body);
    XXH128_hash_t hash = XXH3_128bits_digest(encoder->hash);
    snprintf(out->token, sizeof out->token, "%016llx%016llx", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
    out->rows = count;
    out->raw_size = encoder->raw_size;
}
