/* SPDX-License-Identifier: Apache-2.0
 *
 * History beside live traffic: what a lane does with a feed.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "lib/lane_kit.h"

static struct lane *woken;

static void on_wake(void *arg)
{
    (void)arg;
    lane_wake(woken);
}

static struct feed *feed_make(struct lane *lane)
{
    struct err err;
    struct feed *feed = feed_new(1 << 20, on_wake, NULL);
    woken = lane;
    assert_int_equal(lane_attach(lane, feed, &err), 0);
    return feed;
}

static void put(struct feed *feed, uint64_t seq, uint32_t generation, uint32_t rows)
{
    struct batch_builder *builder = batch_builder_new();
    for (uint32_t i = 0; i < rows; i++)
        batch_builder_add(builder, &(struct batch_row){.vendor = bytes_text("acme"),
                                                       .device = bytes_text("1"),
                                                       .metric = bytes_text("flow"),
                                                       .unit = bytes_text("m3/h"),
                                                       .ts_ms = i,
                                                       .seq = seq});
    struct batch *batch = batch_builder_finish(builder);
    batch_builder_free(builder);
    batch->first_seq = batch->last_seq = seq;
    batch->generation = generation;
    batch->replay = true;
    assert_true(feed_put(feed, batch));
}

/* The units of replays, in order, after the lane has ended. */
static uint32_t replay_units(const struct unit *out[LANE_KIT_UNITS_MAX])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < lane_world.sink.written; i++)
        if (lane_world.sink.units[i].replay)
            out[count++] = &lane_world.sink.units[i];
    return count;
}

/* A lane that has sent 1 .. 20. */
static struct lane *lane_with_history(void)
{
    append_batch(1, 20, 1, 20);
    struct lane *lane = lane_make();
    wait_stored(20);
    wait_until(lane_stats(lane)->next_seq == 21);
    return lane;
}

static void history_is_sent_in_units_and_the_live_position_stays(void **state)
{
    (void)state;
    const struct unit *units[LANE_KIT_UNITS_MAX] = {0};
    struct lane *lane = lane_with_history();
    struct feed *feed = feed_make(lane);
    for (uint64_t seq = 3; seq <= 9; seq++)
        put(feed, seq, 1, 30);
    assert_true(feed_drained(feed));
    assert_int_equal(feed_stored_seq(feed), 9);
    feed_end(feed);
    assert_int_equal(lane_stats(lane)->next_seq, 21);
    assert_int_equal(lane_stats(lane)->rows, 20);
    assert_int_equal(lane_stats(lane)->replay_rows, 210);
    lane_end(lane, 1000);
    feed_free(feed);
    assert_int_equal(cursor_now().next_seq, 21);
    uint32_t count = replay_units(units);
    assert_true(count >= 3); /* of at most 100 rows */
    assert_int_equal(units[0]->first_seq, 3);
    assert_int_equal(units[count - 1]->last_seq, 9);
    for (uint32_t i = 0; i < count; i++)
        assert_true(units[i]->rows <= 100);
}

static void a_unit_holds_one_generation(void **state)
{
    (void)state;
    const struct unit *units[LANE_KIT_UNITS_MAX] = {0};
    struct lane *lane = lane_with_history();
    struct feed *feed = feed_make(lane);
    put(feed, 3, 1, 5);
    put(feed, 4, 2, 5);
    assert_true(feed_drained(feed));
    lane_end(lane, 1000);
    feed_free(feed);
    assert_int_equal(replay_units(units), 2);
    assert_int_equal(units[0]->generation, 1);
    assert_int_equal(units[1]->generation, 2);
}

static void a_replay_that_waits_does_not_wait_for_company(void **state)
{
    (void)state;
    lane_world.sink.age_ms = 60000;
    lane_world.sink.rows_max = 20;
    struct lane *lane = lane_with_history();
    struct feed *feed = feed_make(lane);
    int64_t before_ms = clock_monotonic_ms();
    put(feed, 3, 1, 5);
    assert_true(feed_drained(feed));
    assert_true(clock_monotonic_ms() - before_ms < 5000);
    lane_end(lane, 1000);
    feed_free(feed);
}

static void a_refused_attempt_comes_again_as_the_same_unit(void **state)
{
    (void)state;
    const struct unit *units[LANE_KIT_UNITS_MAX] = {0};
    struct lane *lane = lane_with_history();
    struct feed *feed = feed_make(lane);
    lane_world.sink.retries = 2;
    put(feed, 3, 1, 5);
    assert_true(feed_drained(feed));
    lane_end(lane, 1000);
    feed_free(feed);
    assert_int_equal(replay_units(units), 3);
    assert_int_equal(units[0]->first_seq, units[2]->first_seq);
    assert_int_equal(units[0]->rows, units[2]->rows);
}

/* One place at the sink: neither starves the other. */
static void live_and_history_take_turns(void **state)
{
    (void)state;
    struct fake_sink *sink = &lane_world.sink;
    sink->rows_max = 10;
    struct lane *lane = lane_with_history();
    struct feed *feed = feed_make(lane);
    uint32_t from = sink->written;
    sink->silent = true;
    append_batch(21, 30, 1, 10);
    wait_until(lane_stats(lane)->open_units > 0);
    for (uint64_t seq = 1; seq <= 8; seq++)
        put(feed, seq, 1, 10);
    for (uint64_t first = 31; first <= 101; first += 10)
        append_batch(first, first + 9, 1, 10);
    sink->silent = false;
    assert_true(feed_drained(feed));
    wait_until(lane_stats(lane)->next_seq == 111);
    lane_end(lane, 1000);
    feed_free(feed);
    int in_a_row = 0;
    for (uint32_t i = from + 1; i < from + 12; i++) {
        in_a_row = sink->units[i].replay == sink->units[i - 1].replay ? in_a_row + 1 : 0;
        assert_true(in_a_row < 2);
    }
}

/* With several places history has one of them at a time. */
static void history_leaves_places_to_live_units(void **state)
{
    (void)state;
    struct fake_sink *sink = &lane_world.sink;
    sink->open_max = 3;
    sink->rows_max = 10;
    struct lane *lane = lane_with_history();
    struct feed *feed = feed_make(lane);
    sink->silent = true;
    uint32_t before = sink->written;
    for (uint64_t seq = 1; seq <= 5; seq++)
        put(feed, seq, 1, 10);
    append_batch(21, 30, 1, 10);
    append_batch(31, 40, 1, 10);
    wait_until(lane_stats(lane)->open_units == 2);
    usleep(50000);
    sink->silent = false;
    assert_true(feed_drained(feed));
    wait_until(lane_stats(lane)->next_seq == 41);
    lane_end(lane, 1000);
    feed_free(feed);
    int replays = 0;
    for (uint32_t i = before; i < before + 3; i++)
        replays += sink->units[i].replay;
    assert_int_equal(replays, 1);
}

static void what_the_lane_has_still_to_send_goes_first(void **state)
{
    (void)state;
    struct fake_sink *sink = &lane_world.sink;
    sink->rows_max = 10;
    struct lane *lane = lane_with_history();
    uint32_t before = sink->written;
    sink->retries = 1;
    append_batch(21, 30, 1, 10);
    struct feed *feed = feed_make(lane);
    put(feed, 25, 1, 10);
    assert_true(feed_drained(feed));
    assert_int_equal(lane_stats(lane)->next_seq, 31);
    lane_end(lane, 1000);
    feed_free(feed);
    assert_false(sink->units[before].replay);
    assert_true(sink->units[sink->written - 1].replay);
}

static void a_second_replay_is_refused_until_the_first_has_ended(void **state)
{
    (void)state;
    struct err err;
    struct lane *lane = lane_with_history();
    struct feed *first = feed_make(lane), *second = feed_new(1 << 20, on_wake, NULL);
    assert_int_equal(lane_attach(lane, second, &err), GW_EEXIST);
    feed_end(first);
    assert_int_equal(lane_attach(lane, second, &err), 0);
    put(second, 3, 1, 5);
    assert_true(feed_drained(second));
    lane_end(lane, 1000);
    feed_free(first);
    feed_free(second);
}

/* Some sinks keep work for a unit that comes again, and hold others behind it. */
static void a_unit_that_was_begun_is_finished_although_its_replay_stopped(void **state)
{
    (void)state;
    struct fake_sink *sink = &lane_world.sink;
    const struct unit *units[LANE_KIT_UNITS_MAX] = {0};
    struct lane *lane = lane_with_history();
    struct feed *first = feed_make(lane), *second;
    sink->retries = 1;
    put(first, 3, 1, 5);
    wait_until(lane_stats(lane)->retries == 1);
    feed_end(first);
    lane_wake(lane);
    second = feed_make(lane);
    put(second, 4, 1, 5);
    assert_true(feed_drained(second));
    assert_int_equal(feed_stored_count(first), 1);
    lane_end(lane, 1000);
    feed_free(first);
    feed_free(second);
    assert_int_equal(replay_units(units), 3);
    assert_int_equal(units[1]->first_seq, 3);
    assert_int_equal(units[2]->first_seq, 4);
}

static void stopping_gives_an_open_unit_back_unstored(void **state)
{
    (void)state;
    struct lane *lane = lane_with_history();
    struct feed *feed = feed_make(lane);
    lane_world.sink.silent = true;
    uint32_t before = lane_world.sink.written;
    put(feed, 3, 1, 5);
    wait_until(lane_world.sink.written > before);
    feed_end(feed);
    lane_end(lane, 100);
    assert_int_equal(feed_stored_count(feed), 0);
    feed_free(feed);
    assert_int_equal(cursor_now().next_seq, 21);
}

static void a_stop_does_not_wait_for_history(void **state)
{
    (void)state;
    struct lane *lane = lane_with_history();
    struct feed *feed = feed_make(lane);
    lane_world.sink.retries = 1000000;
    put(feed, 3, 1, 5);
    wait_until(lane_stats(lane)->retries > 0);
    int64_t before_ms = clock_monotonic_ms();
    lane_end(lane, 60000);
    assert_true(clock_monotonic_ms() - before_ms < 5000);
    feed_end(feed);
    feed_free(feed);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, lane_world_setup, lane_world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(history_is_sent_in_units_and_the_live_position_stays),
        TEST(a_unit_holds_one_generation),
        TEST(a_replay_that_waits_does_not_wait_for_company),
        TEST(a_refused_attempt_comes_again_as_the_same_unit),
        TEST(live_and_history_take_turns),
        TEST(history_leaves_places_to_live_units),
        TEST(what_the_lane_has_still_to_send_goes_first),
        TEST(a_second_replay_is_refused_until_the_first_has_ended),
        TEST(a_unit_that_was_begun_is_finished_although_its_replay_stopped),
        TEST(stopping_gives_an_open_unit_back_unstored),
        TEST(a_stop_does_not_wait_for_history),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
