/* SPDX-License-Identifier: Apache-2.0
 *
 * History decoded again after a mapping was mended: what a store ends with, what is taken away, and
 * what a later replay sends.
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

#include "lib/fault_disk.h"
#include "lib/replay_kit.h"

#define WRONG_UNIT                                                                                 \
    "      device: id\n"                                                                           \
    "      time: {path: t, format: epoch_ms}\n"                                                    \
    "      fields:\n"                                                                              \
    "        volume.total: {path: v, unit: m3}\n"
#define RIGHT_UNIT                                                                                 \
    "      device: id\n"                                                                           \
    "      time: {path: t, format: epoch_ms}\n"                                                    \
    "      fields:\n"                                                                              \
    "        volume.total: {path: v, unit: L}\n"
#define OTHER_DEVICE                                                                               \
    "      device: serial\n"                                                                       \
    "      time: {path: t, format: epoch_ms}\n"                                                    \
    "      fields:\n"                                                                              \
    "        volume.total: {path: v, unit: L}\n"
#define OTHER_METRIC                                                                               \
    "      device: serial\n"                                                                       \
    "      time: {path: t, format: epoch_ms}\n"                                                    \
    "      fields:\n"                                                                              \
    "        volume.reverse: {path: v, unit: L}\n"
#define EXTRA_REQUIRED                                                                             \
    "      device: id\n"                                                                           \
    "      time: {path: t, format: epoch_ms}\n"                                                    \
    "      fields:\n"                                                                              \
    "        volume.total: {path: v, unit: m3, required: true}\n"                                  \
    "        pressure: {path: p, unit: kPa, required: true}\n"

/* ---- tests ---- */

static void a_mended_unit_corrects_every_reading_once(void **state)
{
    struct replay_kit *kit = *state;
    rkit_config(kit, WRONG_UNIT);
    rkit_publish_rounds(kit);
    rkit_decode(kit);
    rkit_replay_all(kit, REPLAY_READINGS);
    assert_string_equal(rkit_cell(&kit->sink, "acme/m2 volume.total 3000"), "3002 m3 good");
    rkit_config(kit, RIGHT_UNIT);
    rkit_replay_all(kit, REPLAY_AGAIN);
    assert_int_equal(kit->status.readings, RKIT_METERS * RKIT_ROUNDS);
    assert_int_equal(kit->status.changed, RKIT_METERS * RKIT_ROUNDS);
    assert_int_equal(kit->status.withdrawn, 0);
    assert_int_equal(kit->status.messages, RKIT_METERS * RKIT_ROUNDS);
    assert_int_equal(rkit_cells(&kit->sink), RKIT_METERS * RKIT_ROUNDS);
    /* "good": the memory of the old decoding would have made a reset of it. */
    assert_string_equal(rkit_cell(&kit->sink, "acme/m2 volume.total 1000"), "1.002 m3 good");
    assert_string_equal(rkit_cell(&kit->sink, "acme/m2 volume.total 3000"), "3.002 m3 good");
    assert_int_equal(kit->sink.wrong, 0);
}

static void decoding_twice_changes_nothing_more(void **state)
{
    struct replay_kit *kit = *state;
    rkit_config(kit, WRONG_UNIT);
    rkit_publish_rounds(kit);
    rkit_decode(kit);
    rkit_config(kit, RIGHT_UNIT);
    rkit_replay_all(kit, REPLAY_AGAIN);
    rkit_replay_all(kit, REPLAY_AGAIN);
    assert_int_equal(kit->status.readings, RKIT_METERS * RKIT_ROUNDS);
    assert_int_equal(kit->status.changed, 0);
    assert_int_equal(rkit_cells(&kit->sink), RKIT_METERS * RKIT_ROUNDS);
}

static void history_sent_later_is_the_newest_decoding(void **state)
{
    struct replay_kit *kit = *state;
    rkit_config(kit, WRONG_UNIT);
    rkit_publish_rounds(kit);
    rkit_decode(kit);
    rkit_config(kit, OTHER_DEVICE);
    rkit_replay_all(kit, REPLAY_AGAIN);
    struct replay_request request = rkit_request(REPLAY_READINGS);
    char other[] = "other";
    request.sink = other;
    rkit_replay(kit, &request);
    assert_int_equal(rkit_cells(&kit->other), RKIT_METERS * RKIT_ROUNDS);
    assert_string_equal(rkit_cell(&kit->other, "acme/s1 volume.total 2000"), "2.001 m3 good");
    /* Should this sink have the old decoding, it is taken away there, too. */
    assert_string_equal(rkit_cell(&kit->other, "acme/m1 volume.total 2000"), "withdrawn");
    rkit_restart(kit, 0);
    rkit_replay(kit, &request);
    assert_string_equal(rkit_cell(&kit->other, "acme/s1 volume.total 2000"), "2.001 m3 good");
    assert_int_equal(rkit_cells(&kit->other), RKIT_METERS * RKIT_ROUNDS);
}

static void a_key_that_is_no_longer_yielded_is_withdrawn(void **state)
{
    struct replay_kit *kit = *state;
    rkit_config(kit, RIGHT_UNIT);
    rkit_publish_rounds(kit);
    rkit_decode(kit);
    rkit_replay_all(kit, REPLAY_READINGS);
    rkit_config(kit, OTHER_DEVICE);
    rkit_replay_all(kit, REPLAY_AGAIN);
    assert_int_equal(kit->status.withdrawn, RKIT_METERS * RKIT_ROUNDS);
    assert_string_equal(rkit_cell(&kit->sink, "acme/m1 volume.total 2000"), "withdrawn");
    assert_string_equal(rkit_cell(&kit->sink, "acme/s1 volume.total 2000"), "2.001 m3 good");
    /* The third decoding knows what the second had sent. */
    rkit_config(kit, OTHER_METRIC);
    rkit_replay_all(kit, REPLAY_AGAIN);
    assert_string_equal(rkit_cell(&kit->sink, "acme/m1 volume.total 2000"), "withdrawn");
    assert_string_equal(rkit_cell(&kit->sink, "acme/s1 volume.total 2000"), "withdrawn");
    assert_string_equal(rkit_cell(&kit->sink, "acme/s1 volume.reverse 2000"),
                        "2.001 m3 good reverse");
    assert_int_equal(rkit_cells(&kit->sink), RKIT_METERS * RKIT_ROUNDS);
    /* And back: the first keys are readings again. */
    rkit_config(kit, RIGHT_UNIT);
    rkit_replay_all(kit, REPLAY_AGAIN);
    assert_string_equal(rkit_cell(&kit->sink, "acme/m1 volume.total 2000"), "2.001 m3 good");
    assert_string_equal(rkit_cell(&kit->sink, "acme/s1 volume.reverse 2000"), "withdrawn");
    assert_int_equal(rkit_cells(&kit->sink), RKIT_METERS * RKIT_ROUNDS);
}

static void a_message_that_decodes_no_longer_is_withdrawn_whole(void **state)
{
    struct replay_kit *kit = *state;
    rkit_config(kit, WRONG_UNIT);
    rkit_publish_rounds(kit);
    rkit_publish(kit, "m/acme", "{\"id\":\"m9\",\"t\":9000,\"v\":9,\"p\":300}");
    rkit_decode(kit);
    rkit_replay_all(kit, REPLAY_READINGS);
    assert_int_equal(rkit_cells(&kit->sink), RKIT_METERS * RKIT_ROUNDS + 1);
    rkit_config(kit, EXTRA_REQUIRED);
    rkit_replay_all(kit, REPLAY_AGAIN);
    assert_int_equal(rkit_cells(&kit->sink), 2);
    assert_string_equal(rkit_cell(&kit->sink, "acme/m9 volume.total 9000"), "9 m3 good");
    assert_string_equal(rkit_cell(&kit->sink, "acme/m9 pressure 9000"), "300 kPa good");
    assert_int_equal(kit->status.withdrawn, RKIT_METERS * RKIT_ROUNDS);
    assert_int_equal(kit->status.changed, RKIT_METERS * RKIT_ROUNDS + 1);
}

static void a_dead_letter_that_decodes_now_gives_its_readings(void **state)
{
    struct replay_kit *kit = *state;
    rkit_config(kit, EXTRA_REQUIRED);
    rkit_publish_rounds(kit);
    rkit_decode(kit);
    rkit_config(kit, RIGHT_UNIT);
    rkit_replay_all(kit, REPLAY_AGAIN);
    assert_int_equal(rkit_cells(&kit->sink), RKIT_METERS * RKIT_ROUNDS);
    assert_int_equal(kit->status.changed, RKIT_METERS * RKIT_ROUNDS);
}

static void a_dry_run_says_what_would_change(void **state)
{
    struct replay_kit *kit = *state;
    struct buffer lines = {0};
    rkit_config(kit, WRONG_UNIT);
    rkit_publish_rounds(kit);
    rkit_publish_rounds(kit);
    rkit_decode(kit);
    rkit_config(kit, RIGHT_UNIT);
    struct replay_request request = rkit_request(REPLAY_AGAIN);
    request.dry_run = true;
    rkit_replay(kit, &request);
    assert_int_equal(kit->status.changed, 2 * RKIT_METERS * RKIT_ROUNDS);
    assert_int_equal(kit->status.readings, 2 * RKIT_METERS * RKIT_ROUNDS);
    assert_int_equal(kit->sink.batches, 0);
    assert_int_equal(access(kit->again_dir, F_OK), -1);
    assert_int_equal(replay_examples(kit->replays, kit->status.id, &lines), 0);
    buffer_u8(&lines, 0);
    const char *first = "seq=1 acme/m0 volume.total 1970-01-01T00:00:01.000Z: 1000 m3 good -> "
                        "1.000 m3 good\n";
    if (strncmp((const char *)lines.data, first, strlen(first)) != 0)
        fail_msg("%s", (const char *)lines.data);
    size_t count = 0;
    for (size_t i = 0; i < lines.size; i++)
        count += lines.data[i] == '\n';
    assert_int_equal(count, 20);
    buffer_fini(&lines);
}

static void a_message_is_chosen_whole_by_its_old_or_new_names(void **state)
{
    struct replay_kit *kit = *state;
    rkit_config(kit, RIGHT_UNIT);
    rkit_publish_rounds(kit);
    rkit_decode(kit);
    rkit_replay_all(kit, REPLAY_READINGS);
    rkit_config(kit, OTHER_DEVICE);
    struct replay_request request = rkit_request(REPLAY_AGAIN);
    char old_name[] = "m1", new_name[] = "s2";
    request.device = old_name;
    rkit_replay(kit, &request);
    assert_int_equal(kit->status.readings, RKIT_ROUNDS);
    assert_int_equal(kit->status.withdrawn, RKIT_ROUNDS);
    assert_string_equal(rkit_cell(&kit->sink, "acme/s1 volume.total 2000"), "2.001 m3 good");
    assert_string_equal(rkit_cell(&kit->sink, "acme/m1 volume.total 2000"), "withdrawn");
    assert_string_equal(rkit_cell(&kit->sink, "acme/m2 volume.total 2000"), "2.002 m3 good");
    request.device = new_name;
    rkit_replay(kit, &request);
    assert_string_equal(rkit_cell(&kit->sink, "acme/m2 volume.total 2000"), "withdrawn");
    assert_string_equal(rkit_cell(&kit->sink, "acme/s2 volume.total 2000"), "2.002 m3 good");
    assert_int_equal(rkit_cells(&kit->sink), RKIT_METERS * RKIT_ROUNDS);
    /* What was not asked for is sent as it was decoded when it came. */
    request = rkit_request(REPLAY_READINGS);
    char other[] = "other";
    request.sink = other;
    rkit_replay(kit, &request);
    assert_string_equal(rkit_cell(&kit->other, "acme/m3 volume.total 2000"), "2.003 m3 good");
    assert_string_equal(rkit_cell(&kit->other, "acme/s1 volume.total 2000"), "2.001 m3 good");
    assert_int_equal(rkit_cells(&kit->other), RKIT_METERS * RKIT_ROUNDS);
}

static void only_messages_of_the_topic_are_decoded_again(void **state)
{
    struct replay_kit *kit = *state;
    rkit_config(kit, WRONG_UNIT);
    rkit_publish_rounds(kit);
    rkit_publish(kit, "m/other", "{\"id\":\"m9\",\"t\":9000,\"v\":9}");
    rkit_decode(kit);
    rkit_config(kit, RIGHT_UNIT);
    struct replay_request request = rkit_request(REPLAY_AGAIN);
    char topic[] = "m/other";
    request.topic = topic;
    rkit_replay(kit, &request);
    assert_int_equal(kit->status.readings, 1);
    assert_string_equal(rkit_cell(&kit->sink, "other/m9 volume.total 9000"), "0.009 m3 good");
}

/* A late reading, and the raw log before it gone. */
static void late_reading_alone(struct replay_kit *kit)
{
    struct err err;
    rkit_publish(kit, "m/acme", "{\"id\":\"m1\",\"t\":9000,\"v\":9}");
    rkit_decode(kit); /* saves the memory before message 2 */
    rkit_restart(kit, 0);
    rkit_publish(kit, "m/acme", "{\"id\":\"m1\",\"t\":3000,\"v\":3}");
    rkit_decode(kit);
    struct journal *raw = rawlog_journal(kit->rawlog);
    assert_int_equal(journal_retain(raw, 2, 0, 0, clock_wall_ms(), &err), 0);
    assert_int_equal(journal_first_seq(raw), 2);
}

static void the_memory_of_the_present_configuration_is_used(void **state)
{
    struct replay_kit *kit = *state;
    rkit_config(kit, WRONG_UNIT);
    late_reading_alone(kit);
    rkit_replay_all(kit, REPLAY_AGAIN);
    assert_string_equal(rkit_cell(&kit->sink, "acme/m1 volume.total 3000"), "3 m3 good late");
    assert_int_equal(rkit_cells(&kit->sink), 1);
}

static void the_memory_of_another_configuration_is_not_used(void **state)
{
    struct replay_kit *kit = *state;
    rkit_config(kit, WRONG_UNIT);
    late_reading_alone(kit);
    rkit_config(kit, RIGHT_UNIT);
    rkit_replay_all(kit, REPLAY_AGAIN);
    assert_string_equal(rkit_cell(&kit->sink, "acme/m1 volume.total 3000"), "0.003 m3 good");
}

static void what_came_before_the_span_is_remembered(void **state)
{
    struct replay_kit *kit = *state;
    rkit_config(kit, WRONG_UNIT);
    rkit_publish(kit, "m/acme", "{\"id\":\"m1\",\"t\":9000,\"v\":9}");
    usleep(20000);
    int64_t from_ms = clock_wall_ms();
    rkit_publish(kit, "m/acme", "{\"id\":\"m1\",\"t\":3000,\"v\":3}");
    rkit_decode(kit);
    rkit_config(kit, RIGHT_UNIT);
    struct replay_request request = rkit_request(REPLAY_AGAIN);
    request.from_ms = from_ms;
    rkit_replay(kit, &request);
    assert_int_equal(rkit_cells(&kit->sink), 1);
    assert_string_equal(rkit_cell(&kit->sink, "acme/m1 volume.total 3000"), "0.003 m3 good late");
}

static void damage_in_the_raw_log_takes_no_reading_away(void **state)
{
    struct replay_kit *kit = *state;
    rkit_config(kit, RIGHT_UNIT);
    rkit_publish_rounds(kit);
    rkit_decode(kit);
    rkit_replay_all(kit, REPLAY_READINGS);
    rkit_damage(kit, kit->raw_dir, 3); /* the snapshot is the first: it is message 3 */
    rkit_config(kit, OTHER_DEVICE);
    rkit_replay_all(kit, REPLAY_AGAIN);
    assert_int_equal(kit->status.damaged, 1);
    assert_int_equal(kit->status.withdrawn, RKIT_METERS * RKIT_ROUNDS - 1);
    assert_int_equal(rkit_cells(&kit->sink), RKIT_METERS * RKIT_ROUNDS);
    assert_string_equal(rkit_cell(&kit->sink, "acme/m2 volume.total 1000"), "1.002 m3 good");
}

static void a_new_configuration_takes_over_in_the_middle(void **state)
{
    struct replay_kit *kit = *state;
    struct err err;
    char id[REPLAY_ID_SIZE];
    rkit_config(kit, WRONG_UNIT);
    for (int i = 0; i < 10; i++) { /* a batch each */
        rkit_publish_round(kit, 1 + i);
        rkit_decode(kit);
    }
    struct replay_request request = rkit_request(REPLAY_AGAIN);
    request.rate = 40; /* 4 readings a piece: a tenth of a second each */
    assert_int_equal(replay_begin(kit->replays, &request, id, &err), 0);
    while (kit->sink.batches < 2)
        usleep(1000);
    rkit_config(kit, RIGHT_UNIT); /* frees the old one as far as we are concerned */
    rkit_wait_state(kit, id, REPLAY_DONE);
    assert_int_equal(rkit_cells(&kit->sink), 10 * RKIT_METERS);
    assert_string_equal(rkit_cell(&kit->sink, "acme/m2 volume.total 1000"), "1002 m3 good");
    assert_string_equal(rkit_cell(&kit->sink, "acme/m2 volume.total 10000"), "10.002 m3 good");
}

static void two_sinks_are_corrected_at_once(void **state)
{
    struct replay_kit *kit = *state;
    struct err err;
    char first[REPLAY_ID_SIZE], second[REPLAY_ID_SIZE], other[] = "other";
    rkit_config(kit, RIGHT_UNIT);
    for (int i = 0; i < 20; i++) {
        rkit_publish_round(kit, 1 + i);
        rkit_decode(kit);
    }
    rkit_config(kit, OTHER_DEVICE);
    struct replay_request request = rkit_request(REPLAY_AGAIN);
    assert_int_equal(replay_begin(kit->replays, &request, first, &err), 0);
    request.sink = other;
    assert_int_equal(replay_begin(kit->replays, &request, second, &err), 0);
    rkit_wait_state(kit, first, REPLAY_DONE);
    rkit_wait_state(kit, second, REPLAY_DONE);
    assert_int_equal(rkit_cells(&kit->sink), 20 * RKIT_METERS);
    assert_int_equal(rkit_cells(&kit->other), 20 * RKIT_METERS);
    assert_string_equal(rkit_cell(&kit->sink, "acme/m1 volume.total 20000"), "withdrawn");
    assert_string_equal(rkit_cell(&kit->other, "acme/m1 volume.total 20000"), "withdrawn");
    assert_string_equal(rkit_cell(&kit->other, "acme/s1 volume.total 20000"), "20.001 m3 good");
}

static void a_job_waits_while_its_log_has_no_room(void **state)
{
    struct replay_kit *kit = *state;
    struct fault_disk fault;
    struct err err;
    char id[REPLAY_ID_SIZE];
    fault_disk_init(&fault);
    rkit_close(kit);
    kit->disk = &fault.disk;
    rkit_open(kit);
    rkit_config(kit, WRONG_UNIT);
    rkit_publish_rounds(kit);
    rkit_decode(kit);
    rkit_config(kit, RIGHT_UNIT);
    fault_disk_fail(&fault, FAULT_ALLOCATE, 1, ENOSPC, true);
    struct replay_request request = rkit_request(REPLAY_AGAIN);
    assert_int_equal(replay_begin(kit->replays, &request, id, &err), 0);
    int64_t until = clock_monotonic_ms() + 10000;
    do {
        rkit_wait_state(kit, id, REPLAY_RUNNING);
        assert_true(clock_monotonic_ms() < until);
    } while (strstr(kit->status.why, "No space left") == NULL);
    assert_int_equal(kit->sink.batches, 0); /* the log is first */
    fault_disk_fail(&fault, FAULT_ANY, 0, 0, false);
    rkit_wait_state(kit, id, REPLAY_DONE);
    assert_string_equal(rkit_cell(&kit->sink, "acme/m2 volume.total 3000"), "3.002 m3 good");
    rkit_close(kit);
    kit->disk = &disk_real;
    rkit_open(kit);
    fault_disk_fini(&fault);
}

static void a_killed_job_ends_with_the_same_store(void **state)
{
    struct replay_kit *kit = *state;
    struct err err;
    char id[REPLAY_ID_SIZE];
    rkit_config(kit, RIGHT_UNIT);
    for (int i = 0; i < 10; i++) {
        rkit_publish_round(kit, 1 + i);
        rkit_decode(kit);
    }
    rkit_replay_all(kit, REPLAY_READINGS);
    rkit_config(kit, OTHER_DEVICE);
    struct replay_request request = rkit_request(REPLAY_AGAIN);
    kit->sink.batches = 0;
    kit->sink.pause_after = 4;
    assert_int_equal(replay_begin(kit->replays, &request, id, &err), 0);
    rkit_wait_paused(kit);
    rkit_restart(kit, 1);
    rkit_wait_state(kit, id, REPLAY_DONE);
    assert_int_equal(rkit_cells(&kit->sink), 10 * RKIT_METERS);
    assert_string_equal(rkit_cell(&kit->sink, "acme/m2 volume.total 1000"), "withdrawn");
    assert_string_equal(rkit_cell(&kit->sink, "acme/s2 volume.total 10000"), "10.002 m3 good");
}

static void what_was_decoded_again_goes_with_the_reading_log(void **state)
{
    struct replay_kit *kit = *state;
    struct disk_names names = {0};
    rkit_config(kit, WRONG_UNIT);
    rkit_publish_rounds(kit);
    rkit_decode(kit);
    rkit_config(kit, RIGHT_UNIT);
    for (int i = 0; i < 3; i++) {
        rkit_replay_all(kit, REPLAY_AGAIN);
        rkit_restart(kit, 0); /* a segment each */
    }
    rkit_replay_all(kit, REPLAY_AGAIN);
    assert_int_equal(disk_real.list(&disk_real, kit->again_dir, &names), 0);
    size_t before = names.count;
    disk_names_fini(&names);
    /* The later ones supersede the first three. */
    replays_retain(kit->replays, 1);
    assert_int_equal(disk_real.list(&disk_real, kit->again_dir, &names), 0);
    assert_int_equal(names.count, before - 3);
    disk_names_fini(&names);
    rkit_replay_all(kit, REPLAY_READINGS);
    assert_string_equal(rkit_cell(&kit->sink, "acme/m2 volume.total 3000"), "3.002 m3 good");
    assert_int_equal(rkit_cells(&kit->sink), RKIT_METERS * RKIT_ROUNDS);
    rkit_restart(kit, 0);
    rkit_publish(kit, "m/acme", "{\"id\":\"m9\",\"t\":9000,\"v\":9}");
    rkit_decode(kit);
    rkit_replay_all(kit, REPLAY_AGAIN); /* the newest segment always stays */
    replays_retain(kit->replays, RKIT_METERS * RKIT_ROUNDS + 1);
    assert_int_equal(disk_real.list(&disk_real, kit->again_dir, &names), 0);
    assert_int_equal(names.count, before - 3);
    disk_names_fini(&names);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, replay_kit_setup, replay_kit_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_mended_unit_corrects_every_reading_once),
        TEST(decoding_twice_changes_nothing_more),
        TEST(history_sent_later_is_the_newest_decoding),
        TEST(a_key_that_is_no_longer_yielded_is_withdrawn),
        TEST(a_message_that_decodes_no_longer_is_withdrawn_whole),
        TEST(a_dead_letter_that_decodes_now_gives_its_readings),
        TEST(a_dry_run_says_what_would_change),
        TEST(a_message_is_chosen_whole_by_its_old_or_new_names),
        TEST(only_messages_of_the_topic_are_decoded_again),
        TEST(the_memory_of_the_present_configuration_is_used),
        TEST(the_memory_of_another_configuration_is_not_used),
        TEST(what_came_before_the_span_is_remembered),
        TEST(damage_in_the_raw_log_takes_no_reading_away),
        TEST(a_new_configuration_takes_over_in_the_middle),
        TEST(two_sinks_are_corrected_at_once),
        TEST(a_job_waits_while_its_log_has_no_room),
        TEST(a_killed_job_ends_with_the_same_store),
        TEST(what_was_decoded_again_goes_with_the_reading_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
