/* SPDX-License-Identifier: Apache-2.0
 *
 * The Parquet sink as a lane sees it: each reading is in the files exactly once, whatever call of the
 * disk fails and wherever the process stops.
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
#include "sinks/parquet/parquet.h"

enum { DAY_MS = 86400000 };
static const int64_t MIDNIGHT = 20413LL * DAY_MS; /* 2025-11-21 */

static void start(struct sink_lane *lane, const struct disk *disk, const char *dir, uint64_t cursor)
{
    struct err err = {0};
    sink_lane_init(lane, &sink_parquet, disk, dir);
    ((struct parquet_sink_options *)lane->options)->min_free_bytes = 0;
    int result = sink_lane_start(lane, cursor, &err);
    if (result < 0)
        print_error("%s\n", err.text);
    assert_int_equal(result, 0);
}

static char *folder_of(const char *data)
{
    return mem_printf("%s/parquet", data);
}

static void assert_exactly(const char *data, uint64_t last, unsigned times)
{
    char *path = folder_of(data);
    assert_tally(path, last, times);
    free(path);
}

static struct tally tally_data(const char *data)
{
    char *path = folder_of(data);
    struct tally tally = tally_of(path);
    free(path);
    return tally;
}

/* ---- units ---- */

static void a_unit_becomes_a_file_for_each_day(void **state)
{
    (void)state;
    struct temp_dir dir;
    struct sink_lane lane;
    temp_dir_make(&dir);
    struct unit *unit = test_unit(1, 1000, 1000, MIDNIGHT - DAY_MS / 2, DAY_MS / 1000);
    start(&lane, &disk_real, dir.path, 1);
    assert_int_equal(sink_lane_put(&lane, unit), SINK_STORED);
    sink_lane_fini(&lane);
    assert_exactly(dir.path, 1000, 1);
    struct tally tally = tally_data(dir.path);
    assert_int_equal(tally.files, 2);
    struct disk_stat stat;
    char *path = mem_printf("%s/parquet/dt=2025-11-21/0123456789abcdef-00000000000000000001-"
                            "00000000000000001000-g1.parquet",
                            dir.path);
    assert_int_equal(disk_real.stat(&disk_real, path, &stat), 0);
    free(path);
    tally_fini(&tally);
    test_unit_free(unit);
    temp_dir_remove(&dir);
}

static void a_unit_that_comes_again_is_stored_already(void **state)
{
    (void)state;
    struct temp_dir dir;
    struct sink_lane lane;
    temp_dir_make(&dir);
    struct unit *unit = test_unit(1, 100, 100, MIDNIGHT, 1000);
    for (int round = 0; round < 3; round++) {
        start(&lane, &disk_real, dir.path, 1);
        assert_int_equal(sink_lane_put(&lane, unit), SINK_STORED);
        assert_int_equal(sink_lane_put(&lane, unit), SINK_STORED);
        sink_lane_fini(&lane);
        assert_exactly(dir.path, 100, 1);
    }
    test_unit_free(unit);
    temp_dir_remove(&dir);
}

static void a_unit_without_readings_is_stored(void **state)
{
    (void)state;
    struct temp_dir dir;
    struct sink_lane lane;
    temp_dir_make(&dir);
    struct unit *unit = test_unit(1, 100, 0, MIDNIGHT, 1000);
    start(&lane, &disk_real, dir.path, 1);
    assert_int_equal(sink_lane_put(&lane, unit), SINK_STORED);
    sink_lane_fini(&lane);
    assert_exactly(dir.path, 0, 1);
    test_unit_free(unit);
    temp_dir_remove(&dir);
}

static void rows_with_endless_names_are_refused_and_the_rest_stored(void **state)
{
    (void)state;
    struct temp_dir dir;
    struct sink_lane lane;
    temp_dir_make(&dir);
    struct unit *unit = test_unit(1, 10, 10, MIDNIGHT, 1000);
    struct batch *batch = unit->batches[0];
    uint8_t *name = mem_alloc(5000);
    memset(name, 'x', 5000);
    struct bytes before = batch->strings[batch->device[3]];
    batch->strings[batch->device[3]] = bytes_of(name, 5000);
    start(&lane, &disk_real, dir.path, 1);
    assert_int_equal(sink_lane_put(&lane, unit), SINK_STORED);
    assert_int_equal(lane.answers[0].refusals, 1);
    assert_int_equal(lane.answers[0].first_refusal.seq, 4);
    assert_string_equal(lane.answers[0].first_refusal.reason, "too_long");
    sink_lane_fini(&lane);
    struct tally tally = tally_data(dir.path);
    assert_int_equal(tally.rows, 9);
    assert_int_equal(tally.seen[4], 0);
    batch->strings[batch->device[3]] = before;
    tally_fini(&tally);
    free(name);
    test_unit_free(unit);
    temp_dir_remove(&dir);
}

static void too_little_free_space_is_told_and_passes(void **state)
{
    (void)state;
    struct temp_dir dir;
    struct sink_lane lane;
    struct fault_disk fault;
    temp_dir_make(&dir);
    fault_disk_init(&fault);
    struct unit *unit = test_unit(1, 100, 100, MIDNIGHT, 1000);
    start(&lane, &fault.disk, dir.path, 1);
    ((struct parquet_sink_options *)lane.options)->min_free_bytes = 100 << 20;
    fault.space_limit = 50 << 20;
    assert_int_equal(sink_lane_put(&lane, unit), SINK_RETRY);
    assert_non_null(strstr(lane.answers[0].why, "min_free"));
    assert_exactly(dir.path, 0, 1);
    fault.space_limit = 500 << 20;
    assert_int_equal(sink_lane_put(&lane, unit), SINK_STORED);
    sink_lane_fini(&lane);
    assert_exactly(dir.path, 100, 1);
    fault_disk_fini(&fault);
    test_unit_free(unit);
    temp_dir_remove(&dir);
}

/* ---- start ---- */

static void put_ranges(const char *data, const uint64_t (*ranges)[2], size_t count)
{
    struct sink_lane lane;
    start(&lane, &disk_real, data, 1);
    for (size_t i = 0; i < count; i++) {
        struct unit *unit = test_unit(ranges[i][0], ranges[i][1], 10, MIDNIGHT, 1000);
        assert_int_equal(sink_lane_put(&lane, unit), SINK_STORED);
        test_unit_free(unit);
    }
    sink_lane_fini(&lane);
}

static int try_start(const char *data, uint64_t cursor, struct err *err)
{
    struct sink_lane lane;
    sink_lane_init(&lane, &sink_parquet, &disk_real, data);
    int result = sink_lane_start(&lane, cursor, err);
    sink_lane_fini(&lane);
    return result;
}

static void a_destination_ahead_of_the_journal_refuses_to_start(void **state)
{
    (void)state;
    struct temp_dir dir;
    struct err err = {0};
    static const uint64_t ranges[][2] = {{1, 100}, {101, 200}, {201, 300}};
    temp_dir_make(&dir);
    put_ranges(dir.path, ranges, 3);
    assert_int_equal(try_start(dir.path, 301, &err), 0);
    /* The last unit may have been under way. */
    assert_int_equal(try_start(dir.path, 201, &err), 0);
    assert_int_equal(try_start(dir.path, 101, &err), GW_EINVAL);
    assert_non_null(strstr(err.text, "tidegate journal new-identity"));
    assert_int_equal(try_start(dir.path, 250, &err), GW_EINVAL);
    assert_int_equal(try_start(dir.path, 1, &err), GW_EINVAL);
    temp_dir_remove(&dir);
}

static void a_unit_with_other_bounds_than_its_file_is_held(void **state)
{
    (void)state;
    struct temp_dir dir;
    struct sink_lane lane;
    static const uint64_t ranges[][2] = {{1, 100}};
    temp_dir_make(&dir);
    put_ranges(dir.path, ranges, 1);
    struct unit *unit = test_unit(1, 120, 10, MIDNIGHT, 1000);
    start(&lane, &disk_real, dir.path, 1);
    assert_int_equal(sink_lane_put(&lane, unit), SINK_RETRY);
    assert_non_null(strstr(lane.answers[0].why, "tidegate journal new-identity"));
    sink_lane_fini(&lane);
    test_unit_free(unit);
    temp_dir_remove(&dir);
}

static void a_second_sink_on_the_folder_is_refused(void **state)
{
    (void)state;
    struct temp_dir dir;
    struct sink_lane lane;
    struct err err = {0};
    temp_dir_make(&dir);
    start(&lane, &disk_real, dir.path, 1);
    assert_int_equal(try_start(dir.path, 1, &err), GW_ELOCKED);
    sink_lane_fini(&lane);
    assert_int_equal(try_start(dir.path, 1, &err), 0);
    temp_dir_remove(&dir);
}

/* ---- every failure ---- */

static void every_failing_call_leaves_each_reading_once(void **state)
{
    (void)state;
    struct unit *units[2] = {test_unit(1, 100, 100, MIDNIGHT - 50000, 1000),
                             test_unit(101, 200, 100, MIDNIGHT - 50000, 1000)};
    uint64_t n = 1;
    for (bool failed = true; failed; n++) {
        struct temp_dir dir;
        struct fault_disk fault;
        struct sink_lane lane;
        struct err err = {0};
        temp_dir_make(&dir);
        fault_disk_init(&fault);
        sink_lane_init(&lane, &sink_parquet, &fault.disk, dir.path);
        ((struct parquet_sink_options *)lane.options)->min_free_bytes = 0;
        fault_disk_fail(&fault, FAULT_ANY, n, n % 2 ? EIO : ENOSPC, false);
        while (sink_lane_start(&lane, 1, &err) < 0)
            assert_true(err.text[0] != '\0');
        for (size_t i = 0; i < 2; i++)
            while (sink_lane_put(&lane, units[i]) != SINK_STORED)
                assert_true(lane.answers[lane.answer_count - 1].why[0] != '\0');
        failed = fault.failed > 0;
        sink_lane_fini(&lane);
        assert_exactly(dir.path, 200, 1);
        fault_disk_fini(&fault);
        temp_dir_remove(&dir);
    }
    assert_true(n > 40);
    test_unit_free(units[0]);
    test_unit_free(units[1]);
}

/* From its n-th call on the disk does nothing any more, as if the process had ended there. */
static void every_stop_leaves_each_reading_once(void **state)
{
    (void)state;
    struct unit *unit = test_unit(1, 100, 100, MIDNIGHT - 50000, 1000);
    uint64_t n = 1;
    for (bool stopped = true; stopped; n++) {
        struct temp_dir dir;
        struct fault_disk fault;
        struct sink_lane lane;
        struct err err = {0};
        temp_dir_make(&dir);
        fault_disk_init(&fault);
        sink_lane_init(&lane, &sink_parquet, &fault.disk, dir.path);
        ((struct parquet_sink_options *)lane.options)->min_free_bytes = 0;
        fault.write_then_fail = true;
        fault_disk_fail(&fault, FAULT_ANY, n, EIO, true);
        if (sink_lane_start(&lane, 1, &err) == 0)
            sink_lane_put(&lane, unit);
        stopped = fault.failed > 0;
        sink_lane_fini(&lane);
        fault_disk_fini(&fault);
        start(&lane, &disk_real, dir.path, 1);
        assert_int_equal(sink_lane_put(&lane, unit), SINK_STORED);
        sink_lane_fini(&lane);
        assert_exactly(dir.path, 100, 1);
        temp_dir_remove(&dir);
    }
    assert_true(n > 20);
    test_unit_free(unit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_unit_becomes_a_file_for_each_day),
        cmocka_unit_test(a_unit_that_comes_again_is_stored_already),
        cmocka_unit_test(a_unit_without_readings_is_stored),
        cmocka_unit_test(rows_with_endless_names_are_refused_and_the_rest_stored),
        cmocka_unit_test(too_little_free_space_is_told_and_passes),
        cmocka_unit_test(a_destination_ahead_of_the_journal_refuses_to_start),
        cmocka_unit_test(a_unit_with_other_bounds_than_its_file_is_held),
        cmocka_unit_test(a_second_sink_on_the_folder_is_refused),
        cmocka_unit_test(every_failing_call_leaves_each_reading_once),
        cmocka_unit_test(every_stop_leaves_each_reading_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
