/* SPDX-License-Identifier: Apache-2.0
 *
 * A lane with a sink that answers as the test says: units, bounds, retries, cursor (invariant 6).
 */
#include <errno.h>
#include <fcntl.h>
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

#define world (lane_world.sink)

static void every_batch_is_sent_once_and_the_cursor_follows(void **state)
{
    (void)state;
    struct lane *lane = lane_make();
    for (uint64_t seq = 1; seq <= 50; seq += 10)
        append_batch(seq, seq + 9, 1, 10);
    wait_stored(50);
    lane_end(lane, 1000);
    assert_int_equal(assert_units_cover(0, 1, 50), 50);
    assert_int_equal(cursor_now().next_seq, 51);
    assert_int_equal(cursor_now().unit_count, 0);
}

static void bounds_are_the_same_after_a_restart(void **state)
{
    (void)state;
    world.silent = true;
    append_batch(1, 10, 1, 10);
    append_batch(11, 20, 1, 10);
    struct lane *lane = lane_make();
    wait_until(lane_stats(lane)->open_units && cursor_now().unit_count);
    lane_end(lane, 0);
    assert_int_equal(world.written, 1);
    struct unit first = world.units[0];
    assert_int_equal(cursor_now().next_seq, 1);

    /* More has come meanwhile, and would fit: the unit must not grow. */
    lane_world_reopen();
    append_batch(21, 30, 1, 10);
    world.silent = false;
    world.age_ms = 1;
    lane = lane_make();
    wait_stored(30);
    lane_end(lane, 1000);
    assert_int_equal(world.units[1].first_seq, first.first_seq);
    assert_int_equal(world.units[1].last_seq, first.last_seq);
    assert_int_equal(world.units[1].rows, first.rows);
    assert_int_equal(cursor_now().next_seq, 31);
}

static void a_retried_unit_is_the_same_unit(void **state)
{
    (void)state;
    world.retries = 2;
    append_batch(1, 10, 1, 10);
    struct lane *lane = lane_make();
    wait_stored(10);
    assert_int_equal(lane_stats(lane)->retries, 2);
    assert_int_equal(lane_stats(lane)->health, LANE_OK);
    lane_end(lane, 1000);
    assert_int_equal(world.written, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(world.units[i].first_seq, 1);
        assert_int_equal(world.units[i].last_seq, 10);
    }
}

static void the_cursor_stays_while_the_sink_says_retry(void **state)
{
    (void)state;
    world.retries = 1000;
    append_batch(1, 10, 1, 10);
    struct lane *lane = lane_make();
    wait_until(lane_stats(lane)->retries);
    char why[200];
    lane_why(lane, why);
    assert_string_equal(why, "told so");
    assert_int_equal(lane_stats(lane)->health, LANE_RETRYING);
    assert_int_equal(lane_stats(lane)->waiting_received_ms, 1001); /* as append_batch says */
    lane_end(lane, 0);
    assert_int_equal(cursor_now().next_seq, 1);
    assert_int_equal(cursor_now().unit_count, 1);
}

static void a_refused_row_is_a_dead_letter_and_the_rest_is_stored(void **state)
{
    (void)state;
    char *dir = mem_printf("%s/refused", lane_world.folder.path);
    char *raw_dir = mem_printf("%s/raw", lane_world.folder.path);
    struct journal_options options = {
        .disk = &disk_real, .dir = raw_dir, .kind = JOURNAL_RAW, .segment_bytes = 1 << 20};
    struct journal_recovery found;
    struct journal *raw;
    struct err err;
    assert_int_equal(journal_open(&raw, &options, &found, &err), 0);
    struct refused *refused = refused_new(&disk_real, dir, raw);
    lane_world.options.refused = refused;
    world.refuse_seq = 1;
    append_batch(1, 10, 1, 10);
    struct lane *lane = lane_make();
    wait_stored(10);
    assert_int_equal(lane_stats(lane)->refused_rows, 1);
    lane_end(lane, 1000);
    assert_int_equal(cursor_now().next_seq, 11);
    assert_int_equal(access(dir, F_OK), 0);
    refused_free(refused);
    journal_close(raw);
    free(raw_dir);
    free(dir);
}

static void a_unit_is_of_one_generation(void **state)
{
    (void)state;
    append_batch(1, 10, 1, 5);
    append_batch(11, 20, 2, 5);
    append_batch(21, 30, 2, 5);
    struct lane *lane = lane_make();
    wait_stored(30);
    lane_end(lane, 1000);
    assert_int_equal(world.units[0].last_seq, 10);
    assert_int_equal(world.units[0].generation, 1);
    assert_int_equal(world.units[1].first_seq, 11);
    assert_int_equal(world.units[1].generation, 2);
}

static void a_unit_is_at_most_rows_max_unless_one_batch_is_larger(void **state)
{
    (void)state;
    world.rows_max = 10;
    append_batch(1, 1, 1, 6);
    append_batch(2, 2, 1, 6);
    append_batch(3, 3, 1, 25);
    struct lane *lane = lane_make();
    wait_stored(3);
    lane_end(lane, 1000);
    assert_int_equal(world.written, 3);
    assert_int_equal(world.units[0].rows, 6);
    assert_int_equal(world.units[1].rows, 6);
    assert_int_equal(world.units[2].rows, 25);
}

static void stopping_sends_what_is_there(void **state)
{
    (void)state;
    world.age_ms = 60000;
    append_batch(1, 10, 1, 10);
    struct lane *lane = lane_make();
    lane_end(lane, 5000);
    assert_int_equal(world.stored_last_seq, 10);
    assert_int_equal(cursor_now().next_seq, 11);
}

static void a_cursor_ahead_of_the_journal_is_a_refusal_to_start(void **state)
{
    (void)state;
    const struct cursor_state ahead = {.next_seq = 100, .settled_seq = 100};
    cursor_put(&ahead);
    struct lane *lane = NULL;
    struct err err;
    assert_int_equal(lane_new(&lane_world.options, &lane, &err), GW_EINVAL);
    assert_non_null(strstr(err.text, "new-identity"));
}

/* A sink that takes several units had three under way when the gateway was killed. Until they are
 * stored their bounds stay in the cursor file, however often it is killed again. */
static void bounds_outlive_a_second_kill(void **state)
{
    (void)state;
    append_batch(1, 10, 1, 10);
    append_batch(11, 20, 1, 10);
    append_batch(21, 30, 1, 10);
    const struct cursor_state killed = {
        .next_seq = 1, .settled_seq = 1, .unit_count = 3, .units = {{1, 10}, {11, 20}, {21, 30}}};
    cursor_put(&killed);
    world.silent = true;
    struct lane *lane = lane_make();
    wait_until(lane_stats(lane)->open_units);
    usleep(50000);
    lane_end(lane, 0);
    assert_int_equal(world.written, 1);
    struct cursor_state left = cursor_now();
    assert_int_equal(left.unit_count, 3);
    assert_memory_equal(left.units, killed.units, 3 * sizeof left.units[0]);
}

static void a_cursor_that_was_not_saved_once_is_saved_again(void **state)
{
    (void)state;
    struct fault_disk fault;
    fault_disk_init(&fault);
    lane_world.options.disk = &fault.disk;
    append_batch(1, 10, 1, 10);
    world.retries = 1;
    struct lane *lane = lane_make();
    wait_until(lane_stats(lane)->retries);
    /* The next sync is that of the cursor which passes the unit; nothing comes behind it. */
    fault_disk_fail(&fault, FAULT_DATASYNC, 1, EIO, false);
    wait_stored(10);
    wait_until(cursor_now().next_seq == 11 && lane_stats(lane)->health == LANE_OK);
    lane_end(lane, 1000);
    fault_disk_fini(&fault);
}

static void a_log_that_cannot_be_read_is_told_and_tried_again(void **state)
{
    (void)state;
    append_batch(1, 10, 1, 10);
    struct fault_disk fault;
    fault_disk_init(&fault);
    lane_world.journal_disk = &fault.disk;
    lane_world_reopen();
    fault_disk_fail(&fault, FAULT_PREAD, 1, EIO, true);
    struct lane *lane = lane_make();
    wait_until(lane_stats(lane)->health == LANE_RETRYING);
    char why[200];
    lane_why(lane, why);
    assert_non_null(strstr(why, "segment 1: at offset 4096"));
    fault_disk_fail(&fault, FAULT_PREAD, 0, 0, false);
    wait_stored(10);
    assert_int_equal(lane_stats(lane)->health, LANE_OK);
    lane_end(lane, 1000);
    lane_world.journal_disk = &disk_real;
    lane_world_reopen();
    fault_disk_fini(&fault);
}

static void damage_to_the_reading_log_is_counted(void **state)
{
    (void)state;
    append_batch(1, 10, 1, 10);
    append_batch(11, 30, 1, 10);
    append_batch(31, 40, 1, 10);
    char *path = mem_printf("%s/readings/00000000000000000001.log", lane_world.folder.path);
    int fd = open(path, O_RDWR);
    free(path);
    /* The second extent: 4096 of segment header, 512 of the first extent, 96 of its own header. */
    assert_int_equal(pwrite(fd, "damage", 6, 4096 + 512 + 96 + 8), 6);
    close(fd);
    struct lane *lane = lane_make();
    wait_stored(40);
    assert_int_equal(lane_stats(lane)->lost_seqs, 20);
    lane_end(lane, 1000);
    assert_int_equal(cursor_now().next_seq, 41);
}

/* Dead letters make batches without rows: a lane far behind must not gather them without end. */
static void batches_without_rows_fill_a_unit_too(void **state)
{
    (void)state;
    world.rows_max = 10;
    world.age_ms = 60000;
    for (uint64_t seq = 1; seq <= 40; seq += 4)
        append_rejects(seq, 4);
    struct lane *lane = lane_make();
    wait_stored(32);
    lane_end(lane, 1000);
    for (uint32_t i = 0; i < world.written; i++)
        assert_in_range(world.units[i].batch_count, 1, 3);
}

/* Three units at once, answered from the newest back: the cursor waits for the oldest. */
static void answers_out_of_order_move_the_cursor_in_order(void **state)
{
    (void)state;
    world.open_max = 3;
    world.rows_max = 10;
    world.hold_seq = 5;
    for (uint64_t seq = 1; seq <= 50; seq += 10)
        append_batch(seq, seq + 9, 1, 10);
    struct lane *lane = lane_make();
    wait_until(world.answered == 2);
    assert_int_equal(cursor_now().next_seq, 1);
    assert_int_equal(lane_stats(lane)->open_units, 3);
    assert_int_equal(lane_stats(lane)->open_rows, 30);
    world.hold_seq = 0;
    wait_stored(50);
    lane_end(lane, 1000);
    assert_int_equal(assert_units_cover(0, 1, 50), 50);
    assert_int_equal(cursor_now().next_seq, 51);
    assert_int_equal(cursor_now().readings, 50);
}

static void units_answered_newest_first_are_all_confirmed(void **state)
{
    (void)state;
    world.open_max = 4;
    world.rows_max = 10;
    world.newest_first = true;
    for (uint64_t seq = 1; seq <= 120; seq += 10)
        append_batch(seq, seq + 9, 1, 10);
    struct lane *lane = lane_make();
    wait_until(lane_stats(lane)->next_seq == 121);
    lane_end(lane, 1000);
    assert_int_equal(assert_units_cover(0, 1, 120), 120);
    assert_int_equal(cursor_now().next_seq, 121);
    assert_int_equal(cursor_now().unit_count, 0);
}

/* Killed with the second and third stored and the first not: all three come again, the same. */
static void a_crash_between_answers_repeats_the_same_bounds(void **state)
{
    (void)state;
    world.open_max = 3;
    world.rows_max = 10;
    world.hold_seq = 5;
    for (uint64_t seq = 1; seq <= 30; seq += 10)
        append_batch(seq, seq + 9, 1, 10);
    struct lane *lane = lane_make();
    wait_until(world.answered == 2);
    lane_end(lane, 0);
    assert_int_equal(world.written, 3);
    struct cursor_state left = cursor_now();
    assert_int_equal(left.next_seq, 1);
    assert_int_equal(left.unit_count, 3);
    lane_world_reopen();
    append_batch(31, 60, 1, 30);
    world.rows_max = 1000; /* bounds say otherwise */
    world.hold_seq = 0;
    lane = lane_make();
    wait_stored(60);
    lane_end(lane, 1000);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(world.units[3 + i].first_seq, left.units[i].first_seq);
        assert_int_equal(world.units[3 + i].last_seq, left.units[i].last_seq);
    }
    assert_units_cover(3, 1, 60);
}

static void a_reason_for_operators_stops_the_lane_at_its_slowest(void **state)
{
    (void)state;
    world.retries = 1;
    world.retry_reason = SINK_REASON_SCHEMA;
    append_batch(1, 10, 1, 10);
    struct lane *lane = lane_make();
    wait_until(lane_stats(lane)->health == LANE_STOPPED);
    assert_int_equal(lane_stats(lane)->retries_by_reason[SINK_REASON_SCHEMA], 1);
    usleep(500000); /* an ordinary retry comes after 200 ms */
    assert_int_equal(lane_stats(lane)->health, LANE_STOPPED);
    assert_int_equal(world.answered, 0);
    lane_end(lane, 0);
    assert_int_equal(world.written, 1);
}

/* One unit goes well while another waits for the operator: the lane is not well. */
static void health_is_that_of_the_worst_unit(void **state)
{
    (void)state;
    world.open_max = 2;
    world.rows_max = 10;
    world.retries = 1;
    world.retry_reason = SINK_REASON_DENIED;
    append_batch(1, 10, 1, 10);
    append_batch(11, 20, 1, 10);
    struct lane *lane = lane_make();
    wait_stored(20);
    assert_int_equal(lane_stats(lane)->health, LANE_STOPPED);
    assert_int_equal(cursor_now().next_seq, 1);
    lane_end(lane, 0);
}

static void unit_sizes_and_readings_are_counted(void **state)
{
    (void)state;
    world.rows_max = 10;
    append_batch(1, 10, 1, 10);
    append_batch(11, 20, 1, 3);
    append_rejects(21, 20);
    struct lane *lane = lane_make();
    wait_stored(40);
    wait_until(lane_stats(lane)->confirmed_readings == 13);
    assert_int_equal(lane_stats(lane)->unit_rows_bucket[4], 1); /* 8..15 */
    assert_int_equal(lane_stats(lane)->unit_rows_bucket[2], 1); /* 2..3 */
    assert_int_equal(lane_stats(lane)->unit_rows_bucket[0], 1); /* none */
    lane_end(lane, 1000);
    lane_world_reopen();
    lane = lane_make();
    assert_int_equal(lane_stats(lane)->confirmed_readings, 13);
    lane_end(lane, 1000);
}

/* What a life of the gateway must begin with: the units that the one before left, exactly. */
static void assert_life_repeats(const struct cursor_state *left)
{
    for (uint32_t i = 0; i < left->unit_count && i < world.written; i++) {
        assert_int_equal(world.units[i].first_seq, left->units[i].first_seq);
        assert_int_equal(world.units[i].last_seq, left->units[i].last_seq);
    }
    uint64_t next = left->next_seq;
    for (uint32_t i = 0; i < world.written; i++) {
        if (world.units[i].first_seq < next)
            continue; /* a retry */
        assert_int_equal(world.units[i].first_seq, next);
        next = world.units[i].last_seq + 1;
    }
}

/* Forty lives, each killed at another moment with other units answered, retried or silent. */
static void many_kills_lose_nothing_and_repeat_their_bounds(void **state)
{
    (void)state;
    enum { LIVES = 40, LAST = 2000 };
    uint32_t random = 12345;
    for (uint64_t seq = 1; seq <= LAST; seq += 10)
        append_batch(seq, seq + 9, 1 + (uint32_t)(seq / 700), 10);
    struct cursor_state left = {.next_seq = 1};
    for (int life = 0; life < LIVES; life++) {
        random = random * 1664525 + 1013904223;
        world.written = 0;
        world.open_max = 1 + (random >> 8) % CURSOR_UNITS_MAX;
        world.rows_max = 10 * (1 + (random >> 12) % 3);
        world.newest_first = (random >> 16) % 2;
        world.hold_seq = left.next_seq + (random >> 18) % 90;
        world.retries = (int)((random >> 25) % 3);
        world.answered = 0;
        struct lane *lane = lane_make();
        usleep((random >> 20) % 8000);
        lane_end(lane, 0);
        assert_life_repeats(&left);
        struct cursor_state now = cursor_now();
        assert_true(now.next_seq >= left.next_seq);
        left = now;
        lane_world_reopen();
    }
    assert_true(left.next_seq > 1);
    world.written = 0;
    world.newest_first = false;
    world.hold_seq = 0;
    world.retries = 0;
    world.rows_max = 100;
    struct lane *lane = lane_make();
    wait_until(lane_stats(lane)->next_seq == LAST + 1);
    lane_end(lane, 1000);
    assert_life_repeats(&left);
    assert_int_equal(cursor_now().readings, LAST);
}

#define lane_test(name) cmocka_unit_test_setup_teardown(name, lane_world_setup, lane_world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        lane_test(every_batch_is_sent_once_and_the_cursor_follows),
        lane_test(bounds_are_the_same_after_a_restart),
        lane_test(a_retried_unit_is_the_same_unit),
        lane_test(the_cursor_stays_while_the_sink_says_retry),
        lane_test(a_refused_row_is_a_dead_letter_and_the_rest_is_stored),
        lane_test(a_unit_is_of_one_generation),
        lane_test(a_unit_is_at_most_rows_max_unless_one_batch_is_larger),
        lane_test(stopping_sends_what_is_there),
        lane_test(bounds_outlive_a_second_kill),
        lane_test(a_cursor_that_was_not_saved_once_is_saved_again),
        lane_test(a_log_that_cannot_be_read_is_told_and_tried_again),
        lane_test(damage_to_the_reading_log_is_counted),
        lane_test(batches_without_rows_fill_a_unit_too),
        lane_test(a_cursor_ahead_of_the_journal_is_a_refusal_to_start),
        lane_test(answers_out_of_order_move_the_cursor_in_order),
        lane_test(units_answered_newest_first_are_all_confirmed),
        lane_test(a_crash_between_answers_repeats_the_same_bounds),
        lane_test(many_kills_lose_nothing_and_repeat_their_bounds),
        lane_test(a_reason_for_operators_stops_the_lane_at_its_slowest),
        lane_test(health_is_that_of_the_worst_unit),
        lane_test(unit_sizes_and_readings_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
