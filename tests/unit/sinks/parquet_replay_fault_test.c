/* SPDX-License-Identifier: Apache-2.0
 *
 * A replay into Parquet when a call of the disk fails, and when the process stops at one: each reading
 * is in the files once, and repeated the replay ends with its last word.
 */
#include <errno.h>

#include "lib/fault_disk.h"
#include "unit/sinks/parquet_rig.h"

/* Values change; with `moves` a quarter of the readings also goes to another time, often on the other
 * day, and there is a message that no file covers. */
static struct items mend(const struct items *list, bool moves)
{
    struct items mended = {0};
    for (uint32_t i = 10; i < 70; i++) {
        struct item item = list->items[i], moved = item;
        item.value += 1;
        item.withdrawn = moves && i % 4 == 0;
        moved.ts_ms += 2000 * (moved.ts_ms < ITEMS_MIDNIGHT ? 40 : -40);
        items_add(&mended, item);
        if (item.withdrawn)
            items_add(&mended, moved);
    }
    return mended;
}

/* Two files on each of two days, and nothing of messages 21 to 25. */
static struct items begin(struct place *place)
{
    struct items list = items_of_messages(1, 45);
    place_make(place);
    put(place, list.items, 40, false);
    put(place, list.items + 50, 40, false);
    place_close(place);
    struct items there = {0};
    items_apply(&there, list.items, 40);
    items_apply(&there, list.items + 50, 40);
    return there;
}

/* All of it again in units of other bounds: nobody keeps the bounds of replays. */
static void repeat(struct place *place, const struct items *mended)
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
        struct items list = begin(&place), all = items_of_messages(1, 45);
        struct items mended = mend(moves ? &all : &list, moves);
        fault_disk_init(&fault);
        fault.write_then_fail = true;
        open_place(&place, &fault.disk, 46, PARQUET_VALUE_DOUBLE);
        fault_disk_fail(&fault, FAULT_ANY, n, EIO, true);
        struct unit *unit = items_unit(mended.items, mended.count, true);
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
        items_apply(&list, mended.items, mended.count);
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
        struct items list = begin(&place), all = items_of_messages(1, 45);
        struct items mended = mend(&all, true);
        fault_disk_init(&fault);
        open_place(&place, &fault.disk, 46, PARQUET_VALUE_DOUBLE);
        fault_disk_fail(&fault, FAULT_ANY, n, n % 2 ? EIO : ENOSPC, false);
        struct unit *unit = items_unit(mended.items, mended.count, true);
        if (sink_lane_put(&place.lane, unit) != SINK_STORED)
            assert_true(place.lane.answers[0].why[0] != '\0');
        failed = fault.failed > 0;
        fault_disk_fail(&fault, FAULT_ANY, 0, 0, false);
        repeat(&place, &mended);
        items_apply(&list, mended.items, mended.count);
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
        cmocka_unit_test(every_stop_of_a_replay_shows_each_reading_once),
        cmocka_unit_test(every_stop_of_a_replay_that_moves_readings_is_made_good),
        cmocka_unit_test(every_failing_call_of_a_replay_is_made_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
