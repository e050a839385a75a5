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
#include "lib/sink_lane.h"
#include "lib/temp_dir.h"
#include "sinks/parquet/compact.h"
#include "sinks/parquet/parquet.h"
#include "sinks/parquet/reader.h"
#include "sinks/parquet/retain.h"

enum { DAY_MS = 86400000 };
static const int64_t MIDNIGHT = 20413LL * DAY_MS; /* 2025-11-22 */

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

/* ---- looking at the files as a reader would ---- */

struct tally {
    uint64_t rows, files;
    uint64_t sum;  /* of all sequence numbers, so that a row for another shows */
    uint8_t *seen; /* how often each sequence number below 10,000 */
};

static void tally_file(struct tally *tally, const char *path)
{
    struct parquet_reader *reader = NULL;
    struct err err = {0};
    if (parquet_reader_open(&reader, &disk_real, path, &err) < 0)
        fail_msg("%s", err.text);
    for (size_t g = 0; g < parquet_reader_groups(reader); g++) {
        struct rows rows;
        rows_init(&rows, parquet_reader_scaled(reader));
        if (parquet_reader_group(reader, g, &rows, &err) < 0)
            fail_msg("%s", err.text);
        for (uint32_t i = 0; i < rows.count; i++) {
            tally->sum += (uint64_t)rows.seq[i];
            tally->seen[rows.seq[i]]++;
        }
        tally->rows += rows.count;
        rows_fini(&rows);
    }
    tally->files++;
    parquet_reader_close(reader);
}

static bool ends_with(const char *name, const char *suffix)
{
    size_t size = strlen(name), end = strlen(suffix);
    return size >= end && strcmp(name + size - end, suffix) == 0;
}

/* Every *.parquet at any depth below the folder. */
static void tally_dir(struct tally *tally, const char *path)
{
    struct disk_names names = {0};
    if (disk_real.list(&disk_real, path, &names) < 0)
        return;
    for (size_t i = 0; i < names.count; i++) {
        char *entry = mem_printf("%s/%s", path, names.names[i]);
        struct disk_stat stat = {0};
        assert_int_equal(disk_real.stat(&disk_real, entry, &stat), 0);
        if (stat.directory)
            tally_dir(tally, entry);
        else if (ends_with(entry, ".parquet"))
            tally_file(tally, entry);
        free(entry);
    }
    disk_names_fini(&names);
}

static struct tally tally_of(const char *data)
{
    struct tally tally = {.seen = mem_zalloc(10000)};
    char *path = mem_printf("%s/parquet", data);
    tally_dir(&tally, path);
    free(path);
    return tally;
}

/* Sequence numbers 1..last, each exactly `times` times, and nothing else. */
static void assert_exactly(const char *data, uint64_t last, unsigned times)
{
    struct tally tally = tally_of(data);
    for (uint64_t seq = 1; seq <= last; seq++)
        assert_int_equal(tally.seen[seq], times);
    assert_int_equal(tally.rows, last * times);
    free(tally.seen);
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
    struct tally tally = tally_of(dir.path);
    assert_int_equal(tally.files, 2);
    struct disk_stat stat;
    char *path = mem_printf("%s/parquet/dt=2025-11-21/0123456789abcdef-00000000000000000001-"
                            "00000000000000001000-g1.parquet",
                            dir.path);
    assert_int_equal(disk_real.stat(&disk_real, path, &stat), 0);
    free(path);
    free(tally.seen);
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
    struct tally tally = tally_of(dir.path);
    assert_int_equal(tally.rows, 9);
    assert_int_equal(tally.seen[4], 0);
    batch->strings[batch->device[3]] = before;
    free(tally.seen);
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
