/* SPDX-License-Identifier: Apache-2.0
 *
 * Units into parts: every row once, each part of one shard and day and in the order of the table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sinks/clickhouse/split.h"

#define DAY_MS   INT64_C(86400000)
#define START_MS (20413 * DAY_MS)

static const struct split_limits wide = {
    .shards = 1, .rows_max = 100000, .bytes_max = 64 << 20, .ts_min_ms = 0, .ts_max_ms = INT64_MAX};

/* Rows in no order, over some days and devices; seq is 1.. */
static struct unit make_unit(uint32_t batches, uint32_t rows_each, uint32_t days)
{
    struct unit unit = {.first_seq = 1, .generation = 1, .batch_count = batches};
    struct batch_builder *builder = batch_builder_new();
    uint32_t number = 0;
    unit.batches = mem_alloc((batches + 1) * sizeof(struct batch *));
    for (uint32_t b = 0; b < batches; b++) {
        for (uint32_t i = 0; i < rows_each; i++, number++) {
            char device[16];
            snprintf(device, sizeof device, "%04u", number * 7919 % 97);
            struct batch_row row = {
                .vendor = bytes_text(number % 3 ? "zenith" : "acme"),
                .device = bytes_text(device),
                .metric = bytes_text(number % 2 ? "pressure" : "flow"),
                .unit = bytes_text(number % 2 ? "kPa" : "m3/h"),
                .ts_ms = START_MS + number * 104729 % days * DAY_MS + number * 7907 % 86400000,
                .seq = number + 1,
            };
            batch_builder_add(builder, &row);
        }
        unit.batches[b] = batch_builder_finish(builder);
    }
    unit.last_seq = unit.rows = number;
    batch_builder_free(builder);
    return unit;
}

static void unit_free(struct unit *unit)
{
    for (uint32_t b = 0; b < unit->batch_count; b++)
        batch_release(unit->batches[b]);
    free(unit->batches);
}

static struct bytes name_of(const struct split *split, uint32_t rank)
{
    assert_true(rank < split->string_count);
    return split->strings[rank];
}

/* By what the rows say, not by ranks. */
static int compare_rows(const struct split *split, uint32_t a, uint32_t b)
{
    const struct split_row *x = &split->rows[a], *y = &split->rows[b];
    int order = bytes_compare(name_of(split, x->vendor), name_of(split, y->vendor));
    order = order ? order : bytes_compare(name_of(split, x->device), name_of(split, y->device));
    order = order ? order : bytes_compare(name_of(split, x->metric), name_of(split, y->metric));
    return order ? order : (x->ts_ms > y->ts_ms) - (x->ts_ms < y->ts_ms);
}

static void assert_row_is_as_in_batch(const struct split *split, uint32_t index)
{
    const struct split_row *row = &split->rows[index];
    const struct batch *batch = split->unit->batches[row->batch];
    assert_true(bytes_equal(name_of(split, row->vendor), batch->strings[batch->vendor[row->row]]));
    assert_true(bytes_equal(name_of(split, row->device), batch->strings[batch->device[row->row]]));
    assert_true(bytes_equal(name_of(split, row->metric), batch->strings[batch->metric[row->row]]));
    assert_true(bytes_equal(name_of(split, row->unit), batch->strings[batch->unit[row->row]]));
    assert_int_equal(row->ts_ms, batch->ts_ms[row->row]);
    assert_int_equal(split_seq(split, index), batch->seq[row->row]);
}

static void assert_part_is_sound(const struct split *split, const struct part *part,
                                 const struct split_limits *limits)
{
    assert_true(part->count > 0 && part->count <= limits->rows_max);
    for (uint32_t i = part->first; i < part->first + part->count; i++) {
        const struct split_row *row = &split->rows[i];
        assert_row_is_as_in_batch(split, i);
        assert_int_equal(row->ts_ms >= 0 ? row->ts_ms / DAY_MS : (row->ts_ms + 1) / DAY_MS - 1,
                         part->day);
        assert_int_equal(
            shard_of(name_of(split, row->vendor), name_of(split, row->device), limits->shards),
            part->shard);
        if (i > part->first)
            assert_true(compare_rows(split, i - 1, i) <= 0);
    }
}

/* Parts lie end to end, and hold each row of the unit once. */
static void assert_sound(const struct split *split, const struct split_limits *limits)
{
    uint8_t *seen = mem_zalloc(split->unit->rows + 1);
    uint32_t at = 0;
    for (uint32_t i = 0; i < split->part_count; i++) {
        const struct part *part = &split->parts[i];
        assert_int_equal(part->first, at);
        assert_part_is_sound(split, part, limits);
        at += part->count;
        if (i)
            assert_true(part->shard > part[-1].shard ||
                        (part->shard == part[-1].shard && part->day >= part[-1].day));
    }
    assert_int_equal(at, split->row_count);
    for (uint32_t i = 0; i < split->row_count; i++)
        seen[split_seq(split, i)]++;
    for (uint32_t i = 0; i < split->refusal_count; i++)
        seen[split->refusals[i].seq]++;
    for (uint64_t seq = 1; seq <= split->unit->rows; seq++)
        assert_int_equal(seen[seq], 1);
    free(seen);
}

static void every_row_is_in_one_part(void **state)
{
    (void)state;
    static const struct {
        uint32_t batches, rows, days, shards, rows_max;
    } cases[] = {
        {1, 1, 1, 1, 1},     {1, 1000, 1, 1, 100000},  {7, 500, 1, 3, 100000}, {7, 500, 40, 1, 17},
        {3, 999, 5, 16, 64}, {40, 11, 400, 2, 100000}, {1, 0, 1, 1, 100000},   {0, 0, 1, 1, 100000},
    };
    for (size_t i = 0; i < array_count(cases); i++) {
        struct unit unit = make_unit(cases[i].batches, cases[i].rows, cases[i].days);
        struct split_limits limits = wide;
        limits.shards = cases[i].shards;
        limits.rows_max = cases[i].rows_max;
        struct split split;
        split_init(&split, &unit, &limits);
        assert_int_equal(split.row_count, unit.rows);
        assert_sound(&split, &limits);
        split_fini(&split);
        unit_free(&unit);
    }
}

static void rows_of_one_key_stay_in_the_order_they_came(void **state)
{
    (void)state;
    struct batch_builder *builder = batch_builder_new();
    struct batch *batches[3];
    for (uint64_t b = 0; b < 3; b++) {
        for (uint64_t i = 0; i < 50; i++)
            batch_builder_add(builder, &(struct batch_row){.vendor = bytes_text("v"),
                                                           .device = bytes_text("d"),
                                                           .metric = bytes_text("ph"),
                                                           .ts_ms = START_MS,
                                                           .seq = b * 50 + i});
        batches[b] = batch_builder_finish(builder);
    }
    struct unit unit = {.batches = batches, .batch_count = 3, .rows = 150};
    struct split split;
    split_init(&split, &unit, &wide);
    assert_int_equal(split.row_count, 150);
    for (uint32_t i = 0; i < 150; i++)
        assert_int_equal(split_seq(&split, i), i);
    split_fini(&split);
    for (int b = 0; b < 3; b++)
        batch_release(batches[b]);
    batch_builder_free(builder);
}

static void each_day_and_shard_has_one_part_while_it_is_small(void **state)
{
    (void)state;
    struct unit unit = make_unit(5, 2000, 400);
    struct split split;
    struct split_limits limits = wide;
    limits.shards = 2;
    split_init(&split, &unit, &limits);
    assert_true(split.part_count <= 800);
    assert_int_equal(split.small_count, split.part_count);
    for (uint32_t i = 1; i < split.part_count; i++)
        assert_true(split.parts[i].day != split.parts[i - 1].day ||
                    split.parts[i].shard != split.parts[i - 1].shard);
    split_fini(&split);
    unit_free(&unit);
}

static void bytes_end_a_part_too(void **state)
{
    (void)state;
    struct unit unit = make_unit(2, 1000, 1);
    struct split split;
    struct split_limits limits = wide;
    limits.bytes_max = 10000;
    split_init(&split, &unit, &limits);
    assert_sound(&split, &limits);
    assert_true(split.part_count > 40);
    split_fini(&split);
    limits.bytes_max = 1; /* less than any row: each is a part of its own */
    split_init(&split, &unit, &limits);
    assert_int_equal(split.part_count, 2000);
    split_fini(&split);
    unit_free(&unit);
}

static void times_outside_the_type_are_refused(void **state)
{
    (void)state;
    struct unit unit = make_unit(2, 400, 10);
    struct split split;
    struct split_limits limits = wide;
    limits.ts_min_ms = START_MS + DAY_MS;
    limits.ts_max_ms = START_MS + 9 * DAY_MS - 1;
    split_init(&split, &unit, &limits);
    assert_sound(&split, &limits);
    assert_true(split.refusal_count > 100 && split.row_count > 100);
    for (uint32_t i = 0; i < split.row_count; i++)
        assert_in_range(split.rows[i].ts_ms, limits.ts_min_ms, limits.ts_max_ms);
    for (uint32_t i = 0; i < split.refusal_count; i++) {
        assert_string_equal(split.refusals[i].reason, "time_range");
        assert_true(i == 0 || split.refusals[i].seq >= split.refusals[i - 1].seq);
    }
    split_fini(&split);
    limits.ts_max_ms = limits.ts_min_ms = 0;
    split_init(&split, &unit, &limits);
    assert_int_equal(split.refusal_count, 800);
    assert_int_equal(split.part_count, 0);
    split_fini(&split);
    unit_free(&unit);
}

static void extreme_times_are_told_apart(void **state)
{
    (void)state;
    static const int64_t times[] = {INT64_MIN, -DAY_MS - 1, -DAY_MS, -1, 0, DAY_MS - 1, INT64_MAX};
    struct batch_builder *builder = batch_builder_new();
    for (size_t i = 0; i < array_count(times); i++)
        batch_builder_add(builder, &(struct batch_row){.device = bytes_text("d"),
                                                       .ts_ms = times[array_count(times) - 1 - i],
                                                       .seq = i + 1});
    struct batch *batch = batch_builder_finish(builder);
    struct unit unit = {.batches = &batch, .batch_count = 1, .rows = array_count(times)};
    struct split split;
    struct split_limits limits = wide;
    limits.ts_min_ms = INT64_MIN;
    split_init(&split, &unit, &limits);
    assert_int_equal(split.part_count, 5);
    for (size_t i = 0; i < array_count(times); i++)
        assert_int_equal(split.rows[i].ts_ms, times[i]);
    assert_int_equal(split.parts[1].day, -2);
    assert_int_equal(split.parts[2].day, -1);
    assert_int_equal(split.parts[2].count, 2);
    split_fini(&split);
    batch_release(batch);
    batch_builder_free(builder);
}

static void names_are_made_well_formed(void **state)
{
    (void)state;
    struct batch_builder *builder = batch_builder_new();
    batch_builder_add(builder, &(struct batch_row){.device = bytes_of("\xff\x00z", 3)});
    struct batch *batch = batch_builder_finish(builder);
    struct unit unit = {.batches = &batch, .batch_count = 1, .rows = 1};
    struct split split;
    split_init(&split, &unit, &wide);
    assert_true(
        bytes_equal(name_of(&split, split.rows[0].device), bytes_of("\xef\xbf\xbd\x00z", 5)));
    split_fini(&split);
    batch_release(batch);
    batch_builder_free(builder);
}

/* SELECT xxHash64(concat(vendor, '/', device)) of ClickHouse 26.7. */
static void a_device_has_the_shard_that_clickhouse_says(void **state)
{
    (void)state;
    static const struct {
        const char *vendor, *device;
        uint64_t hash;
    } rows[] = {
        {"", "", 0xe89cd67289eddaea},
        {"acme", "00012345", 0xbf8754ee09519240},
        {"acme", "00012346", 0x5c2c8adb98e11c5f},
        {"\xc3\xa9tude", "\xe6\xb0\xb4\xe8\xa1\xa8-0000000000000000000000000000000001",
         0x0e721cc765202793},
    };
    for (size_t i = 0; i < array_count(rows); i++)
        for (uint32_t shards = 1; shards <= 7; shards++)
            assert_int_equal(
                shard_of(bytes_text(rows[i].vendor), bytes_text(rows[i].device), shards),
                rows[i].hash % shards);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_in_one_part),
        cmocka_unit_test(rows_of_one_key_stay_in_the_order_they_came),
        cmocka_unit_test(each_day_and_shard_has_one_part_while_it_is_small),
        cmocka_unit_test(bytes_end_a_part_too),
        cmocka_unit_test(times_outside_the_type_are_refused),
        cmocka_unit_test(extreme_times_are_told_apart),
        cmocka_unit_test(names_are_made_well_formed),
        cmocka_unit_test(a_device_has_the_shard_that_clickhouse_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
