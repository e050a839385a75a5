/* SPDX-License-Identifier: Apache-2.0
 *
 * The rules from reading to row, one test a rule, and the memory: late, duplicate, rollover, reset,
 * bounds, save and load.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "normalise.h"

enum { DAY_MS = 86400000, MINUTE_MS = 60000 };
static const int64_t now_ms = 1795334400000; /* 2026-11-22T08:00:00Z */

/* A normaliser and one message; rows are read from a batch. */
struct bench {
    struct vocabulary *vocabulary;
    struct normaliser *normaliser;
    struct zone *zone;
    struct readings readings;
    struct batch_builder *builder;
    struct batch *batch;
    struct normalise_context context;
};

static struct normaliser *new_normaliser(const struct vocabulary *vocabulary, uint64_t series_max)
{
    struct normaliser_options options = {
        .vocabulary = vocabulary,
        .series_max = series_max,
        .late_max_ms = 400LL * DAY_MS,
        .ahead_max_ms = 10LL * MINUTE_MS,
    };
    return normaliser_new(&options);
}

static int set_up(void **state)
{
    struct bench *bench = mem_zalloc(sizeof *bench);
    struct err err;
    bench->vocabulary = vocabulary_new();
    bench->normaliser = new_normaliser(bench->vocabulary, 1000);
    assert_int_equal(zone_new("+08:00", &bench->zone, &err), 0);
    readings_init(&bench->readings, 1000);
    bench->builder = batch_builder_new();
    bench->context = (struct normalise_context){
        .vendor = bytes_text("acme"), .zone = bench->zone, .seq = 1, .received_ms = now_ms};
    *state = bench;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *bench = *state;
    batch_release(bench->batch);
    batch_builder_free(bench->builder);
    readings_fini(&bench->readings);
    zone_free(bench->zone);
    normaliser_free(bench->normaliser);
    vocabulary_free(bench->vocabulary);
    free(bench);
    return 0;
}

static struct reading *add(struct bench *bench, const char *metric, const char *value,
                           const char *unit)
{
    struct reading *reading = readings_add(&bench->readings);
    assert_non_null(reading);
    reading->device = bytes_text("00012345");
    reading->metric = bytes_text(metric);
    reading->unit = bytes_text(unit);
    reading->has_value = value != NULL;
    if (value)
        assert_true(decimal_parse(bytes_text(value), &reading->value));
    return reading;
}

/* Normalises the message; its rows are then in bench->batch. */
static void run(struct bench *bench)
{
    const char *reason = NULL;
    char detail[200];
    int count = normalise(bench->normaliser, &bench->context, &bench->readings, bench->builder,
                          &reason, detail);
    assert_int_equal(count, bench->readings.count);
    readings_reset(&bench->readings);
    bench->context.seq++;
    batch_release(bench->batch);
    bench->batch = batch_builder_finish(bench->builder);
    assert_int_equal(bench->batch->count, count);
}

/* One reading of `metric` with a device time; returns its flags. */
static uint32_t flags_at(struct bench *bench, const char *metric, const char *value, int64_t ts_ms)
{
    struct reading *reading = add(bench, metric, value, "");
    reading->unit_implied = true;
    reading->time = READING_TIME_UTC;
    reading->ts_ms = ts_ms;
    run(bench);
    return bench->batch->flags[0];
}

static void assert_row(struct bench *bench, int64_t unscaled, int scale, const char *unit,
                       enum quality quality, uint32_t flags)
{
    const struct batch *batch = bench->batch;
    assert_true(batch->has_value[0]);
    assert_int_equal(batch->unscaled[0], unscaled);
    assert_int_equal(batch->scale[0], scale);
    assert_true(bytes_equal_text(batch->strings[batch->unit[0]], unit));
    assert_int_equal(batch->quality[0], quality);
    assert_int_equal(batch->flags[0], flags);
}

/* ---- names and columns ---- */

static void a_row_carries_what_the_message_says(void **state)
{
    struct bench *bench = *state;
    struct reading *reading = add(bench, "volume.total", "123.456", "m3");
    reading->flags = FLAG_DEVICE_FAULT;
    reading->quality = QUALITY_UNCERTAIN;
    bench->context.seq = 77;
    run(bench);
    const struct batch *batch = bench->batch;
    assert_true(bytes_equal_text(batch->strings[batch->vendor[0]], "acme"));
    assert_true(bytes_equal_text(batch->strings[batch->device[0]], "00012345"));
    assert_true(bytes_equal_text(batch->strings[batch->metric[0]], "volume.total"));
    assert_int_equal(batch->seq[0], 77);
    assert_int_equal(batch->received_ms[0], now_ms);
    assert_row(bench, 123456, 3, "m3", QUALITY_UNCERTAIN, FLAG_DEVICE_FAULT);
}

static void assert_refused(struct bench *bench)
{
    const char *reason = NULL;
    char detail[200] = "";
    uint64_t series = normaliser_series(bench->normaliser);
    assert_int_equal(normalise(bench->normaliser, &bench->context, &bench->readings, bench->builder,
                               &reason, detail),
                     -1);
    assert_string_equal(reason, "bad_name");
    assert_true(strlen(detail) > 5);
    assert_int_equal(batch_builder_rows(bench->builder), 0);
    assert_int_equal(normaliser_series(bench->normaliser), series);
    readings_reset(&bench->readings);
}

static void names_that_no_store_takes_refuse_the_message(void **state)
{
    struct bench *bench = *state;
    static const struct bytes bad[] = {
        {(const uint8_t *)"", 0},         {(const uint8_t *)"a\nb", 3},
        {(const uint8_t *)"a\0b", 3},     {(const uint8_t *)"\x7f", 1},
        {(const uint8_t *)"\xff", 1},     {(const uint8_t *)"\xc3", 1},
        {(const uint8_t *)"\xc0\xaf", 2}, {(const uint8_t *)"\xed\xa0\x80", 3},
        {(const uint8_t *)"\xc2\x85", 2}, {(const uint8_t *)"\xf4\x90\x80\x80", 4},
    };
    for (size_t i = 0; i < array_count(bad); i++) {
        add(bench, "flow", "1", "m3/h");
        add(bench, "flow", "1", "m3/h")->device = bad[i];
        assert_refused(bench);
        add(bench, "flow", "1", "m3/h")->metric = bad[i];
        assert_refused(bench);
        if (bad[i].size) {
            add(bench, "flow", "1", "m3/h")->unit = bad[i];
            assert_refused(bench);
        }
    }
}

static void the_longest_name_has_128_bytes(void **state)
{
    struct bench *bench = *state;
    char name[129];
    memset(name, 'x', sizeof name);
    add(bench, "flow", "1", "m3/h")->device = bytes_of(name, 129);
    assert_refused(bench);
    add(bench, "flow", "1", "m3/h")->device = bytes_of(name, 128);
    run(bench);
}

static void names_in_any_script_are_kept(void **state)
{
    struct bench *bench = *state;
    add(bench, "flow", "1", "m3/h")->device = bytes_text("泵站-1 é");
    run(bench);
    assert_true(bytes_equal_text(bench->batch->strings[bench->batch->device[0]], "泵站-1 é"));
}

static void a_message_without_readings_gives_no_row(void **state)
{
    struct bench *bench = *state;
    run(bench);
    assert_int_equal(bench->batch->count, 0);
}

/* ---- units and values ---- */

static void a_unit_becomes_canonical(void **state)
{
    struct bench *bench = *state;
    add(bench, "pressure", "0.31", "MPa");
    run(bench);
    assert_row(bench, 310, 0, "kPa", QUALITY_GOOD, 0);
    add(bench, "volume.total", "170.47", "L");
    run(bench);
    assert_row(bench, 17047, 5, "m3", QUALITY_GOOD, 0);
    add(bench, "volume.settlement", "12.50", "m³");
    run(bench);
    assert_row(bench, 1250, 2, "m3", QUALITY_GOOD, 0);
}

static void a_conversion_without_end_is_rounded_and_says_so(void **state)
{
    struct bench *bench = *state;
    add(bench, "flow", "100.5", "L/d");
    run(bench);
    assert_row(bench, 42, 4, "m3/h", QUALITY_GOOD, FLAG_ROUNDED);
}

static void a_missing_unit_is_assumed_and_says_so(void **state)
{
    struct bench *bench = *state;
    add(bench, "pressure", "310", "");
    run(bench);
    assert_row(bench, 310, 0, "kPa", QUALITY_UNCERTAIN, FLAG_UNIT_ASSUMED);
    add(bench, "pressure", "310", "")->unit_implied = true;
    bench->context.received_ms++;
    run(bench);
    assert_row(bench, 310, 0, "kPa", QUALITY_GOOD, 0);
    add(bench, "ph", "7.2", "");
    run(bench);
    assert_row(bench, 72, 1, "", QUALITY_GOOD, 0);
}

static void an_unknown_unit_is_kept_as_sent(void **state)
{
    struct bench *bench = *state;
    add(bench, "volume.total", "12300", "0x3F");
    run(bench);
    assert_row(bench, 12300, 0, "0x3F", QUALITY_UNCERTAIN, FLAG_UNIT_UNKNOWN);
    add(bench, "turbidity", "0.3", "FNU");
    run(bench);
    assert_row(bench, 3, 1, "FNU", QUALITY_UNCERTAIN, FLAG_UNIT_UNKNOWN);
}

static void an_unknown_metric_is_kept_as_sent(void **state)
{
    struct bench *bench = *state;
    add(bench, "humbug", "12.5", "furlong");
    run(bench);
    assert_row(bench, 125, 1, "furlong", QUALITY_GOOD, FLAG_METRIC_UNKNOWN);
}

static void a_further_sensor_has_the_unit_of_the_first(void **state)
{
    struct bench *bench = *state;
    add(bench, "level.2", "153", "cm");
    run(bench);
    assert_row(bench, 153, 2, "m", QUALITY_GOOD, 0);
    assert_true(bytes_equal_text(bench->batch->strings[bench->batch->metric[0]], "level.2"));
}

static void a_null_stays_a_null(void **state)
{
    struct bench *bench = *state;
    struct reading *reading = add(bench, "volume.total", NULL, "L");
    reading->quality = QUALITY_BAD;
    reading->flags = FLAG_BAD_FIELD;
    run(bench);
    assert_false(bench->batch->has_value[0]);
    assert_int_equal(bench->batch->unscaled[0], 0);
    assert_int_equal(bench->batch->quality[0], QUALITY_BAD);
    assert_int_equal(bench->batch->flags[0], FLAG_BAD_FIELD);
}

static void values_outside_what_can_be_are_uncertain(void **state)
{
    struct bench *bench = *state;
    add(bench, "ph", "14.1", "");
    run(bench);
    assert_row(bench, 141, 1, "", QUALITY_UNCERTAIN, FLAG_RANGE);
    add(bench, "ph", "14", "");
    bench->context.received_ms++;
    run(bench);
    assert_row(bench, 14, 0, "", QUALITY_GOOD, 0);
    add(bench, "volume.total", "-1", "m3");
    run(bench);
    assert_row(bench, -1, 0, "m3", QUALITY_UNCERTAIN, FLAG_RANGE);
    add(bench, "alarm.leak", "2", "");
    run(bench);
    assert_row(bench, 2, 0, "", QUALITY_UNCERTAIN, FLAG_RANGE);
}

static void sixteen_digits_are_marked(void **state)
{
    struct bench *bench = *state;
    add(bench, "humbug", "999999999999999", "");
    run(bench);
    assert_row(bench, 999999999999999, 0, "", QUALITY_GOOD, FLAG_METRIC_UNKNOWN);
    add(bench, "humbug.a", "1000000000000001", "");
    run(bench);
    assert_row(bench, 1000000000000001, 0, "", QUALITY_GOOD, FLAG_METRIC_UNKNOWN | FLAG_PRECISION);
    add(bench, "humbug.b", "12.5000000000000000", "");
    run(bench);
    assert_row(bench, 125000000000000, 13, "", QUALITY_GOOD, FLAG_METRIC_UNKNOWN);
}

static void more_than_18_decimals_are_rounded(void **state)
{
    struct bench *bench = *state;
    add(bench, "humbug", "1.5e-18", "");
    run(bench);
    assert_row(bench, 2, 18, "", QUALITY_GOOD, FLAG_METRIC_UNKNOWN | FLAG_ROUNDED);
}

static void a_value_beyond_64_bits_is_null_and_bad(void **state)
{
    struct bench *bench = *state;
    add(bench, "humbug", "1e19", "");
    run(bench);
    assert_false(bench->batch->has_value[0]);
    assert_int_equal(bench->batch->quality[0], QUALITY_BAD);
    assert_int_equal(bench->batch->flags[0], FLAG_METRIC_UNKNOWN | FLAG_RANGE);
}

static void a_conversion_beyond_64_bits_keeps_the_value_as_sent(void **state)
{
    struct bench *bench = *state;
    add(bench, "pressure", "123456789012345678", "psi");
    run(bench);
    assert_row(bench, 123456789012345678, 0, "psi", QUALITY_UNCERTAIN, FLAG_RANGE | FLAG_PRECISION);
}

static void negative_flow_is_reverse(void **state)
{
    struct bench *bench = *state;
    add(bench, "flow", "-2.5", "m3/h");
    run(bench);
    assert_row(bench, -25, 1, "m3/h", QUALITY_GOOD, FLAG_REVERSE);
}

/* ---- time ---- */

static struct reading *at(struct bench *bench, enum reading_time time, int64_t ts_ms)
{
    struct reading *reading = add(bench, "flow", "1", "m3/h");
    reading->time = time;
    reading->ts_ms = ts_ms;
    reading->time_source = TIME_PLATFORM;
    return reading;
}

static void assert_time(struct bench *bench, int64_t ts_ms, enum time_source source, uint32_t flags)
{
    run(bench);
    assert_int_equal(bench->batch->ts_ms[0], ts_ms);
    assert_int_equal(bench->batch->time_source[0], source);
    assert_int_equal(bench->batch->flags[0] & ~(uint32_t)(FLAG_LATE | FLAG_DUPLICATE), flags);
    assert_int_equal(bench->batch->quality[0], flags ? QUALITY_UNCERTAIN : QUALITY_GOOD);
}

static void without_a_time_the_receive_time_is_taken(void **state)
{
    struct bench *bench = *state;
    at(bench, READING_TIME_NONE, 12345);
    assert_time(bench, now_ms, TIME_RECEIVED, 0);
}

static void local_time_goes_through_the_vendors_zone(void **state)
{
    struct bench *bench = *state;
    at(bench, READING_TIME_LOCAL, now_ms);
    assert_time(bench, now_ms - 8 * 3600000, TIME_PLATFORM, 0);
    /* Eight hours "ahead" as civil time, and now as UTC. */
    at(bench, READING_TIME_LOCAL, now_ms + 8 * 3600000);
    assert_time(bench, now_ms, TIME_PLATFORM, 0);
}

static void implausible_times_become_the_receive_time(void **state)
{
    struct bench *bench = *state;
    static const int64_t years_2000 = 946684800000;
    at(bench, READING_TIME_UTC, years_2000);
    assert_time(bench, now_ms, TIME_RECEIVED, FLAG_CLOCK);
    at(bench, READING_TIME_UTC, now_ms + 10 * MINUTE_MS + 1);
    assert_time(bench, now_ms, TIME_RECEIVED, FLAG_CLOCK);
    at(bench, READING_TIME_UTC, now_ms - 400LL * DAY_MS - 1);
    assert_time(bench, now_ms, TIME_RECEIVED, FLAG_CLOCK);
    at(bench, READING_TIME_UTC, INT64_MAX);
    assert_time(bench, now_ms, TIME_RECEIVED, FLAG_CLOCK);
    at(bench, READING_TIME_LOCAL, INT64_MIN);
    assert_time(bench, now_ms, TIME_RECEIVED, FLAG_CLOCK);
    /* UTC sent as local: eight hours ahead would be plausible only as local. */
    at(bench, READING_TIME_UTC, now_ms + 8 * 3600000);
    assert_time(bench, now_ms, TIME_RECEIVED, FLAG_CLOCK);
}

static void the_bounds_themselves_are_plausible(void **state)
{
    struct bench *bench = *state;
    at(bench, READING_TIME_UTC, now_ms + 10 * MINUTE_MS);
    assert_time(bench, now_ms + 10 * MINUTE_MS, TIME_PLATFORM, 0);
    at(bench, READING_TIME_UTC, now_ms - 400LL * DAY_MS);
    assert_time(bench, now_ms - 400LL * DAY_MS, TIME_PLATFORM, 0);
}

/* ---- history ---- */

static void the_first_reading_has_no_history(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(flags_at(bench, "volume.total", "5", now_ms - DAY_MS), 0);
}

static void an_older_reading_is_late_and_changes_nothing(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(flags_at(bench, "volume.total", "5", now_ms), 0);
    assert_int_equal(flags_at(bench, "volume.total", "4", now_ms - 1), FLAG_LATE);
    assert_int_equal(flags_at(bench, "volume.total", "6", now_ms + 1), 0);
}

static void the_same_time_and_value_is_a_duplicate(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(flags_at(bench, "volume.total", "5.0", now_ms), 0);
    assert_int_equal(flags_at(bench, "volume.total", "5.00", now_ms), FLAG_DUPLICATE);
    /* A correction is none, and is what later values are compared with. */
    assert_int_equal(flags_at(bench, "volume.total", "4", now_ms), 0);
    assert_int_equal(flags_at(bench, "volume.total", "4", now_ms), FLAG_DUPLICATE);
    assert_int_equal(flags_at(bench, "volume.total", "4.5", now_ms + 1), 0);
}

static void a_falling_counter_was_reset(void **state)
{
    struct bench *bench = *state;
    flags_at(bench, "volume.total", "500.00", now_ms);
    assert_int_equal(flags_at(bench, "volume.total", "0.50", now_ms + 1), FLAG_RESET);
    assert_int_equal(bench->batch->quality[0], QUALITY_UNCERTAIN);
    assert_int_equal(flags_at(bench, "volume.total", "0.60", now_ms + 2), 0);
}

static void a_falling_gauge_is_nothing(void **state)
{
    struct bench *bench = *state;
    flags_at(bench, "pressure", "500", now_ms);
    assert_int_equal(flags_at(bench, "pressure", "0.5", now_ms + 1), 0);
}

static void eight_digits_roll_over(void **state)
{
    struct bench *bench = *state;
    flags_at(bench, "volume.total", "999998.70", now_ms);
    assert_int_equal(flags_at(bench, "volume.total", "1.20", now_ms + 1), FLAG_ROLLOVER);
    assert_int_equal(bench->batch->quality[0], QUALITY_GOOD);
    assert_int_equal(flags_at(bench, "volume.total", "1.30", now_ms + 2), 0);
}

static void thirty_two_bits_of_litres_roll_over(void **state)
{
    struct bench *bench = *state;
    flags_at(bench, "volume.total", "4294967.290", now_ms);
    assert_int_equal(flags_at(bench, "volume.total", "0.005", now_ms + 1), FLAG_ROLLOVER);
}

static void a_large_jump_over_the_top_is_a_reset(void **state)
{
    struct bench *bench = *state;
    flags_at(bench, "volume.total", "999998.70", now_ms);
    assert_int_equal(flags_at(bench, "volume.total", "20000.00", now_ms + 1), FLAG_RESET);
    flags_at(bench, "volume.reverse", "980000.00", now_ms);
    assert_int_equal(flags_at(bench, "volume.reverse", "1.00", now_ms + 1), FLAG_RESET);
}

static void a_growing_reverse_counter_is_reverse(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(flags_at(bench, "volume.reverse", "1.00", now_ms), 0);
    assert_int_equal(flags_at(bench, "volume.reverse", "1.00", now_ms + 1), 0);
    assert_int_equal(flags_at(bench, "volume.reverse", "1.01", now_ms + 2), FLAG_REVERSE);
}

static void a_null_between_hides_no_reset(void **state)
{
    struct bench *bench = *state;
    flags_at(bench, "volume.total", "500", now_ms);
    add(bench, "volume.total", NULL, "m3")->quality = QUALITY_BAD;
    run(bench);
    assert_int_equal(flags_at(bench, "volume.total", "1", now_ms + 1), FLAG_RESET);
}

static void values_in_another_unit_are_not_compared(void **state)
{
    struct bench *bench = *state;
    add(bench, "volume.total", "12300", "0x3F");
    run(bench);
    assert_int_equal(flags_at(bench, "volume.total", "123.00", now_ms + 1), 0);
}

static void series_are_kept_apart(void **state)
{
    struct bench *bench = *state;
    flags_at(bench, "volume.total", "500", now_ms);
    assert_int_equal(flags_at(bench, "volume.settlement", "1", now_ms - 5), 0);
    assert_int_equal(flags_at(bench, "volume.total.2", "1", now_ms - 5), 0);
    bench->context.vendor = bytes_text("other");
    assert_int_equal(flags_at(bench, "volume.total", "1", now_ms - 5), 0);
    bench->context.vendor = bytes_text("acme");
    add(bench, "volume.total", "1", "m3")->device = bytes_text("0001234");
    run(bench);
    assert_int_equal(bench->batch->flags[0], 0);
    assert_int_equal(normaliser_series(bench->normaliser), 5);
}

/* ---- the memory ---- */

static uint32_t flags_of_device(struct bench *bench, int device, const char *value, int64_t ts_ms)
{
    char name[32];
    snprintf(name, sizeof name, "m%d", device);
    struct reading *reading = add(bench, "volume.total", value, "m3");
    reading->device = bytes_text(name);
    reading->time = READING_TIME_UTC;
    reading->ts_ms = ts_ms;
    run(bench);
    return bench->batch->flags[0];
}

static void the_longest_unheard_is_forgotten_first(void **state)
{
    struct bench *bench = *state;
    normaliser_free(bench->normaliser);
    bench->normaliser = new_normaliser(bench->vocabulary, 8);
    for (int i = 0; i < 8; i++)
        flags_of_device(bench, i, "5", now_ms);
    flags_of_device(bench, 0, "6", now_ms + 1);
    flags_of_device(bench, 8, "5", now_ms); /* pushes 1 out, not 0 */
    assert_int_equal(normaliser_series(bench->normaliser), 8);
    assert_int_equal(flags_of_device(bench, 0, "5", now_ms), FLAG_LATE);
    assert_int_equal(flags_of_device(bench, 2, "5", now_ms), FLAG_DUPLICATE);
    assert_int_equal(flags_of_device(bench, 1, "5", now_ms), 0);
}

static void the_memory_never_passes_its_bound(void **state)
{
    struct bench *bench = *state;
    for (int i = 0; i < 5000; i++) {
        flags_of_device(bench, i, "5", now_ms);
        assert_true(normaliser_series(bench->normaliser) <= 1000);
    }
    assert_true(normaliser_series(bench->normaliser) > 800);
    assert_int_equal(flags_of_device(bench, 4999, "5", now_ms), FLAG_DUPLICATE);
}

static void save_and_load_go_on_as_if_nothing_was(void **state)
{
    struct bench *bench = *state;
    struct buffer saved = {0};
    struct buffer again = {0};
    struct err err;
    for (int i = 0; i < 3000; i++)
        flags_of_device(bench, i % 1300, i % 7 ? "5.25" : "1e3", now_ms - i);
    normaliser_save(bench->normaliser, &saved);
    struct normaliser *other = new_normaliser(bench->vocabulary, 1000);
    assert_int_equal(normaliser_load(other, buffer_bytes(&saved), &err), 0);
    assert_int_equal(normaliser_series(other), normaliser_series(bench->normaliser));
    /* The same messages to both: the same rows, and at the end the same bytes. */
    for (int i = 0; i < 700; i++) {
        struct normaliser *first = bench->normaliser;
        uint64_t seq = bench->context.seq;
        uint32_t flags = flags_of_device(bench, 900 + i, "4", now_ms + i);
        bench->normaliser = other;
        bench->context.seq = seq;
        assert_int_equal(flags_of_device(bench, 900 + i, "4", now_ms + i), flags);
        bench->normaliser = first;
    }
    buffer_clear(&saved);
    normaliser_save(bench->normaliser, &saved);
    normaliser_save(other, &again);
    assert_true(bytes_equal(buffer_bytes(&saved), buffer_bytes(&again)));
    normaliser_free(other);
    buffer_fini(&saved);
    buffer_fini(&again);
}

static void a_damaged_save_leaves_an_empty_memory(void **state)
{
    struct bench *bench = *state;
    struct buffer saved = {0};
    struct err err;
    for (int i = 0; i < 5; i++)
        flags_of_device(bench, i, "5", now_ms);
    normaliser_save(bench->normaliser, &saved);
    for (size_t size = 0; size < saved.size; size++) {
        assert_int_equal(normaliser_load(bench->normaliser, bytes_of(saved.data, size), &err),
                         GW_ECORRUPT);
        assert_int_equal(normaliser_series(bench->normaliser), 0);
    }
    for (size_t bit = 0; bit < saved.size * 8; bit++) {
        saved.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_not_equal(normaliser_load(bench->normaliser, buffer_bytes(&saved), &err), 0);
        assert_int_equal(normaliser_series(bench->normaliser), 0);
        saved.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_int_equal(normaliser_load(bench->normaliser, buffer_bytes(&saved), &err), 0);
    assert_int_equal(normaliser_series(bench->normaliser), 5);
    buffer_fini(&saved);
}

static void a_newer_save_is_refused_politely(void **state)
{
    struct bench *bench = *state;
    struct buffer saved = {0};
    struct err err;
    normaliser_save(bench->normaliser, &saved);
    saved.data[4]++;
    assert_int_equal(normaliser_load(bench->normaliser, buffer_bytes(&saved), &err), GW_EVERSION);
    assert_non_null(strstr(err.text, "newer"));
    buffer_fini(&saved);
}

static void a_smaller_memory_loads_what_it_can_hold(void **state)
{
    struct bench *bench = *state;
    struct buffer saved = {0};
    struct err err;
    for (int i = 0; i < 100; i++)
        flags_of_device(bench, i, "5", now_ms);
    normaliser_save(bench->normaliser, &saved);
    normaliser_free(bench->normaliser);
    bench->normaliser = new_normaliser(bench->vocabulary, 10);
    assert_int_equal(normaliser_load(bench->normaliser, buffer_bytes(&saved), &err), 0);
    assert_true(normaliser_series(bench->normaliser) <= 10);
    assert_int_equal(flags_of_device(bench, 99, "5", now_ms), FLAG_DUPLICATE);
    buffer_fini(&saved);
}

int main(void)
{
#define FRESH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        FRESH(a_row_carries_what_the_message_says),
        FRESH(names_that_no_store_takes_refuse_the_message),
        FRESH(the_longest_name_has_128_bytes),
        FRESH(names_in_any_script_are_kept),
        FRESH(a_message_without_readings_gives_no_row),
        FRESH(a_unit_becomes_canonical),
        FRESH(a_conversion_without_end_is_rounded_and_says_so),
        FRESH(a_missing_unit_is_assumed_and_says_so),
        FRESH(an_unknown_unit_is_kept_as_sent),
        FRESH(an_unknown_metric_is_kept_as_sent),
        FRESH(a_further_sensor_has_the_unit_of_the_first),
        FRESH(a_null_stays_a_null),
        FRESH(values_outside_what_can_be_are_uncertain),
        FRESH(sixteen_digits_are_marked),
        FRESH(more_than_18_decimals_are_rounded),
        FRESH(a_value_beyond_64_bits_is_null_and_bad),
        FRESH(a_conversion_beyond_64_bits_keeps_the_value_as_sent),
        FRESH(negative_flow_is_reverse),
        FRESH(without_a_time_the_receive_time_is_taken),
        FRESH(local_time_goes_through_the_vendors_zone),
        FRESH(implausible_times_become_the_receive_time),
        FRESH(the_bounds_themselves_are_plausible),
        FRESH(the_first_reading_has_no_history),
        FRESH(an_older_reading_is_late_and_changes_nothing),
        FRESH(the_same_time_and_value_is_a_duplicate),
        FRESH(a_falling_counter_was_reset),
        FRESH(a_falling_gauge_is_nothing),
        FRESH(eight_digits_roll_over),
        FRESH(thirty_two_bits_of_litres_roll_over),
        FRESH(a_large_jump_over_the_top_is_a_reset),
        FRESH(a_growing_reverse_counter_is_reverse),
        FRESH(a_null_between_hides_no_reset),
        FRESH(values_in_another_unit_are_not_compared),
        FRESH(series_are_kept_apart),
        FRESH(the_longest_unheard_is_forgotten_first),
        FRESH(the_memory_never_passes_its_bound),
        FRESH(save_and_load_go_on_as_if_nothing_was),
        FRESH(a_damaged_save_leaves_an_empty_memory),
        FRESH(a_newer_save_is_refused_politely),
        FRESH(a_smaller_memory_loads_what_it_can_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
