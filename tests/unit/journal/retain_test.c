/* SPDX-License-Identifier: Apache-2.0
 *
 * Retention: by need, age and size; failing; under a reader.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/fault_disk.h"
#include "lib/journal_kit.h"
#include "lib/temp_dir.h"

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

static void retention_never_passes_what_is_needed_nor_the_newest(void **state)
{
    (void)state;
    struct kit_world world;
    kit_world_make(&world);
    for (int i = 0; i < 10; i++) {
        kit_append_many(world.journal, 2);
        journal_rotate(world.journal);
    }
    const uint64_t in_segment = 2 * KIT_SEQS;
    for (uint64_t keep = 1; keep <= 12 * in_segment; keep += 5) {
        assert_int_equal(journal_retain(world.journal, keep, 0, 0, 0, &world.err), 0);
        uint64_t first = journal_first_seq(world.journal);
        assert_true(first <= keep);
        assert_true(first + in_segment > keep || segments(&world) == 1);
        struct kit_seen seen;
        kit_read(world.journal, 1, &seen);
        assert_int_equal(seen.lost + seen.wrong, 0);
        assert_int_equal(seen.seqs, 10 * in_segment - (first - 1));
    }
    assert_int_equal(segments(&world), 1);
    journal_close(world.journal);
    kit_world_open(&world);
    assert_int_equal(world.recovery.next_seq, 1 + 10 * in_segment);
    kit_world_end(&world);
}

static void retention_keeps_history_by_age_and_size(void **state)
{
    (void)state;
    struct kit_world world;
    kit_world_make(&world);
    for (int i = 0; i < 10; i++) {
        kit_append_many(world.journal, 2); /* received 1000 + sequence number */
        journal_rotate(world.journal);
    }
    const uint64_t all = UINT64_MAX;
    assert_int_equal(journal_retain(world.journal, all, 5000, 0, 6000, &world.err), 0);
    assert_int_equal(segments(&world), 10);
    assert_int_equal(journal_retain(world.journal, all, 5000, 0, 6020, &world.err), 0);
    assert_int_equal(segments(&world), 7);
    uint64_t bytes = journal_bytes(world.journal);
    assert_int_equal(journal_retain(world.journal, all, 5000, bytes, 6020, &world.err), 0);
    assert_int_equal(segments(&world), 7);
    assert_int_equal(journal_retain(world.journal, all, 5000, bytes - 1, 6020, &world.err), 0);
    assert_int_equal(segments(&world), 6);
    kit_world_end(&world);
}

static void retention_that_fails_to_remove_keeps_the_segment_in_its_books(void **state)
{
    (void)state;
    struct kit_world world;
    kit_world_make(&world);
    for (int i = 0; i < 4; i++) {
        kit_append_many(world.journal, 1);
        journal_rotate(world.journal);
    }
    uint64_t bytes = journal_bytes(world.journal);
    fault_disk_fail(&world.fault, FAULT_UNLINK, 2, EIO, false); /* the first is the torn copy */
    assert_int_equal(journal_retain(world.journal, UINT64_MAX, 0, 0, 0, &world.err), GW_EIO);
    assert_int_equal(journal_bytes(world.journal), bytes);
    assert_int_equal(segments(&world), 4);
    fault_disk_fail(&world.fault, FAULT_SYNC_DIR, 1, EIO, false);
    assert_int_equal(journal_retain(world.journal, UINT64_MAX, 0, 0, 0, &world.err), GW_EIO);
    assert_int_equal(segments(&world), 1);
    kit_world_end(&world);
}

static void a_reader_in_a_removed_segment_goes_on_behind_it(void **state)
{
    (void)state;
    struct kit_world world;
    kit_world_make(&world);
    for (int i = 0; i < 4; i++) {
        kit_append_many(world.journal, 2);
        journal_rotate(world.journal);
    }
    struct journal_reader *reader;
    struct extent extent;
    journal_reader_new(world.journal, 1, &reader, &world.err);
    assert_int_equal(journal_reader_next(reader, &extent, &world.err), JOURNAL_EXTENT);
    assert_int_equal(journal_retain(world.journal, 3 * 2 * KIT_SEQS, 0, 0, 0, &world.err), 0);
    uint64_t first = journal_first_seq(world.journal);
    assert_int_equal(journal_reader_next(reader, &extent, &world.err), JOURNAL_DAMAGED);
    assert_int_equal(extent.first_seq, 1 + KIT_SEQS);
    assert_int_equal(extent.first_seq + extent.seq_count, first);
    assert_int_equal(journal_reader_next(reader, &extent, &world.err), JOURNAL_EXTENT);
    assert_int_equal(extent.first_seq, first);
    journal_reader_free(reader);
    kit_world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(retention_never_passes_what_is_needed_nor_the_newest),
        cmocka_unit_test(retention_keeps_history_by_age_and_size),
        cmocka_unit_test(retention_that_fails_to_remove_keeps_the_segment_in_its_books),
        cmocka_unit_test(a_reader_in_a_removed_segment_goes_on_behind_it),
    };
    cmocka_set_test_filter(getenv("TEST")); /* tests/fault/mutants asks for one */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
