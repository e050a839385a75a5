/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading: from extent to extent, from segment to segment, up to what is durable. A reader knows
 * which sequence number comes next; where an extent begins later, what lies between is lost, and
 * that is told before the extent. The reader's own thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "journal/scan.h"
#include "journal/state.h"

struct journal_reader {
    struct journal *journal;
    uint64_t number; /* the segment it is in */
    uint64_t offset; /* where it looks next */
    uint64_t salt;
    uint64_t from_seq; /* extents that end before are passed over */
    uint64_t expected; /* the next sequence number */
    uint64_t walked; /* behind the last header seen in this segment, whatever became of its body */
    int fd;          /* -1: the segment is not open */
    uint64_t file_size;
    struct extent_loader loader;
    struct extent_header held; /* found behind a gap, and told after it */
    bool holds;
};

static struct log_limit damage_limit = {.burst = 10};

static struct journal_reader *reader_new(struct journal *journal, uint64_t number,
                                         uint64_t from_seq)
{
    struct journal_reader *reader = mem_zalloc(sizeof *reader);
    reader->journal = journal;
    reader->number = number;
    reader->offset = SEGMENT_HEADER_BYTES;
    reader->from_seq = from_seq;
    reader->fd = -1;
    return reader;
}

int journal_reader_new(struct journal *journal, uint64_t from_seq, struct journal_reader **out,
                       struct err *err)
{
    (void)err;
    uint64_t number = 0;
    uint64_t oldest = journal_first_seq(journal);
    pthread_mutex_lock(&journal->lock);
    for (size_t i = 0; i < journal->count; i++) {
        number = journal->segments[i]->header.number;
        if (journal->segments[i]->next_seq > from_seq)
            break;
    }
    pthread_mutex_unlock(&journal->lock);
    *out = reader_new(journal, number, from_seq);
    /* What retention took before the reader came is no gap. */
    (*out)->expected = from_seq > oldest ? from_seq : oldest;
    return 0;
}

static void leave_segment(struct journal_reader *reader)
{
    const struct disk *disk = reader->journal->options.disk;
    if (reader->fd >= 0)
        disk->close(disk, reader->fd);
    reader->fd = -1;
}

void journal_reader_free(struct journal_reader *reader)
{
    if (reader == NULL)
        return;
    leave_segment(reader);
    extent_loader_fini(&reader->loader);
    free(reader);
}

/* 0, GW_ENOENT when retention took the file, GW_EIO. */
static int enter_segment(struct journal_reader *reader, const struct segment *segment,
                         struct err *err)
{
    const struct disk *disk = reader->journal->options.disk;
    char *path = segment_path(reader->journal->dir, segment->header.number, "log");
    struct disk_stat info;
    int fd = disk->open(disk, path, O_RDONLY);
    int rc = fd < 0 ? fd : disk->stat(disk, path, &info);
    if (rc < 0) {
        err_set(err, 0, "open %s: %s", path, strerror(-rc));
        if (fd >= 0)
            disk->close(disk, fd);
    } else {
        reader->fd = fd;
        reader->salt = segment->header.salt;
        reader->file_size = segment->sealed ? info.size : UINT64_MAX;
    }
    free(path);
    return rc == 0 || rc > 0 ? 0 : rc == -ENOENT ? GW_ENOENT : GW_EIO;
}

static void move_to(struct journal_reader *reader, uint64_t number)
{
    leave_segment(reader);
    reader->number = number;
    reader->offset = SEGMENT_HEADER_BYTES;
    reader->walked = 0;
}

static void tell_damage(const struct journal_reader *reader, uint64_t offset, uint64_t bytes)
{
    int suppressed;
    if (log_limit_pass(&damage_limit, &suppressed))
        log_event(LOG_ERROR, "journal_damaged",
                  "dir=%s segment=%" PRIu64 " offset=%" PRIu64 " bytes=%" PRIu64
                  " next_seq=%" PRIu64 " suppressed=%d",
                  reader->journal->dir, reader->number, offset, bytes, reader->expected,
                  suppressed);
}

/* The next extent of this segment with a valid header: 1, 0 at its end, GW_EIO. */
static int next_header(struct journal_reader *reader, const struct segment *segment,
                       struct extent_header *out, struct err *err)
{
    struct scan scan = {
        .disk = reader->journal->options.disk,
        .fd = reader->fd,
        .place = {reader->journal->identity, reader->salt, reader->number, reader->offset},
        .limit = segment->end < reader->file_size ? segment->end : reader->file_size,
        .expected_seq =
            reader->walked > segment->header.first_seq ? reader->walked : segment->header.first_seq,
        .void_seq = segment->void_seq,
    };
    int rc = scan_next(&scan, out);
    if (rc < 0)
        return err_set(err, rc, "at offset %" PRIu64, scan.place.offset);
    reader->salt = scan.place.salt;
    reader->walked = scan.expected_seq;
    if (scan.skipped)
        tell_damage(reader, scan.skipped_from, scan.skipped);
    reader->offset = rc == 1 ? scan.place.offset : segment->end;
    return rc;
}

/* 1: a header at or behind from_seq; 0: nothing more now; an error. *durable: everything below is
 * on disk, so what did not come by then is lost. */
static int find_header(struct journal_reader *reader, struct extent_header *out, uint64_t *durable,
                       struct err *err)
{
    struct journal *journal = reader->journal;
    for (;;) {
        struct segment segment;
        bool last;
        *durable = journal_next_seq(journal);
        if (!journal_find_segment(journal, reader->number, &segment, &last))
            return 0;
        if (segment.header.number != reader->number)
            move_to(reader, segment.header.number);
        int rc = reader->fd >= 0 ? 0 : enter_segment(reader, &segment, err);
        if (rc == GW_ENOENT) {
            move_to(reader, reader->number + 1);
            continue;
        }
        if (rc == 0)
            rc = next_header(reader, &segment, out, err);
        if (rc < 0)
            return rc;
        if (rc == 1 && out->first_seq + out->seq_count > reader->from_seq)
            return 1;
        if (rc == 1 && out->seq_count == 0 && out->first_seq >= reader->from_seq)
            return 1;
        if (rc == 0 && last)
            return 0;
        if (rc == 0)
            move_to(reader, reader->number + 1);
    }
}

static enum journal_read tell_gap(struct journal_reader *reader, uint64_t up_to, struct extent *out)
{
    uint64_t count = up_to - reader->expected;
    *out = (struct extent){
        .first_seq = reader->expected,
        .seq_count = count < UINT32_MAX ? (uint32_t)count : UINT32_MAX,
    };
    /* All of it at once: bytes that claim a number far away must not keep anybody busy. */
    reader->expected = up_to;
    return JOURNAL_DAMAGED;
}

/* The body of the held header: JOURNAL_EXTENT, JOURNAL_END when it is damaged, GW_EIO. */
static int load_held(struct journal_reader *reader, struct extent *out)
{
    const struct extent_header *header = &reader->held;
    const struct disk *disk = reader->journal->options.disk;
    int rc = extent_load(&reader->loader, disk, reader->fd, header, &out->body);
    if (rc == GW_ECORRUPT) /* once more: it may have been the way, not the medium */
        rc = extent_load(&reader->loader, disk, reader->fd, header, &out->body);
    if (rc == GW_EIO)
        return rc;
    reader->holds = false;
    if (rc == GW_ECORRUPT) {
        tell_damage(reader, header->place.offset, extent_disk_bytes(header->stored_bytes));
        return JOURNAL_END;
    }
    out->first_seq = header->first_seq;
    out->seq_count = header->seq_count;
    out->generation = header->generation;
    out->kind = header->kind;
    out->replay = header->replay;
    out->received_min_ms = header->received_min_ms;
    out->received_max_ms = header->received_max_ms;
    reader->expected = header->first_seq + header->seq_count;
    return JOURNAL_EXTENT;
}

int journal_reader_next(struct journal_reader *reader, struct extent *out, struct err *err)
{
    for (;;) {
        uint64_t durable = 0;
        int rc = reader->holds ? 1 : find_header(reader, &reader->held, &durable, err);
        if (rc < 0) {
            leave_segment(reader);
            return err_wrap(err, GW_EIO, "read %s segment %" PRIu64, reader->journal->dir,
                            reader->number);
        }
        if (rc == 0)
            return durable > reader->expected ? (int)tell_gap(reader, durable, out) : JOURNAL_END;
        reader->holds = true;
        if (reader->held.first_seq > reader->expected)
            return (int)tell_gap(reader, reader->held.first_seq, out);
        rc = load_held(reader, out);
        if (rc == GW_EIO)
            return err_set(err, GW_EIO, "read %s segment %" PRIu64 " at offset %" PRIu64,
                           reader->journal->dir, reader->number, reader->held.place.offset);
        if (rc == JOURNAL_EXTENT)
            return rc;
    }
}

/* True when the segment begins with a whole snapshot. */
static bool begins_with_snapshot(struct journal_reader *reader)
{
    struct extent out;
    struct err err;
    int rc = journal_reader_next(reader, &out, &err);
    return rc == JOURNAL_EXTENT && out.kind == EXTENT_SNAPSHOT;
}

int journal_reader_at_snapshot(struct journal *journal, struct journal_reader **out,
                               struct err *err)
{
    (void)err;
    uint64_t number = 0;
    bool found = false;
    for (size_t i = journal->count; i > 0 && !found; i--) {
        const struct segment *segment = journal->segments[i - 1];
        number = segment->header.number;
        struct journal_reader *reader = reader_new(journal, number, 0);
        reader->expected = segment->header.first_seq;
        found = begins_with_snapshot(reader);
        journal_reader_free(reader);
    }
    *out = reader_new(journal, number, 0);
    struct segment segment;
    bool last;
    /* A journal without a segment has no gap before its first number. */
    (*out)->expected = journal_find_segment(journal, number, &segment, &last)
                           ? segment.header.first_seq
                           : journal_first_seq(journal);
    return 0;
}
