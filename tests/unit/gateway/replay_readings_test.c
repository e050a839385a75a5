/* SPDX-License-Identifier: Apache-2.0
 *
 * History from the reading log: which rows go, in what order, and what becomes of the position when
 * a replay is stopped, killed or meets damage.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/replay_kit.h"

/* ---- tests ---- */

static void every_reading_of_the_span_is_sent_once(void **state)
{
    struct replay_kit *kit = *state;
    rkit_batches(kit, 1, 20, 1000);
    struct replay_request request = rkit_request(REPLAY_READINGS);
    rkit_replay(kit, &request);
    assert_int_equal(kit->sink.rows, 20 * KIT_ROWS);
    assert_int_equal(kit->sink.wrong, 0);
    assert_int_equal(kit->status.state, REPLAY_DONE);
    assert_int_equal(kit->status.readings, 20 * KIT_ROWS);
    assert_int_equal(kit->status.messages, 20 * KIT_ROWS);
    assert_int_equal(kit->status.next_seq, kit->status.last_seq + 1);
    assert_int_equal(kit->status.damaged, 0);
}

static void a_batch_partly_outside_the_span_is_cut_by_receive_time(void **state)
{
    struct replay_kit *kit = *state;
    rkit_batches(kit, 1, 3, 1000);
    struct replay_request request = rkit_request(REPLAY_READINGS);
    /* The rows of batch i are received at 1000 * i + row. */
    request.from_ms = 1000 + KIT_ROWS / 2;
    request.to_ms = 3000 + 1;
    rkit_replay(kit, &request);
    assert_int_equal(kit->sink.rows, KIT_ROWS / 2 + KIT_ROWS + 1);
    assert_int_equal(kit->sink.wrong, 0);
}

static void a_span_in_which_nothing_lies_is_done_at_once(void **state)
{
    struct replay_kit *kit = *state;
    rkit_batches(kit, 1, 3, 1000);
    struct replay_request request = rkit_request(REPLAY_READINGS);
    request.from_ms = 900000;
    rkit_replay(kit, &request);
    assert_int_equal(kit->status.state, REPLAY_DONE);
    assert_int_equal(kit->status.first_seq, 0);
    assert_int_equal(kit->status.last_seq, 0);
    assert_int_equal(kit->sink.rows, 0);
}

static void clocks_that_go_back_between_segments_hide_nothing(void **state)
{
    struct replay_kit *kit = *state;
    rkit_batches(kit, 1, 5, 100000);
    journal_rotate(kit->readings);
    rkit_batches(kit, 1, 5, 1000); /* the clock was set back */
    journal_rotate(kit->readings);
    rkit_batches(kit, 1, 5, 100000);
    struct replay_request request = rkit_request(REPLAY_READINGS);
    request.from_ms = 100000;
    request.to_ms = 100000 * 5 + KIT_ROWS;
    rkit_replay(kit, &request);
    assert_int_equal(kit->sink.rows, 10 * KIT_ROWS);
    assert_int_equal(kit->sink.wrong, 0);
}

static void only_rows_of_the_vendor_and_device_are_sent(void **state)
{
    struct replay_kit *kit = *state;
    rkit_batches(kit, 1, 4, 1000);
    struct replay_request request = rkit_request(REPLAY_READINGS);
    request.vendor = mem_strdup("v1");
    rkit_replay(kit, &request);
    assert_int_equal(kit->sink.rows, 4 * KIT_ROWS / 2);
    request.device = mem_strdup("d3"); /* odd rows are of v1 */
    rkit_replay(kit, &request);
    assert_int_equal(kit->sink.rows, 4 * KIT_ROWS / 2 + 4);
    assert_int_equal(kit->sink.wrong, 0);
    free(request.vendor);
    request.vendor = mem_strdup("nobody");
    rkit_replay(kit, &request);
    assert_int_equal(kit->sink.rows, 4 * KIT_ROWS / 2 + 4);
    assert_int_equal(kit->status.state, REPLAY_DONE);
    request.sink = NULL; /* not ours */
    replay_request_fini(&request);
}

static void only_messages_of_the_topic_are_sent(void **state)
{
    struct replay_kit *kit = *state;
    rkit_batches(kit, 1, 4, 1000);
    rkit_messages(kit, 1, 4); /* of each batch the rows' messages, topic site/<row % 4>/x */
    struct replay_request request = rkit_request(REPLAY_READINGS);
    request.topic = mem_strdup("site/2/+");
    rkit_replay(kit, &request);
    assert_int_equal(kit->sink.rows, 4 * KIT_ROWS / 4);
    assert_int_equal(kit->sink.wrong, 0);
    assert_int_equal(kit->status.damaged, 0);
    request.sink = NULL; /* not ours */
    replay_request_fini(&request);
}

static void a_dry_run_counts_and_sends_nothing(void **state)
{
    struct replay_kit *kit = *state;
    rkit_batches(kit, 1, 4, 1000);
    struct replay_request request = rkit_request(REPLAY_READINGS);
    request.dry_run = true;
    request.sink = NULL;
    rkit_replay(kit, &request);
    assert_int_equal(kit->status.readings, 4 * KIT_ROWS);
    assert_int_equal(kit->sink.rows, 0);
    assert_int_equal(kit->attached, 0);
}

static void damage_is_counted_and_passed_over(void **state)
{
    struct replay_kit *kit = *state;
    rkit_batches(kit, 1, 10, 1000);
    rkit_damage(kit, kit->readings_dir, 3); /* the fourth extent of its only segment */
    struct replay_request request = rkit_request(REPLAY_READINGS);
    rkit_replay(kit, &request);
    assert_int_equal(kit->status.state, REPLAY_DONE);
    assert_int_equal(kit->status.damaged, KIT_ROWS);
    assert_int_equal(kit->sink.rows, 9 * KIT_ROWS);
}

static void a_stopped_replay_goes_on_where_it_was(void **state)
{
    struct replay_kit *kit = *state;
    struct err err;
    rkit_batches(kit, 1, 200, 1000);
    struct replay_request request = rkit_request(REPLAY_READINGS);
    char id[REPLAY_ID_SIZE];
    kit->sink.pause_after = 50;
    assert_int_equal(replay_begin(kit->replays, &request, id, &err), 0);
    rkit_wait_paused(kit);
    assert_int_equal(replay_stop(kit->replays, id, &err), 0);
    rkit_wait_state(kit, id, REPLAY_STOPPED);
    assert_true(kit->status.next_seq > 1 && kit->status.next_seq <= 50 * KIT_ROWS + 1);
    uint64_t rows = kit->sink.rows;
    kit->sink.pause_after = 0;
    assert_int_equal(replay_resume(kit->replays, id, &err), 0);
    rkit_wait_state(kit, id, REPLAY_DONE);
    assert_true(kit->sink.rows >= 200 * KIT_ROWS);
    assert_true(kit->sink.rows < 200 * KIT_ROWS + rows); /* not from the beginning */
    assert_int_equal(rkit_missing(kit, 1, 200 * KIT_ROWS), 0);
    assert_int_equal(replay_resume(kit->replays, id, &err), GW_EINVAL);
}

static void a_replay_outlives_a_restart(void **state)
{
    struct replay_kit *kit = *state;
    struct err err;
    rkit_batches(kit, 1, 200, 1000);
    struct replay_request request = rkit_request(REPLAY_READINGS);
    char id[REPLAY_ID_SIZE];
    kit->sink.pause_after = 50;
    assert_int_equal(replay_begin(kit->replays, &request, id, &err), 0);
    rkit_wait_paused(kit);
    int64_t before = clock_monotonic_ms();
    rkit_restart(kit, 0);
    assert_in_range(clock_monotonic_ms() - before, 0, 1500);
    rkit_wait_state(kit, id, REPLAY_DONE);
    assert_int_equal(rkit_missing(kit, 1, 200 * KIT_ROWS), 0);
}

static void a_rate_holds(void **state)
{
    struct replay_kit *kit = *state;
    rkit_batches(kit, 1, 10, 1000);
    struct replay_request request = rkit_request(REPLAY_READINGS);
    request.rate = 20 * KIT_ROWS; /* of 10 batches: at least 0.4 s */
    int64_t before = clock_monotonic_ms();
    rkit_replay(kit, &request);
    assert_true(clock_monotonic_ms() - before >= 400);
    assert_int_equal(kit->sink.rows, 10 * KIT_ROWS);
}

static void a_rate_is_kept_within_a_batch(void **state)
{
    struct replay_kit *kit = *state;
    rkit_batches(kit, 1, 3, 1000);
    struct replay_request request = rkit_request(REPLAY_READINGS);
    request.rate = 200; /* of batches of KIT_ROWS rows: ten of them a twentieth of a second */
    rkit_replay(kit, &request);
    assert_int_equal(kit->status.readings, 3 * KIT_ROWS);
    assert_int_equal(kit->status.messages, 3 * KIT_ROWS);
    assert_int_equal(rkit_missing(kit, 1, 3 * KIT_ROWS), 0);
    assert_int_equal(kit->sink.batches, 3 * KIT_ROWS / 10);
    assert_int_equal(kit->sink.wrong, 0);
}

static void retention_keeps_what_a_running_replay_needs(void **state)
{
    struct replay_kit *kit = *state;
    struct err err;
    rkit_batches(kit, 1, 100, 1000);
    assert_true(replays_need(kit->replays) == UINT64_MAX);
    struct replay_request request = rkit_request(REPLAY_READINGS);
    char id[REPLAY_ID_SIZE];
    kit->sink.pause_after = 20;
    assert_int_equal(replay_begin(kit->replays, &request, id, &err), 0);
    rkit_wait_paused(kit);
    assert_true(replays_need(kit->replays) <= 20 * KIT_ROWS + 1);
    kit->sink.pause_after = 0;
    rkit_wait_state(kit, id, REPLAY_DONE);
    assert_true(replays_need(kit->replays) == UINT64_MAX);
}

static void two_sinks_get_two_replays_at_once(void **state)
{
    struct replay_kit *kit = *state;
    struct err err;
    rkit_batches(kit, 1, 50, 1000);
    struct replay_request request = rkit_request(REPLAY_READINGS);
    char first[REPLAY_ID_SIZE], second[REPLAY_ID_SIZE];
    char other[] = "other";
    kit->sink.pause_after = 5;
    assert_int_equal(replay_begin(kit->replays, &request, first, &err), 0);
    assert_int_equal(replay_begin(kit->replays, &request, second, &err), GW_EEXIST);
    request.sink = other;
    assert_int_equal(replay_begin(kit->replays, &request, second, &err), 0);
    rkit_wait_state(kit, second, REPLAY_DONE);
    kit->sink.pause_after = 0;
    rkit_wait_state(kit, first, REPLAY_DONE);
    assert_int_equal(kit->sink.rows, 50 * KIT_ROWS);
    assert_int_equal(kit->other.rows, 50 * KIT_ROWS);
    char none[] = "none";
    request.sink = none;
    assert_int_equal(replay_begin(kit->replays, &request, second, &err), GW_ENOENT);
    assert_int_equal(replay_forget(kit->replays, first, &err), 0);
    assert_int_equal(replay_forget(kit->replays, first, &err), GW_ENOENT);
}

static void what_retention_took_from_a_stopped_replay_is_told(void **state)
{
    struct replay_kit *kit = *state;
    struct err err;
    char id[REPLAY_ID_SIZE];
    for (int i = 0; i < 10; i++) {
        rkit_batches(kit, 1, 10, 1000);
        journal_rotate(kit->readings);
    }
    struct replay_request request = rkit_request(REPLAY_READINGS);
    kit->sink.pause_after = 5;
    assert_int_equal(replay_begin(kit->replays, &request, id, &err), 0);
    rkit_wait_paused(kit);
    assert_int_equal(replay_stop(kit->replays, id, &err), 0);
    rkit_wait_state(kit, id, REPLAY_STOPPED);
    uint64_t next = kit->status.next_seq;
    assert_int_equal(journal_retain(kit->readings, 20 * KIT_ROWS + 1, 0, 0, clock_wall_ms(), &err),
                     0);
    assert_int_equal(journal_first_seq(kit->readings), 20 * KIT_ROWS + 1);
    kit->sink.pause_after = 0;
    assert_int_equal(replay_resume(kit->replays, id, &err), 0);
    rkit_wait_state(kit, id, REPLAY_DONE);
    assert_int_equal(kit->status.damaged, 20 * KIT_ROWS + 1 - next);
    assert_int_equal(rkit_missing(kit, 20 * KIT_ROWS + 1, 100 * KIT_ROWS), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_reading_of_the_span_is_sent_once, replay_kit_setup,
                                        replay_kit_teardown),
        cmocka_unit_test_setup_teardown(a_batch_partly_outside_the_span_is_cut_by_receive_time,
                                        replay_kit_setup, replay_kit_teardown),
        cmocka_unit_test_setup_teardown(a_span_in_which_nothing_lies_is_done_at_once,
                                        replay_kit_setup, replay_kit_teardown),
        cmocka_unit_test_setup_teardown(clocks_that_go_back_between_segments_hide_nothing,
                                        replay_kit_setup, replay_kit_teardown),
        cmocka_unit_test_setup_teardown(only_rows_of_the_vendor_and_device_are_sent,
                                        replay_kit_setup, replay_kit_teardown),
        cmocka_unit_test_setup_teardown(only_messages_of_the_topic_are_sent, replay_kit_setup,
                                        replay_kit_teardown),
        cmocka_unit_test_setup_teardown(a_dry_run_counts_and_sends_nothing, replay_kit_setup,
                                        replay_kit_teardown),
        cmocka_unit_test_setup_teardown(damage_is_counted_and_passed_over, replay_kit_setup,
                                        replay_kit_teardown),
        cmocka_unit_test_setup_teardown(a_stopped_replay_goes_on_where_it_was, replay_kit_setup,
                                        replay_kit_teardown),
        cmocka_unit_test_setup_teardown(what_retention_took_from_a_stopped_replay_is_told,
                                        replay_kit_setup, replay_kit_teardown),
        cmocka_unit_test_setup_teardown(a_replay_outlives_a_restart, replay_kit_setup,
                                        replay_kit_teardown),
        cmocka_unit_test_setup_teardown(a_rate_holds, replay_kit_setup, replay_kit_teardown),
        cmocka_unit_test_setup_teardown(a_rate_is_kept_within_a_batch, replay_kit_setup,
                                        replay_kit_teardown),
        cmocka_unit_test_setup_teardown(retention_keeps_what_a_running_replay_needs,
                                        replay_kit_setup, replay_kit_teardown),
        cmocka_unit_test_setup_teardown(two_sinks_get_two_replays_at_once, replay_kit_setup,
                                        replay_kit_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
