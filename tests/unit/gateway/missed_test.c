/* SPDX-License-Identifier: Apache-2.0
 *
 * What a parked lane left out: the list on disk, whatever fails.
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
#include "lib/journal_kit.h"
#include "lib/temp_dir.h"
#include "missed.h"

static struct temp_dir folder;
static char *path;

static int setup(void **state)
{
    (void)state;
    temp_dir_make(&folder);
    path = mem_printf("%s/kafka.missed", folder.path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(path);
    temp_dir_remove(&folder);
    return 0;
}

static struct missed *opened(const struct disk *disk)
{
    struct missed *missed;
    struct err err;
    if (missed_open(&missed, disk, path, &err))
        fail_msg("%s", err.text);
    return missed;
}

static struct missed_range range_of(enum missed_kind kind, uint64_t first, uint64_t last)
{
    return (struct missed_range){.kind = kind,
                                 .first_seq = first,
                                 .last_seq = last,
                                 .received_from_ms = 1000,
                                 .received_to_ms = 1790000000123,
                                 .since_ms = 1790000000000,
                                 .until_ms = 1790000000000 + (int64_t)last};
}

static void add(struct missed *missed, enum missed_kind kind, uint64_t first, uint64_t last)
{
    struct missed_range range = range_of(kind, first, last);
    struct err err;
    assert_int_equal(missed_add(missed, &range, &err), 0);
}

/* "M1-10 U20-30": what is on disk. */
static void assert_file(const char *want)
{
    struct missed_range *ranges;
    struct buffer text = {0};
    struct err err;
    size_t count;
    if (missed_load(&disk_real, path, &ranges, &count, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < count; i++)
        buffer_printf(&text, "%s%c%d-%d", i ? " " : "", ranges[i].kind == MISSED_PARKED ? 'M' : 'U',
                      (int)ranges[i].first_seq, (int)ranges[i].last_seq);
    buffer_u8(&text, '\0');
    assert_string_equal((char *)text.data, want);
    buffer_fini(&text);
    free(ranges);
}

static void ranges_that_touch_are_one_line(void **state)
{
    (void)state;
    struct missed *missed = opened(&disk_real);
    assert_int_equal(access(path, F_OK), -1);
    add(missed, MISSED_PARKED, 1, 10);
    add(missed, MISSED_PARKED, 11, 30);
    assert_file("M1-30");
    add(missed, MISSED_PARKED, 41, 50);
    add(missed, MISSED_UNSETTLED, 51, 60);
    add(missed, MISSED_PARKED, 61, 70);
    assert_file("M1-30 M41-50 U51-60 M61-70");
    uint64_t first, last, count;
    missed_extent(missed, &first, &last, &count);
    assert_int_equal(first, 1);
    assert_int_equal(last, 70);
    assert_int_equal(count, 50);
    missed_close(missed);
}

static void times_and_kinds_come_back(void **state)
{
    (void)state;
    struct missed *missed = opened(&disk_real);
    add(missed, MISSED_UNSETTLED, 7, 9);
    missed_close(missed);
    struct missed_range *ranges;
    struct missed_range want = range_of(MISSED_UNSETTLED, 7, 9);
    struct err err;
    size_t count;
    assert_int_equal(missed_load(&disk_real, path, &ranges, &count, &err), 0);
    assert_int_equal(count, 1);
    assert_int_equal(ranges[0].kind, want.kind);
    assert_int_equal(ranges[0].received_from_ms, want.received_from_ms);
    assert_int_equal(ranges[0].received_to_ms, want.received_to_ms);
    assert_int_equal(ranges[0].since_ms, want.since_ms);
    assert_int_equal(ranges[0].until_ms, want.until_ms);
    free(ranges);
}

static void what_arrives_is_cut_out(void **state)
{
    (void)state;
    struct err err;
    struct missed *missed = opened(&disk_real);
    add(missed, MISSED_PARKED, 1, 30);
    add(missed, MISSED_PARKED, 41, 60);
    assert_int_equal(missed_remove(missed, 11, 20, &err), 0);
    assert_file("M1-10 M21-30 M41-60");
    assert_int_equal(missed_remove(missed, 25, 45, &err), 0);
    assert_file("M1-10 M21-24 M46-60");
    assert_int_equal(missed_remove(missed, 100, UINT64_MAX, &err), 0);
    assert_int_equal(missed_remove(missed, 1, UINT64_MAX, &err), 0);
    assert_file("");
    missed_close(missed);
}

static void a_position_within_a_range_is_covered_and_arrives(void **state)
{
    (void)state;
    struct err err;
    struct missed *missed = opened(&disk_real);
    add(missed, MISSED_PARKED, 11, 30);
    add(missed, MISSED_UNSETTLED, 31, 40);
    add(missed, MISSED_PARKED, 41, 60);
    assert_true(missed_covers(missed, 15, 30));
    assert_false(missed_covers(missed, 10, 30));
    assert_false(missed_covers(missed, 15, 41)); /* what was confirmed was sent */
    assert_int_equal(missed_arrived(missed, 11, &err), 0);
    assert_file("M11-30 U31-40 M41-60");
    assert_int_equal(missed_arrived(missed, 21, &err), 0);
    assert_file("M21-30 U31-40 M41-60");
    assert_int_equal(missed_arrived(missed, 61, &err), 0);
    assert_file("M21-30 U31-40");
    missed_close(missed);
}

static void every_failing_call_leaves_the_old_list_or_the_new(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct fault_disk fault;
        fault_disk_init(&fault);
        unlink(path);
        struct missed *missed = opened(&fault.disk);
        add(missed, MISSED_PARKED, 1, 10);
        fault_disk_fail(&fault, FAULT_ANY, n, ENOSPC, false);
        struct missed_range more = range_of(MISSED_PARKED, 11, 20);
        struct err err;
        int rc = missed_add(missed, &more, &err);
        bool failed = fault.failed;
        fault_disk_fail(&fault, FAULT_ANY, 0, 0, false);
        uint64_t first, last, count;
        missed_extent(missed, &first, &last, &count);
        assert_int_equal(last, rc ? 10 : 20);
        if (rc == 0)
            assert_file("M1-20");
        /* What failed is tried again, and is there then. */
        assert_int_equal(missed_add(missed, &more, &err), 0);
        assert_file("M1-20");
        missed_close(missed);
        fault_disk_fini(&fault);
        if (!failed)
            return;
    }
}

static void a_line_that_is_none_is_refused_with_its_place(void **state)
{
    (void)state;
    static const char good[] =
        "missed first_seq=1 last_seq=9 received_from=1970-01-01T00:00:00.000Z "
        "received_to=1970-01-01T00:00:00.000Z since=2026-11-22T00:00:00.000Z "
        "until=2026-11-22T00:00:00.000Z";
    static const char *const bad[] = {
        "hello",
        "missed first_seq=1 last_seq=9",
        "lost first_seq=1 last_seq=9 received_from=1970-01-01T00:00:00.000Z "
        "received_to=1970-01-01T00:00:00.000Z since=2026-11-22T00:00:00.000Z "
        "until=2026-11-22T00:00:00.000Z",
        "missed first_seq=10 last_seq=9 received_from=1970-01-01T00:00:00.000Z "
        "received_to=1970-01-01T00:00:00.000Z since=2026-11-22T00:00:00.000Z "
        "until=2026-11-22T00:00:00.000Z",
        "missed first_seq=1 last_seq=9 received_from=yesterday "
        "received_to=1970-01-01T00:00:00.000Z since=2026-11-22T00:00:00.000Z "
        "until=2026-11-22T00:00:00.000Z",
    };
    for (size_t i = 0; i < array_count(bad); i++) {
        struct buffer text = {0};
        struct missed *missed;
        struct err err;
        buffer_printf(&text, "%s\n%s\n", good, bad[i]);
        kit_store(path, buffer_bytes(&text));
        assert_int_equal(missed_open(&missed, &disk_real, path, &err), GW_ECORRUPT);
        assert_non_null(strstr(err.text, "kafka.missed:2: "));
        buffer_fini(&text);
    }
    kit_store(path, bytes_text(good));
    assert_file("M1-9");
}

static void the_name_follows_the_cursor(void **state)
{
    (void)state;
    char *name = missed_path("/data/cursors/kafka.cursor");
    assert_string_equal(name, "/data/cursors/kafka.missed");
    free(name);
    name = missed_path("odd");
    assert_string_equal(name, "odd.missed");
    free(name);
}

#define missed_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        missed_test(ranges_that_touch_are_one_line),
        missed_test(times_and_kinds_come_back),
        missed_test(what_arrives_is_cut_out),
        missed_test(a_position_within_a_range_is_covered_and_arrives),
        missed_test(every_failing_call_leaves_the_old_list_or_the_new),
        missed_test(a_line_that_is_none_is_refused_with_its_place),
        missed_test(the_name_follows_the_cursor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
