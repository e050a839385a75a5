/* SPDX-License-Identifier: Apache-2.0
 *
 * Dead letters decoded again, the decoder's and those of sinks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/replay_kit.h"
#include "refused.h"

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
#define EXTRA_REQUIRED                                                                             \
    "      device: id\n"                                                                           \
    "      time: {path: t, format: epoch_ms}\n"                                                    \
    "      fields:\n"                                                                              \
    "        volume.total: {path: v, unit: m3, required: true}\n"                                  \
    "        pressure: {path: p, unit: kPa, required: true}\n"

/* ---- tests ---- */

static void dead_letters_are_decoded_after_the_mapping_was_mended(void **state)
{
    struct replay_kit *kit = *state;
    struct buffer lines = {0};
    rkit_config(kit, EXTRA_REQUIRED);
    rkit_publish_rounds(kit);
    rkit_publish(kit, "m/acme", "{\"id\":\"m9\",\"t\":9000,\"v\":9,\"p\":300}");
    rkit_publish(kit, "m/acme", "{\"id\":");
    rkit_publish(kit, "nowhere", "x");
    rkit_decode(kit);
    rkit_replay_all(kit, REPLAY_READINGS);
    assert_int_equal(rkit_cells(&kit->sink), 2);
    rkit_config(kit, RIGHT_UNIT);
    rkit_replay_all(kit, REPLAY_LETTERS);
    assert_int_equal(kit->status.readings, RKIT_METERS * RKIT_ROUNDS);
    assert_int_equal(kit->status.changed, RKIT_METERS * RKIT_ROUNDS);
    assert_int_equal(kit->status.failed, 2);
    assert_string_equal(rkit_cell(&kit->sink, "acme/m2 volume.total 3000"), "3.002 m3 good");
    assert_int_equal(rkit_cells(&kit->sink), RKIT_METERS * RKIT_ROUNDS + 2);
    assert_int_equal(replay_examples(kit->replays, kit->status.id, &lines), 0);
    buffer_u8(&lines, 0);
    assert_non_null(strstr((const char *)lines.data, "reason=no_route count=1"));
    buffer_fini(&lines);
    /* History sent later has them. */
    struct replay_request request = rkit_request(REPLAY_READINGS);
    char other[] = "other";
    request.sink = other;
    rkit_replay(kit, &request);
    assert_int_equal(rkit_cells(&kit->other), RKIT_METERS * RKIT_ROUNDS + 2);
    rkit_replay_all(kit, REPLAY_LETTERS);
    assert_int_equal(kit->status.changed, 0);
}

static void letters_are_chosen_by_vendor_topic_and_reason(void **state)
{
    struct replay_kit *kit = *state;
    rkit_config(kit, EXTRA_REQUIRED);
    rkit_publish(kit, "m/acme", "{\"id\":\"m1\",\"t\":1000,\"v\":1}");
    rkit_publish(kit, "m/other", "{\"id\":\"m1\",\"t\":1000,\"v\":1}");
    rkit_publish(kit, "m/other", "{\"id\":\"m1\",");
    rkit_decode(kit);
    rkit_config(kit, RIGHT_UNIT);
    struct replay_request request = rkit_request(REPLAY_LETTERS);
    char vendor[] = "other", topic[] = "m/acme", reason[] = "no_route";
    request.vendor = vendor;
    rkit_replay(kit, &request);
    assert_int_equal(kit->status.readings, 1);
    assert_int_equal(kit->status.failed, 1);
    assert_string_equal(rkit_cell(&kit->sink, "other/m1 volume.total 1000"), "0.001 m3 good");
    request.vendor = NULL;
    request.topic = topic;
    rkit_replay(kit, &request);
    assert_int_equal(kit->status.readings, 1);
    assert_int_equal(kit->status.failed, 0);
    request.topic = NULL;
    request.reason = reason;
    rkit_replay(kit, &request);
    assert_int_equal(kit->status.readings, 0);
    assert_int_equal(kit->status.failed, 0);
}

/* As the sink's lane leaves them: an extent each. */
static void refuse(struct replay_kit *kit, uint64_t first, uint64_t last)
{
    struct journal *raw = rawlog_journal(kit->rawlog);
    struct refused *refused = refused_new(&disk_real, kit->refused_dir, raw);
    const struct unit unit = {.first_seq = first, .last_seq = last};
    struct err err;
    for (uint64_t seq = first; seq <= last; seq++) {
        const struct sink_refusal row = {.seq = seq, .reason = "no", .detail = "too large"};
        assert_int_equal(refused_store(refused, "sink", &unit, &row, 1, &err), 0);
    }
    refused_free(refused);
}

static void letters_of_a_sink_that_are_damaged_are_told(void **state)
{
    struct replay_kit *kit = *state;
    rkit_config(kit, RIGHT_UNIT);
    rkit_publish_rounds(kit);
    rkit_decode(kit);
    refuse(kit, 1, 3);
    rkit_replay_all(kit, REPLAY_LETTERS);
    assert_int_equal(kit->status.readings, 3);
    assert_int_equal(kit->status.damaged, 0);
    rkit_damage(kit, kit->refused_dir, 1);
    rkit_replay_all(kit, REPLAY_LETTERS);
    assert_int_equal(kit->status.readings, 2);
    assert_int_equal(kit->status.damaged, 1);
}

static void a_letter_whose_readings_are_damaged_is_told_and_takes_nothing_away(void **state)
{
    struct replay_kit *kit = *state;
    rkit_config(kit, RIGHT_UNIT);
    rkit_publish(kit, "m/acme", "{\"id\":\"m1\",\"serial\":\"s1\",\"t\":1000,\"v\":1}");
    rkit_decode(kit);
    rkit_publish(kit, "m/acme", "{\"id\":\"m2\",\"serial\":\"s2\",\"t\":1000,\"v\":2}");
    rkit_decode(kit);
    refuse(kit, 1, 2);
    rkit_damage(kit, kit->readings_dir, 0);
    rkit_config(kit, OTHER_DEVICE);
    rkit_replay_all(kit, REPLAY_LETTERS);
    assert_int_equal(kit->status.damaged, 1);
    assert_int_equal(kit->status.readings, 1); /* of the second */
    assert_int_equal(kit->status.withdrawn, 1);
    assert_string_equal(rkit_cell(&kit->sink, "acme/s1 volume.total 1000"), "nothing");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, replay_kit_setup, replay_kit_teardown)
    const struct CMUnitTest tests[] = {
        TEST(dead_letters_are_decoded_after_the_mapping_was_mended),
        TEST(letters_are_chosen_by_vendor_topic_and_reason),
        TEST(letters_of_a_sink_that_are_damaged_are_told),
        TEST(a_letter_whose_readings_are_damaged_is_told_and_takes_nothing_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
