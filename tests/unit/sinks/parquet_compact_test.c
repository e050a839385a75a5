/* SPDX-License-Identifier: Apache-2.0
 *
 * Compaction and retention: whoever reads all files sees each reading once, at every step, and after
 * a stop at every step.
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
#include "sinks/parquet/retain.h"
#include "sinks/parquet/unit.h"

enum { DAY_MS = 86400000, UNIT_ROWS = 50 };
enum { DAY = 20413 }; /* 2025-11-21 */
static const struct identity identity = {0x0123456789abcdef};

static const struct parquet_options small = {
    .zstd_level = 1,
    .row_group_rows = 64, /* several groups in each merged file */
    .page_rows = 20,
};

/* ---- a folder with some files ---- */

struct place {
    struct temp_dir dir;
    char *path;
};

static void place_make(struct place *place)
{
    temp_dir_make(&place->dir);
    place->path = mem_printf("%s/parquet", place->dir.path);
}

static void place_remove(struct place *place)
{
    free(place->path);
    temp_dir_remove(&place->dir);
}

static void put_units(struct store *store, uint64_t from, uint64_t count,
                      const struct parquet_options *options)
{
    for (uint64_t i = from; i < from + count; i++) {
        struct unit_result result;
        struct err err;
        struct unit *unit = test_unit(i * UNIT_ROWS + 1, (i + 1) * UNIT_ROWS, UNIT_ROWS,
                                      (int64_t)DAY * DAY_MS, 1000);
        assert_int_equal(unit_store(store, unit, options, &result, &err), 0);
        unit_result_fini(&result);
        test_unit_free(unit);
    }
}

static void open_real(struct store *store, const struct place *place, uint64_t cursor)
{
    struct err err = {0};
    if (store_open(store, &disk_real, place->path, identity, cursor, &err) < 0)
        fail_msg("%s", err.text);
}

static void fill(struct place *place, uint64_t units)
{
    struct store store;
    place_make(place);
    open_real(&store, place, 1);
    put_units(&store, 0, units, &small);
    store_close(&store);
}

static struct compact_policy closed_policy(void)
{
    return (struct compact_policy){
        .safe_below = UINT64_MAX, .files_max = 100, .today = DAY + 10, .now_ms = 1 << 30};
}

/* All of one merge on `disk`, as the sink does it. 0, or the first error. */
static int compact_once(const struct disk *disk, const struct place *place, bool exchange)
{
    struct store store;
    struct err err;
    struct compact_plan plan = {0};
    struct compact_policy policy = closed_policy();
    char *old = NULL;
    int status = store_open(&store, disk, place->path, identity, 100000, &err);
    if (status < 0)
        return status;
    store.exchange &= exchange;
    if (compact_choose(&store, &policy, &plan)) {
        status = compact_merge(disk, &plan, &small, &err);
        if (status == 0)
            status = compact_exchange(&store, &plan, &old, &err);
        if (status < 0)
            compact_give_up(&store, &plan, status);
        if (old)
            store_remove_dir(&store, old);
    }
    free(old);
    compact_plan_fini(&plan);
    store_close(&store);
    return status;
}

/* ---- what a merge does ---- */

static void a_merge_keeps_every_row_and_column(void **state)
{
    (void)state;
    struct place place;
    fill(&place, 5);
    struct tally before = tally_of(place.path);
    assert_int_equal(compact_once(&disk_real, &place, true), 0);
    struct tally after = tally_of(place.path);
    assert_int_equal(before.files, 5);
    assert_int_equal(after.files, 1);
    assert_int_equal(after.rows, 5 * UNIT_ROWS);
    /* The digest covers every column of every row, in any order. */
    assert_int_equal(before.digest, after.digest);
    tally_fini(&before);
    tally_fini(&after);
    place_remove(&place);
}

static void merged_files_are_sorted(void **state)
{
    (void)state;
    struct place place;
    fill(&place, 5);
    assert_int_equal(compact_once(&disk_real, &place, true), 0);
    struct tally tally = tally_of(place.path);
    assert_int_equal(tally.files, 1);
    assert_int_equal(tally.unsorted, 0);
    tally_fini(&tally);
    place_remove(&place);
}

static void both_forms_of_value_are_never_merged_together(void **state)
{
    (void)state;
    struct place place;
    struct store store;
    struct parquet_options scaled = small;
    scaled.scaled = true;
    place_make(&place);
    open_real(&store, &place, 1);
    put_units(&store, 0, 3, &small);
    put_units(&store, 3, 3, &scaled);
    store_close(&store);
    assert_int_equal(compact_once(&disk_real, &place, true), GW_EINVAL);
    assert_tally(place.path, 6 * UNIT_ROWS, 1);
    place_remove(&place);
}

static void a_merge_stops_when_told(void **state)
{
    (void)state;
    struct place place;
    struct store store;
    struct err err = {0};
    struct compact_plan plan;
    struct compact_policy policy = closed_policy();
    _Atomic bool stop = true;
    struct parquet_options options = small;
    options.stop = &stop;
    fill(&place, 5);
    open_real(&store, &place, 1000);
    assert_true(compact_choose(&store, &policy, &plan));
    assert_int_equal(compact_merge(&disk_real, &plan, &options, &err), GW_ECLOSED);
    compact_give_up(&store, &plan, GW_ECLOSED);
    compact_plan_fini(&plan);
    store_close(&store);
    assert_tally(place.path, 5 * UNIT_ROWS, 1);
    assert_int_equal(compact_once(&disk_real, &place, true), 0);
    place_remove(&place);
}

/* ---- what is chosen ---- */

static void files_that_may_come_again_are_left_alone(void **state)
{
    (void)state;
    struct place place;
    struct store store;
    struct compact_plan plan;
    struct compact_policy policy = closed_policy();
    fill(&place, 4);
    open_real(&store, &place, 1000);
    policy.safe_below = 3 * UNIT_ROWS + 1;
    assert_true(compact_choose(&store, &policy, &plan));
    assert_int_equal(plan.count, 3);
    assert_int_equal(plan.range.first_seq, 1);
    assert_int_equal(plan.range.last_seq, 3 * UNIT_ROWS);
    compact_plan_fini(&plan);
    policy.safe_below = 1;
    assert_false(compact_choose(&store, &policy, &plan));
    store_close(&store);
    place_remove(&place);
}

static void today_waits_until_there_are_many(void **state)
{
    (void)state;
    struct place place;
    struct store store;
    struct compact_plan plan;
    struct compact_policy policy = closed_policy();
    fill(&place, 12);
    open_real(&store, &place, 1000);
    policy.today = DAY;
    assert_false(compact_choose(&store, &policy, &plan));
    policy.files_max = 20;
    assert_true(compact_choose(&store, &policy, &plan));
    compact_plan_fini(&plan);
    store_close(&store);
    place_remove(&place);
}

static void old_days_rest_after_a_change(void **state)
{
    (void)state;
    struct place place;
    struct store store;
    struct compact_plan plan;
    struct compact_policy policy = closed_policy();
    place_make(&place);
    open_real(&store, &place, 1);
    put_units(&store, 0, 3, &small);
    policy.now_ms = store_find_day(&store, DAY)->changed_ms + 5000;
    policy.settle_ms = 600000;
    assert_false(compact_choose(&store, &policy, &plan));
    policy.now_ms += 600000;
    assert_true(compact_choose(&store, &policy, &plan));
    compact_plan_fini(&plan);
    store_close(&store);
    place_remove(&place);
}

static void a_damaged_file_is_told_and_left_where_it_is(void **state)
{
    (void)state;
    struct place place;
    struct store store;
    struct compact_plan plan;
    struct compact_policy policy = closed_policy();
    struct err err = {0};
    fill(&place, 4);
    open_real(&store, &place, 1000);
    char *path = store_file_path(&store, DAY, &store.days[0].files[1].range);
    int fd = disk_real.open(&disk_real, path, 2 /* O_RDWR */);
    assert_int_equal(disk_real.pwrite(&disk_real, fd, "\xff\xff\xff\xff", 4, 200), 4);
    disk_real.close(&disk_real, fd);
    assert_true(compact_choose(&store, &policy, &plan));
    assert_int_equal(compact_merge(&disk_real, &plan, &small, &err), GW_ECORRUPT);
    assert_non_null(strstr(err.text, path));
    compact_give_up(&store, &plan, GW_ECORRUPT);
    compact_plan_fini(&plan);
    /* The neighbours behind it still merge. */
    assert_true(compact_choose(&store, &policy, &plan));
    assert_int_equal(plan.count, 2);
    assert_int_equal(plan.range.first_seq, 2 * UNIT_ROWS + 1);
    compact_plan_fini(&plan);
    struct disk_stat stat;
    assert_int_equal(disk_real.stat(&disk_real, path, &stat), 0);
    free(path);
    store_close(&store);
    place_remove(&place);
}

/* ---- every failure, every stop ---- */

static void stop_everywhere(bool exchange)
{
    uint64_t n = 1;
    for (bool stopped = true; stopped; n++) {
        struct place place;
        struct fault_disk fault;
        fill(&place, 4);
        fault_disk_init(&fault);
        fault.write_then_fail = true;
        fault_disk_fail(&fault, FAULT_ANY, n, EIO, true);
        compact_once(&fault.disk, &place, exchange);
        stopped = fault.failed > 0;
        fault_disk_fini(&fault);
        if (exchange) /* nothing has run since: this is what a reader sees at that moment */
            assert_tally(place.path, 4 * UNIT_ROWS, 1);
        struct store store;
        open_real(&store, &place, 100000);
        store_close(&store);
        assert_tally(place.path, 4 * UNIT_ROWS, 1);
        place_remove(&place);
    }
    assert_true(n > 60);
}

static void every_stop_of_a_merge_shows_each_reading_once(void **state)
{
    (void)state;
    stop_everywhere(true);
}

static void without_exchange_the_next_start_leaves_each_reading_once(void **state)
{
    (void)state;
    stop_everywhere(false);
}

static void fail_everywhere(bool exchange)
{
    uint64_t n = 1;
    for (bool failed = true; failed; n++) {
        struct place place;
        struct fault_disk fault;
        fill(&place, 4);
        fault_disk_init(&fault);
        fault_disk_fail(&fault, FAULT_ANY, n, n % 2 ? EIO : ENOSPC, false);
        compact_once(&fault.disk, &place, exchange);
        failed = fault.failed > 0;
        fault_disk_fail(&fault, FAULT_ANY, 0, 0, false);
        if (exchange)
            assert_tally(place.path, 4 * UNIT_ROWS, 1);
        /* The next attempt completes it. */
        assert_int_equal(compact_once(&fault.disk, &place, exchange), 0);
        assert_tally(place.path, 4 * UNIT_ROWS, 1);
        struct tally tally = tally_of(place.path);
        assert_int_equal(tally.files, 1);
        tally_fini(&tally);
        fault_disk_fini(&fault);
        place_remove(&place);
    }
}

static void every_failing_call_of_a_merge_shows_each_reading_once(void **state)
{
    (void)state;
    fail_everywhere(true);
}

static void every_failing_call_without_exchange_ends_with_each_reading_once(void **state)
{
    (void)state;
    fail_everywhere(false);
}

/* ---- retention ---- */

static void retention_removes_the_oldest_days(void **state)
{
    (void)state;
    struct place place;
    struct store store;
    struct err err = {0};
    struct unit_result result;
    int64_t day = 0;
    place_make(&place);
    open_real(&store, &place, 1);
    for (uint64_t i = 0; i < 3; i++) {
        struct unit *unit =
            test_unit(i * 50 + 1, i * 50 + 50, 50, (DAY + (int64_t)i) * DAY_MS, 1000);
        assert_int_equal(unit_store(&store, unit, &small, &result, &err), 0);
        test_unit_free(unit);
    }
    struct retain_policy policy = {.keep_ms = 2 * (int64_t)DAY_MS,
                                   .now_ms = (DAY + 3) * (int64_t)DAY_MS};
    assert_true(retain_due(&store, &policy, &day));
    assert_int_equal(day, DAY);
    assert_int_equal(retain_remove_day(&store, day, &err), 0);
    assert_false(retain_due(&store, &policy, &day));
    assert_int_equal(store.day_count, 2);
    policy = (struct retain_policy){.keep_bytes = 1};
    assert_true(retain_due(&store, &policy, &day));
    assert_int_equal(day, DAY + 1);
    assert_int_equal(retain_remove_day(&store, day, &err), 0);
    /* The newest day stays whatever its size. */
    assert_false(retain_due(&store, &policy, &day));
    struct tally tally = tally_of(place.path);
    assert_int_equal(tally.rows, 50);
    assert_int_equal(tally.seen[101], 1);
    tally_fini(&tally);
    store_close(&store);
    place_remove(&place);
}

static void names_of_others_survive_retention(void **state)
{
    (void)state;
    struct place place;
    struct store store;
    struct err err = {0};
    struct disk_stat stat;
    fill(&place, 2);
    char *theirs = mem_printf("%s/dt=2025-11-21/notes.txt", place.path);
    disk_real.close(&disk_real, disk_real.open(&disk_real, theirs, 0101 /* O_CREAT | O_WRONLY */));
    open_real(&store, &place, 1000);
    assert_true(store.days[0].foreign);
    assert_int_equal(retain_remove_day(&store, DAY, &err), 0);
    assert_int_equal(disk_real.stat(&disk_real, theirs, &stat), 0);
    assert_tally(place.path, 0, 1);
    free(theirs);
    store_close(&store);
    place_remove(&place);
}

/* ---- the sink as a whole ---- */

static void many_units_of_a_day_become_few_files(void **state)
{
    (void)state;
    struct place place;
    struct sink_lane lane;
    struct err err = {0};
    place_make(&place);
    sink_lane_init(&lane, &sink_parquet, &disk_real, place.dir.path);
    struct parquet_sink_options *options = lane.options;
    options->min_free_bytes = 0;
    options->files_max = 10;
    assert_int_equal(sink_lane_start(&lane, 1, &err), 0);
    for (uint64_t i = 0; i < 40; i++) {
        struct unit *unit = test_unit(i * 50 + 1, i * 50 + 50, 50, (int64_t)DAY * DAY_MS, 1000);
        assert_int_equal(sink_lane_put(&lane, unit), SINK_STORED);
        test_unit_free(unit);
        assert_tally(place.path, (i + 1) * 50, 1);
    }
    struct tally tally = {0};
    for (int i = 0; i < 500; i++) { /* merges go on beside; each turn is a millisecond or two */
        tally_fini(&tally);
        tally = tally_of(place.path);
        if (tally.files <= 10)
            break;
        uv_run(&lane.loop, UV_RUN_ONCE);
    }
    assert_true(tally.files <= 10);
    tally_fini(&tally);
    sink_lane_fini(&lane);
    assert_tally(place.path, 2000, 1);
    place_remove(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_merge_keeps_every_row_and_column),
        cmocka_unit_test(merged_files_are_sorted),
        cmocka_unit_test(both_forms_of_value_are_never_merged_together),
        cmocka_unit_test(a_merge_stops_when_told),
        cmocka_unit_test(files_that_may_come_again_are_left_alone),
        cmocka_unit_test(today_waits_until_there_are_many),
        cmocka_unit_test(old_days_rest_after_a_change),
        cmocka_unit_test(a_damaged_file_is_told_and_left_where_it_is),
        cmocka_unit_test(every_stop_of_a_merge_shows_each_reading_once),
        cmocka_unit_test(without_exchange_the_next_start_leaves_each_reading_once),
        cmocka_unit_test(every_failing_call_of_a_merge_shows_each_reading_once),
        cmocka_unit_test(every_failing_call_without_exchange_ends_with_each_reading_once),
        cmocka_unit_test(retention_removes_the_oldest_days),
        cmocka_unit_test(names_of_others_survive_retention),
        cmocka_unit_test(many_units_of_a_day_become_few_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
