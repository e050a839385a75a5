/* SPDX-License-Identifier: Apache-2.0
 *
 * Simulated meters behave as meters do, and faults come in the share that was ordered.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sim/histogram.h"
#include "sim/stream.h"

enum { DAY_MS = 86400000, QUARTER_MS = 900000 };

static struct publisher_options two_vendors(uint64_t meters, uint64_t count)
{
    return (struct publisher_options){
        .vendors = {{"aqua", PAYLOAD_JSON, 1}, {"huaxu", PAYLOAD_CJT188, 1}},
        .vendor_count = 2,
        .meters = meters,
        .count = count,
        .interval_ms = QUARTER_MS,
        .begin_ms = 1790000000000,
        .seed = 7,
    };
}

static void a_counter_only_grows_and_its_flow_explains_the_growth(void **state)
{
    (void)state;
    int64_t begin = 1790000000000, drawn = 0;
    for (uint64_t index = 0; index < 50; index++) {
        struct meter meter;
        struct meter_sample sample = {0};
        meter_init(&meter, index, 1, begin);
        int64_t last = meter.litres, first = last;
        for (int i = 1; i <= 96; i++) {
            meter_sample(&meter, begin + i * QUARTER_MS, &sample);
            assert_true(sample.litres >= last);
            assert_in_range(sample.litres - last, 0, 20000);
            last = sample.litres;
        }
        assert_in_range(sample.pressure_kpa, 150, 600);
        assert_in_range(sample.battery_cv, 300, 370);
        drawn += last - first;
    }
    /* 50 households draw about 350 litres a day each; leaks and large ones make it more. */
    assert_in_range(drawn / 50, 150, 1500);
}

static void people_draw_more_in_the_evening_than_at_night(void **state)
{
    (void)state;
    int64_t midnight = 1790000000000 / DAY_MS * DAY_MS - METER_ZONE_MS, night = 0, evening = 0;
    for (uint64_t index = 0; index < 300; index++) {
        struct meter meter;
        struct meter_sample before, after;
        meter_init(&meter, index, 3, midnight);
        meter_sample(&meter, midnight + 1 * 3600000, &before);
        meter_sample(&meter, midnight + 4 * 3600000, &after);
        night += after.litres - before.litres;
        meter_sample(&meter, midnight + 18 * 3600000, &before);
        meter_sample(&meter, midnight + 21 * 3600000, &after);
        evening += after.litres - before.litres;
    }
    assert_true(evening > 4 * night);
}

static void the_same_seed_gives_the_same_messages(void **state)
{
    (void)state;
    struct publisher_options options = two_vendors(20, 500);
    options.late = options.garbage = options.duplicates = 50;
    struct stream *a = stream_new(&options), *b = stream_new(&options);
    const struct sim_message *x, *y;
    uint64_t count = 0;
    while ((x = stream_next(a)) && (y = stream_next(b))) {
        assert_int_equal(x->payload.size, y->payload.size);
        assert_memory_equal(x->payload.data, y->payload.data, x->payload.size);
        assert_int_equal(x->number, ++count);
    }
    assert_true(count > 500);
    stream_free(a);
    stream_free(b);
}

static void every_reading_comes_once_unless_twice_was_ordered(void **state)
{
    (void)state;
    struct publisher_options options = two_vendors(100, 20000);
    uint64_t kinds[4] = {0};
    options.late = 20;
    options.garbage = 10;
    options.duplicates = 5;
    struct stream *stream = stream_new(&options);
    const struct sim_message *message;
    while ((message = stream_next(stream)))
        kinds[message->kind]++;
    assert_int_equal(kinds[MESSAGE_READING] + kinds[MESSAGE_LATE], 20000);
    assert_in_range(kinds[MESSAGE_LATE], 300, 500);
    assert_in_range(kinds[MESSAGE_GARBAGE], 140, 260);
    assert_in_range(kinds[MESSAGE_DUPLICATE], 60, 140);
    stream_free(stream);
}

static void a_late_reading_comes_after_a_newer_one_of_its_meter(void **state)
{
    (void)state;
    struct publisher_options options = two_vendors(50, 5000);
    int64_t newest[50] = {0};
    uint64_t late = 0, inner = 0;
    options.late = 20;
    struct stream *stream = stream_new(&options);
    const struct sim_message *message;
    while ((message = stream_next(stream))) {
        if (message->kind == MESSAGE_LATE) {
            late++;
            inner += message->ts_ms < newest[message->meter];
        } else if (message->ts_ms > newest[message->meter]) {
            newest[message->meter] = message->ts_ms;
        }
    }
    assert_true(late > 50);
    /* Not those whose successor is late too, nor the last ones, which have no successor. */
    assert_true(inner * 10 >= late * 9);
    stream_free(stream);
}

static void a_frame_has_a_checksum_and_garbage_has_not(void **state)
{
    (void)state;
    struct publisher_options options = two_vendors(2, 2000);
    options.garbage = 200;
    struct stream *stream = stream_new(&options);
    const struct sim_message *message;
    uint64_t good = 0, bad = 0;
    while ((message = stream_next(stream))) {
        if (message->vendor->format != PAYLOAD_CJT188)
            continue;
        const uint8_t *frame = message->payload.data;
        size_t size = message->payload.size;
        uint8_t sum = 0;
        for (size_t i = 3; size == 38 && i < 36; i++)
            sum = (uint8_t)(sum + frame[i]);
        bool valid = size == 38 && frame[3] == 0x68 && frame[36] == sum && frame[37] == 0x16;
        assert_int_equal(valid, message->kind != MESSAGE_GARBAGE);
        good += valid;
        bad += !valid;
    }
    assert_true(good > 800 && bad > 100);
    stream_free(stream);
}

static void quantiles_are_within_four_percent(void **state)
{
    (void)state;
    struct histogram *histogram = calloc(1, sizeof *histogram);
    for (int64_t i = 1; i <= 100000; i++)
        histogram_add(histogram, i * 1000);
    for (int percent = 1; percent <= 99; percent += 7) {
        int64_t exact = percent * 1000000LL, found = histogram_quantile(histogram, percent / 100.0);
        assert_in_range(found, exact * 98 / 100, exact * 104 / 100);
    }
    assert_int_equal(histogram_quantile(histogram, 1), 100000000);
    free(histogram);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_counter_only_grows_and_its_flow_explains_the_growth),
        cmocka_unit_test(people_draw_more_in_the_evening_than_at_night),
        cmocka_unit_test(the_same_seed_gives_the_same_messages),
        cmocka_unit_test(every_reading_comes_once_unless_twice_was_ordered),
        cmocka_unit_test(a_late_reading_comes_after_a_newer_one_of_its_meter),
        cmocka_unit_test(a_frame_has_a_checksum_and_garbage_has_not),
        cmocka_unit_test(quantiles_are_within_four_percent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
