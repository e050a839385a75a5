/* SPDX-License-Identifier: Apache-2.0
 *
 * Helpers of the journal's tests. One thread.
 */
#include "lib/journal_kit.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "journal/extent.h"
#include "journal/segment.h"

struct journal_options kit_options(const struct disk *disk, const char *dir)
{
    return (struct journal_options){
        .disk = disk,
        .dir = dir,
        .kind = JOURNAL_READINGS,
        .segment_bytes = 1 << 20,
        .compression_level = 1,
    };
}

void kit_body(uint64_t first_seq, struct buffer *out)
{
    uint64_t random = first_seq * 0x9e3779b97f4a7c15 + 1;
    size_t size = 300 + (size_t)(random >> 33) % 2500;
    buffer_clear(out);
    buffer_printf(out, "extent %llu ", (unsigned long long)first_seq);
    while (out->size < size) {
        random = random * 6364136223846793005 + 1442695040888963407;
        buffer_u16_le(out, (uint16_t)(random >> 40)); /* half of it compresses */
        buffer_u16_le(out, 0);
    }
}

int kit_append(struct journal *journal, struct err *err)
{
    struct buffer body = {0};
    uint64_t first_seq = journal_next_seq(journal);
    kit_body(first_seq, &body);
    const struct extent extent = {
        .first_seq = first_seq,
        .seq_count = KIT_SEQS,
        .generation = 7,
        .kind = EXTENT_BATCH,
        .received_min_ms = 1000 + (int64_t)first_seq,
        .received_max_ms = 1002 + (int64_t)first_seq,
        .body = buffer_bytes(&body),
    };
    int rc = journal_append(journal, &extent, err);
    buffer_fini(&body);
    return rc;
}

uint64_t kit_append_many(struct journal *journal, int count)
{
    struct err err;
    for (int i = 0; i < count; i++)
        if (kit_append(journal, &err) < 0)
            break;
    return journal_next_seq(journal);
}

/* ---- journals ---- */

void kit_world_open(struct kit_world *world)
{
    if (journal_open(&world->journal, &world->options, &world->recovery, &world->err) < 0)
        fail_msg("%s", world->err.text);
}

void kit_world_make(struct kit_world *world)
{
    temp_dir_make(&world->dir);
    fault_disk_init(&world->fault);
    world->options = kit_options(&world->fault.disk, world->dir.path);
    kit_world_open(world);
}

void kit_world_end(struct kit_world *world)
{
    journal_close(world->journal);
    fault_disk_fini(&world->fault);
    temp_dir_remove(&world->dir);
}

struct journal *kit_open(const char *dir, struct journal_recovery *recovery)
{
    const struct journal_options options = kit_options(&disk_real, dir);
    struct journal *journal;
    struct err err;
    if (journal_open(&journal, &options, recovery, &err) < 0)
        fail_msg("it does not open: %s", err.text);
    return journal;
}

static void find_offsets(struct kit_log *log)
{
    uint64_t at = SEGMENT_HEADER_BYTES;
    while (at < log->bytes.size) {
        assert_true(log->extents < KIT_LOG_EXTENTS_MAX);
        log->offsets[log->extents++] = at;
        struct reader in = reader_of(bytes_of(log->bytes.data + at + 72, 4));
        at += extent_disk_bytes(reader_u32_le(&in));
    }
    log->offsets[log->extents] = at;
    assert_int_equal(at, log->bytes.size);
}

void kit_log_make(struct kit_log *log, int segments, int extents)
{
    *log = (struct kit_log){.extents = 0};
    temp_dir_make(&log->dir);
    struct journal_recovery recovery;
    struct journal *journal = kit_open(log->dir.path, &recovery);
    for (int i = 0; i < segments; i++) {
        kit_append_many(journal, extents);
        journal_rotate(journal);
    }
    journal_close(journal);
    assert_true(
        kit_segment_path(log->dir.path, (size_t)segments - 1, log->segment, sizeof log->segment));
    kit_load(log->segment, &log->bytes);
    find_offsets(log);
    assert_int_equal(log->extents, extents);
}

void kit_log_end(struct kit_log *log)
{
    buffer_fini(&log->bytes);
    temp_dir_remove(&log->dir);
}

static void check_extent(const struct extent *extent, struct kit_seen *seen)
{
    struct buffer want = {0};
    kit_body(extent->first_seq, &want);
    bool right = extent->seq_count == KIT_SEQS && extent->kind == EXTENT_BATCH &&
                 extent->generation == 7 && bytes_equal(extent->body, buffer_bytes(&want));
    seen->wrong += !right;
    seen->extents++;
    seen->seqs += extent->seq_count;
    buffer_fini(&want);
}

void kit_read(struct journal *journal, uint64_t from_seq, struct kit_seen *seen)
{
    *seen = (struct kit_seen){.next_seq = from_seq};
    struct journal_reader *reader;
    struct err err;
    assert_int_equal(journal_reader_new(journal, from_seq, &reader, &err), 0);
    struct extent extent;
    int rc;
    while ((rc = journal_reader_next(reader, &extent, &err)) > 0) {
        if (extent.first_seq < seen->next_seq && extent.first_seq + extent.seq_count <= from_seq)
            fail_msg("an extent before the asked one was delivered");
        if (rc == JOURNAL_DAMAGED)
            seen->lost += extent.seq_count;
        else if (extent.kind != EXTENT_SNAPSHOT)
            check_extent(&extent, seen);
        seen->next_seq = extent.first_seq + extent.seq_count;
    }
    if (rc < 0)
        fail_msg("reading failed: %s", err.text);
    journal_reader_free(reader);
}

void kit_assert_whole(const char *dir, uint64_t next_seq)
{
    const struct journal_options options = kit_options(&disk_real, dir);
    struct journal *journal;
    struct journal_recovery recovery;
    struct err err;
    if (journal_open(&journal, &options, &recovery, &err) < 0)
        fail_msg("it does not open again: %s", err.text);
    struct kit_seen seen;
    kit_read(journal, 1, &seen);
    if (seen.wrong || seen.lost || seen.next_seq < next_seq)
        fail_msg("acknowledged up to %llu, read up to %llu, lost %llu, wrong %llu",
                 (unsigned long long)next_seq, (unsigned long long)seen.next_seq,
                 (unsigned long long)seen.lost, (unsigned long long)seen.wrong);
    assert_int_equal(recovery.damaged_extents, 0);
    assert_int_equal(journal_next_seq(journal), seen.next_seq);
    if (kit_append(journal, &err) < 0)
        fail_msg("it does not go on: %s", err.text);
    kit_read(journal, seen.next_seq, &seen);
    assert_int_equal(seen.extents, 1);
    assert_int_equal(seen.wrong, 0);
    journal_close(journal);
}

bool kit_segment_path(const char *dir, size_t index, char *out, size_t size)
{
    struct disk_names names;
    assert_int_equal(disk_real.list(&disk_real, dir, &names), 0);
    bool found = false;
    for (size_t i = 0; i < names.count && !found; i++) {
        size_t length = strlen(names.names[i]);
        if (length != 24 || strcmp(names.names[i] + 20, ".log") != 0 || index-- > 0)
            continue;
        snprintf(out, size, "%s/%s", dir, names.names[i]);
        found = true;
    }
    disk_names_fini(&names);
    return found;
}

void kit_load(const char *path, struct buffer *out)
{
    buffer_clear(out);
    assert_int_equal(disk_read_file(&disk_real, path, 64 << 20, out), 0);
}

void kit_store(const char *path, struct bytes in)
{
    int fd = disk_real.open(&disk_real, path, O_WRONLY | O_CREAT | O_TRUNC);
    assert_true(fd >= 0);
    assert_int_equal(disk_write_all(&disk_real, fd, in, 0), 0);
    disk_real.close(&disk_real, fd);
}
