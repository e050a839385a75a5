/* SPDX-License-Identifier: Apache-2.0
 *
 * A Native block, read back as a server reads it, against the batches it was made of.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <xxhash.h>

#include "base/utf8.h"
#include "sinks/clickhouse/block.h"
#include "sinks/clickhouse/frame.h"

#define DAY_MS INT64_C(86400000)
static const struct identity gateway = {0x0123456789abcdef};

static const char describe_old[] =
    "vendor\tString\ndevice\tString\nmetric\tString\nts\tDateTime(\\'UTC\\')\nts_ms\tUInt16\n"
    "value\tNullable(Float64)\nunit\tString\nscale\tUInt8\nquality\tString\nflags\tString\n"
    "time_source\tString\nseq\tUInt64\nreceived\tDateTime\nreceived_ms\tUInt32\n"
    "gateway\tString\nversion\tUInt64\n";
static const char describe_new[] =
    "vendor\tLowCardinality(String)\ndevice\tLowCardinality(String)\n"
    "metric\tLowCardinality(String)\nts\tDateTime64(3, \\'UTC\\')\nvalue\tNullable(Float64)\n"
    "unit\tLowCardinality(String)\nscale\tInt16\nquality\tLowCardinality(String)\n"
    "flags\tLowCardinality(String)\ntime_source\tString\nseq\tInt64\nreceived\tDateTime64(6)\n"
    "gateway\tLowCardinality(String)\nversion\tUInt64\n";

static struct table_shape shape_of(const char *version, const char *describe)
{
    struct table_shape shape;
    struct err err = {0};
    assert_int_equal(table_version_parse(bytes_text(version), &shape, &err), 0);
    assert_int_equal(table_describe_check(bytes_text(describe), &shape, &err), 0);
    return shape;
}

static struct split_limits limits_of(const struct table_shape *shape)
{
    return (struct split_limits){.shards = 1,
                                 .rows_max = 1 << 20,
                                 .bytes_max = (size_t)1 << 30,
                                 .ts_min_ms = shape->ts_min_ms,
                                 .ts_max_ms = shape->ts_max_ms};
}

/* ---- a unit with everything in it ---- */

static void add_rows(struct batch_builder *builder, uint32_t from, uint32_t rows, uint32_t devices)
{
    static const char *const vendors[] = {"acme", "", "\xc3\xa9tude", "\xff\xfe"};
    for (uint32_t i = from; i < from + rows; i++) {
        char device[32];
        snprintf(device, sizeof device, i % 3 ? "%08u" : "\xe6\xb0\xb4\t'%u\\", i * 7919 % devices);
        batch_builder_add(builder,
                          &(struct batch_row){
                              .vendor = bytes_text(vendors[i % 4]),
                              .device = bytes_text(device),
                              .metric = bytes_text(i % 2 ? "pressure" : "volume.total"),
                              .unit = bytes_text(i % 2 ? "kPa" : ""),
                              .ts_ms = 20000 * DAY_MS + i * 104729 % 86400000,
                              .unscaled = (i % 5 ? 1 : -1) * (INT64_C(123456789012345) + i),
                              .scale = (uint8_t)(i % 19),
                              .has_value = i % 7 != 0,
                              .quality = (enum quality)(i % QUALITY_COUNT),
                              .time_source = (enum time_source)(i % TIME_SOURCE_COUNT),
                              .flags = i % 4 ? 0 : 1U << i % FLAG_COUNT | FLAG_LATE,
                              .seq = i + (i == 9 ? UINT64_C(1) << 63 : 0),
                              .received_ms = INT64_C(1764000001000) + i * 37,
                          });
    }
}

static struct unit make_unit(uint32_t batches, uint32_t rows_each, uint32_t devices)
{
    struct unit unit = {.generation = 3, .batch_count = batches, .rows = batches * rows_each};
    struct batch_builder *builder = batch_builder_new();
    unit.batches = mem_alloc(batches * sizeof(struct batch *));
    for (uint32_t b = 0; b < batches; b++) {
        add_rows(builder, b * rows_each, rows_each, devices);
        unit.batches[b] = batch_builder_finish(builder);
    }
    batch_builder_free(builder);
    return unit;
}

static void unit_free(struct unit *unit)
{
    for (uint32_t b = 0; b < unit->batch_count; b++)
        batch_release(unit->batches[b]);
    free(unit->batches);
}

/* ---- a reader of Native ---- */

enum { ROWS_MAX = 20000 };
struct cell {
    struct bytes text; /* String */
    uint64_t bits;     /* anything else, zero extended */
    bool null;
};

static void read_strings(struct reader *in, uint64_t count, struct cell *cells)
{
    for (uint64_t i = 0; i < count; i++)
        cells[i].text = reader_varbytes(in);
}

static uint64_t read_number(struct reader *in, int width)
{
    uint64_t value = 0;
    struct bytes raw = reader_bytes(in, width);
    for (size_t i = raw.size; i > 0; i--)
        value = value << 8 | raw.data[i - 1];
    return value;
}

static void read_low_cardinality(struct reader *in, uint32_t rows, struct cell *cells)
{
    static struct cell keys[ROWS_MAX];
    assert_int_equal(reader_u64_le(in), 1);
    uint64_t flags = reader_u64_le(in), key_count = reader_u64_le(in);
    assert_int_equal(flags & ~UINT64_C(0xff), 0x600);
    assert_in_range(key_count, 1, rows);
    assert_true((flags & 0xff) == (key_count <= 256 ? 0 : 1));
    read_strings(in, key_count, keys);
    assert_int_equal(reader_u64_le(in), rows);
    for (uint32_t i = 0; i < rows; i++) {
        uint64_t key = read_number(in, 1 << (flags & 0xff));
        assert_true(key < key_count);
        cells[i].text = keys[key].text;
    }
}

static int width_of(const char *type)
{
    static const struct {
        const char *type;
        int width;
    } widths[] = {{"UInt8", 1},        {"UInt16", 2},   {"Int16", 2},
                  {"UInt32", 4},       {"DateTime", 4}, {"DateTime('UTC')", 4},
                  {"UInt64", 8},       {"Int64", 8},    {"DateTime64(3, 'UTC')", 8},
                  {"DateTime64(6)", 8}};
    for (size_t i = 0; i < array_count(widths); i++)
        if (strcmp(type, widths[i].type) == 0)
            return widths[i].width;
    fail_msg("no such type: %s", type);
    return 0;
}

static void read_values(struct reader *in, const char *type, uint32_t rows, struct cell *cells)
{
    if (strcmp(type, "String") == 0) {
        read_strings(in, rows, cells);
    } else if (strcmp(type, "LowCardinality(String)") == 0) {
        read_low_cardinality(in, rows, cells);
    } else if (strcmp(type, "Nullable(Float64)") == 0) {
        for (uint32_t i = 0; i < rows; i++)
            cells[i].null = reader_u8(in);
        for (uint32_t i = 0; i < rows; i++)
            cells[i].bits = read_number(in, 8);
    } else {
        for (uint32_t i = 0; i < rows; i++)
            cells[i].bits = read_number(in, width_of(type));
    }
}

/* ---- what each cell must be ---- */

struct expectation {
    const struct split *split;
    const struct table_shape *shape;
    uint32_t first;
};

static void assert_text(struct bytes found, struct bytes expected)
{
    struct buffer repaired = {0};
    utf8_repair(expected, &repaired);
    assert_true(bytes_equal(found, buffer_bytes(&repaired)));
    buffer_fini(&repaired);
}

static void assert_flags(struct bytes found, uint32_t flags)
{
    struct buffer text = {0};
    flags_format(flags, &text);
    assert_true(bytes_equal(found, buffer_bytes(&text)));
    buffer_fini(&text);
}

static void assert_value(const struct cell *cell, const struct batch *batch, uint32_t row)
{
    double value;
    memcpy(&value, &cell->bits, sizeof value);
    assert_int_equal(cell->null, !batch->has_value[row]);
    assert_true(value == (cell->null ? 0 : batch_value(batch, row)));
}

static void assert_time(uint64_t bits, const struct table_column *column, int64_t ms)
{
    if (column->wire == WIRE_DATETIME)
        assert_int_equal(bits, ms / 1000);
    else
        assert_int_equal(bits, ms * column->ticks_per_ms);
}

static void assert_cell(const struct expectation *of, enum table_column_id id, uint32_t index,
                        const struct cell *cell)
{
    const struct split_row *place = &of->split->rows[of->first + index];
    const struct batch *batch = of->split->unit->batches[place->batch];
    const struct table_column *column = &of->shape->columns[id];
    uint32_t row = place->row;
    char name[IDENTITY_TEXT_SIZE];
    switch (id) {
    case COLUMN_VENDOR: return assert_text(cell->text, batch->strings[batch->vendor[row]]);
    case COLUMN_DEVICE: return assert_text(cell->text, batch->strings[batch->device[row]]);
    case COLUMN_METRIC: return assert_text(cell->text, batch->strings[batch->metric[row]]);
    case COLUMN_UNIT: return assert_text(cell->text, batch->strings[batch->unit[row]]);
    case COLUMN_QUALITY:
        return assert_text(cell->text, bytes_text(quality_name(batch->quality[row])));
    case COLUMN_TIME_SOURCE:
        return assert_text(cell->text, bytes_text(time_source_name(batch->time_source[row])));
    case COLUMN_GATEWAY: return assert_text(cell->text, bytes_text(identity_format(gateway, name)));
    case COLUMN_FLAGS: return assert_flags(cell->text, batch->flags[row]);
    case COLUMN_VALUE: return assert_value(cell, batch, row);
    case COLUMN_TS: return assert_time(cell->bits, column, batch->ts_ms[row]);
    case COLUMN_RECEIVED: return assert_time(cell->bits, column, batch->received_ms[row]);
    default: break;
    }
    const uint64_t numbers[COLUMN_COUNT] = {
        [COLUMN_TS_MS] = batch->ts_ms[row] % 1000,
        [COLUMN_SCALE] = batch->scale[row],
        [COLUMN_SEQ] = batch->seq[row],
        [COLUMN_RECEIVED_MS] = batch->received_ms[row] % 1000,
        [COLUMN_VERSION] = (uint64_t)batch->received_ms[row] * (1 << 20) + 3,
    };
    assert_int_equal(cell->bits, numbers[id]);
}

/* The body is one block of these rows, and nothing else. */
static void assert_block(const struct expectation *of, const struct block *block, uint32_t count)
{
    static struct cell cells[ROWS_MAX];
    struct err err = {0};
    struct buffer raw = {0};
    assert_int_equal(frame_decode(buffer_bytes(&block->body), &raw, &err), 0);
    assert_int_equal(raw.size, block->raw_size);
    assert_int_equal(block->rows, count);
    struct reader in = reader_of(buffer_bytes(&raw));
    uint64_t columns = reader_varint(&in);
    assert_int_equal(reader_varint(&in), count);
    for (int id = 0; id < COLUMN_COUNT; id++) {
        if (of->shape->columns[id].wire == WIRE_ABSENT)
            continue;
        columns--;
        assert_true(bytes_equal_text(reader_varbytes(&in), table_column_name(id)));
        assert_true(bytes_equal_text(reader_varbytes(&in), of->shape->columns[id].type));
        read_values(&in, of->shape->columns[id].type, count, cells);
        assert_false(in.failed);
        for (uint32_t i = 0; i < count; i++)
            assert_cell(of, id, i, &cells[i]);
    }
    assert_int_equal(columns, 0);
    assert_int_equal(reader_left(&in), 0);
    buffer_fini(&raw);
}

/* ---- tests ---- */

static void assert_unit_comes_back(struct unit *unit, const struct table_shape *shape)
{
    struct split split;
    struct block block = {0};
    struct split_limits limits = limits_of(shape);
    struct block_encoder *encoder = block_encoder_new(gateway);
    split_init(&split, unit, &limits);
    assert_int_equal(split.part_count, 1);
    static const uint32_t pieces[] = {1, 2, 7, 500, UINT32_MAX};
    for (size_t i = 0; i < array_count(pieces); i++)
        for (uint32_t first = 0; first < split.row_count; first += 1 + split.row_count / 3) {
            uint32_t left = split.row_count - first;
            uint32_t count = pieces[i] < left ? pieces[i] : left;
            block_encode(encoder, shape, &split, first, count, &block);
            assert_block(&(struct expectation){&split, shape, first}, &block, count);
        }
    block_fini(&block);
    block_encoder_free(encoder);
    split_fini(&split);
}

static void every_cell_is_the_readings(void **state)
{
    (void)state;
    struct table_shape old = shape_of("18.16.1", describe_old);
    struct table_shape now = shape_of("26.7.2.1", describe_new);
    static const uint32_t sizes[][3] = {{1, 1, 1}, {1, 1000, 17}, {5, 3000, 9000}};
    for (size_t i = 0; i < array_count(sizes); i++) {
        struct unit unit = make_unit(sizes[i][0], sizes[i][1], sizes[i][2]);
        assert_unit_comes_back(&unit, &old);
        assert_unit_comes_back(&unit, &now);
        unit_free(&unit);
    }
}

static void the_same_rows_give_the_same_bytes_and_token(void **state)
{
    (void)state;
    struct table_shape shape = shape_of("26.7.2.1", describe_new);
    struct split_limits limits = limits_of(&shape);
    struct unit unit = make_unit(3, 2000, 300);
    struct split first, second;
    struct block a = {0}, b = {0}, c = {0};
    struct block_encoder *used = block_encoder_new(gateway);
    split_init(&first, &unit, &limits);
    split_init(&second, &unit, &limits); /* as after a restart */
    block_encode(used, &shape, &first, 0, first.row_count, &a);
    block_encode(used, &shape, &first, 0, first.row_count - 1, &c);
    assert_string_not_equal(a.token, c.token);
    struct block_encoder *fresh = block_encoder_new(gateway);
    block_encode(fresh, &shape, &second, 0, second.row_count, &b);
    assert_true(bytes_equal(buffer_bytes(&a.body), buffer_bytes(&b.body)));
    assert_string_equal(a.token, b.token);
    assert_int_equal(strlen(a.token), BLOCK_TOKEN_SIZE - 1);
    block_encode(used, &shape, &first, 0, first.row_count, &c);
    assert_true(bytes_equal(buffer_bytes(&a.body), buffer_bytes(&c.body)));
    block_encoder_free(used);
    block_encoder_free(fresh);
    block_fini(&a);
    block_fini(&b);
    block_fini(&c);
    split_fini(&first);
    split_fini(&second);
    unit_free(&unit);
}

/* However large the columns are; a retry by an earlier version has the same bytes. */
static void frames_are_cut_every_mebibyte(void **state)
{
    (void)state;
    struct table_shape shape = shape_of("18.16.1", describe_old);
    struct split_limits limits = limits_of(&shape);
    struct unit unit = make_unit(10, 10000, 300);
    struct split split;
    struct block block = {0};
    struct buffer raw = {0}, again = {0};
    struct err err;
    struct block_encoder *encoder = block_encoder_new(gateway);
    split_init(&split, &unit, &limits);
    block_encode(encoder, &shape, &split, 0, split.row_count, &block);
    assert_true(block.raw_size > 8 * FRAME_RAW_MAX);
    assert_int_equal(frame_decode(buffer_bytes(&block.body), &raw, &err), 0);
    assert_int_equal(raw.size, block.raw_size);
    struct framer *framer = framer_new(FRAME_ZSTD, 1);
    framer_add(framer, buffer_bytes(&raw), &again);
    assert_true(bytes_equal(buffer_bytes(&again), buffer_bytes(&block.body)));
    XXH128_hash_t hash = XXH3_128bits(raw.data, raw.size);
    char token[BLOCK_TOKEN_SIZE];
    snprintf(token, sizeof token, "%016llx%016llx", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
    assert_string_equal(block.token, token);
    framer_free(framer);
    block_encoder_free(encoder);
    block_fini(&block);
    buffer_fini(&raw);
    buffer_fini(&again);
    split_fini(&split);
    unit_free(&unit);
}

/* The token tells blocks apart for a server that compares nothing else. */
static void another_gateway_or_generation_has_another_token(void **state)
{
    (void)state;
    struct table_shape shape = shape_of("26.7.2.1", describe_new);
    struct split_limits limits = limits_of(&shape);
    struct unit unit = make_unit(1, 50, 5);
    struct split split;
    struct block a = {0}, b = {0};
    struct block_encoder *encoder = block_encoder_new(gateway);
    struct block_encoder *other = block_encoder_new((struct identity){1});
    split_init(&split, &unit, &limits);
    block_encode(encoder, &shape, &split, 0, 50, &a);
    block_encode(other, &shape, &split, 0, 50, &b);
    assert_string_not_equal(a.token, b.token);
    unit.generation++;
    block_encode(encoder, &shape, &split, 0, 50, &b);
    assert_string_not_equal(a.token, b.token);
    block_encoder_free(encoder);
    block_encoder_free(other);
    block_fini(&a);
    block_fini(&b);
    split_fini(&split);
    unit_free(&unit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cell_is_the_readings),
        cmocka_unit_test(the_same_rows_give_the_same_bytes_and_token),
        cmocka_unit_test(frames_are_cut_every_mebibyte),
        cmocka_unit_test(another_gateway_or_generation_has_another_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
