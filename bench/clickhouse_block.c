/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows a second of the ClickHouse sink without a server: a unit into parts, parts into compressed
 * blocks, on one core; and what the order of rows within a block does to its size. Each line says what
 * was measured.
 *
 *     bench_clickhouse_block [rows] [rounds]
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "sinks/clickhouse/block.h"
#include "sinks/clickhouse/frame.h"

enum { METERS = 10000, MS_PER_S = 1000, BATCH_ROWS = 5000, DAY_MS = 86400000 };
#define START_MS INT64_C(1763683200000) /* 2025-11-21 */

static const char old_table[] =
    "vendor\tString\ndevice\tString\nmetric\tString\nts\tDateTime\nts_ms\tUInt16\n"
    "value\tNullable(Float64)\nunit\tString\nscale\tUInt8\nquality\tString\nflags\tString\n"
    "time_source\tString\nseq\tUInt64\nreceived\tDateTime\nreceived_ms\tUInt16\n"
    "gateway\tString\nversion\tUInt64\n";
static const char new_table[] =
    "vendor\tLowCardinality(String)\ndevice\tString\nmetric\tLowCardinality(String)\n"
    "ts\tDateTime64(3, 'UTC')\nvalue\tNullable(Float64)\nunit\tLowCardinality(String)\n"
    "scale\tUInt8\nquality\tLowCardinality(String)\nflags\tLowCardinality(String)\n"
    "time_source\tLowCardinality(String)\nseq\tUInt64\nreceived\tDateTime64(3, 'UTC')\n"
    "gateway\tLowCardinality(String)\nversion\tUInt64\n";

/* Meters report in an order of their own, a counter and a pressure each. */
static void add_rows(struct batch_builder *builder, uint32_t from, uint32_t rows)
{
    for (uint32_t i = from; i < from + rows; i++) {
        char device[24];
        uint32_t message = i / 2, meter = (uint32_t)((uint64_t)message * 7919 % METERS);
        int64_t at = START_MS + message / METERS * (int64_t)900 * MS_PER_S + meter * 90;
        snprintf(device, sizeof device, "%010u", 20250000 + meter);
        struct batch_row row = {
            .vendor = bytes_text(meter % 4 ? "acme" : "zenith"),
            .device = bytes_text(device),
            .metric = bytes_text(i % 2 ? "pressure" : "volume.total"),
            .unit = bytes_text(i % 2 ? "kPa" : "m3"),
            .ts_ms = at,
            .unscaled = i % 2 ? 2900 + (int64_t)(meter * 2654435761U >> 24)
                              : (int64_t)meter * 1000003 % 9999991 + message / METERS * 17,
            .scale = i % 2 ? 1 : 3,
            .has_value = true,
            .flags = meter % 200 == 0 ? FLAG_LATE : 0,
            .seq = message + 1,
            .received_ms = START_MS + (int64_t)message,
        };
        batch_builder_add(builder, &row);
    }
}

static struct unit make_unit(uint32_t rows)
{
    struct batch_builder *builder = batch_builder_new();
    struct unit unit = {.first_seq = 1, .last_seq = rows / 2 + 1, .generation = 1, .rows = rows};
    unit.batches = mem_alloc((rows / BATCH_ROWS + 1) * sizeof(struct batch *));
    for (uint32_t at = 0; at < rows; at += BATCH_ROWS) {
        add_rows(builder, at, rows - at < BATCH_ROWS ? rows - at : BATCH_ROWS);
        unit.batches[unit.batch_count++] = batch_builder_finish(builder);
    }
    batch_builder_free(builder);
    return unit;
}

static double rate(uint64_t rows, int64_t ns)
{
    return (double)rows / ((double)ns / 1e9) / 1e6;
}

static int compare_arrival(const void *a, const void *b)
{
    const struct split_row *x = a, *y = b;
    if (x->batch != y->batch)
        return x->batch < y->batch ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

static void measure(const char *name, const char *version, const char *table,
                    const struct unit *unit, int rounds)
{
    struct err err;
    struct table_shape shape;
    if (table_version_parse(bytes_text(version), &shape, &err) < 0 ||
        table_describe_check(bytes_text(table), &shape, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    struct block_encoder *encoder = block_encoder_new((struct identity){42});
    struct split_limits limits = {1, 200000, 64 << 20, shape.ts_min_ms, shape.ts_max_ms};
    struct block block = {0};
    struct split split = {0};
    int64_t split_ns = 0, encode_ns = 0;
    size_t raw = 0, body = 0;
    for (int round = 0; round < rounds; round++) {
        int64_t start = clock_monotonic_ns();
        split_fini(&split);
        split_init(&split, unit, &limits);
        split_ns += clock_monotonic_ns() - start;
        raw = body = 0;
        start = clock_monotonic_ns();
        for (uint32_t i = 0; i < split.part_count; i++) {
            block_encode(encoder, &shape, &split, split.parts[i].first, split.parts[i].count,
                         &block);
            raw += block.raw_size;
            body += block.body.size;
        }
        encode_ns += clock_monotonic_ns() - start;
    }
    uint64_t rows = unit->rows * (uint64_t)rounds;
    printf("%s split %.2f encode %.2f both %.2f M rows/s, %.1f raw %.2f sent bytes/row\n", name,
           rate(rows, split_ns), rate(rows, encode_ns), rate(rows, split_ns + encode_ns),
           (double)raw / (double)unit->rows, (double)body / (double)unit->rows);
    qsort(split.rows, split.row_count, sizeof *split.rows, compare_arrival);
    int64_t start = clock_monotonic_ns();
    block_encode(encoder, &shape, &split, 0, split.row_count, &block);
    printf("%s in order of arrival: encode %.2f M rows/s, %.2f sent bytes/row\n", name,
           rate(split.row_count, clock_monotonic_ns() - start),
           (double)block.body.size / (double)block.rows);
    split_fini(&split);
    block_fini(&block);
    block_encoder_free(encoder);
}

int main(int argc, char **argv)
{
    uint32_t rows = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 200000;
    int rounds = argc > 2 ? atoi(argv[2]) : 20;
    if (rows == 0 || rounds <= 0) {
        fprintf(stderr, "Usage: bench_clickhouse_block [rows] [rounds]\n");
        return 2;
    }
    struct unit unit = make_unit(rows);
    measure("18.16", "18.16.1", old_table, &unit, rounds);
    measure("26.7", "26.7.1", new_table, &unit, rounds);
    for (uint32_t b = 0; b < unit.batch_count; b++)
        batch_release(unit.batches[b]);
    free(unit.batches);
    return 0;
}
