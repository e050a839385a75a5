/* SPDX-License-Identifier: Apache-2.0
 *
 * A lane's position when it does not simply move on: what has settled, rewinds, parking (invariant
 * 6), and reading from memory instead of the log.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "lib/fault_disk.h"
#include "lib/lane_kit.h"
#include "missed.h"

#define world (lane_world.sink)

static void batches(uint64_t first, uint64_t last)
{
    for (uint64_t seq = first; seq <= last; seq += 10)
        append_batch(seq, seq + 9, 1, 10);
}

/* ---- settled ---- */

static void without_a_settle_time_all_that_is_confirmed_is_settled(void **state)
{
    (void)state;
    batches(1, 30);
    struct lane *lane = lane_make();
    wait_until(lane_stats(lane)->settled_seq == 31);
    lane_end(lane, 1000);
    assert_int_equal(cursor_now().settled_seq, 31);
}

static void what_is_confirmed_settles_later_and_is_saved_then(void **state)
{
    (void)state;
    world.settle_ms = 700;
    batches(1, 30);
    struct lane *lane = lane_make();
    wait_until(lane_stats(lane)->next_seq == 31);
    assert_int_equal(lane_stats(lane)->settled_seq, 1);
    assert_int_equal(cursor_now().settled_seq, 1);
    wait_until(lane_stats(lane)->settled_seq == 31);
    /* Retention goes by it, so by then it is on disk. */
    assert_int_equal(cursor_now().settled_seq, 31);
    lane_end(lane, 1000);
}

static void after_a_restart_the_time_to_settle_begins_anew(void **state)
{
    (void)state;
    world.settle_ms = 60000;
    batches(1, 30);
    struct lane *lane = lane_make();
    wait_stored(30);
    lane_end(lane, 1000);
    assert_int_equal(cursor_now().next_seq, 31);
    assert_int_equal(cursor_now().settled_seq, 1);
    world.settle_ms = 300;
    lane = lane_make();
    assert_int_equal(lane_stats(lane)->settled_seq, 1);
    wait_until(lane_stats(lane)->settled_seq == 31);
    lane_end(lane, 1000);
}

/* ---- rewind ---- */

static void a_rewind_sends_again_from_what_has_settled(void **state)
{
    (void)state;
    world.settle_ms = 60000;
    batches(1, 30);
    struct lane *lane = lane_make();
    wait_stored(30);
    wait_until(cursor_now().next_seq == 31);
    world.rewind = true; /* while the next unit is open */
    batches(31, 40);
    wait_until(lane_stats(lane)->rewinds == 1 && lane_stats(lane)->next_seq == 41);
    lane_end(lane, 1000);
    uint32_t again = 0;
    for (uint32_t i = 1; i < world.written; i++)
        if (world.units[i].first_seq == 1)
            again = i;
    assert_true(again > 0);
    assert_int_equal(assert_units_cover(again, 1, 40), 40);
    assert_int_equal(cursor_now().readings, 40);
}

/* The position goes back on disk before anything is answered: a kill in between loses nothing. */
static void a_rewind_waits_for_open_units_but_is_saved_at_once(void **state)
{
    (void)state;
    world.settle_ms = 60000;
    world.open_max = 2;
    world.rows_max = 10;
    batches(1, 20);
    struct lane *lane = lane_make();
    wait_until(cursor_now().next_seq == 21);
    world.hold_seq = 25;
    batches(21, 40);
    wait_until(lane_stats(lane)->open_units == 2);
    world.rewind = true;
    wait_until(lane_stats(lane)->rewinds == 1);
    wait_until(cursor_now().next_seq == 1);
    assert_int_equal(cursor_now().unit_count, 0);
    usleep(200000);
    assert_int_equal(lane_stats(lane)->open_units, 2);
    uint32_t answered = world.answered;
    world.hold_seq = 0;
    wait_until(lane_stats(lane)->next_seq == 41);
    assert_true(world.answered >= answered + 1 + 4);
    lane_end(lane, 1000);
    assert_units_cover(4, 1, 40);
}

static void a_rewind_survives_a_kill_before_it_was_done(void **state)
{
    (void)state;
    world.settle_ms = 60000;
    batches(1, 20);
    struct lane *lane = lane_make();
    wait_until(cursor_now().next_seq == 21);
    world.hold_seq = 25;
    batches(21, 30);
    wait_until(lane_stats(lane)->open_units == 1 && cursor_now().unit_count == 1);
    world.rewind = true;
    wait_until(lane_stats(lane)->rewinds == 1);
    lane_end(lane, 0);
    uint32_t written = world.written;
    world.hold_seq = 0;
    lane = lane_make();
    wait_until(lane_stats(lane)->next_seq == 31);
    lane_end(lane, 1000);
    assert_units_cover(written, 1, 30);
}

static void a_rewind_at_start_begins_at_what_has_settled(void **state)
{
    (void)state;
    batches(1, 30);
    const struct cursor_state at = {
        .next_seq = 21, .settled_seq = 11, .unit_count = 1, .units = {{21, 30}}};
    cursor_put(&at);
    world.settle_ms = 60000;
    world.rewind_at_start = true;
    struct lane *lane = lane_make();
    wait_until(lane_stats(lane)->next_seq == 31);
    lane_end(lane, 1000);
    assert_int_equal(assert_units_cover(0, 11, 30), 20);
    assert_int_equal(world.given_through, 30); /* by the process before */
}

/* ---- park ---- */

static size_t missed_now(struct missed_range **out)
{
    char *path = missed_path(lane_world.cursor_path);
    struct err err;
    size_t count = 0;
    int rc = missed_load(&disk_real, path, out, &count, &err);
    if (rc && rc != GW_ENOENT)
        fail_msg("%s", err.text);
    free(path);
    return count;
}

static void assert_missed(uint64_t first_seq, uint64_t last_seq)
{
    struct missed_range *ranges;
    assert_int_equal(missed_now(&ranges), 1);
    assert_int_equal(ranges[0].kind, MISSED_PARKED);
    assert_int_equal(ranges[0].first_seq, first_seq);
    assert_int_equal(ranges[0].last_seq, last_seq);
    free(ranges);
}

static void a_lane_that_may_park_goes_on_behind_what_it_leaves_out(void **state)
{
    (void)state;
    lane_world.config.when_full = WHEN_FULL_PARK;
    world.start_rc = GW_EIO; /* its destination is down */
    batches(1, 60);
    struct lane *lane = lane_make();
    lane_park(lane, 31);
    wait_until(lane_stats(lane)->settled_seq == 31);
    assert_int_equal(cursor_now().next_seq, 31);
    assert_missed(1, 30);
    assert_int_equal(lane_stats(lane)->parked_first_seq, 1);
    assert_int_equal(lane_stats(lane)->parked_last_seq, 30);
    assert_int_equal(lane_stats(lane)->parked_messages, 30);
    struct missed_range *ranges;
    missed_now(&ranges);
    assert_int_equal(ranges[0].received_from_ms, 1001);
    assert_int_equal(ranges[0].received_to_ms, 1021);
    free(ranges);
    /* And further: one range on disk. */
    lane_park(lane, 41);
    wait_until(lane_stats(lane)->settled_seq == 41);
    assert_missed(1, 40);
    world.start_rc = 0;
    wait_stored(60);
    lane_end(lane, 1000);
    assert_units_cover(0, 41, 60);
    assert_int_equal(cursor_now().next_seq, 61);
    assert_int_equal(cursor_now().readings, 60);
    assert_missed(1, 40);
}

static void a_lane_that_was_sent_back_can_be_parked_before_its_destination_starts(void **state)
{
    (void)state;
    batches(1, 60);
    const struct cursor_state at = {
        .next_seq = 31, .settled_seq = 11, .unit_count = 1, .units = {{31, 40}}};
    cursor_put(&at);
    lane_world.config.when_full = WHEN_FULL_PARK;
    world.settle_ms = 60000;
    world.start_rc = GW_EIO;
    world.rewind_at_start = true;
    struct lane *lane = lane_make();
    wait_until(lane_stats(lane)->rewinds == 1);
    lane_park(lane, 21);
    wait_until(lane_stats(lane)->settled_seq == 21);
    assert_missed(11, 20);
    world.start_rc = 0;
    wait_stored(60);
    lane_end(lane, 1000);
    assert_units_cover(0, 21, 60);
}

static void a_lane_that_holds_is_never_parked(void **state)
{
    (void)state;
    world.silent = true;
    batches(1, 30);
    struct lane *lane = lane_make();
    wait_until(lane_stats(lane)->open_units);
    lane_park(lane, 21);
    usleep(300000);
    assert_int_equal(lane_stats(lane)->settled_seq, 1);
    lane_end(lane, 0);
    assert_int_equal(cursor_now().next_seq, 1);
}

/* Units that the sink has stay with it, whole; what of them is stored later is not missed. */
static void a_parked_unit_may_still_arrive(void **state)
{
    (void)state;
    lane_world.config.when_full = WHEN_FULL_PARK;
    world.open_max = 2;
    world.rows_max = 20;
    world.silent = true;
    batches(1, 60);
    struct lane *lane = lane_make();
    wait_until(cursor_now().unit_count == 2);
    lane_park(lane, 31); /* in the middle of the second unit */
    wait_until(lane_stats(lane)->settled_seq == 41);
    assert_missed(1, 40);
    assert_int_equal(cursor_now().next_seq, 41);
    assert_int_equal(cursor_now().unit_count, 0);
    world.hold_seq = 5;
    world.silent = false;
    wait_until(world.answered == 1);
    world.hold_seq = 0;
    wait_until(lane_stats(lane)->parked_messages == 0);
    wait_stored(60);
    lane_end(lane, 1000);
    struct missed_range *ranges;
    assert_int_equal(missed_now(&ranges), 0);
    free(ranges);
    assert_int_equal(assert_units_cover(0, 1, 60), 60);
    assert_int_equal(cursor_now().next_seq, 61);
}

static void a_parked_unit_that_arrives_may_still_be_lost_there(void **state)
{
    (void)state;
    lane_world.config.when_full = WHEN_FULL_PARK;
    world.settle_ms = 60000;
    world.rows_max = 20;
    world.silent = true;
    batches(1, 60);
    struct lane *lane = lane_make();
    wait_until(cursor_now().unit_count == 1);
    lane_park(lane, 31);
    wait_until(lane_stats(lane)->settled_seq == 31);
    assert_missed(1, 30);
    world.silent = false;
    wait_until(lane_stats(lane)->parked_messages == 10);
    lane_end(lane, 1000);
    struct missed_range *ranges;
    assert_int_equal(missed_now(&ranges), 2);
    for (size_t i = 0; i < 2; i++) {
        bool arrived = ranges[i].kind == MISSED_UNSETTLED;
        assert_int_equal(ranges[i].first_seq, arrived ? 1 : 21);
        assert_int_equal(ranges[i].last_seq, arrived ? 20 : 30);
    }
    assert_int_not_equal(ranges[0].kind, ranges[1].kind);
    free(ranges);
}

static void parked_units_are_gone_after_a_kill_and_stay_written_down(void **state)
{
    (void)state;
    lane_world.config.when_full = WHEN_FULL_PARK;
    world.rows_max = 20;
    world.silent = true;
    batches(1, 60);
    struct lane *lane = lane_make();
    wait_until(cursor_now().unit_count == 1);
    lane_park(lane, 31);
    wait_until(lane_stats(lane)->settled_seq == 31);
    lane_end(lane, 0);
    uint32_t written = world.written;
    world.silent = false;
    lane = lane_make();
    assert_int_equal(lane_stats(lane)->parked_messages, 30);
    wait_stored(60);
    lane_end(lane, 1000);
    assert_units_cover(written, 31, 60);
    assert_missed(1, 30);
}

/* Killed before the cursor passed what was written down: it is still in the log, and comes. */
static void what_was_written_down_and_not_passed_is_not_missed(void **state)
{
    (void)state;
    lane_world.config.when_full = WHEN_FULL_PARK;
    batches(1, 40);
    const struct cursor_state at = {.next_seq = 11, .settled_seq = 11, .readings = 10};
    cursor_put(&at);
    char *path = missed_path(lane_world.cursor_path);
    struct missed *missed;
    struct err err;
    struct missed_range ranges[] = {{.first_seq = 1, .last_seq = 4},
                                    {.first_seq = 11, .last_seq = 30}};
    assert_int_equal(missed_open(&missed, &disk_real, path, &err), 0);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(missed_add(missed, &ranges[i], &err), 0);
    missed_close(missed);
    free(path);
    struct lane *lane = lane_make();
    wait_stored(40);
    lane_end(lane, 1000);
    assert_units_cover(0, 11, 40);
    assert_missed(1, 4);
}

static void a_lane_that_cannot_write_it_down_is_not_parked(void **state)
{
    (void)state;
    struct fault_disk fault;
    fault_disk_init(&fault);
    lane_world.options.disk = &fault.disk;
    lane_world.config.when_full = WHEN_FULL_PARK;
    world.silent = true;
    batches(1, 60);
    struct lane *lane = lane_make();
    wait_until(cursor_now().unit_count == 1);
    uint64_t syncs = fault_disk_count(&fault, FAULT_DATASYNC);
    fault_disk_fail(&fault, FAULT_DATASYNC, 1, ENOSPC, true);
    lane_park(lane, 31);
    wait_until(fault_disk_count(&fault, FAULT_DATASYNC) > syncs + 1);
    assert_int_equal(lane_stats(lane)->settled_seq, 1);
    assert_int_equal(cursor_now().next_seq, 1);
    fault_disk_fail(&fault, FAULT_DATASYNC, 0, 0, false);
    wait_until(lane_stats(lane)->settled_seq > 1);
    world.silent = false;
    wait_stored(60);
    lane_end(lane, 1000);
    fault_disk_fini(&fault);
}

/* Confirmed, but perhaps not safe: the log may go without it, and that is written down. */
static void what_has_not_settled_can_be_given_up(void **state)
{
    (void)state;
    lane_world.config.when_full = WHEN_FULL_PARK;
    world.settle_ms = 60000;
    batches(1, 60);
    struct lane *lane = lane_make();
    wait_until(cursor_now().next_seq == 61);
    lane_park(lane, 31);
    wait_until(lane_stats(lane)->settled_seq == 31);
    assert_int_equal(lane_stats(lane)->next_seq, 61);
    assert_int_equal(lane_stats(lane)->parked_messages, 0);
    struct missed_range *ranges;
    assert_int_equal(missed_now(&ranges), 1);
    assert_int_equal(ranges[0].kind, MISSED_UNSETTLED);
    assert_int_equal(ranges[0].first_seq, 1);
    assert_int_equal(ranges[0].last_seq, 30);
    free(ranges);
    world.rewind = true;
    batches(61, 70);
    wait_until(lane_stats(lane)->rewinds == 1 && lane_stats(lane)->next_seq == 71);
    lane_end(lane, 1000);
    uint32_t again = 1;
    while (again < world.written && world.units[again].first_seq != 31)
        again++;
    assert_units_cover(again, 31, 70);
}

/* A destination that keeps the position has never heard of parking. */
static void behind_what_was_parked_the_position_is_ours(void **state)
{
    (void)state;
    lane_world.config.when_full = WHEN_FULL_PARK;
    world.rows_max = 10;
    world.silent = true;
    batches(1, 60);
    struct lane *lane = lane_make();
    wait_until(cursor_now().unit_count == 1);
    lane_park(lane, 41);
    wait_until(lane_stats(lane)->settled_seq == 41);
    lane_end(lane, 0);
    assert_missed(1, 40);
    uint32_t written = world.written;
    world.silent = false;
    world.at_sink = 11; /* the first unit had arrived there before the kill */
    lane = lane_make();
    wait_stored(60);
    lane_end(lane, 1000);
    assert_units_cover(written, 41, 60);
    assert_missed(11, 40);
}

/* ---- memory instead of the log ---- */

static void a_lane_that_keeps_up_reads_no_disk(void **state)
{
    (void)state;
    struct fault_disk fault;
    fault_disk_init(&fault);
    lane_world.journal_disk = &fault.disk;
    lane_world_reopen();
    struct recent *recent = recent_new(1 << 20);
    lane_world.options.recent = recent;
    struct lane *lane = lane_make();
    uint64_t reads = fault_disk_count(&fault, FAULT_PREAD);
    for (uint64_t seq = 1; seq <= 100; seq += 10) {
        append_batch(seq, seq + 9, 1, 10);
        wait_stored(seq + 9);
    }
    assert_int_equal(fault_disk_count(&fault, FAULT_PREAD), reads);
    lane_end(lane, 1000);
    assert_int_equal(assert_units_cover(0, 1, 100), 100);
    lane_world.journal_disk = &disk_real;
    lane_world_reopen();
    recent_free(recent);
    fault_disk_fini(&fault);
}

/* Memory holds the last few; what came before is read from the log, then memory takes over. */
static void a_lane_behind_reads_the_log_until_memory_has_it(void **state)
{
    (void)state;
    batches(1, 200);
    struct recent *recent = recent_new(1 << 20);
    lane_world.options.recent = recent;
    batches(201, 400);
    struct lane *lane = lane_make();
    wait_stored(400);
    batches(401, 450);
    wait_stored(450);
    lane_end(lane, 1000);
    assert_int_equal(assert_units_cover(0, 1, 450), 450);
    assert_int_equal(cursor_now().readings, 450);
    recent_free(recent);
}

#define position_test(name)                                                                        \
    cmocka_unit_test_setup_teardown(name, lane_world_setup, lane_world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        position_test(without_a_settle_time_all_that_is_confirmed_is_settled),
        position_test(what_is_confirmed_settles_later_and_is_saved_then),
        position_test(after_a_restart_the_time_to_settle_begins_anew),
        position_test(a_rewind_sends_again_from_what_has_settled),
        position_test(a_rewind_waits_for_open_units_but_is_saved_at_once),
        position_test(a_rewind_survives_a_kill_before_it_was_done),
        position_test(a_rewind_at_start_begins_at_what_has_settled),
        position_test(a_lane_that_may_park_goes_on_behind_what_it_leaves_out),
        position_test(a_lane_that_was_sent_back_can_be_parked_before_its_destination_starts),
        position_test(a_lane_that_holds_is_never_parked),
        position_test(a_parked_unit_may_still_arrive),
        position_test(a_parked_unit_that_arrives_may_still_be_lost_there),
        position_test(parked_units_are_gone_after_a_kill_and_stay_written_down),
        position_test(what_was_written_down_and_not_passed_is_not_missed),
        position_test(a_lane_that_cannot_write_it_down_is_not_parked),
        position_test(what_has_not_settled_can_be_given_up),
        position_test(behind_what_was_parked_the_position_is_ours),
        position_test(a_lane_that_keeps_up_reads_no_disk),
        position_test(a_lane_behind_reads_the_log_until_memory_has_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
