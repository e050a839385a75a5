/* SPDX-License-Identifier: Apache-2.0
 *
 * Replays that wait before they go into the files: nothing that was confirmed is lost, and nothing older
 * ever comes back over what is newer, whatever call of the disk fails and wherever the process stops.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/fault_disk.h"
#include "lib/parquet_items.h"
#include "lib/parquet_tally.h"
#include "lib/sink_lane.h"
#include "lib/temp_dir.h"
#include "sinks/parquet/history.h"

enum { MESSAGES = 40, STEPS = 4 };
static const struct identity identity = {0x0123456789abcdef};
static const struct parquet_options small = {.zstd_level = 1, .row_group_rows = 16, .page_rows = 8};

struct place {
    struct temp_dir dir;
    char *path;
    struct store store;
    struct history history;
};

static struct history_policy policy(bool may_amend)
{
    return (struct history_policy){
        .live_next = MESSAGES + 1, .may_amend = may_amend, .today = ITEMS_DAY, .zstd_closed = 3};
}

static int open_both(struct place *place, const struct disk *disk, struct err *err)
{
    int status = store_open(&place->store, disk, place->path, identity, MESSAGES + 1, err);
    if (status < 0)
        return status;
    status = history_open(&place->history, &place->store, err);
    if (status < 0)
        store_close(&place->store);
    return status;
}

static void open_real(struct place *place)
{
    struct err err = {0};
    if (open_both(place, &disk_real, &err) < 0)
        fail_msg("%s", err.text);
}

static void close_both(struct place *place)
{
    history_close(&place->history);
    store_close(&place->store);
}

/* Two files on each of two days. */
static struct items place_make(struct place *place)
{
    struct items list = items_of_messages(1, MESSAGES);
    struct unit_result result;
    struct err err;
    *place = (struct place){0};
    temp_dir_make(&place->dir);
    place->path = mem_printf("%s/parquet", place->dir.path);
    open_real(place);
    for (uint32_t i = 0; i < 2; i++) {
        struct unit *unit = items_unit(list.items + i * MESSAGES, MESSAGES, false);
        assert_int_equal(unit_store(&place->store, unit, &small, &result, &err), 0);
        test_unit_free(unit);
    }
    close_both(place);
    return list;
}

static void place_remove(struct place *place)
{
    free(place->path);
    temp_dir_remove(&place->dir);
}

/* What is replayed in each step: values that grow, on overlapping spans; some readings go. */
static struct items step_items(const struct items *list, int step)
{
    struct items out = {0};
    for (uint32_t i = (uint32_t)step * 5; i < (uint32_t)step * 5 + 50; i++) {
        struct item item = list->items[i];
        item.value += 100 * (step + 1);
        item.withdrawn = (i + (uint32_t)step) % 7 == 0;
        items_add(&out, item);
    }
    return out;
}

/* Steps 0, 1 and 3 may only wait; step 2 goes into the files, and what waits before it. */
static int put_step(struct place *place, const struct items *list, int step, struct err *err)
{
    struct items items = step_items(list, step);
    struct unit *unit = items_unit(items.items, items.count, true);
    struct unit_result result;
    struct history_policy now = policy(step == 2);
    int status = history_put(&place->history, unit, &now, &small, &result, err);
    unit_result_fini(&result);
    test_unit_free(unit);
    return status;
}

static int apply_all(struct place *place, struct err *err)
{
    struct unit_result result;
    struct history_policy now = policy(true);
    int status = 0;
    while (place->history.pending.count && status == 0)
        status = history_apply(&place->history, &now, &small, &result, err);
    return status;
}

static struct items wanted(const struct items *list, int steps)
{
    struct items out = *list;
    for (int step = 0; step < steps; step++) {
        struct items items = step_items(list, step);
        items_apply(&out, items.items, items.count);
    }
    return out;
}

/* ---- what waits ---- */

static void what_waits_outlives_the_process_and_goes_in_in_order(void **state)
{
    (void)state;
    struct place place;
    struct items list = place_make(&place), all = wanted(&list, STEPS);
    struct err err = {0};
    for (int step = 0; step < STEPS; step++) {
        open_real(&place);
        assert_int_equal(put_step(&place, &list, step, &err), 0);
        close_both(&place);
    }
    open_real(&place);
    assert_int_equal(place.history.pending.count, 1);
    assert_int_equal(apply_all(&place, &err), 0);
    close_both(&place);
    assert_items(place.path, &all, false);
    place_remove(&place);
}

static void nothing_of_what_waits_is_seen(void **state)
{
    (void)state;
    struct place place;
    struct items list = place_make(&place);
    struct err err = {0};
    open_real(&place);
    assert_int_equal(put_step(&place, &list, 0, &err), 0);
    assert_true(history_touches(&place.history, ITEMS_DAY));
    assert_false(history_touches(&place.history, ITEMS_DAY + 1));
    int64_t now = place.history.last_put_ms;
    assert_false(history_due(&place.history, MESSAGES + 1, false, now));
    assert_true(history_due(&place.history, MESSAGES + 1, false, now + HISTORY_QUIET_MS));
    assert_false(history_due(&place.history, MESSAGES + 1, true, now + HISTORY_QUIET_MS));
    assert_false(history_due(&place.history, 5, false, now + HISTORY_QUIET_MS));
    close_both(&place);
    assert_items(place.path, &list, false);
    place_remove(&place);
}

static void a_journal_with_another_identity_does_not_go_on_with_it(void **state)
{
    (void)state;
    struct place place;
    struct items list = place_make(&place);
    struct err err = {0};
    open_real(&place);
    assert_int_equal(put_step(&place, &list, 0, &err), 0);
    close_both(&place);
    struct store store;
    struct history history;
    assert_int_equal(store_open(&store, &disk_real, place.path, (struct identity){77}, 1, &err), 0);
    assert_int_equal(history_open(&history, &store, &err), 0);
    assert_int_equal(history.pending.count, 0);
    history_close(&history);
    store_close(&store);
    place_remove(&place);
}

static void damage_is_told_and_the_rest_goes_in(void **state)
{
    (void)state;
    struct place place;
    struct items list = place_make(&place), all = list, second;
    struct err err = {0};
    open_real(&place);
    assert_int_equal(put_step(&place, &list, 0, &err), 0);
    assert_int_equal(put_step(&place, &list, 1, &err), 0);
    char *path = mem_printf("%s.work/replay/%020d.replay", place.path, 0);
    int fd = disk_real.open(&disk_real, path, 2 /* O_RDWR */);
    assert_int_equal(disk_real.pwrite(&disk_real, fd, "\xff", 1, 100), 1);
    disk_real.close(&disk_real, fd);
    assert_int_equal(apply_all(&place, &err), 0);
    close_both(&place);
    second = step_items(&list, 1);
    items_apply(&all, second.items, second.count);
    assert_items(place.path, &all, false);
    free(path);
    place_remove(&place);
}

/* ---- every failure, every stop ---- */

/* The steps in order, each again until it is confirmed or `tries` are used up. Returns how many are. */
static int run(struct place *place, const struct items *list, int from, int tries)
{
    struct err err = {0};
    for (int step = from; step < STEPS; step++)
        while (put_step(place, list, step, &err) < 0)
            if (--tries == 0)
                return step;
    while (apply_all(place, &err) < 0)
        if (--tries == 0)
            break;
    return STEPS;
}

static void every_failing_call_ends_with_the_last_word(void **state)
{
    (void)state;
    uint64_t n = 1;
    for (bool failed = true; failed; n++) {
        struct place place;
        struct fault_disk fault;
        struct err err = {0};
        struct items list = place_make(&place), all = wanted(&list, STEPS);
        fault_disk_init(&fault);
        fault_disk_fail(&fault, FAULT_ANY, n, n % 2 ? EIO : ENOSPC, false);
        while (open_both(&place, &fault.disk, &err) < 0)
            assert_true(err.text[0] != '\0');
        assert_int_equal(run(&place, &list, 0, 10), STEPS);
        failed = fault.failed > 0;
        close_both(&place);
        assert_items(place.path, &all, false);
        /* Nothing of it is left to come back. */
        open_real(&place);
        assert_int_equal(apply_all(&place, &err), 0);
        close_both(&place);
        assert_items(place.path, &all, false);
        fault_disk_fini(&fault);
        place_remove(&place);
    }
    assert_true(n > 100);
}

/* `repeated`: the replay goes on after the stop; else it was forgotten, and what was confirmed stands. */
static void stop_everywhere(bool repeated)
{
    uint64_t n = 1;
    for (bool stopped = true; stopped; n++) {
        struct place place;
        struct fault_disk fault;
        struct err err = {0};
        struct items list = place_make(&place);
        int confirmed = 0;
        fault_disk_init(&fault);
        fault.write_then_fail = true;
        fault_disk_fail(&fault, FAULT_ANY, n, EIO, true);
        if (open_both(&place, &fault.disk, &err) == 0) {
            confirmed = run(&place, &list, 0, 1);
            close_both(&place);
        }
        stopped = fault.failed > 0;
        fault_disk_fini(&fault);
        open_real(&place);
        if (repeated)
            assert_int_equal(run(&place, &list, confirmed, 1), STEPS);
        else
            assert_int_equal(apply_all(&place, &err), 0);
        close_both(&place);
        struct items known = wanted(&list, repeated ? STEPS : confirmed);
        struct items next = wanted(&list, confirmed + 1 < STEPS ? confirmed + 1 : STEPS);
        /* The one under way when it stopped may be in, as a whole or file by file. */
        if (repeated || confirmed == STEPS) {
            assert_items(place.path, &known, false);
        } else {
            struct tally tally = tally_of(place.path);
            for (uint64_t seq = 1; seq <= MESSAGES; seq++) {
                unsigned least = 0, most = 0;
                for (uint32_t i = 0; i < known.count; i++)
                    least += known.items[i].seq == seq;
                for (uint32_t i = 0; i < next.count; i++)
                    most += next.items[i].seq == seq;
                assert_in_range(tally.seen[seq], least < most ? least : most,
                                least < most ? most : least);
            }
            tally_fini(&tally);
        }
        place_remove(&place);
    }
    assert_true(n > 100);
}

static void every_stop_and_its_repetition_end_with_the_last_word(void **state)
{
    (void)state;
    stop_everywhere(true);
}

static void every_stop_keeps_what_was_confirmed(void **state)
{
    (void)state;
    stop_everywhere(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_waits_outlives_the_process_and_goes_in_in_order),
        cmocka_unit_test(nothing_of_what_waits_is_seen),
        cmocka_unit_test(a_journal_with_another_identity_does_not_go_on_with_it),
        cmocka_unit_test(damage_is_told_and_the_rest_goes_in),
        cmocka_unit_test(every_failing_call_ends_with_the_last_word),
        cmocka_unit_test(every_stop_and_its_repetition_end_with_the_last_word),
        cmocka_unit_test(every_stop_keeps_what_was_confirmed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
