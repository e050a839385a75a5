/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening a folder: files that are missing, copied, foreign or newer; the identity; looking without
 * touching. What lies inside the files is recover_test.c's matter.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "journal/segment.h"
#include "lib/journal_kit.h"
#include "lib/temp_dir.h"

static void reopen_and_read(struct kit_log *world, struct journal_recovery *recovery,
                            struct kit_seen *seen)
{
    struct journal *journal = kit_open(world->dir.path, recovery);
    kit_read(journal, 1, seen);
    assert_int_equal(seen->wrong, 0);
    journal_close(journal);
}

static void a_missing_segment_is_told_as_a_lost_range(void **state)
{
    (void)state;
    struct kit_log world;
    kit_log_make(&world, 3, 2);
    char middle[320];
    assert_true(kit_segment_path(world.dir.path, 1, middle, sizeof middle));
    assert_int_equal(unlink(middle), 0);
    struct journal_recovery recovery;
    struct kit_seen seen;
    reopen_and_read(&world, &recovery, &seen);
    assert_int_equal(recovery.damaged_extents, 1);
    assert_int_equal(seen.extents, 4);
    assert_int_equal(seen.lost, 2 * KIT_SEQS);
    kit_log_end(&world);
}

static void both_header_copies_gone_keep_the_extents_readable(void **state)
{
    (void)state;
    struct kit_log world;
    kit_log_make(&world, 2, 3);
    memset(world.bytes.data, 0xff, SEGMENT_HEADER_BYTES);
    kit_store(world.segment, buffer_bytes(&world.bytes));
    struct journal_recovery recovery;
    struct kit_seen seen;
    reopen_and_read(&world, &recovery, &seen);
    assert_int_equal(recovery.damaged_extents, 1);
    assert_int_equal(seen.extents, 6);
    assert_int_equal(seen.lost, 0);
    kit_log_end(&world);
}

static void the_identity_survives_the_loss_of_its_file(void **state)
{
    (void)state;
    struct kit_log world;
    kit_log_make(&world, 1, 2);
    struct journal_recovery recovery;
    struct journal *journal = kit_open(world.dir.path, &recovery);
    uint64_t identity = journal_identity(journal).bits;
    journal_close(journal);
    char path[320];
    snprintf(path, sizeof path, "%s/journal", world.dir.path);
    assert_int_equal(unlink(path), 0);
    journal = kit_open(world.dir.path, &recovery);
    assert_int_equal(journal_identity(journal).bits, identity);
    journal_close(journal);
    struct buffer bytes = {0};
    kit_load(path, &bytes); /* written again */
    bytes.data[10] ^= 1;
    kit_store(path, buffer_bytes(&bytes));
    journal = kit_open(world.dir.path, &recovery);
    assert_int_equal(journal_identity(journal).bits, identity);
    journal_close(journal);
    buffer_fini(&bytes);
    kit_log_end(&world);
}

static void expect_refusal(const struct journal_options *options, int code, const char *says)
{
    struct journal *journal;
    struct journal_recovery recovery;
    struct err err;
    assert_int_equal(journal_open(&journal, options, &recovery, &err), code);
    assert_null(journal);
    if (strstr(err.text, says) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.text, says);
}

static void another_journals_identity_and_kind_are_refused(void **state)
{
    (void)state;
    struct kit_log world;
    kit_log_make(&world, 1, 2);
    struct journal_options options = kit_options(&disk_real, world.dir.path);
    options.identity.bits = 42;
    expect_refusal(&options, GW_EINVAL, "000000000000002a");
    options.identity.bits = 0;
    options.kind = JOURNAL_DEAD;
    expect_refusal(&options, GW_EINVAL, "kind");
    kit_assert_whole(world.dir.path, 1 + 2 * KIT_SEQS);
    kit_log_end(&world);
}

static void a_copied_foreign_or_linked_segment_is_refused(void **state)
{
    (void)state;
    struct kit_log world, other;
    kit_log_make(&world, 1, 2);
    kit_log_make(&other, 1, 2);
    struct journal_options options = kit_options(&disk_real, world.dir.path);
    char path[320];
    snprintf(path, sizeof path, "%s/%020d.log", world.dir.path, 9);
    kit_store(path, buffer_bytes(&world.bytes));
    expect_refusal(&options, GW_ECORRUPT, "copy of segment 1");
    kit_store(path, buffer_bytes(&other.bytes));
    expect_refusal(&options, GW_EINVAL, "belongs to the journal");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink(other.segment, path), 0);
    expect_refusal(&options, GW_EIO, "not a regular file");
    assert_int_equal(unlink(path), 0);
    kit_assert_whole(world.dir.path, 1 + 2 * KIT_SEQS);
    kit_log_end(&other);
    kit_log_end(&world);
}

static void make_newer(uint8_t *half, size_t size)
{
    store_u16_le(half + 4, 2);
    store_u32_le(half + size - 4, crc32c(0, bytes_of(half, size - 4)));
}

static void a_newer_format_is_refused_and_nothing_is_written(void **state)
{
    (void)state;
    struct kit_log world;
    kit_log_make(&world, 1, 2);
    struct journal_options options = kit_options(&disk_real, world.dir.path);
    struct buffer newer = {0};
    buffer_add_bytes(&newer, buffer_bytes(&world.bytes));
    make_newer(newer.data, SEGMENT_HALF_BYTES);
    make_newer(newer.data + SEGMENT_HALF_BYTES, SEGMENT_HALF_BYTES);
    buffer_add_text(&newer, "what a newer version put behind");
    kit_store(world.segment, buffer_bytes(&newer));
    expect_refusal(&options, GW_EVERSION, "format 2, this program reads up to 1");
    struct buffer after = {0};
    kit_load(world.segment, &after);
    assert_true(bytes_equal(buffer_bytes(&after), buffer_bytes(&newer)));
    kit_store(world.segment, buffer_bytes(&world.bytes));
    char path[320];
    snprintf(path, sizeof path, "%s/journal", world.dir.path);
    kit_load(path, &after);
    make_newer(after.data, after.size);
    kit_store(path, buffer_bytes(&after));
    expect_refusal(&options, GW_EVERSION, "format 2, this program reads up to 1");
    buffer_fini(&after);
    buffer_fini(&newer);
    kit_log_end(&world);
}

static void a_damaged_identity_with_no_segment_is_refused(void **state)
{
    (void)state;
    struct temp_dir dir;
    temp_dir_make(&dir);
    char path[320];
    snprintf(path, sizeof path, "%s/journal", dir.path);
    kit_store(path, bytes_text("something else that lies here"));
    struct journal_options options = kit_options(&disk_real, dir.path);
    expect_refusal(&options, GW_ECORRUPT, "move it away");
    temp_dir_remove(&dir);
}

static void read_only_changes_nothing(void **state)
{
    (void)state;
    struct kit_log world;
    kit_log_make(&world, 1, 3);
    buffer_add_text(&world.bytes, "torn bytes");
    kit_store(world.segment, buffer_bytes(&world.bytes));
    struct journal_options options = kit_options(&disk_real, world.dir.path);
    options.read_only = true;
    struct journal *journal;
    struct journal_recovery recovery;
    struct err err;
    assert_int_equal(journal_open(&journal, &options, &recovery, &err), 0);
    assert_int_equal(recovery.torn_bytes, 10);
    struct kit_seen seen;
    kit_read(journal, 1, &seen);
    assert_int_equal(seen.extents, 3);
    journal_close(journal);
    struct buffer after = {0};
    kit_load(world.segment, &after);
    assert_true(bytes_equal(buffer_bytes(&after), buffer_bytes(&world.bytes)));
    options.dir = "/nonexistent/tidegate";
    expect_refusal(&options, GW_ENOENT, "/nonexistent/tidegate");
    buffer_fini(&after);
    kit_log_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_segment_is_told_as_a_lost_range),
        cmocka_unit_test(both_header_copies_gone_keep_the_extents_readable),
        cmocka_unit_test(the_identity_survives_the_loss_of_its_file),
        cmocka_unit_test(another_journals_identity_and_kind_are_refused),
        cmocka_unit_test(a_copied_foreign_or_linked_segment_is_refused),
        cmocka_unit_test(a_newer_format_is_refused_and_nothing_is_written),
        cmocka_unit_test(a_damaged_identity_with_no_segment_is_refused),
        cmocka_unit_test(read_only_changes_nothing),
    };
    cmocka_set_test_filter(getenv("TEST")); /* tests/fault/mutants asks for one */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
