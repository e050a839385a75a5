/* SPDX-License-Identifier: Apache-2.0
 *
 * The start of a lane: the sink's, on the lane's own thread; the position of a lane without a cursor;
 * a destination that keeps the position itself (invariant 5).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "lib/lane_kit.h"

#define world (lane_world.sink)

static struct lane *lane_begun(void)
{
    struct lane *lane = NULL;
    struct err err = {{0}};
    if (lane_new(&lane_world.options, &lane, &err) || lane_start(lane, &err))
        fail_msg("%s", err.text);
    return lane;
}

static int wait_ms(struct lane *lane, int64_t ms, struct err *err)
{
    return lane_wait_started(lane, clock_monotonic_ms() + ms, err);
}

static void six_batches(void)
{
    for (uint64_t seq = 1; seq <= 60; seq += 10)
        append_batch(seq, seq + 9, 1, 10);
}

/* ---- the sink's start ---- */

static void a_start_that_takes_long_is_not_waited_for(void **state)
{
    (void)state;
    struct err err;
    world.start_ms = 1500;
    append_batch(1, 10, 1, 10);
    int64_t before = clock_monotonic_ms();
    struct lane *lane = lane_begun();
    assert_int_equal(wait_ms(lane, 100, &err), 0);
    assert_true(clock_monotonic_ms() - before < 1000);
    assert_false(lane_stats(lane)->started);
    wait_stored(10);
    assert_true(lane_stats(lane)->started);
    lane_end(lane, 1000);
}

static void a_sink_that_takes_long_to_start_delays_no_other(void **state)
{
    (void)state;
    static struct fake_sink other;
    other = (struct fake_sink){.open_max = 1, .rows_max = 100, .age_ms = 10, .start_ms = 2000};
    struct config_sink config = {
        .name = (char *)(uintptr_t) "slow", .type = &fake_sink_type, .options = &other};
    struct lane_options options = lane_world.options;
    options.sink = &config;
    char *path = mem_printf("%s/slow.cursor", lane_world.folder.path);
    options.cursor_path = path;
    struct lane *slow;
    struct err err;
    append_batch(1, 10, 1, 10);
    assert_int_equal(lane_new(&options, &slow, &err), 0);
    assert_int_equal(lane_start(slow, &err), 0);
    struct lane *lane = lane_make();
    wait_stored(10);
    assert_int_equal(other.starts, 0);
    lane_end(lane, 1000);
    lane_end(slow, 0);
    free(path);
}

static void what_the_operator_must_mend_is_the_first_result(void **state)
{
    (void)state;
    struct err err;
    world.start_rc = GW_EINVAL;
    struct lane *lane = lane_begun();
    assert_int_equal(wait_ms(lane, 5000, &err), GW_EINVAL);
    assert_string_equal(err.text, "sink fake: told so at start");
    lane_end(lane, 0);
}

static void a_start_that_fails_otherwise_is_tried_again(void **state)
{
    (void)state;
    struct err err;
    world.start_rc = GW_EIO;
    append_batch(1, 10, 1, 10);
    struct lane *lane = lane_begun();
    assert_int_equal(wait_ms(lane, 5000, &err), 0);
    wait_until(world.starts == 2);
    assert_int_equal(lane_stats(lane)->health, LANE_RETRYING);
    char why[200];
    lane_why(lane, why);
    assert_string_equal(why, "told so at start");
    world.start_rc = 0;
    wait_stored(10);
    wait_until(lane_stats(lane)->health == LANE_OK);
    lane_why(lane, why);
    assert_string_equal(why, "");
    lane_end(lane, 1000);
    assert_int_equal(cursor_now().next_seq, 11);
}

static void a_late_mistake_of_the_operator_stops_the_lane_only(void **state)
{
    (void)state;
    struct err err;
    world.start_rc = GW_EINVAL;
    world.start_ms = 300;
    struct lane *lane = lane_begun();
    assert_int_equal(wait_ms(lane, 10, &err), 0);
    wait_until(lane_stats(lane)->health == LANE_STOPPED);
    assert_int_equal(lane_stats(lane)->retries_by_reason[SINK_REASON_OPERATOR], 1);
    usleep(600000); /* it is tried again after 30 s, not after 200 ms */
    assert_int_equal(world.starts, 1);
    lane_end(lane, 0);
}

static void a_lane_that_ends_soon_begins_no_start(void **state)
{
    (void)state;
    world.start_rc = GW_EIO;
    struct lane *lane = lane_make();
    lane_stop_soon(lane);
    usleep(50000);
    int starts = world.starts;
    usleep(700000);
    assert_int_equal(world.starts, starts);
    lane_end(lane, 0);
}

static void lanes_that_stop_together_take_as_long_as_one(void **state)
{
    (void)state;
    world.silent = true; /* it never answers, so each stop lasts its whole time */
    static struct fake_sink second;
    second = (struct fake_sink){.open_max = 1, .rows_max = 100, .age_ms = 10, .silent = true};
    struct config_sink config = {
        .name = (char *)(uintptr_t) "second", .type = &fake_sink_type, .options = &second};
    append_batch(1, 10, 1, 10);
    struct lane *lanes[2] = {lane_make(), NULL};
    char *path = mem_printf("%s/second.cursor", lane_world.folder.path);
    lane_world.options.sink = &config;
    lane_world.options.cursor_path = path;
    lanes[1] = lane_make();
    wait_until(lane_stats(lanes[0])->open_units && lane_stats(lanes[1])->open_units);
    int64_t before = clock_monotonic_ms();
    for (int i = 0; i < 2; i++)
        lane_stop_begin(lanes[i], 700);
    for (int i = 0; i < 2; i++)
        lane_end(lanes[i], 700);
    assert_in_range(clock_monotonic_ms() - before, 650, 1350);
    free(path);
}

/* ---- the first position ---- */

static uint64_t begins_at(void)
{
    world.silent = true;
    struct lane *lane = lane_make();
    uint64_t seq = lane_stats(lane)->next_seq;
    assert_int_equal(lane_stats(lane)->settled_seq, seq);
    lane_end(lane, 0);
    assert_int_equal(cursor_now().next_seq, seq);
    unlink(lane_world.cursor_path);
    lane_world_reopen(); /* it would still tell the lane of what comes */
    return seq;
}

static void a_new_lane_begins_at_the_earliest_that_is_kept(void **state)
{
    (void)state;
    struct err err;
    six_batches();
    assert_int_equal(begins_at(), 1);
    journal_rotate(lane_world.readings);
    append_batch(61, 70, 1, 10);
    assert_int_equal(journal_retain(lane_world.readings, 61, 0, 0, 5000, &err), 0);
    assert_int_equal(begins_at(), 61);
}

static void a_new_lane_can_begin_at_the_latest(void **state)
{
    (void)state;
    six_batches();
    lane_world.config.start = START_LATEST;
    assert_int_equal(begins_at(), 61);
    /* What is in the raw log and not yet decoded came before, too. */
    lane_world.options.received_end = 75;
    assert_int_equal(begins_at(), 75);
}

static void a_lane_that_begins_within_a_batch_leaves_out_what_is_before(void **state)
{
    (void)state;
    six_batches();
    lane_world.config.start = START_LATEST;
    lane_world.options.received_end = 66;
    struct lane *lane = lane_make();
    append_batch(61, 70, 1, 20);
    wait_stored(70);
    lane_end(lane, 1000);
    assert_int_equal(assert_units_cover(0, 66, 70), 10);
    assert_int_equal(cursor_now().readings, 80);
}

static void a_new_lane_can_begin_at_a_time(void **state)
{
    (void)state;
    append_batch_at(1, 10, 10, 1000);
    append_batch_at(11, 20, 10, 2000);
    journal_rotate(lane_world.readings);
    append_batch_at(21, 30, 10, 3000);
    append_batch_at(31, 40, 10, 4000);
    lane_world.config.start = START_TIME;
    static const struct {
        int64_t time_ms;
        uint64_t seq;
    } cases[] = {{0, 1}, {1000, 1}, {1001, 11}, {2000, 11}, {2500, 21}, {3001, 31}, {4001, 41}};
    for (size_t i = 0; i < array_count(cases); i++) {
        lane_world.config.start_ms = cases[i].time_ms;
        lane_world.options.received_end = 60; /* what is not decoded yet may be late enough */
        assert_int_equal(begins_at(), cases[i].seq);
    }
}

/* The clock was set back by an hour and more: what came after that is behind the first extent that is
 * late enough, and is sent. */
static void a_clock_that_went_back_makes_the_lane_begin_earlier(void **state)
{
    (void)state;
    append_batch_at(1, 10, 10, 1000);
    append_batch_at(11, 20, 10, 9000);
    append_batch_at(21, 30, 10, 2000);
    append_batch_at(31, 40, 10, 8000);
    lane_world.config.start = START_TIME;
    lane_world.config.start_ms = 8000;
    assert_int_equal(begins_at(), 11);
}

static void a_cursor_that_is_there_wins_over_the_option(void **state)
{
    (void)state;
    six_batches();
    const struct cursor_state at = {.next_seq = 31, .settled_seq = 31, .readings = 30};
    cursor_put(&at);
    lane_world.config.start = START_LATEST;
    assert_int_equal(begins_at(), 31);
}

/* ---- a destination with a position of its own ---- */

/* Three units were begun; the destination has the first and a part of the second. */
static void the_lane_follows_a_destination_that_is_further(void **state)
{
    (void)state;
    six_batches();
    const struct cursor_state killed = {
        .next_seq = 1, .settled_seq = 1, .unit_count = 3, .units = {{1, 10}, {11, 30}, {31, 40}}};
    cursor_put(&killed);
    world.at_sink = 11;
    struct lane *lane = lane_make();
    wait_stored(60);
    lane_end(lane, 1000);
    assert_int_equal(world.units[0].first_seq, 11);
    assert_int_equal(world.units[0].last_seq, 30);
    assert_int_equal(world.units[1].last_seq, 40);
    assert_units_cover(0, 11, 60);
    assert_int_equal(cursor_now().readings, 60);
}

static void of_a_unit_that_is_there_in_part_the_rest_comes(void **state)
{
    (void)state;
    six_batches();
    const struct cursor_state killed = {
        .next_seq = 1, .settled_seq = 1, .unit_count = 2, .units = {{1, 20}, {21, 40}}};
    cursor_put(&killed);
    world.at_sink = 15; /* within a batch, too */
    world.silent = true;
    struct lane *lane = lane_make();
    assert_int_equal(cursor_now().next_seq, 15);
    assert_int_equal(cursor_now().settled_seq, 15);
    world.silent = false;
    wait_stored(60);
    lane_end(lane, 1000);
    assert_int_equal(assert_units_cover(0, 15, 60), 46);
    assert_int_equal(world.units[0].last_seq, 20);
    assert_int_equal(world.units[1].last_seq, 40);
}

/* The bounds are trimmed in the file as well: a second kill finds what the first left. */
static void trimmed_bounds_outlive_another_kill(void **state)
{
    (void)state;
    six_batches();
    const struct cursor_state killed = {
        .next_seq = 1, .settled_seq = 1, .unit_count = 2, .units = {{1, 20}, {21, 40}}};
    cursor_put(&killed);
    world.at_sink = 15;
    world.silent = true;
    struct lane *lane = lane_make();
    wait_until(lane_stats(lane)->open_units);
    lane_end(lane, 0);
    struct cursor_state left = cursor_now();
    assert_int_equal(left.unit_count, 2);
    assert_int_equal(left.units[0].first_seq, 15);
    assert_int_equal(left.units[0].last_seq, 20);
    world.silent = false;
    uint32_t written = world.written;
    lane = lane_make();
    wait_stored(60);
    lane_end(lane, 1000);
    assert_units_cover(written, 15, 60);
    assert_int_equal(world.units[written].last_seq, 20);
}

static void the_lane_goes_back_with_a_destination_that_lost_something(void **state)
{
    (void)state;
    six_batches();
    const struct cursor_state killed = {
        .next_seq = 41, .settled_seq = 41, .readings = 40, .unit_count = 1, .units = {{41, 50}}};
    cursor_put(&killed);
    world.at_sink = 21;
    struct lane *lane = lane_make();
    wait_stored(60);
    lane_end(lane, 1000);
    assert_int_equal(assert_units_cover(0, 21, 60), 40);
    assert_int_equal(cursor_now().next_seq, 61);
    assert_int_equal(cursor_now().readings, 60);
}

static void a_destination_with_nothing_begins_at_one(void **state)
{
    (void)state;
    six_batches();
    const struct cursor_state at = {.next_seq = 41, .settled_seq = 41};
    cursor_put(&at);
    world.at_sink = 1;
    struct lane *lane = lane_make();
    wait_stored(60);
    lane_end(lane, 1000);
    assert_units_cover(0, 1, 60);
}

/* The reading log lost its end; the decoder makes it again, and the destination has a part of it. */
static void a_destination_ahead_of_the_reading_log_waits_for_it(void **state)
{
    (void)state;
    append_batch(1, 10, 1, 10);
    lane_world.options.received_end = 31;
    world.at_sink = 25;
    struct lane *lane = lane_make();
    append_batch(11, 30, 1, 20);
    wait_stored(30);
    lane_end(lane, 1000);
    assert_int_equal(assert_units_cover(0, 25, 30), 6);
}

static void a_destination_ahead_of_the_raw_log_is_a_refusal(void **state)
{
    (void)state;
    struct err err;
    six_batches();
    lane_world.options.received_end = 61;
    world.at_sink = 62;
    struct lane *lane = lane_begun();
    assert_int_equal(wait_ms(lane, 5000, &err), GW_EINVAL);
    assert_non_null(strstr(err.text, "journal new-identity"));
    assert_int_equal(lane_stats(lane)->health, LANE_STOPPED);
    /* More comes, and the position is no longer ahead: it is still another journal's. */
    append_batch(61, 90, 1, 30);
    usleep(500000);
    assert_int_equal(world.starts, 1);
    lane_end(lane, 100);
    assert_int_equal(world.written, 0);
    assert_int_equal(cursor_now().next_seq, 1);
}

#define start_test(name)                                                                           \
    cmocka_unit_test_setup_teardown(name, lane_world_setup, lane_world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        start_test(a_start_that_takes_long_is_not_waited_for),
        start_test(a_sink_that_takes_long_to_start_delays_no_other),
        start_test(what_the_operator_must_mend_is_the_first_result),
        start_test(a_start_that_fails_otherwise_is_tried_again),
        start_test(a_late_mistake_of_the_operator_stops_the_lane_only),
        start_test(a_lane_that_ends_soon_begins_no_start),
        start_test(lanes_that_stop_together_take_as_long_as_one),
        start_test(a_new_lane_begins_at_the_earliest_that_is_kept),
        start_test(a_new_lane_can_begin_at_the_latest),
        start_test(a_lane_that_begins_within_a_batch_leaves_out_what_is_before),
        start_test(a_new_lane_can_begin_at_a_time),
        start_test(a_clock_that_went_back_makes_the_lane_begin_earlier),
        start_test(a_cursor_that_is_there_wins_over_the_option),
        start_test(the_lane_follows_a_destination_that_is_further),
        start_test(of_a_unit_that_is_there_in_part_the_rest_comes),
        start_test(trimmed_bounds_outlive_another_kill),
        start_test(the_lane_goes_back_with_a_destination_that_lost_something),
        start_test(a_destination_with_nothing_begins_at_one),
        start_test(a_destination_ahead_of_the_reading_log_waits_for_it),
        start_test(a_destination_ahead_of_the_raw_log_is_a_refusal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
