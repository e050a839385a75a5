/* SPDX-License-Identifier: Apache-2.0
 *
 * The log of what was decoded again: what it said is durable is found again, and goes only when
 * nobody can need it.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "again_log.h"
#include "lib/fault_disk.h"
#include "lib/temp_dir.h"

struct world {
    struct temp_dir folder;
    char *dir;
    const struct disk *disk;
    struct again_log *log;
};

static int log_open(struct world *world, struct err *err)
{
    const struct again_options options = {
        .disk = world->disk, .dir = world->dir, .identity = {7}, .segment_bytes = 1 << 20};
    return again_log_new(&options, &world->log, err);
}

static void reopen(struct world *world)
{
    struct err err;
    again_log_free(world->log);
    if (log_open(world, &err))
        fail_msg("%s", err.text);
}

static int setup(void **state)
{
    struct world *world = mem_zalloc(sizeof *world);
    temp_dir_make(&world->folder);
    world->dir = mem_printf("%s/again", world->folder.path);
    world->disk = &disk_real;
    *state = world;
    struct err err;
    return log_open(world, &err);
}

static int teardown(void **state)
{
    struct world *world = *state;
    again_log_free(world->log);
    free(world->dir);
    temp_dir_remove(&world->folder);
    free(world);
    return 0;
}

/* A batch about first .. last, with one reading, of value `mark`. */
static int append(struct world *world, uint64_t first, uint64_t last, bool supersedes, int64_t mark,
                  struct err *err)
{
    struct batch_builder *builder = batch_builder_new();
    batch_builder_add(builder, &(struct batch_row){.vendor = bytes_text("v"),
                                                   .device = bytes_text("d"),
                                                   .metric = bytes_text("flow"),
                                                   .unscaled = mark,
                                                   .has_value = true,
                                                   .seq = first});
    struct batch *batch = batch_builder_finish(builder);
    batch_builder_free(builder);
    batch->first_seq = first;
    batch->last_seq = last;
    batch->generation = 3;
    batch->replay = true;
    if (supersedes) {
        batch->supersedes_first = first;
        batch->supersedes_last = last;
    }
    int rc = again_log_append(world->log, batch, err);
    batch_release(batch);
    return rc;
}

static void append_ok(struct world *world, uint64_t first, uint64_t last, bool supersedes,
                      int64_t mark)
{
    struct err err;
    if (append(world, first, last, supersedes, mark, &err))
        fail_msg("%s", err.text);
}

/* The marks of what is found for first .. last, as text; "!" for one that is lost. */
static const char *marks(struct world *world, uint64_t first, uint64_t last)
{
    static char text[256];
    struct again_reader reader;
    struct batch *batch;
    struct err err;
    int rc;
    text[0] = '\0';
    again_reader_init(&reader, world->log);
    assert_int_equal(again_reader_find(&reader, first, last, &err), 0);
    while ((rc = again_reader_next(&reader, &batch, &err)) != 0) {
        size_t size = strlen(text);
        if (rc == 1) {
            snprintf(text + size, sizeof text - size, "%d ", (int)batch->unscaled[0]);
            batch_release(batch);
        } else {
            assert_int_equal(rc, GW_ECORRUPT);
            snprintf(text + size, sizeof text - size, "! ");
        }
    }
    again_reader_fini(&reader);
    return text;
}

static void batches_are_found_by_the_messages_they_are_about(void **state)
{
    struct world *world = *state;
    assert_string_equal(marks(world, 1, UINT64_MAX), "");
    append_ok(world, 100, 199, false, 1);
    append_ok(world, 200, 299, false, 2);
    append_ok(world, 100, 149, false, 3);
    append_ok(world, 1, 50, false, 4);
    for (int i = 0; i < 2; i++) {
        assert_string_equal(marks(world, 1, UINT64_MAX), "1 2 3 4 ");
        assert_string_equal(marks(world, 149, 149), "1 3 ");
        assert_string_equal(marks(world, 150, 200), "1 2 ");
        assert_string_equal(marks(world, 51, 99), "");
        assert_string_equal(marks(world, 300, 400), "");
        reopen(world);
    }
}

static void nothing_is_on_disk_before_the_first_batch(void **state)
{
    struct world *world = *state;
    struct disk_stat stat;
    again_log_retain(world->log, 100);
    assert_int_equal(again_log_bytes(world->log), 0);
    assert_int_equal(disk_real.stat(&disk_real, world->dir, &stat), -ENOENT);
}

static void what_was_durable_outlives_every_failing_call(void **state)
{
    struct world *world = *state;
    struct fault_disk fault;
    struct err err;
    fault_disk_init(&fault);
    world->disk = &fault.disk;
    reopen(world);
    bool failed = true;
    int durable = 0;
    for (uint64_t n = 1; failed; n++) {
        assert_int_equal(again_log_index(world->log, &err), 0);
        fault_disk_fail(&fault, FAULT_ANY, n, n % 2 ? EIO : ENOSPC, false);
        int rc = append(world, 10, 20, false, durable + 1, &err);
        failed = fault.failed > 0;
        fault_disk_fail(&fault, FAULT_ANY, 0, 0, false);
        if (rc) {
            assert_true(rc == GW_EIO || rc == GW_EFULL);
            append_ok(world, 10, 20, false, durable + 1);
        }
        durable++;
        assert_true(n < 100);
        reopen(world); /* a segment each time, so that each append makes one */
    }
    char expected[256] = "";
    for (int i = 1; i <= durable; i++)
        snprintf(expected + strlen(expected), sizeof expected - strlen(expected), "%d ", i);
    assert_true(durable > 5);
    assert_string_equal(marks(world, 10, 20), expected);
    world->disk = &disk_real;
    reopen(world);
    assert_string_equal(marks(world, 10, 20), expected);
    fault_disk_fini(&fault);
}

static void an_index_that_could_not_be_read_is_read_later(void **state)
{
    struct world *world = *state;
    struct fault_disk fault;
    struct err err;
    append_ok(world, 1, 10, false, 1);
    reopen(world);
    append_ok(world, 1, 10, false, 2);
    fault_disk_init(&fault);
    world->disk = &fault.disk;
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        reopen(world);
        fault_disk_fail(&fault, FAULT_ANY, n, EIO, false);
        int rc = again_log_index(world->log, &err);
        failed = fault.failed > 0;
        fault_disk_fail(&fault, FAULT_ANY, 0, 0, false);
        assert_true(rc == 0 || rc == GW_EIO);
        assert_string_equal(marks(world, 1, 10), "1 2 ");
        assert_true(n < 100);
    }
    world->disk = &disk_real;
    reopen(world);
    fault_disk_fini(&fault);
}

static void one_damaged_batch_hides_no_other(void **state)
{
    struct world *world = *state;
    struct buffer file = {0};
    append_ok(world, 1, 10, false, 1);
    append_ok(world, 1, 10, false, 2);
    append_ok(world, 1, 10, false, 3);
    assert_string_equal(marks(world, 1, 10), "1 2 3 ");
    char *path = mem_printf("%s/%020d.log", world->dir, 1);
    assert_int_equal(disk_read_file(&disk_real, path, 8 << 20, &file), 0);
    size_t at = 4096 + 512;
    while (memcmp(file.data + at, "TGX1", 4) != 0)
        at += 512;
    file.data[at + 120] ^= 1;
    assert_int_equal(disk_replace_file(&disk_real, path, buffer_bytes(&file)), 0);
    assert_string_equal(marks(world, 1, 10), "1 ! 3 ");
    reopen(world); /* nobody knows any more what it was about: the log says so */
    assert_string_equal(marks(world, 1, 10), "1 3 ");
    buffer_fini(&file);
    free(path);
}

static void a_batch_goes_when_its_messages_are_gone(void **state)
{
    struct world *world = *state;
    append_ok(world, 1, 100, false, 1);
    reopen(world);
    append_ok(world, 101, 200, false, 2);
    reopen(world);
    append_ok(world, 50, 60, false, 3);
    again_log_retain(world->log, 100);
    assert_string_equal(marks(world, 1, UINT64_MAX), "1 2 3 ");
    again_log_retain(world->log, 101);
    assert_string_equal(marks(world, 1, UINT64_MAX), "2 3 ");
    reopen(world);
    assert_string_equal(marks(world, 1, UINT64_MAX), "2 3 ");
}

static void a_batch_goes_when_later_ones_supersede_all_of_it(void **state)
{
    struct world *world = *state;
    append_ok(world, 1, 100, true, 1);
    reopen(world);
    append_ok(world, 1, 60, true, 2);
    again_log_retain(world->log, 1);
    assert_string_equal(marks(world, 1, UINT64_MAX), "1 2 ");
    append_ok(world, 61, 100, false, 3); /* a filter was set: only its own keys */
    again_log_retain(world->log, 1);
    assert_string_equal(marks(world, 1, UINT64_MAX), "1 2 3 ");
    append_ok(world, 61, 120, true, 4);
    again_log_retain(world->log, 1);
    assert_string_equal(marks(world, 1, UINT64_MAX), "2 3 4 ");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(batches_are_found_by_the_messages_they_are_about),
        TEST(nothing_is_on_disk_before_the_first_batch),
        TEST(what_was_durable_outlives_every_failing_call),
        TEST(an_index_that_could_not_be_read_is_read_later),
        TEST(one_damaged_batch_hides_no_other),
        TEST(a_batch_goes_when_its_messages_are_gone),
        TEST(a_batch_goes_when_later_ones_supersede_all_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
