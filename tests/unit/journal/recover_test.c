/* SPDX-License-Identifier: Apache-2.0
 *
 * Recovery tells apart what it finds: a torn tail, reserved zeros, damage in the middle, old bytes
 * (invariant 10).
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "journal/extent.h"
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

static bool torn_copy_exists(const struct kit_log *world, uint64_t *size)
{
    char path[320];
    snprintf(path, sizeof path, "%.*s.torn", (int)strlen(world->segment) - 4, world->segment);
    struct disk_stat info;
    if (disk_real.stat(&disk_real, path, &info) < 0)
        return false;
    *size = info.size;
    disk_real.unlink(&disk_real, path);
    return true;
}

static bool all_zero(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (data[i])
            return false;
    return true;
}

/* ---- the tail ---- */

static void a_tail_torn_at_any_byte_is_cut_and_kept_beside(void **state)
{
    (void)state;
    struct kit_log world;
    kit_log_make(&world, 1, 4);
    for (uint64_t cut = world.offsets[2]; cut < world.bytes.size; cut++) {
        kit_store(world.segment, bytes_of(world.bytes.data, (size_t)cut));
        size_t whole = cut < world.offsets[3] ? 2 : 3;
        struct journal_recovery recovery;
        struct kit_seen seen;
        reopen_and_read(&world, &recovery, &seen);
        assert_int_equal(seen.extents, whole);
        assert_int_equal(seen.lost, 0);
        assert_int_equal(recovery.next_seq, 1 + whole * KIT_SEQS);
        assert_int_equal(recovery.damaged_extents, 0);
        uint64_t torn = 0;
        bool anything = !all_zero(world.bytes.data + world.offsets[whole],
                                  (size_t)(cut - world.offsets[whole]));
        assert_int_equal(torn_copy_exists(&world, &torn), anything);
        assert_int_equal(recovery.torn_bytes, torn);
    }
    kit_log_end(&world);
}

static void any_sector_of_the_last_extent_gone_leaves_the_ones_before(void **state)
{
    (void)state;
    struct kit_log world;
    kit_log_make(&world, 1, 4);
    for (uint64_t at = world.offsets[3]; at < world.bytes.size; at += EXTENT_ALIGN) {
        struct buffer copy = {0};
        buffer_add_bytes(&copy, buffer_bytes(&world.bytes));
        memset(copy.data + at, 0, EXTENT_ALIGN);
        kit_store(world.segment, buffer_bytes(&copy));
        struct journal_recovery recovery;
        struct kit_seen seen;
        reopen_and_read(&world, &recovery, &seen);
        assert_int_equal(seen.extents, 3);
        assert_int_equal(recovery.next_seq, 1 + 3 * KIT_SEQS);
        buffer_fini(&copy);
    }
    kit_log_end(&world);
}

static void garbage_behind_the_end_is_cut(void **state)
{
    (void)state;
    struct kit_log world;
    kit_log_make(&world, 1, 3);
    for (size_t garbage = 1; garbage < 4096; garbage = garbage * 2 + 1) {
        struct buffer copy = {0};
        buffer_add_bytes(&copy, buffer_bytes(&world.bytes));
        for (size_t i = 0; i < garbage; i++)
            buffer_u8(&copy, (uint8_t)(i * 31 + 7));
        kit_store(world.segment, buffer_bytes(&copy));
        struct journal_recovery recovery;
        struct kit_seen seen;
        reopen_and_read(&world, &recovery, &seen);
        assert_int_equal(seen.extents, 3);
        assert_int_equal(recovery.torn_bytes, garbage);
        buffer_fini(&copy);
    }
    kit_assert_whole(world.dir.path, 1 + 3 * KIT_SEQS);
    kit_log_end(&world);
}

static void reserved_zeros_are_no_damage(void **state)
{
    (void)state;
    struct kit_log world;
    kit_log_make(&world, 1, 3);
    memset(buffer_reserve(&world.bytes, 1 << 20), 0, 1 << 20);
    world.bytes.size += 1 << 20;
    kit_store(world.segment, buffer_bytes(&world.bytes));
    struct journal_recovery recovery;
    struct kit_seen seen;
    uint64_t torn;
    reopen_and_read(&world, &recovery, &seen);
    assert_int_equal(recovery.torn_bytes, 0);
    assert_int_equal(recovery.damaged_extents, 0);
    assert_false(torn_copy_exists(&world, &torn));
    assert_int_equal(seen.extents, 3);
    kit_log_end(&world);
}

/* Bytes of an older life: whole extents, right checksums, of another segment of this journal. */
static void whole_extents_of_another_segment_are_refused(void **state)
{
    (void)state;
    struct kit_log world;
    kit_log_make(&world, 2, 3);
    char other[320];
    assert_true(kit_segment_path(world.dir.path, 0, other, sizeof other));
    struct buffer old = {0};
    kit_load(other, &old);
    buffer_add(&world.bytes, old.data + SEGMENT_HEADER_BYTES, old.size - SEGMENT_HEADER_BYTES);
    kit_store(world.segment, buffer_bytes(&world.bytes));
    struct journal_recovery recovery;
    struct kit_seen seen;
    reopen_and_read(&world, &recovery, &seen);
    assert_int_equal(seen.extents, 6);
    assert_int_equal(recovery.next_seq, 1 + 6 * KIT_SEQS);
    assert_true(recovery.torn_bytes > 0);
    buffer_fini(&old);
    kit_log_end(&world);
}

/* The same segment, the same offset, the same journal: only the salt tells that it is older. */
static void whole_extents_of_an_older_cycle_are_refused(void **state)
{
    (void)state;
    struct kit_log world;
    kit_log_make(&world, 1, 4);
    struct buffer old = {0};
    buffer_add_bytes(&old, buffer_bytes(&world.bytes));
    /* Write the segment anew with another salt: header and three extents; the fourth stays. */
    struct segment_header header;
    bool damaged;
    struct err err;
    assert_int_equal(segment_header_decode(world.bytes.data, &header, &damaged, &err), 0);
    header.salt ^= 0x5555;
    segment_header_encode(&header, world.bytes.data);
    for (size_t i = 0; i < 3; i++) {
        uint8_t *raw = world.bytes.data + world.offsets[i];
        store_u64_le(raw + 16, header.salt);
        store_u32_le(raw + 92, crc32c(0, bytes_of(raw, 92)));
    }
    kit_store(world.segment, buffer_bytes(&world.bytes));
    struct journal_recovery recovery;
    struct kit_seen seen;
    reopen_and_read(&world, &recovery, &seen);
    assert_int_equal(seen.extents, 3);
    assert_int_equal(recovery.next_seq, 1 + 3 * KIT_SEQS);
    buffer_fini(&old);
    kit_log_end(&world);
}

/* ---- the middle ---- */

/* One bit, at every byte of a small file: never silent, never a wrong content, and no more lost
 * than the extent it is in. */
static void a_flipped_bit_at_any_byte_is_detected_and_neighbours_delivered(void **state)
{
    (void)state;
    struct kit_log world;
    kit_log_make(&world, 1, 4);
    char second[320];
    struct journal_recovery recovery;
    struct journal *journal = kit_open(world.dir.path, &recovery);
    kit_append_many(journal, 1); /* a successor: the first segment is sealed now */
    journal_close(journal);
    assert_true(kit_segment_path(world.dir.path, 1, second, sizeof second));
    for (size_t at = 0; at < world.bytes.size; at++) {
        uint8_t bit = (uint8_t)(1 << (at * 5 % 8));
        world.bytes.data[at] ^= bit;
        kit_store(world.segment, buffer_bytes(&world.bytes));
        struct kit_seen seen;
        journal = kit_open(world.dir.path, &recovery);
        kit_read(journal, 1, &seen);
        journal_close(journal);
        assert_int_equal(seen.wrong, 0);
        assert_int_equal(seen.next_seq, 1 + 5 * KIT_SEQS);
        bool in_header = at < SEGMENT_HEADER_BYTES;
        assert_int_equal(seen.extents, in_header ? 5 : 4);
        assert_int_equal(seen.lost, in_header ? 0 : KIT_SEQS);
        if (in_header)
            assert_int_equal(recovery.damaged_extents, 1);
        world.bytes.data[at] ^= bit;
    }
    kit_log_end(&world);
}

static void count_lines(void *arg, const char *text)
{
    (void)text;
    ++*(int *)arg;
}

static void verify_finds_each_flipped_sector(void **state)
{
    (void)state;
    struct kit_log world;
    kit_log_make(&world, 2, 3);
    char first[320];
    struct journal_recovery recovery;
    struct err err;
    assert_true(kit_segment_path(world.dir.path, 0, first, sizeof first));
    struct buffer bytes = {0};
    kit_load(first, &bytes);
    struct journal_options options = kit_options(&disk_real, world.dir.path);
    options.read_only = true;
    for (size_t at = 0; at <= bytes.size; at += 256) {
        bool flipped = at < bytes.size;
        if (flipped)
            bytes.data[at] ^= 0x10;
        kit_store(first, buffer_bytes(&bytes));
        struct journal *journal;
        int lines = 0;
        assert_int_equal(journal_open(&journal, &options, &recovery, &err), 0);
        assert_int_equal(journal_verify(journal, count_lines, &lines, &err), flipped);
        assert_true(lines >= 2 + flipped);
        journal_close(journal);
        if (flipped)
            bytes.data[at] ^= 0x10;
    }
    buffer_fini(&bytes);
    kit_log_end(&world);
}

static void damage_while_running_is_told_to_the_reader_and_passed(void **state)
{
    (void)state;
    struct kit_log world;
    kit_log_make(&world, 1, 4);
    struct journal_recovery recovery;
    struct journal *journal = kit_open(world.dir.path, &recovery);
    memset(world.bytes.data + world.offsets[1], 0xa5, 600); /* header and body of the second */
    kit_store(world.segment, buffer_bytes(&world.bytes));
    struct kit_seen seen;
    kit_read(journal, 1, &seen);
    assert_int_equal(seen.extents, 3);
    assert_int_equal(seen.lost, KIT_SEQS);
    assert_int_equal(seen.wrong, 0);
    journal_close(journal);
    kit_log_end(&world);
}

static void the_last_extent_damaged_while_running_is_told_at_the_end(void **state)
{
    (void)state;
    struct kit_log world;
    kit_log_make(&world, 1, 4);
    struct journal_recovery recovery;
    struct journal *journal = kit_open(world.dir.path, &recovery);
    world.bytes.data[world.offsets[3] + 200] ^= 1;
    kit_store(world.segment, buffer_bytes(&world.bytes));
    struct kit_seen seen;
    kit_read(journal, 1, &seen);
    assert_int_equal(seen.extents, 3);
    assert_int_equal(seen.lost, KIT_SEQS);
    journal_close(journal);
    kit_log_end(&world);
}

/* A length from the disk is not believed: the header's own checksum, the limits and the file's size
 * stand before it. */
static void a_header_that_claims_a_huge_body_takes_no_memory_and_no_neighbour(void **state)
{
    (void)state;
    struct kit_log world;
    kit_log_make(&world, 2, 3);
    char first[320];
    assert_true(kit_segment_path(world.dir.path, 0, first, sizeof first));
    struct buffer bytes = {0};
    kit_load(first, &bytes);
    uint8_t *raw = bytes.data + SEGMENT_HEADER_BYTES;
    store_u32_le(raw + 72, 0x0ffffff0);
    store_u32_le(raw + 76, 0x0fffffff);
    store_u32_le(raw + 92, crc32c(0, bytes_of(raw, 92)));
    kit_store(first, buffer_bytes(&bytes));
    struct journal_recovery recovery;
    struct kit_seen seen;
    reopen_and_read(&world, &recovery, &seen);
    assert_int_equal(seen.extents, 5);
    assert_int_equal(seen.lost, KIT_SEQS);
    buffer_fini(&bytes);
    kit_log_end(&world);
}

/* A payload may hold the bytes of an extent; it is never taken for one. */
static void an_extent_inside_a_payload_is_never_found(void **state)
{
    (void)state;
    struct temp_dir dir;
    temp_dir_make(&dir);
    struct journal_options options = kit_options(&disk_real, dir.path);
    options.compression_level = 0;
    struct journal *journal;
    struct journal_recovery recovery;
    struct err err;
    assert_int_equal(journal_open(&journal, &options, &recovery, &err), 0);
    assert_int_equal(kit_append(journal, &err), 0);
    /* The body begins 96 bytes behind a sector; the forged header lies at the next sector and tells
     * its right place, all that an outsider can know. */
    uint8_t body[4096] = {0};
    struct extent_header forged = {
        .place = {journal_identity(journal), 0x1234, 1, 0},
        .first_seq = journal_next_seq(journal) + 3,
        .seq_count = 3,
        .kind = EXTENT_BATCH,
    };
    char path[320];
    assert_true(kit_segment_path(dir.path, 0, path, sizeof path));
    for (size_t at = EXTENT_ALIGN - EXTENT_HEADER_BYTES; at + EXTENT_HEADER_BYTES < sizeof body;
         at += EXTENT_ALIGN) {
        forged.place.offset = SEGMENT_HEADER_BYTES + at + EXTENT_HEADER_BYTES;
        extent_header_encode(&forged, body + at);
    }
    struct extent extent = {.first_seq = journal_next_seq(journal),
                            .seq_count = 3,
                            .generation = 7,
                            .kind = EXTENT_BATCH,
                            .body = bytes_of(body, sizeof body)};
    assert_int_equal(journal_append(journal, &extent, &err), 0);
    uint64_t good = kit_append_many(journal, 2);
    journal_close(journal);
    struct buffer bytes = {0};
    kit_load(path, &bytes);
    bytes.data[SEGMENT_HEADER_BYTES + 40] ^= 1; /* the first header: everything is searched */
    kit_store(path, buffer_bytes(&bytes));
    assert_int_equal(journal_open(&journal, &options, &recovery, &err), 0);
    assert_int_equal(journal_next_seq(journal), good);
    assert_int_equal(recovery.extents, 3);
    assert_int_equal(recovery.damaged_seqs, KIT_SEQS);
    journal_close(journal);
    buffer_fini(&bytes);
    temp_dir_remove(&dir);
}

static void sum_up(void *arg, const struct journal_segment_info *info)
{
    struct journal_segment_info *sum = arg;
    sum->extents += info->extents;
    sum->bytes_used += info->bytes_used;
    sum->received_min_ms += info->received_min_ms;
    sum->received_max_ms += info->received_max_ms;
    sum->next_seq = info->next_seq;
}

/* A long log is known from headers alone, and nothing is different from having walked it. */
static void old_segments_are_taken_from_their_successors_and_damage_in_them_is_read(void **state)
{
    (void)state;
    struct kit_log world;
    kit_log_make(&world, 25, 2);
    struct journal_recovery recovery;
    struct journal *journal = kit_open(world.dir.path, &recovery);
    assert_int_equal(recovery.segments, 25);
    assert_int_equal(recovery.extents, 50);
    struct journal_segment_info sum = {.extents = 0};
    journal_segments(journal, sum_up, &sum);
    assert_int_equal(sum.extents, 50);
    assert_int_equal(sum.next_seq, 1 + 50 * KIT_SEQS);
    int64_t min_ms = 0;
    for (int64_t i = 0; i < 25; i++)
        min_ms += 1000 + 1 + i * 2 * KIT_SEQS;
    assert_int_equal(sum.received_min_ms, min_ms);
    assert_int_equal(sum.received_max_ms, min_ms + 25 * (2 + KIT_SEQS));
    journal_close(journal);
    char old[320];
    assert_true(kit_segment_path(world.dir.path, 3, old, sizeof old));
    struct buffer bytes = {0};
    kit_load(old, &bytes);
    bytes.data[SEGMENT_HEADER_BYTES + 41] ^= 1;
    kit_store(old, buffer_bytes(&bytes));
    struct kit_seen seen;
    reopen_and_read(&world, &recovery, &seen);
    assert_int_equal(seen.extents, 49);
    assert_int_equal(seen.lost, KIT_SEQS);
    /* One that was cut is walked, and told at once. */
    kit_store(old, bytes_of(bytes.data, SEGMENT_HEADER_BYTES + 100));
    reopen_and_read(&world, &recovery, &seen);
    assert_int_equal(seen.extents, 48);
    assert_int_equal(seen.lost, 2 * KIT_SEQS);
    assert_int_equal(recovery.damaged_extents, 1);
    assert_int_equal(recovery.damaged_seqs, 2 * KIT_SEQS);
    buffer_fini(&bytes);
    kit_log_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tail_torn_at_any_byte_is_cut_and_kept_beside),
        cmocka_unit_test(any_sector_of_the_last_extent_gone_leaves_the_ones_before),
        cmocka_unit_test(garbage_behind_the_end_is_cut),
        cmocka_unit_test(reserved_zeros_are_no_damage),
        cmocka_unit_test(whole_extents_of_another_segment_are_refused),
        cmocka_unit_test(whole_extents_of_an_older_cycle_are_refused),
        cmocka_unit_test(a_flipped_bit_at_any_byte_is_detected_and_neighbours_delivered),
        cmocka_unit_test(verify_finds_each_flipped_sector),
        cmocka_unit_test(damage_while_running_is_told_to_the_reader_and_passed),
        cmocka_unit_test(the_last_extent_damaged_while_running_is_told_at_the_end),
        cmocka_unit_test(a_header_that_claims_a_huge_body_takes_no_memory_and_no_neighbour),
        cmocka_unit_test(an_extent_inside_a_payload_is_never_found),
        cmocka_unit_test(old_segments_are_taken_from_their_successors_and_damage_in_them_is_read),
    };
    cmocka_set_test_filter(getenv("TEST")); /* tests/fault/mutants asks for one */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
