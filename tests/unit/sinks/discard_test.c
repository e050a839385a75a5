/* SPDX-License-Identifier: Apache-2.0
 *
 * The discard sink keeps the contract that it is the example of.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/sink_lane.h"
#include "sinks/discard/discard.h"

static void begin(struct sink_lane *lane, int64_t delay_ms)
{
    struct err err = {0};
    sink_lane_init(lane, &sink_discard, &disk_real, ".");
    ((struct discard_options *)lane->options)->delay_ms = delay_ms;
    assert_int_equal(sink_lane_start(lane, 1, &err), 0);
}

static void a_unit_is_answered_later(void **state)
{
    (void)state;
    struct sink_lane lane;
    struct unit *unit = test_unit(1, 10, 10, 0, 1);
    begin(&lane, 0);
    sink_lane_write(&lane, unit); /* the lane asserts that no answer comes from inside */
    assert_int_equal(lane.answer_count, 0);
    assert_true(sink_lane_wait(&lane, 1));
    assert_ptr_equal(lane.answers[0].unit, unit);
    assert_int_equal(lane.answers[0].answer, SINK_STORED);
    sink_lane_fini(&lane);
    test_unit_free(unit);
}

static void delay_holds_the_answer_back(void **state)
{
    (void)state;
    struct sink_lane lane;
    struct unit *unit = test_unit(1, 10, 10, 0, 1);
    begin(&lane, 60);
    uint64_t before = uv_hrtime();
    assert_int_equal(sink_lane_put(&lane, unit), SINK_STORED);
    assert_true(uv_hrtime() - before >= 50 * 1000000);
    sink_lane_fini(&lane);
    test_unit_free(unit);
}

static void as_many_units_as_promised_are_open_at_once(void **state)
{
    (void)state;
    struct sink_lane lane;
    struct unit *units[8];
    uint32_t count = sink_discard.open_units_max(NULL);
    begin(&lane, 20);
    for (uint32_t i = 0; i < count; i++)
        sink_lane_write(&lane, units[i] = test_unit(i + 1, i + 1, 1, 0, 1));
    assert_true(sink_lane_wait(&lane, count));
    for (uint32_t i = 0; i < count; i++) {
        assert_ptr_equal(lane.answers[i].unit, units[i]);
        assert_int_equal(lane.answers[i].answer, SINK_STORED);
        test_unit_free(units[i]);
    }
    sink_lane_fini(&lane);
}

static void close_gives_open_units_back(void **state)
{
    (void)state;
    struct sink_lane lane;
    struct unit *unit = test_unit(1, 10, 10, 0, 1);
    begin(&lane, 3600 * 1000);
    sink_lane_write(&lane, unit);
    sink_lane_fini(&lane);
    assert_int_equal(lane.answer_count, 1);
    assert_int_equal(lane.answers[0].answer, SINK_CLOSED);
    test_unit_free(unit);
}

static void a_sink_that_never_started_closes(void **state)
{
    (void)state;
    struct sink_lane lane;
    struct err err = {0};
    sink_lane_init(&lane, &sink_discard, &disk_real, ".");
    assert_int_equal(sink_discard.init(&lane.sink, lane.options, &lane.host, &err), 0);
    sink_lane_fini(&lane);
}

static void metrics_count_what_was_taken(void **state)
{
    (void)state;
    struct sink_lane lane;
    struct unit *unit = test_unit(1, 10, 25, 0, 1);
    struct buffer text = {0};
    begin(&lane, 0);
    assert_int_equal(sink_lane_put(&lane, unit), SINK_STORED);
    sink_discard.metrics(lane.sink, &text);
    buffer_u8(&text, 0);
    assert_non_null(
        strstr((char *)text.data, "tidegate_sink_discard_rows_total{sink=\"discard\"} 25\n"));
    buffer_fini(&text);
    sink_lane_fini(&lane);
    test_unit_free(unit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_unit_is_answered_later),
        cmocka_unit_test(delay_holds_the_answer_back),
        cmocka_unit_test(as_many_units_as_promised_are_open_at_once),
        cmocka_unit_test(close_gives_open_units_back),
        cmocka_unit_test(a_sink_that_never_started_closes),
        cmocka_unit_test(metrics_count_what_was_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
