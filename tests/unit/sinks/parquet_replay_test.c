/* SPDX-License-Identifier: Apache-2.0
 *
 * Replays into Parquet: the readings that they bring stand in place of those with the same keys, once,
 * whatever call of the disk fails and wherever the process stops. What a folder should hold is a list
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

#include "lib/fault_disk.h"
#include "lib/parquet_tally.h"
#include "lib/sink_lane.h"
#include "lib/temp_dir.h"
#include "sinks/parquet/compact.h"
#include "sinks/parquet/parquet.h"

enum { DAY_MS = 86400000, READINGS_MAX = 1200 };
static const int64_t MIDNIGHT = 20413LL * DAY_MS; /* 2025-11-21 */

/* ---- what should be there ---- */

struct item {
    uint64_t seq;
    uint32_t device;
    int64_t ts_ms;
    int64_t value;
    bool withdrawn;
};

struct list {
    struct item items[READINGS_MAX];
    uint32_t count;
};

static void list_add(struct list *list, struct item item)
{
    gw_assert(list->count < READINGS_MAX);
    list->items[list->count++] = item;
}

/* `count` messages of two readings each; messages go over midnight in the middle. */
static struct list readings(uint64_t first_seq, uint32_t count)
{
    struct list list = {0};
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t device = 0; device < 2; device++)
            list_add(&list,
                     (struct item){.seq = first_seq + i,
                                   .device = (i * 7 + device) % 13,
                                   .ts_ms = MIDNIGHT + (i % 2 ? 1000 : -1000) * (int64_t)(i + 1),
                                   .value = (int64_t)(first_seq + i) * 10 + device});
    return list;
}

static struct batch_row row_of(const struct item *item, char device[16])
{
    snprintf(device, 16, "%08u", item->device);
    return (struct batch_row){
        .vendor = bytes_text(item->device % 2 ? "acme" : "zenith"),
        .device = bytes_text(device),
        .metric = bytes_text("volume.total"),
        .unit = bytes_text("m3"),
        .ts_ms = item->ts_ms,
        .unscaled = item->value,
        .scale = 3,
        .has_value = !item->withdrawn,
        .quality = item->withdrawn ? QUALITY_BAD : QUALITY_GOOD,
        .flags = (item->value % 5 == 0 ? FLAG_LATE : 0) | (item->withdrawn ? FLAG_WITHDRAWN : 0),
        .seq = item->seq,
        .received_ms = item->ts_ms + 1500,
    };
}

static struct batch *batch_of(const struct item *items, uint32_t count, uint32_t generation)
{
    struct batch_builder *builder = batch_builder_new();
    uint64_t first = UINT64_MAX, last = 0;
    for (uint32_t i = 0; i < count; i++) {
        char device[16];
        struct batch_row row = row_of(&items[i], device);
        batch_builder_add(builder, &row);
        first = row.seq < first ? row.seq : first;
        last = row.seq > last ? row.seq : last;
    }
    struct batch *batch = batch_builder_finish(builder);
    batch->first_seq = first;
    batch->last_seq = last;
    batch->generation = generation;
    batch_builder_free(builder);
    return batch;
}

static struct unit *unit_of(const struct item *items, uint32_t count, bool replay)
{
    struct unit *unit = mem_zalloc(sizeof *unit);
    unit->batches = mem_alloc(2 * sizeof *unit->batches);
    unit->batches[0] = batch_of(items, count, replay ? 2 : 1);
    unit->batches[0]->replay = replay;
    unit->batch_count = 1;
    unit->first_seq = unit->batches[0]->first_seq;
    unit->last_seq = unit->batches[0]->last_seq;
    unit->generation = unit->batches[0]->generation;
    unit->replay = replay;
    unit->rows = count;
    return unit;
}

/* What the list says after these. */
static void list_apply(struct list *list, const struct item *items, uint32_t count)
{
    struct list before = *list;
    list->count = 0;
    for (uint32_t i = 0; i < before.count; i++) {
        const struct item *old = &before.items[i];
        bool replaced = false;
        for (uint32_t k = 0; k < count; k++)
            replaced |= items[k].seq == old->seq && items[k].device == old->device &&
                        items[k].ts_ms == old->ts_ms;
        if (!replaced)
            list_add(list, *old);
    }
    for (uint32_t k = 0; k < count; k++)
        if (!items[k].withdrawn)
            list_add(list, items[k]);
}

/* ---- folders ---- */

struct place {
    struct temp_dir dir;
    struct sink_lane lane;
    bool open;
};

static void open_place(struct place *place, const struct disk *disk, uint64_t cursor, int value)
{
    struct err err = {0};
    sink_lane_init(&place->lane, &sink_parquet, disk, place->dir.path);
    struct parquet_sink_options *options = place->lane.options;
    options->min_free_bytes = 0;
    options->value = value;
    options->row_group_rows = 64;
    options->compact = false; /* merges run beside: where one is wanted it is asked for */
    if (sink_lane_start(&place->lane, cursor, &err) < 0)
        fail_msg("%s", err.text);
    place->open = true;
}

static void place_make(struct place *place)
{
    *place = (struct place){0};
    temp_dir_make(&place->dir);
    open_place(place, &disk_real, 1, PARQUET_VALUE_DOUBLE);
}

static void place_close(struct place *place)
{
    if (place->open)
        sink_lane_fini(&place->lane);
    place->open = false;
}

static void place_remove(struct place *place)
{
    place_close(place);
    temp_dir_remove(&place->dir);
}

static void place_again(struct place *place, uint64_t cursor, int value)
{
    place_close(place);
    open_place(place, &disk_real, cursor, value);
}

static void put(struct place *place, const struct item *items, uint32_t count, bool replay)
{
    struct unit *unit = unit_of(items, count, replay);
    if (place->lane.answer_count + 1 >= SINK_LANE_ANSWERS_MAX)
        place->lane.answer_count = 0;
    enum sink_answer answer = sink_lane_put(&place->lane, unit);
    if (answer != SINK_STORED)
        fail_msg("%s", place->lane.answers[place->lane.answer_count - 1].why);
    test_unit_free(unit);
}

static void put_list(struct place *place, const struct list *list, bool replay)
{
    put(place, list->items, list->count, replay);
}

/* Until nothing of replays waits any more, at most ten seconds. */
static void settle(struct place *place)
{
    for (int i = 0; i < 10000; i++) {
        struct buffer text = {0};
        sink_parquet.metrics(place->lane.sink, &text);
        buffer_u8(&text, 0);
        bool waits =
            strstr((const char *)text.data, "replay_waiting_rows{sink=\"parquet\"} 0\n") == NULL;
        buffer_fini(&text);
        if (!waits)
            return;
        uv_run(&place->lane.loop, UV_RUN_ONCE);
    }
    fail_msg("replays still wait");
}

static struct tally tally_place(const struct place *place)
{
    char *path = mem_printf("%s/parquet", place->dir.path);
    struct tally tally = tally_of(path);
    free(path);
    return tally;
}

static void assert_holds_as(const struct place *place, const struct list *list, int value)
{
    struct place wanted = {0};
    temp_dir_make(&wanted.dir);
    open_place(&wanted, &disk_real, 1, value);
    if (list->count)
        put_list(&wanted, list, false);
    struct tally found = tally_place(place), expected = tally_place(&wanted);
    assert_int_equal(found.rows, expected.rows);
    assert_int_equal(found.unsorted, 0);
    for (uint64_t seq = 0; seq < TALLY_SEQ_MAX; seq++)
        assert_int_equal(found.seen[seq], expected.seen[seq]);
    assert_true(found.digest == expected.digest);
    tally_fini(&found);
    tally_fini(&expected);
    place_remove(&wanted);
}

static void assert_holds(const struct place *place, const struct list *list)
{
    assert_holds_as(place, list, PARQUET_VALUE_DOUBLE);
}

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
    struct list list = readings(1, 100);
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
    struct list list = readings(1, 100), mended = {0};
    place_make(&place);
    put_list(&place, &list, false);
    for (uint32_t i = 20; i < 60; i += 3) {
        list_add(&mended, list.items[i]);
        mended.items[mended.count - 1].value += 1000000;
    }
    put_list(&place, &mended, true);
    list_apply(&list, mended.items, mended.count);
    assert_holds(&place, &list);
    place_remove(&place);
}

static void a_withdrawn_reading_goes_and_its_successor_may_be_of_another_day(void **state)
{
    (void)state;
    struct place place;
    struct list list = readings(1, 50), mended = {0};
    place_make(&place);
    put_list(&place, &list, false);
    for (uint32_t i = 0; i < 100; i += 4) {
        struct item gone = list.items[i], moved = list.items[i];
        gone.withdrawn = true;
        moved.ts_ms += 8 * 3600000;
        list_add(&mended, gone);
        list_add(&mended, moved);
    }
    for (int round = 0; round < 2; round++) {
        put_list(&place, &mended, true);
        list_apply(&list, mended.items, mended.count);
        assert_holds(&place, &list);
    }
    place_remove(&place);
}

static void two_readings_of_one_key_in_a_message_both_stay(void **state)
{
    (void)state;
    struct place place;
    struct list list = readings(1, 10);
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
    struct list list = readings(1, 100);
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
    struct list list = {0}, all = readings(1, 90);
    place_make(&place);
    put(&place, all.items + 40, 20, false);
    put(&place, all.items + 100, 20, false);
    list_apply(&list, all.items + 40, 20);
    list_apply(&list, all.items + 100, 20);
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
    struct list list = readings(1, 20), mended = list;
    place_make(&place);
    put_list(&place, &list, false);
    for (uint32_t i = 0; i < mended.count; i++)
        mended.items[i].value += 7;
    mended.items[3].withdrawn = true;
    struct unit *unit = unit_of(list.items, list.count, true);
    unit->batches[unit->batch_count++] = batch_of(mended.items, mended.count, 2);
    assert_int_equal(sink_lane_put(&place.lane, unit), SINK_STORED);
    test_unit_free(unit);
    list_apply(&list, mended.items, mended.count);
    assert_holds(&place, &list);
    place_remove(&place);
}

static void when_all_are_withdrawn_an_empty_file_remembers_the_unit(void **state)
{
    (void)state;
    struct place place;
    struct list list = readings(1, 20), gone = list, none = {0};
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
    struct list list = readings(1, 60), mended = {0};
    place_make(&place);
    put(&place, list.items, 60, false);
    put(&place, list.items + 60, 60, false);
    for (uint32_t i = 50; i < 90; i++) {
        list_add(&mended, list.items[i]);
        mended.items[mended.count - 1].value *= 2;
    }
    struct list second = {0};
    for (uint32_t i = 60; i < 120; i++)
        list_add(&second, list.items[i]);
    put_list(&place, &mended, true);
    list_apply(&list, mended.items, mended.count);
    place_again(&place, 31, PARQUET_VALUE_DOUBLE);
    put_list(&place, &second, false);
    assert_holds(&place, &list);
    place_remove(&place);
}

static void files_keep_their_form_of_value(void **state)
{
    (void)state;
    struct place place;
    struct list list = readings(1, 40), mended = list;
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
    struct list list = readings(1, 40), mended = list;
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
    struct list list = readings(1, 40);
    place_make(&place);
    put_list(&place, &list, false);
    static const char name[] = "dt=2025-11-21/0123456789abcdef-00000000000000000001-"
                               "00000000000000000040-g1.parquet";
    char *path = mem_printf("%s/parquet/%s", place.dir.path, name);
    int fd = disk_real.open(&disk_real, path, 2 /* O_RDWR */);
    assert_int_equal(disk_real.pwrite(&disk_real, fd, "\xff\xff\xff\xff", 4, 200), 4);
    disk_real.close(&disk_real, fd);
    struct unit *unit = unit_of(list.items, list.count, true);
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
    struct list list = readings(1, 40), mended = list, half = {0};
    for (uint32_t i = 0; i < mended.count; i++)
        mended.items[i].value += 1;
    list_apply(&half, list.items, 40);
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
    struct list list = readings(1, 80);
    place_make(&place);
    put(&place, list.items, 80, false);
    struct unit *live = unit_of(list.items + 80, 80, false);
    struct unit *replay = unit_of(list.items, 60, true);
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
        struct list list = {0};
        uint32_t random = seed;
        uint64_t next = 1;
        place_make(&place);
        for (int step = 0; step < 60; step++) {
            struct parquet_sink_options *options = place.lane.options;
            options->files_max = 4; /* merges all the time */
            options->compact = true;
            uint32_t what = next_random(&random) % 8;
            if (what < 3 && list.count < 300) {
                struct list more = readings(next, 5 + next_random(&random) % 10);
                put_list(&place, &more, false);
                next += more.count / 2;
                list_apply(&list, more.items, more.count);
            } else if (what < 7 && list.count > 20) {
                struct list mended = {0};
                uint32_t first = next_random(&random) % (list.count - 15);
                for (uint32_t i = first; i < first + 15; i++) {
                    struct item item = list.items[i];
                    uint32_t change = next_random(&random) % 4;
                    item.withdrawn = change == 1;
                    item.value += change == 2;
                    list_add(&mended, item);
                    if (change == 1) {
                        item.withdrawn = false;
                        item.ts_ms += (int64_t)(next_random(&random) % 3) * DAY_MS / 2 + 7;
                        list_add(&mended, item);
                    }
                }
                put_list(&place, &mended, true);
                list_apply(&list, mended.items, mended.count);
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

/* ---- every failure, every stop ---- */

/* Values change; with `moves` a quarter of the readings also goes to another time, often on the other
 * day, and there is a message that no file covers. */
static struct list mend(const struct list *list, bool moves)
{
    struct list mended = {0};
    for (uint32_t i = 10; i < 70; i++) {
        struct item item = list->items[i], moved = item;
        item.value += 1;
        item.withdrawn = moves && i % 4 == 0;
        moved.ts_ms += 2000 * (moved.ts_ms < MIDNIGHT ? 40 : -40);
        list_add(&mended, item);
        if (item.withdrawn)
            list_add(&mended, moved);
    }
    return mended;
}

/* Two files on each of two days, and nothing of messages 21 to 25. */
static struct list begin(struct place *place)
{
    struct list list = readings(1, 45);
    place_make(place);
    put(place, list.items, 40, false);
    put(place, list.items + 50, 40, false);
    place_close(place);
    struct list there = {0};
    list_apply(&there, list.items, 40);
    list_apply(&there, list.items + 50, 40);
    return there;
}

/* All of it again in units of other bounds: nobody keeps the bounds of replays. */
static void repeat(struct place *place, const struct list *mended)
{
    uint32_t half = mended->count / 2;
    put(place, mended->items, half, true);
    put(place, mended->items + half, mended->count - half, true);
}

static void assert_each_key_once(const struct place *place)
{
    struct tally tally = tally_place(place);
    for (uint64_t seq = 1; seq <= 45; seq++)
        assert_int_equal(tally.seen[seq], seq <= 20 || seq > 25 ? 2 : 0);
    tally_fini(&tally);
}

static void stop_everywhere(bool moves)
{
    uint64_t n = 1;
    for (bool stopped = true; stopped; n++) {
        struct place place;
        struct fault_disk fault;
        struct list list = begin(&place), all = readings(1, 45);
        struct list mended = mend(moves ? &all : &list, moves);
        fault_disk_init(&fault);
        fault.write_then_fail = true;
        open_place(&place, &fault.disk, 46, PARQUET_VALUE_DOUBLE);
        fault_disk_fail(&fault, FAULT_ANY, n, EIO, true);
        struct unit *unit = unit_of(mended.items, mended.count, true);
        sink_lane_put(&place.lane, unit);
        stopped = fault.failed > 0;
        place_close(&place);
        fault_disk_fini(&fault);
        test_unit_free(unit);
        if (!moves) /* nothing has run since: this is what a reader sees at that moment */
            assert_each_key_once(&place);
        open_place(&place, &disk_real, 46, PARQUET_VALUE_DOUBLE);
        if (!moves)
            assert_each_key_once(&place);
        repeat(&place, &mended);
        list_apply(&list, mended.items, mended.count);
        assert_holds(&place, &list);
        place_remove(&place);
    }
    assert_true(n > 40);
}

static void every_stop_of_a_replay_shows_each_reading_once(void **state)
{
    (void)state;
    stop_everywhere(false);
}

static void every_stop_of_a_replay_that_moves_readings_is_made_good(void **state)
{
    (void)state;
    stop_everywhere(true);
}

static void every_failing_call_of_a_replay_is_made_good(void **state)
{
    (void)state;
    uint64_t n = 1;
    for (bool failed = true; failed; n++) {
        struct place place;
        struct fault_disk fault;
        struct list list = begin(&place), all = readings(1, 45);
        struct list mended = mend(&all, true);
        fault_disk_init(&fault);
        open_place(&place, &fault.disk, 46, PARQUET_VALUE_DOUBLE);
        fault_disk_fail(&fault, FAULT_ANY, n, n % 2 ? EIO : ENOSPC, false);
        struct unit *unit = unit_of(mended.items, mended.count, true);
        if (sink_lane_put(&place.lane, unit) != SINK_STORED)
            assert_true(place.lane.answers[0].why[0] != '\0');
        failed = fault.failed > 0;
        fault_disk_fail(&fault, FAULT_ANY, 0, 0, false);
        repeat(&place, &mended);
        list_apply(&list, mended.items, mended.count);
        assert_holds(&place, &list);
        place_remove(&place);
        fault_disk_fini(&fault);
        test_unit_free(unit);
    }
    assert_true(n > 40);
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
        cmocka_unit_test(every_stop_of_a_replay_shows_each_reading_once),
        cmocka_unit_test(every_stop_of_a_replay_that_moves_readings_is_made_good),
        cmocka_unit_test(every_failing_call_of_a_replay_is_made_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
