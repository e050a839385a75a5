/* SPDX-License-Identifier: Apache-2.0
 *
 * Replays into Parquet: the readings that they bring stand in place of those with the same keys. What a folder should hold is a list
 * of readings here, written the plain way into a second folder and compared by every column.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "unit/sinks/parquet_rig.h"

enum { DAY_MS = 86400000 };

static bool exists(const struct place *place, const char *name)
{
    struct disk_stat stat;
    char *path = mem_printf("%s/parquet/%s", place->dir.path, name);
    int result = disk_real.stat(&disk_real, path, &stat);
    free(path);
    return result == 0;
}

/* ---- what a replay does ---- */

static void a_replay_of_what_is_there_leaves_the_store_as_it_was(void **state)
{
    (void)state;
    struct place place;
    struct items list = items_of_messages(1, 100);
    place_make(&place);
    put(&place, list.items, 90, false);
    put(&place, list.items + 90, 110, false);
    struct tally before = tally_place(&place);
    for (int round = 0; round < 2; round++) {
        put(&place, list.items, 50, true);
        put(&place, list.items + 50, 120, true);
        put(&place, list.items + 170, 30, true);
        assert_holds(&place, &list);
    }
    struct tally after = tally_place(&place);
    assert_int_equal(before.files, after.files);
    tally_fini(&before);
    tally_fini(&after);
    place_remove(&place);
}

static void a_corrected_reading_takes_the_place_of_the_old_one(void **state)
{
    (void)state;
    struct place place;
    struct items list = items_of_messages(1, 100), mended = {0};
    place_make(&place);
    put_list(&place, &list, false);
    for (uint32_t i = 20; i < 60; i += 3) {
        items_add(&mended, list.items[i]);
        mended.items[mended.count - 1].value += 1000000;
    }
    put_list(&place, &mended, true);
    items_apply(&list, mended.items, mended.count);
    assert_holds(&place, &list);
    place_remove(&place);
}

static void a_withdrawn_reading_goes_and_its_successor_may_be_of_another_day(void **state)
{
    (void)state;
    struct place place;
    struct items list = items_of_messages(1, 50), mended = {0};
    place_make(&place);
    put_list(&place, &list, false);
    for (uint32_t i = 0; i < 100; i += 4) {
        struct item gone = list.items[i], moved = list.items[i];
        gone.withdrawn = true;
        moved.ts_ms += 8 * 3600000;
        items_add(&mended, gone);
        items_add(&mended, moved);
    }
    for (int round = 0; round < 2; round++) {
        put_list(&place, &mended, true);
        items_apply(&list, mended.items, mended.count);
        assert_holds(&place, &list);
    }
    place_remove(&place);
}

static void two_readings_of_one_key_in_a_message_both_stay(void **state)
{
    (void)state;
    struct place place;
    struct items list = items_of_messages(1, 10);
    list.items[5] = list.items[4];
    list.items[5].value++;
    place_make(&place);
    put_list(&place, &list, false);
    put_list(&place, &list, true);
    assert_holds(&place, &list);
    place_remove(&place);
}

static void a_folder_without_them_gets_files_of_replays(void **state)
{
    (void)state;
    struct place place;
    struct items list = items_of_messages(1, 100);
    place_make(&place);
    place_again(&place, 1000, PARQUET_VALUE_DOUBLE);
    for (int round = 0; round < 2; round++) {
        put(&place, list.items, 120, true);
        put(&place, list.items + 100, 100, true); /* ten messages twice */
        assert_holds(&place, &list);
    }
    assert_true(exists(&place, "dt=2025-11-21/0123456789abcdef-00000000000000000002-"
                               "00000000000000000060-r2.parquet"));
    /* They are not ahead of the journal, whatever its cursor says. */
    place_again(&place, 1, PARQUET_VALUE_DOUBLE);
    assert_holds(&place, &list);
    place_remove(&place);
}

static void rows_before_between_and_behind_files_find_their_place(void **state)
{
    (void)state;
    struct place place;
    struct items list = {0}, all = items_of_messages(1, 90);
    place_make(&place);
    put(&place, all.items + 40, 20, false);
    put(&place, all.items + 100, 20, false);
    items_apply(&list, all.items + 40, 20);
    items_apply(&list, all.items + 100, 20);
    place_again(&place, 1000, PARQUET_VALUE_DOUBLE);
    assert_holds(&place, &list);
    for (int round = 0; round < 2; round++) {
        put_list(&place, &all, true);
        assert_holds(&place, &all);
    }
    place_remove(&place);
}

static void the_later_of_two_batches_counts(void **state)
{
    (void)state;
    struct place place;
    struct items list = items_of_messages(1, 20), mended = list;
    place_make(&place);
    put_list(&place, &list, false);
    for (uint32_t i = 0; i < mended.count; i++)
        mended.items[i].value += 7;
    mended.items[3].withdrawn = true;
    struct unit *unit = items_unit(list.items, list.count, true);
    unit->batches[unit->batch_count++] = items_batch(mended.items, mended.count, 2);
    assert_int_equal(sink_lane_put(&place.lane, unit), SINK_STORED);
    test_unit_free(unit);
    items_apply(&list, mended.items, mended.count);
    assert_holds(&place, &list);
    place_remove(&place);
}

static void when_all_are_withdrawn_an_empty_file_remembers_the_unit(void **state)
{
    (void)state;
    struct place place;
    struct items list = items_of_messages(1, 20), gone = list, none = {0};
    place_make(&place);
    put_list(&place, &list, false);
    for (uint32_t i = 0; i < gone.count; i++)
        gone.items[i].withdrawn = true;
    put_list(&place, &gone, true);
    assert_holds(&place, &none);
    /* The unit of the lane comes again after a crash: it does not bring them back. */
    place_again(&place, 1, PARQUET_VALUE_DOUBLE);
    put_list(&place, &list, false);
    assert_holds(&place, &none);
    put_list(&place, &list, true);
    assert_holds(&place, &list);
    place_remove(&place);
}

static void a_unit_that_comes_again_after_a_replay_changes_nothing(void **state)
{
    (void)state;
    struct place place;
    struct items list = items_of_messages(1, 60), mended = {0};
    place_make(&place);
    put(&place, list.items, 60, false);
    put(&place, list.items + 60, 60, false);
    for (uint32_t i = 50; i < 90; i++) {
        items_add(&mended, list.items[i]);
        mended.items[mended.count - 1].value *= 2;
    }
    struct items second = {0};
    for (uint32_t i = 60; i < 120; i++)
        items_add(&second, list.items[i]);
    put_list(&place, &mended, true);
    items_apply(&list, mended.items, mended.count);
    place_again(&place, 31, PARQUET_VALUE_DOUBLE);
    put_list(&place, &second, false);
    assert_holds(&place, &list);
    place_remove(&place);
}

static void files_keep_their_form_of_value(void **state)
{
    (void)state;
    struct place place;
    struct items list = items_of_messages(1, 40), mended = list;
    for (uint32_t i = 0; i < mended.count; i++)
        mended.items[i].value += 1;
    for (int form = 0; form < 2; form++) {
        int first = form ? PARQUET_VALUE_SCALED : PARQUET_VALUE_DOUBLE;
        place_make(&place);
        place_again(&place, 1, first);
        put_list(&place, &list, false);
        place_again(&place, 41, form ? PARQUET_VALUE_DOUBLE : PARQUET_VALUE_SCALED);
        put_list(&place, &mended, true);
        assert_holds_as(&place, &mended, first);
        place_remove(&place);
    }
}

static void files_of_other_gateways_are_left_alone(void **state)
{
    (void)state;
    struct place place;
    struct items list = items_of_messages(1, 40), mended = list;
    place_make(&place);
    put_list(&place, &list, false);
    place_close(&place);
    sink_lane_init(&place.lane, &sink_parquet, &disk_real, place.dir.path);
    place.lane.host.identity = (struct identity){0xfedcba9876543210};
    ((struct parquet_sink_options *)place.lane.options)->min_free_bytes = 0;
    struct err err;
    assert_int_equal(sink_lane_start(&place.lane, 41, &err), 0);
    place.open = true;
    struct tally before = tally_place(&place);
    for (uint32_t i = 0; i < mended.count; i++)
        mended.items[i].value += 1;
    put_list(&place, &mended, true);
    struct tally after = tally_place(&place);
    assert_int_equal(before.rows, 80);
    assert_int_equal(after.rows, 160);
    for (uint64_t seq = 1; seq <= 40; seq++)
        assert_int_equal(after.seen[seq], 4);
    tally_fini(&before);
    tally_fini(&after);
    place_remove(&place);
}

static void a_damaged_file_holds_the_replay_and_is_named(void **state)
{
    (void)state;
    struct place place;
    struct items list = items_of_messages(1, 40);
    place_make(&place);
    put_list(&place, &list, false);
    static const char name[] = "dt=2025-11-21/0123456789abcdef-00000000000000000001-"
                               "00000000000000000040-g1.parquet";
    char *path = mem_printf("%s/parquet/%s", place.dir.path, name);
    int fd = disk_real.open(&disk_real, path, 2 /* O_RDWR */);
    assert_int_equal(disk_real.pwrite(&disk_real, fd, "\xff\xff\xff\xff", 4, 200), 4);
    disk_real.close(&disk_real, fd);
    struct unit *unit = items_unit(list.items, list.count, true);
    assert_int_equal(sink_lane_put(&place.lane, unit), SINK_RETRY);
    size_t at = place.lane.answer_count - 1;
    assert_int_equal(place.lane.answers[at].reason, SINK_REASON_OPERATOR);
    assert_non_null(strstr(place.lane.answers[at].why, path));
    /* Out of the way, the replay puts its readings there again. */
    assert_int_equal(disk_real.unlink(&disk_real, path), 0);
    assert_int_equal(sink_lane_put(&place.lane, unit), SINK_STORED);
    assert_holds(&place, &list);
    free(path);
    test_unit_free(unit);
    place_remove(&place);
}

/* ---- beside the lane ---- */

static void what_the_lane_has_not_stored_yet_waits_for_it(void **state)
{
    (void)state;
    struct place place;
    struct items list = items_of_messages(1, 40), mended = list, half = {0};
    for (uint32_t i = 0; i < mended.count; i++)
        mended.items[i].value += 1;
    items_apply(&half, list.items, 40);
    for (int restart = 0; restart < 2; restart++) {
        place_make(&place);
        put(&place, list.items, 40, false);
        put_list(&place, &mended, true);
        assert_holds(&place, &half);
        if (restart)
            place_again(&place, 21, PARQUET_VALUE_DOUBLE);
        put(&place, list.items + 40, 40, false);
        settle(&place);
        assert_holds(&place, &mended);
        place_remove(&place);
    }
}

static void a_unit_and_a_replay_may_be_open_together(void **state)
{
    (void)state;
    struct place place;
    struct items list = items_of_messages(1, 80);
    place_make(&place);
    put(&place, list.items, 80, false);
    struct unit *live = items_unit(list.items + 80, 80, false);
    struct unit *replay = items_unit(list.items, 60, true);
    sink_lane_write(&place.lane, replay);
    sink_lane_write(&place.lane, live);
    assert_true(sink_lane_wait(&place.lane, 3));
    assert_int_equal(place.lane.answers[1].answer, SINK_STORED);
    assert_int_equal(place.lane.answers[2].answer, SINK_STORED);
    assert_holds(&place, &list);
    test_unit_free(live);
    test_unit_free(replay);
    place_remove(&place);
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

/* Units of the lane, replays that change, move and withdraw, merges and new starts, in any order. */
static void any_mixture_ends_with_what_the_last_word_says(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 6; seed++) {
        struct place place;
        struct items list = {0};
        uint32_t random = seed;
        uint64_t next = 1;
        place_make(&place);
        for (int step = 0; step < 60; step++) {
            struct parquet_sink_options *options = place.lane.options;
            options->files_max = 4; /* merges all the time */
            options->compact = true;
            uint32_t what = next_random(&random) % 8;
            if (what < 3 && list.count < 300) {
                struct items more = items_of_messages(next, 5 + next_random(&random) % 10);
                put_list(&place, &more, false);
                next += more.count / 2;
                items_apply(&list, more.items, more.count);
            } else if (what < 7 && list.count > 20) {
                struct items mended = {0};
                uint32_t first = next_random(&random) % (list.count - 15);
                for (uint32_t i = first; i < first + 15; i++) {
                    struct item item = list.items[i];
                    uint32_t change = next_random(&random) % 4;
                    item.withdrawn = change == 1;
                    item.value += change == 2;
                    items_add(&mended, item);
                    if (change == 1) {
                        item.withdrawn = false;
                        item.ts_ms += (int64_t)(next_random(&random) % 3) * DAY_MS / 2 + 7;
                        items_add(&mended, item);
                    }
                }
                put_list(&place, &mended, true);
                items_apply(&list, mended.items, mended.count);
            } else if (what == 7) { /* in half of the runs the form of value changes, too */
                place_again(&place, next, seed % 2 ? PARQUET_VALUE_DOUBLE : step % 2);
            }
        }
        settle(&place);
        struct tally tally = tally_place(&place);
        assert_int_equal(tally.rows, list.count);
        tally_fini(&tally);
        if (seed % 2)
            assert_holds(&place, &list);
        place_remove(&place);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_replay_of_what_is_there_leaves_the_store_as_it_was),
        cmocka_unit_test(a_corrected_reading_takes_the_place_of_the_old_one),
        cmocka_unit_test(a_withdrawn_reading_goes_and_its_successor_may_be_of_another_day),
        cmocka_unit_test(two_readings_of_one_key_in_a_message_both_stay),
        cmocka_unit_test(a_folder_without_them_gets_files_of_replays),
        cmocka_unit_test(rows_before_between_and_behind_files_find_their_place),
        cmocka_unit_test(the_later_of_two_batches_counts),
        cmocka_unit_test(when_all_are_withdrawn_an_empty_file_remembers_the_unit),
        cmocka_unit_test(a_unit_that_comes_again_after_a_replay_changes_nothing),
        cmocka_unit_test(files_keep_their_form_of_value),
        cmocka_unit_test(files_of_other_gateways_are_left_alone),
        cmocka_unit_test(a_damaged_file_holds_the_replay_and_is_named),
        cmocka_unit_test(what_the_lane_has_not_stored_yet_waits_for_it),
        cmocka_unit_test(a_unit_and_a_replay_may_be_open_together),
        cmocka_unit_test(any_mixture_ends_with_what_the_last_word_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
