/* SPDX-License-Identifier: Apache-2.0
 *
 * Appending and reading, rotation, limits, waiting, the lock.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/fault_disk.h"
#include "lib/journal_kit.h"
#include "lib/temp_dir.h"

/* An extent of `size` bytes that do not compress. */
static int append_size(struct kit_world *world, size_t size)
{
    uint8_t *data = mem_alloc(size);
    uint64_t random = size + 1;
    for (size_t i = 0; i < size; i++) {
        random = random * 6364136223846793005 + 1442695040888963407;
        data[i] = (uint8_t)(random >> 56);
    }
    const struct extent extent = {
        .first_seq = journal_next_seq(world->journal),
        .seq_count = 1,
        .kind = EXTENT_BATCH,
        .received_min_ms = 1,
        .received_max_ms = 1000,
        .body = bytes_of(data, size),
    };
    int rc = journal_append(world->journal, &extent, &world->err);
    free(data);
    return rc;
}

static void count_row(void *arg, const struct journal_segment_info *info)
{
    (void)info;
    ++*(int *)arg;
}

static int segments(struct kit_world *world)
{
    int count = 0;
    journal_segments(world->journal, count_row, &count);
    return count;
}

static void what_was_appended_is_read_back_before_and_after_reopening(void **state)
{
    (void)state;
    for (int level = 0; level <= 1; level++) {
        struct kit_world world;
        kit_world_make(&world);
        journal_close(world.journal);
        world.options.compression_level = level;
        kit_world_open(&world);
        for (int i = 0; i < 60; i++) {
            assert_int_equal(kit_append(world.journal, &world.err), 0);
            if (i % 25 == 24)
                journal_rotate(world.journal);
        }
        struct kit_seen seen;
        for (int round = 0; round < 2; round++) {
            kit_read(world.journal, 1, &seen);
            assert_int_equal(seen.extents, 60);
            assert_int_equal(seen.wrong + seen.lost, 0);
            journal_close(world.journal);
            kit_world_open(&world);
            assert_int_equal(world.recovery.extents, 60);
            assert_int_equal(world.recovery.segments, 3);
            assert_int_equal(world.recovery.next_seq, 1 + 60 * KIT_SEQS);
            assert_int_equal(world.recovery.torn_bytes + world.recovery.damaged_extents, 0);
        }
        kit_world_end(&world);
    }
}

static void reading_begins_with_the_extent_that_holds_the_number(void **state)
{
    (void)state;
    struct kit_world world;
    kit_world_make(&world);
    for (int i = 0; i < 10; i++) {
        kit_append(world.journal, &world.err);
        if (i % 4 == 3)
            journal_rotate(world.journal);
    }
    for (uint64_t from = 1; from <= 10 * KIT_SEQS; from++) {
        struct kit_seen seen;
        kit_read(world.journal, from, &seen);
        assert_int_equal(seen.extents, 10 - (from - 1) / KIT_SEQS);
        assert_int_equal(seen.lost + seen.wrong, 0);
    }
    struct kit_seen seen;
    kit_read(world.journal, 10 * KIT_SEQS + 1, &seen);
    assert_int_equal(seen.extents, 0);
    assert_int_equal(seen.lost, 0);
    kit_world_end(&world);
}

static void a_gap_is_told_before_the_extent_behind_it(void **state)
{
    (void)state;
    struct kit_world world;
    kit_world_make(&world);
    kit_append(world.journal, &world.err);
    const struct extent behind = {
        .first_seq = 100, .seq_count = 2, .kind = EXTENT_BATCH, .body = bytes_text("x")};
    assert_int_equal(journal_append(world.journal, &behind, &world.err), 0);
    assert_int_equal(journal_append(world.journal, &behind, &world.err), GW_EINVAL);
    struct journal_reader *reader;
    struct extent extent;
    journal_reader_new(world.journal, 1, &reader, &world.err);
    assert_int_equal(journal_reader_next(reader, &extent, &world.err), JOURNAL_EXTENT);
    assert_int_equal(journal_reader_next(reader, &extent, &world.err), JOURNAL_DAMAGED);
    assert_int_equal(extent.first_seq, 1 + KIT_SEQS);
    assert_int_equal(extent.seq_count, 100 - 1 - KIT_SEQS);
    assert_int_equal(journal_reader_next(reader, &extent, &world.err), JOURNAL_EXTENT);
    assert_int_equal(extent.first_seq, 100);
    assert_int_equal(journal_reader_next(reader, &extent, &world.err), JOURNAL_END);
    journal_reader_free(reader);
    kit_world_end(&world);
}

static void a_reader_at_the_end_goes_on_with_what_is_appended_and_rotated(void **state)
{
    (void)state;
    struct kit_world world;
    kit_world_make(&world);
    struct journal_reader *reader;
    struct extent extent;
    journal_reader_new(world.journal, 1, &reader, &world.err);
    for (int i = 0; i < 12; i++) {
        assert_int_equal(journal_reader_next(reader, &extent, &world.err), JOURNAL_END);
        assert_int_equal(kit_append(world.journal, &world.err), 0);
        assert_int_equal(journal_reader_next(reader, &extent, &world.err), JOURNAL_EXTENT);
        assert_int_equal(extent.first_seq, 1 + i * KIT_SEQS);
        if (i % 3 == 2)
            journal_rotate(world.journal);
    }
    journal_reader_free(reader);
    kit_world_end(&world);
}

static void a_read_error_is_told_and_the_next_call_tries_again(void **state)
{
    (void)state;
    struct kit_world world;
    kit_world_make(&world);
    kit_append_many(world.journal, 3);
    struct journal_reader *reader;
    struct extent extent;
    for (uint64_t n = 1; n <= 8; n++) { /* open, stat, then header and body of each */
        journal_reader_new(world.journal, 1, &reader, &world.err);
        fault_disk_fail(&world.fault, FAULT_ANY, n, EIO, false);
        int got = 0;
        int failures = 0;
        for (;;) {
            int rc = journal_reader_next(reader, &extent, &world.err);
            assert_int_not_equal(rc, JOURNAL_DAMAGED);
            if (rc == JOURNAL_END)
                break;
            got += rc == JOURNAL_EXTENT;
            failures += rc == GW_EIO;
        }
        assert_int_equal(got, 3);
        assert_int_equal(failures, world.fault.failed);
        fault_disk_fail(&world.fault, FAULT_ANY, 0, 0, false);
        journal_reader_free(reader);
    }
    kit_world_end(&world);
}

static void full_segments_rotate_and_give_back_what_they_did_not_use(void **state)
{
    (void)state;
    struct kit_world world;
    kit_world_make(&world);
    for (int i = 0; i < 10; i++)
        assert_int_equal(append_size(&world, 300000), 0);
    assert_int_equal(segments(&world), 4);
    assert_in_range(journal_bytes(world.journal), 3000000, 3000000 + (1 << 20));
    kit_world_end(&world);
}

static void an_extent_larger_than_a_segment_gets_a_larger_segment(void **state)
{
    (void)state;
    struct kit_world world;
    kit_world_make(&world);
    assert_int_equal(append_size(&world, 100), 0);
    assert_int_equal(append_size(&world, 5 << 20), 0);
    assert_int_equal(append_size(&world, 100), 0);
    journal_close(world.journal);
    kit_world_open(&world);
    assert_int_equal(world.recovery.next_seq, 4);
    assert_int_equal(world.recovery.damaged_extents, 0);
    kit_world_end(&world);
}

/* ---- full ---- */

static void append_reports_full_at_max_bytes_and_goes_on_after_retention(void **state)
{
    (void)state;
    struct kit_world world;
    kit_world_make(&world);
    journal_close(world.journal);
    world.options.max_bytes = 3 << 20;
    kit_world_open(&world);
    int rc;
    while ((rc = append_size(&world, 300000)) == 0)
        assert_true(journal_bytes(world.journal) <= 3 << 20);
    assert_int_equal(rc, GW_EFULL);
    uint64_t next = journal_next_seq(world.journal);
    uint64_t opens = world.fault.counts[FAULT_OPEN];
    assert_int_equal(append_size(&world, 300000), GW_EFULL);
    assert_int_equal(world.fault.counts[FAULT_OPEN], opens); /* nothing was tried on disk */
    assert_int_equal(journal_retain(world.journal, next, 0, 0, 0, &world.err), 0);
    assert_int_equal(append_size(&world, 300000), 0);
    assert_int_equal(journal_next_seq(world.journal), next + 1);
    kit_world_end(&world);
}

static void append_reports_full_below_the_reserve(void **state)
{
    (void)state;
    struct kit_world world;
    kit_world_make(&world);
    journal_close(world.journal);
    world.options.reserve_bytes = 50 << 20;
    kit_world_open(&world);
    world.fault.space_limit = 51 << 20;
    assert_int_equal(append_size(&world, 100), 0);
    journal_rotate(world.journal);
    world.fault.space_limit -= 1;
    assert_int_equal(append_size(&world, 100), GW_EFULL);
    assert_non_null(strstr(world.err.text, "reserve"));
    world.fault.space_limit += 1;
    assert_int_equal(append_size(&world, 100), 0);
    kit_world_end(&world);
}

static void append_reports_full_disk_and_leaves_nothing_behind(void **state)
{
    (void)state;
    const enum fault_call calls[] = {FAULT_OPEN, FAULT_ALLOCATE, FAULT_PWRITE, FAULT_DATASYNC,
                                     FAULT_RENAME};
    for (size_t i = 0; i < array_count(calls); i++) {
        struct kit_world world;
        kit_world_make(&world);
        assert_int_equal(append_size(&world, 100), 0);
        journal_rotate(world.journal);
        fault_disk_fail(&world.fault, calls[i], 1, i % 2 ? ENOSPC : EDQUOT, true);
        assert_int_equal(append_size(&world, 100), GW_EFULL);
        assert_int_equal(append_size(&world, 100), GW_EFULL);
        fault_disk_fail(&world.fault, FAULT_ANY, 0, 0, false);
        struct disk_names names;
        assert_int_equal(disk_real.list(&disk_real, world.dir.path, &names), 0);
        assert_int_equal(names.count, 3); /* the segment, journal, lock */
        disk_names_fini(&names);
        assert_int_equal(append_size(&world, 100), 0);
        kit_world_end(&world);
    }
}

static void a_file_system_that_cannot_reserve_grows_the_file(void **state)
{
    (void)state;
    struct kit_world world;
    kit_world_make(&world);
    fault_disk_fail(&world.fault, FAULT_ALLOCATE, 1, EOPNOTSUPP, true);
    for (int i = 0; i < 10; i++)
        assert_int_equal(append_size(&world, 300000), 0);
    assert_int_equal(segments(&world), 4);
    /* Room is asked for before each append: a full disk is seen before a write fails. */
    world.fault.space_limit = 100;
    assert_int_equal(append_size(&world, 100), GW_EFULL);
    world.fault.space_limit = 0;
    assert_int_equal(append_size(&world, 100), 0);
    journal_close(world.journal);
    kit_world_open(&world);
    assert_int_equal(world.recovery.next_seq, 12);
    kit_world_end(&world);
}

static void limits_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    struct kit_world world;
    kit_world_make(&world);
    struct journal_options options = world.options;
    struct journal *journal;
    options.segment_bytes = 1000;
    assert_int_equal(journal_open(&journal, &options, &world.recovery, &world.err), GW_EINVAL);
    options.segment_bytes = 1 << 20;
    options.max_bytes = 1 << 20;
    assert_int_equal(journal_open(&journal, &options, &world.recovery, &world.err), GW_EINVAL);
    static uint8_t nothing[1];
    const struct extent huge = {
        .first_seq = 1, .seq_count = 1, .kind = EXTENT_BATCH, .body = bytes_of(nothing, 300 << 20)};
    assert_int_equal(journal_append(world.journal, &huge, &world.err), GW_ELIMIT);
    assert_int_equal(append_size(&world, 1), 0);
    kit_world_end(&world);
}

/* ---- others ---- */

static void a_second_opening_is_refused_and_names_the_pid(void **state)
{
    (void)state;
    struct kit_world world;
    kit_world_make(&world);
    char pid[32];
    snprintf(pid, sizeof pid, "pid %d", (int)getpid());
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct journal *journal;
        struct err err;
        struct journal_options options = kit_options(&disk_real, world.dir.path);
        int rc = journal_open(&journal, &options, &world.recovery, &err);
        _exit(rc == GW_ELOCKED && strstr(err.text, pid) ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(kit_append(world.journal, &world.err), 0);
    /* Looking is allowed. */
    struct journal_options options = kit_options(&disk_real, world.dir.path);
    struct journal *journal;
    options.read_only = true;
    assert_int_equal(journal_open(&journal, &options, &world.recovery, &world.err), 0);
    assert_int_equal(journal_next_seq(journal), 1 + KIT_SEQS);
    journal_close(journal);
    kit_world_end(&world);
}

static void count_call(void *arg)
{
    ++*(int *)arg;
}

static void watchers_hear_each_append_and_no_failure(void **state)
{
    (void)state;
    struct kit_world world;
    kit_world_make(&world);
    int calls[17] = {0};
    for (int i = 0; i < 16; i++)
        assert_int_equal(journal_watch(world.journal, count_call, &calls[i]), 0);
    assert_int_equal(journal_watch(world.journal, count_call, &calls[16]), GW_ELIMIT);
    kit_append_many(world.journal, 3);
    fault_disk_fail(&world.fault, FAULT_DATASYNC, 1, EIO, false);
    kit_append(world.journal, &world.err);
    assert_int_equal(calls[0], 3);
    assert_int_equal(calls[15], 3);
    assert_int_equal(calls[16], 0);
    kit_world_end(&world);
}

static void *wake_later(void *arg)
{
    struct kit_world *world = arg;
    journal_wait(world->journal, UINT64_MAX, 20);
    kit_append(world->journal, &world->err);
    journal_wait(world->journal, UINT64_MAX, 20);
    journal_wake(world->journal);
    return NULL;
}

static void waiting_ends_with_an_append_a_wake_or_the_time(void **state)
{
    (void)state;
    struct kit_world world;
    kit_world_make(&world);
    assert_false(journal_wait(world.journal, 1, 10));
    pthread_t thread;
    pthread_create(&thread, NULL, wake_later, &world);
    assert_true(journal_wait(world.journal, 1, 10000));
    journal_wait(world.journal, UINT64_MAX,
                 10000); /* ends by the wake: the test has a time limit */
    pthread_join(thread, NULL);
    kit_world_end(&world);
}

struct side {
    struct kit_world *world;
    _Atomic bool stop;
    uint64_t extents;
    bool wrong;
};

static void *read_beside(void *arg)
{
    struct side *side = arg;
    struct journal_reader *reader;
    struct extent extent;
    struct err err;
    uint64_t next = 0;
    journal_reader_new(side->world->journal, 1, &reader, &err);
    for (;;) {
        bool stop = atomic_load(&side->stop);
        int rc = journal_reader_next(reader, &extent, &err);
        if (rc == JOURNAL_END && stop)
            break;
        if (rc == JOURNAL_END) {
            journal_wait(side->world->journal, next, 5);
            continue;
        }
        side->wrong |= rc < 0 || extent.first_seq < next;
        side->wrong |= extent.first_seq + extent.seq_count > journal_next_seq(side->world->journal);
        next = extent.first_seq + extent.seq_count;
        side->extents += rc == JOURNAL_EXTENT;
    }
    journal_reader_free(reader);
    return NULL;
}

static void *retain_beside(void *arg)
{
    struct side *side = arg;
    struct err err;
    while (!atomic_load(&side->stop)) {
        uint64_t next = journal_next_seq(side->world->journal);
        journal_retain(side->world->journal, next > 200 ? next - 200 : 1, 0, 0, 0, &err);
        int count = 0;
        journal_segments(side->world->journal, count_row, &count);
        journal_wait(side->world->journal, UINT64_MAX, 1);
    }
    return NULL;
}

static void readers_and_retention_run_beside_the_appender(void **state)
{
    (void)state;
    struct kit_world world;
    kit_world_make(&world);
    struct side side = {.world = &world};
    struct side keeper = {.world = &world};
    pthread_t reader, retainer;
    pthread_create(&reader, NULL, read_beside, &side);
    pthread_create(&retainer, NULL, retain_beside, &keeper);
    for (int i = 0; i < 500; i++) {
        assert_int_equal(kit_append(world.journal, &world.err), 0);
        if (i % 20 == 19)
            journal_rotate(world.journal);
    }
    atomic_store(&side.stop, true);
    atomic_store(&keeper.stop, true);
    pthread_join(reader, NULL);
    pthread_join(retainer, NULL);
    assert_false(side.wrong);
    assert_true(side.extents > 0);
    kit_world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_appended_is_read_back_before_and_after_reopening),
        cmocka_unit_test(reading_begins_with_the_extent_that_holds_the_number),
        cmocka_unit_test(a_gap_is_told_before_the_extent_behind_it),
        cmocka_unit_test(a_reader_at_the_end_goes_on_with_what_is_appended_and_rotated),
        cmocka_unit_test(a_read_error_is_told_and_the_next_call_tries_again),
        cmocka_unit_test(full_segments_rotate_and_give_back_what_they_did_not_use),
        cmocka_unit_test(an_extent_larger_than_a_segment_gets_a_larger_segment),
        cmocka_unit_test(append_reports_full_at_max_bytes_and_goes_on_after_retention),
        cmocka_unit_test(append_reports_full_below_the_reserve),
        cmocka_unit_test(append_reports_full_disk_and_leaves_nothing_behind),
        cmocka_unit_test(a_file_system_that_cannot_reserve_grows_the_file),
        cmocka_unit_test(limits_that_make_no_sense_are_refused),
        cmocka_unit_test(a_second_opening_is_refused_and_names_the_pid),
        cmocka_unit_test(watchers_hear_each_append_and_no_failure),
        cmocka_unit_test(waiting_ends_with_an_append_a_wake_or_the_time),
        cmocka_unit_test(readers_and_retention_run_beside_the_appender),
    };
    cmocka_set_test_filter(getenv("TEST")); /* tests/fault/mutants asks for one */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
