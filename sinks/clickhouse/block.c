/* SPDX-License-Identifier: Apache-2.0
 *
 * A Native block, column after column:
 *   varint columns | varint rows | for each column: name, type, values
 * Each column is gathered from the batches in the order of the rows. One thread.
 */
#include "sinks/clickhouse/block.h"

#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "sinks/clickhouse/frame.h"
#include "sinks/clickhouse/text_column.h"

enum { LEVEL = 1, GENERATION_BITS = 20, MS_PER_S = 1000 };
#define DATETIME_MAX INT64_C(0xffffffff)

struct block_encoder {
    const struct table_shape *shape;
    struct framer *framer;
    struct buffer raw;
    char gateway[IDENTITY_TEXT_SIZE];
    struct text_scratch scratch;
    uint32_t *numbers; /* a text column in the making */
    uint32_t numbers_capacity;
    struct string_table flag_texts;
    struct bytes *flag_bytes; /* the same, as text_column wants them */
};

/* What a block is made of, for the column writers. */
struct source {
    const struct split *split;
    const struct split_row *rows;
    uint32_t count;
};

void block_fini(struct block *block)
{
    buffer_fini(&block->body);
    *block = (struct block){0};
}

struct block_encoder *block_encoder_new(const struct table_shape *shape, struct identity gateway)
{
    struct block_encoder *encoder = mem_zalloc(sizeof *encoder);
    encoder->shape = shape;
    encoder->framer = framer_new(FRAME_ZSTD, LEVEL);
    identity_format(gateway, encoder->gateway);
    string_table_init(&encoder->flag_texts);
    return encoder;
}

void block_encoder_free(struct block_encoder *encoder)
{
    if (!encoder)
        return;
    framer_free(encoder->framer);
    buffer_fini(&encoder->raw);
    text_scratch_fini(&encoder->scratch);
    free(encoder->numbers);
    string_table_fini(&encoder->flag_texts);
    free(encoder->flag_bytes);
    free(encoder);
}

static inline const struct batch *batch_of(const struct source *source, uint32_t i)
{
    return source->split->unit->batches[source->rows[i].batch];
}

/* ---- texts ---- */

static void put_texts(struct block_encoder *encoder, const struct table_column *column,
                      uint32_t rows, const struct bytes *texts, uint32_t text_count)
{
    struct text_column texts_of = {encoder->numbers, rows, texts, text_count};
    if (column->wire == WIRE_LOW_CARDINALITY)
        text_column_low_cardinality(&texts_of, &encoder->scratch, &encoder->raw);
    else
        text_column_string(&texts_of, &encoder->raw);
}

static void put_names(struct block_encoder *encoder, const struct table_column *column,
                      const struct source *source, size_t member)
{
    for (uint32_t i = 0; i < source->count; i++)
        memcpy(&encoder->numbers[i], (const char *)&source->rows[i] + member, sizeof(uint32_t));
    put_texts(encoder, column, source->count, source->split->strings, source->split->string_count);
}

static void put_quality(struct block_encoder *encoder, const struct table_column *column,
                        const struct source *source)
{
    struct bytes names[QUALITY_COUNT];
    for (int i = 0; i < QUALITY_COUNT; i++)
        names[i] = bytes_text(quality_name((enum quality)i));
    for (uint32_t i = 0; i < source->count; i++)
        encoder->numbers[i] = batch_of(source, i)->quality[source->rows[i].row];
    put_texts(encoder, column, source->count, names, QUALITY_COUNT);
}

static void put_time_source(struct block_encoder *encoder, const struct table_column *column,
                            const struct source *source)
{
    struct bytes names[TIME_SOURCE_COUNT];
    for (int i = 0; i < TIME_SOURCE_COUNT; i++)
        names[i] = bytes_text(time_source_name((enum time_source)i));
    for (uint32_t i = 0; i < source->count; i++)
        encoder->numbers[i] = batch_of(source, i)->time_source[source->rows[i].row];
    put_texts(encoder, column, source->count, names, TIME_SOURCE_COUNT);
}

/* Neighbours mostly have the same flags, and mostly none. */
static void number_flags(struct block_encoder *encoder, const struct source *source)
{
    struct buffer text = {0};
    uint32_t last_flags = 0, last_number = 0;
    string_table_clear(&encoder->flag_texts);
    for (uint32_t i = 0; i < source->count; i++) {
        uint32_t flags = batch_of(source, i)->flags[source->rows[i].row];
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

static void put_flags(struct block_encoder *encoder, const struct table_column *column,
                      const struct source *source)
{
    number_flags(encoder, source);
    uint32_t count = encoder->flag_texts.count;
    encoder->flag_bytes = mem_realloc(encoder->flag_bytes, count * sizeof *encoder->flag_bytes);
    for (uint32_t i = 0; i < count; i++)
        encoder->flag_bytes[i] = string_table_at(&encoder->flag_texts, i);
    put_texts(encoder, column, source->count, encoder->flag_bytes, count);
}

static void put_gateway(struct block_encoder *encoder, const struct table_column *column,
                        const struct source *source)
{
    struct bytes name = bytes_text(encoder->gateway);
    memset(encoder->numbers, 0, source->count * sizeof *encoder->numbers);
    put_texts(encoder, column, source->count, &name, 1);
}

/* ---- numbers ---- */

static inline void put_integer(uint8_t *at, size_t i, enum wire_type wire, uint64_t value)
{
    switch (wire) {
    case WIRE_INT8: at[i] = (uint8_t)value; break;
    case WIRE_INT16: store_u16_le(at + 2 * i, (uint16_t)value); break;
    case WIRE_INT32:
    case WIRE_DATETIME: store_u32_le(at + 4 * i, (uint32_t)value); break;
    default: store_u64_le(at + 8 * i, value);
    }
}

static size_t wire_size(enum wire_type wire)
{
    switch (wire) {
    case WIRE_INT8: return 1;
    case WIRE_INT16: return 2;
    case WIRE_INT32:
    case WIRE_DATETIME: return 4;
    default: return 8;
    }
}

static int64_t floor_s(int64_t ms)
{
    return ms / MS_PER_S - (ms % MS_PER_S < 0);
}

static uint64_t time_value(const struct table_column *column, int64_t ms)
{
    if (column->wire == WIRE_DATETIME64)
        return (uint64_t)(ms * column->ticks_per_ms);
    return (uint64_t)floor_s(ms);
}

/* Our own clock: a time that the type cannot hold is a machine without one. */
static int64_t received_within(const struct table_column *column, int64_t ms)
{
    if (column->wire == WIRE_DATETIME)
        return ms < 0 ? 0 : ms > DATETIME_MAX * MS_PER_S ? DATETIME_MAX * MS_PER_S : ms;
    return ms;
}

static uint64_t integer_of(const struct table_shape *shape, enum table_column_id id,
                           const struct source *source, uint32_t i)
{
    const struct split_row *row = &source->rows[i];
    const struct batch *batch = batch_of(source, i);
    const struct table_column *column = &shape->columns[id];
    int64_t received = batch->received_ms[row->row];
    switch (id) {
    case COLUMN_TS: return time_value(column, row->ts_ms);
    case COLUMN_TS_MS: return (uint64_t)(row->ts_ms - floor_s(row->ts_ms) * MS_PER_S);
    case COLUMN_SCALE: return batch->scale[row->row];
    case COLUMN_SEQ: return batch->seq[row->row];
    case COLUMN_RECEIVED: return time_value(column, received_within(column, received));
    case COLUMN_RECEIVED_MS: return (uint64_t)(received - floor_s(received) * MS_PER_S);
    default:
        gw_assert(id == COLUMN_VERSION);
        return ((uint64_t)received << GENERATION_BITS) + source->split->unit->generation;
    }
}

static void put_integers(struct block_encoder *encoder, enum table_column_id id,
                         const struct source *source)
{
    enum wire_type wire = encoder->shape->columns[id].wire;
    size_t size = source->count * wire_size(wire);
    uint8_t *at = buffer_reserve(&encoder->raw, size);
    for (uint32_t i = 0; i < source->count; i++)
        put_integer(at, i, wire, integer_of(encoder->shape, id, source, i));
    encoder->raw.size += size;
}

/* A byte a row that says null, then all values. */
static void put_values(struct block_encoder *encoder, const struct source *source)
{
    size_t count = source->count;
    uint8_t *nulls = buffer_reserve(&encoder->raw, count + count * sizeof(double));
    uint8_t *values = nulls + count;
    for (size_t i = 0; i < count; i++) {
        const struct batch *batch = batch_of(source, (uint32_t)i);
        uint32_t row = source->rows[i].row;
        double value = batch->has_value[row] ? batch_value(batch, row) : 0;
        uint64_t bits;
        memcpy(&bits, &value, sizeof bits);
        nulls[i] = !batch->has_value[row];
        store_u64_le(values + 8 * i, bits);
    }
    encoder->raw.size += count + count * sizeof(double);
}

/* ---- the block ---- */

static void put_column(struct block_encoder *encoder, enum table_column_id id,
                       const struct source *source)
{
    const struct table_column *column = &encoder->shape->columns[id];
    buffer_varbytes(&encoder->raw, bytes_text(table_column_name(id)));
    buffer_varbytes(&encoder->raw, bytes_text(column->type));
    switch (id) {
    case COLUMN_VENDOR:
        put_names(encoder, column, source, offsetof(struct split_row, vendor));
        break;
    case COLUMN_DEVICE:
        put_names(encoder, column, source, offsetof(struct split_row, device));
        break;
    case COLUMN_METRIC:
        put_names(encoder, column, source, offsetof(struct split_row, metric));
        break;
    case COLUMN_UNIT: put_names(encoder, column, source, offsetof(struct split_row, unit)); break;
    case COLUMN_QUALITY: put_quality(encoder, column, source); break;
    case COLUMN_FLAGS: put_flags(encoder, column, source); break;
    case COLUMN_TIME_SOURCE: put_time_source(encoder, column, source); break;
    case COLUMN_GATEWAY: put_gateway(encoder, column, source); break;
    case COLUMN_VALUE: put_values(encoder, source); break;
    default: put_integers(encoder, id, source);
    }
}

static void put_block(struct block_encoder *encoder, const struct source *source)
{
    uint32_t columns = 0;
    for (int id = 0; id < COLUMN_COUNT; id++)
        columns += encoder->shape->columns[id].wire != WIRE_ABSENT;
    buffer_clear(&encoder->raw);
    buffer_varint(&encoder->raw, columns);
    buffer_varint(&encoder->raw, source->count);
    for (int id = 0; id < COLUMN_COUNT; id++)
        if (encoder->shape->columns[id].wire != WIRE_ABSENT)
            put_column(encoder, (enum table_column_id)id, source);
}

void block_encode(struct block_encoder *encoder, const struct split *split, uint32_t first,
                  uint32_t count, struct block *out)
{
    gw_assert(count > 0 && first <= split->row_count && count <= split->row_count - first);
    if (count > encoder->numbers_capacity) {
        encoder->numbers_capacity = count;
        free(encoder->numbers);
        encoder->numbers = mem_alloc(count * sizeof *encoder->numbers);
    }
    struct source source = {split, split->rows + first, count};
    put_block(encoder, &source);
    XXH128_hash_t hash = XXH3_128bits(encoder->raw.data, encoder->raw.size);
    snprintf(out->token, sizeof out->token, "%016llx%016llx", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
    out->rows = count;
    out->raw_size = encoder->raw.size;
    buffer_clear(&out->body);
    framer_add(encoder->framer, buffer_bytes(&encoder->raw), &out->body);
}
