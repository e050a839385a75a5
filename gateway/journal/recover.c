/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening what is there. First every segment's header, then a walk over each segment's extents up
 * to where its successor says it is to be believed; the last one, which has no successor, is
 * checked body by body and its tail is mended. FORMAT.md, "recovery", names the cases; invariants
 * 3 and 10. The thread that opens.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "journal/scan.h"
#include "journal/state.h"

/* So many of the newest segments are walked; older ones are known from their successors' headers, or
 * opening a long log from a cold disk would take minutes. */
enum { WALKED_MAX = 16 };

/* A segment file as found. */
struct found {
    struct segment segment;
    bool header_ok;
    bool trusted;                           /* the successor says where it ends: `limit` */
    const struct segment_header *successor; /* that header */
    uint64_t limit;
};

struct recovery {
    struct journal *journal;
    struct journal_recovery *report;
    struct found *found;
    size_t count;
    struct extent_loader loader;
};

/* ---- which files there are ---- */

static bool is_unfinished(const char *name)
{
    size_t size = strlen(name);
    return size > 4 && strcmp(name + size - 4, ".new") == 0;
}

static void drop_unfinished(const struct journal *journal, const char *name)
{
    if (journal->options.read_only)
        return;
    char *path = mem_printf("%s/%s", journal->dir, name);
    journal->options.disk->unlink(journal->options.disk, path);
    free(path);
}

static int list_segments(struct recovery *recovery, struct err *err)
{
    struct journal *journal = recovery->journal;
    struct disk_names names;
    int rc = journal->options.disk->list(journal->options.disk, journal->dir, &names);
    if (rc < 0)
        return err_set(err, rc == -ENOENT ? GW_ENOENT : GW_EIO, "list: %s", strerror(-rc));
    recovery->found = mem_zalloc((names.count + 1) * sizeof *recovery->found);
    for (size_t i = 0; i < names.count; i++) {
        uint64_t number = segment_number(names.names[i]);
        if (number)
            recovery->found[recovery->count++].segment.header.number = number;
        else if (is_unfinished(names.names[i]))
            drop_unfinished(journal, names.names[i]);
    }
    disk_names_fini(&names);
    return 0;
}

/* ---- headers ---- */

static int open_segment(const struct journal *journal, uint64_t number, int flags, uint64_t *size,
                        struct err *err)
{
    const struct disk *disk = journal->options.disk;
    char *path = segment_path(journal->dir, number, "log");
    struct disk_stat info;
    int rc = disk->stat(disk, path, &info);
    if (rc == 0 && !info.regular)
        rc = -ELOOP;
    int fd = rc < 0 ? rc : disk->open(disk, path, flags);
    if (fd < 0)
        err_set(err, 0, "open segment %s: %s", path,
                fd == -ELOOP ? "it is not a regular file: put the real one in its place"
                             : strerror(-fd));
    else
        *size = info.size;
    free(path);
    return fd < 0 ? GW_EIO : fd;
}

static int check_header(struct journal *journal, uint64_t number,
                        const struct segment_header *header, struct err *err)
{
    char ours[IDENTITY_TEXT_SIZE], theirs[IDENTITY_TEXT_SIZE];
    if (journal->identity.bits == 0)
        journal->identity = header->identity;
    if (header->identity.bits != journal->identity.bits)
        return err_set(err, GW_EINVAL,
                       "segment %" PRIu64 " belongs to the journal %s, not to %s: move it away",
                       number, identity_format(header->identity, theirs),
                       identity_format(journal->identity, ours));
    if (header->kind != journal->options.kind)
        return err_set(err, GW_EINVAL,
                       "segment %" PRIu64 " is of a log of kind %d, not %d: move "
                       "it away",
                       number, header->kind, journal->options.kind);
    if (header->number != number)
        return err_set(err, GW_ECORRUPT,
                       "segment %" PRIu64 " is a copy of segment %" PRIu64
                       " under another name: move it away",
                       number, header->number);
    return 0;
}

static int read_header(struct recovery *recovery, struct found *found, struct err *err)
{
    struct journal *journal = recovery->journal;
    const struct disk *disk = journal->options.disk;
    uint64_t number = found->segment.header.number;
    uint8_t raw[SEGMENT_HEADER_BYTES] = {0};
    int fd = open_segment(journal, number, O_RDONLY, &found->segment.allocated, err);
    if (fd < 0)
        return fd;
    size_t size =
        found->segment.allocated < sizeof raw ? (size_t)found->segment.allocated : sizeof raw;
    int rc = disk_read_all(disk, fd, raw, size, 0);
    disk->close(disk, fd);
    if (rc < 0)
        return err_set(err, GW_EIO, "read segment %" PRIu64 ": %s", number, strerror(-rc));
    struct segment_header header = {0};
    rc = segment_header_decode(raw, &header, &found->segment.damaged, err);
    if (rc == GW_EVERSION)
        return err_wrap(err, rc, "segment %" PRIu64, number);
    if (found->segment.damaged) {
        recovery->report->damaged_extents++;
        log_event(LOG_ERROR, "journal_damaged", "segment=%" PRIu64 " offset=0 bytes=%d why=\"%s\"",
                  number, SEGMENT_HEADER_BYTES,
                  rc ? "both copies of the header" : "one copy of the header");
    }
    found->header_ok = rc == 0;
    if (rc < 0)
        return 0; /* its extents can still be told: they name journal and segment themselves */
    rc = check_header(journal, number, &header, err);
    found->segment.header = header;
    return rc;
}

/* What a later header says about this segment. */
static void bound(struct recovery *recovery, size_t index)
{
    struct found *found = &recovery->found[index];
    found->limit = found->segment.allocated;
    for (size_t i = index + 1; i < recovery->count; i++) {
        const struct found *later = &recovery->found[i];
        if (!later->header_ok)
            continue;
        const struct segment_header *header = &later->segment.header;
        uint64_t *void_seq = &found->segment.void_seq;
        if (*void_seq == 0 || header->first_seq < *void_seq)
            *void_seq = header->first_seq;
        if (header->before == found->segment.header.number) {
            found->trusted = true;
            found->successor = header;
            found->limit = header->before_end;
        }
    }
}

static int read_headers(struct recovery *recovery, struct err *err)
{
    struct journal *journal = recovery->journal;
    for (size_t i = 0; i < recovery->count; i++) {
        int rc = read_header(recovery, &recovery->found[i], err);
        if (rc < 0)
            return rc;
    }
    if (recovery->count && journal->identity.bits == 0)
        return err_set(err, GW_ECORRUPT,
                       "the headers of all %zu segments are damaged, and the file `journal` too: "
                       "restore the folder from a copy",
                       recovery->count);
    for (size_t i = 0; i < recovery->count; i++) {
        recovery->found[i].segment.header.identity = journal->identity;
        bound(recovery, i);
    }
    return 0;
}

/* ---- the walk ---- */

struct walk {
    struct scan scan;
    struct segment *segment;
    uint64_t good_end;         /* behind the last extent that is whole */
    uint64_t bad_end;          /* behind the last extent whose body is not */
    uint64_t bad;              /* such extents since good_end */
    struct extent_header last; /* the last whole one */
};

static void count_damage(struct recovery *recovery, struct walk *walk, uint64_t up_to_offset,
                         uint64_t up_to_seq)
{
    uint64_t seqs = up_to_seq > walk->segment->next_seq ? up_to_seq - walk->segment->next_seq : 0;
    recovery->report->damaged_extents += walk->bad ? walk->bad : 1;
    recovery->report->damaged_seqs += seqs;
    walk->segment->damaged = true;
    log_event(LOG_ERROR, "journal_damaged",
              "segment=%" PRIu64 " offset=%" PRIu64 " bytes=%" PRIu64 " first_seq=%" PRIu64
              " seqs=%" PRIu64,
              walk->segment->header.number, walk->good_end, up_to_offset - walk->good_end,
              walk->segment->next_seq, seqs);
    walk->bad = 0;
}

static void take_extent(struct recovery *recovery, struct walk *walk,
                        const struct extent_header *header)
{
    struct segment *segment = walk->segment;
    if (header->place.offset > walk->good_end)
        count_damage(recovery, walk, header->place.offset, header->first_seq);
    walk->good_end = walk->scan.place.offset;
    walk->last = *header;
    segment->extents++;
    segment->next_seq = header->first_seq + header->seq_count;
    if (header->received_max_ms) {
        if (segment->received_min_ms == 0 || header->received_min_ms < segment->received_min_ms)
            segment->received_min_ms = header->received_min_ms;
        if (header->received_max_ms > segment->received_max_ms)
            segment->received_max_ms = header->received_max_ms;
    }
}

/* Headers only; with `bodies` their checksums too. */
static int walk_extents(struct recovery *recovery, struct walk *walk, bool bodies)
{
    struct extent_header header;
    int rc;
    while ((rc = scan_next(&walk->scan, &header)) == 1) {
        struct bytes body;
        int loaded =
            bodies ? extent_load(&recovery->loader, walk->scan.disk, walk->scan.fd, &header, &body)
                   : 0;
        if (loaded == GW_EIO)
            return loaded;
        if (loaded == 0) {
            take_extent(recovery, walk, &header);
        } else {
            walk->bad++;
            walk->bad_end = walk->scan.place.offset;
        }
    }
    return rc;
}

static void begin_walk(struct recovery *recovery, struct found *found, uint64_t expected_seq,
                       int fd, struct walk *walk)
{
    struct journal *journal = recovery->journal;
    struct segment *segment = &found->segment;
    if (!found->header_ok)
        segment->header.first_seq = expected_seq;
    segment->next_seq = segment->header.first_seq;
    uint64_t limit = found->limit < segment->allocated ? found->limit : segment->allocated;
    *walk = (struct walk){
        .scan = {.disk = journal->options.disk,
                 .fd = fd,
                 .place = {journal->identity, segment->header.salt, segment->header.number,
                           SEGMENT_HEADER_BYTES},
                 .limit = limit,
                 .expected_seq = segment->header.first_seq,
                 .void_seq = found->segment.void_seq},
        .segment = segment,
        .good_end = SEGMENT_HEADER_BYTES,
    };
}

/* ---- the tail ---- */

static int copy_range(const struct disk *disk, int from, int to, uint64_t start, uint64_t end)
{
    enum { STEP = 256 << 10 };
    uint8_t *data = mem_alloc(STEP);
    int rc = 0;
    for (uint64_t at = start; rc == 0 && at < end; at += STEP) {
        size_t size = end - at < STEP ? (size_t)(end - at) : STEP;
        rc = disk_read_all(disk, from, data, size, at);
        if (rc == 0)
            rc = disk_write_all(disk, to, bytes_of(data, size), at - start);
    }
    free(data);
    return rc == 0 ? disk->datasync(disk, to) : rc;
}

/* Keep what is cut, for people. */
static int keep_torn(struct recovery *recovery, const struct walk *walk, uint64_t end)
{
    const struct journal *journal = recovery->journal;
    const struct disk *disk = journal->options.disk;
    char *path = segment_path(journal->dir, walk->segment->header.number, "torn");
    int fd = disk->open(disk, path, O_WRONLY | O_CREAT | O_TRUNC);
    int rc = fd < 0 ? fd : copy_range(disk, walk->scan.fd, fd, walk->good_end, end);
    if (fd >= 0)
        disk->close(disk, fd);
    if (rc == 0)
        rc = disk->sync_dir(disk, journal->dir);
    log_event(rc ? LOG_ERROR : LOG_WARN, "journal_torn_tail",
              "segment=%" PRIu64 " offset=%" PRIu64 " bytes=%" PRIu64 " old_bytes=%s copy=%s "
              "why=\"%s\"",
              walk->segment->header.number, walk->good_end, end - walk->good_end,
              walk->scan.foreign ? "yes" : "no", rc ? "none" : path,
              rc ? strerror(-rc) : "cut: it was never acknowledged");
    free(path);
    return rc;
}

/* Write the last extent once more and sync it. It may be the one whose sync failed before the
 * process ended: then its pages are clean in memory and not on disk, and a mere sync would say 0. */
static int renew_last(const struct walk *walk)
{
    const struct disk *disk = walk->scan.disk;
    uint64_t offset = walk->last.place.offset;
    size_t size = (size_t)extent_disk_bytes(walk->last.stored_bytes);
    uint8_t *data = mem_alloc(size);
    int rc = disk_read_all(disk, walk->scan.fd, data, size, offset);
    if (rc == 0)
        rc = disk_write_all(disk, walk->scan.fd, bytes_of(data, size), offset);
    free(data);
    return rc;
}

static int mend(struct recovery *recovery, struct walk *walk, uint64_t torn_end, struct err *err)
{
    const struct journal *journal = recovery->journal;
    const struct disk *disk = journal->options.disk;
    struct segment *segment = walk->segment;
    int rc = 0;
    /* Without room for the copy the bytes stay where they are; the next header makes them void. */
    bool cut = torn_end <= walk->good_end || keep_torn(recovery, walk, torn_end) == 0;
    if (cut && segment->allocated > walk->good_end &&
        disk->truncate(disk, walk->scan.fd, walk->good_end) == 0)
        segment->allocated = walk->good_end;
#ifndef TIDEGATE_MUTANT_NO_RENEWAL
    if (segment->extents)
        rc = renew_last(walk);
#endif
    if (rc == 0)
        rc = disk->datasync(disk, walk->scan.fd);
    if (rc == 0)
        rc = disk->sync_dir(disk, journal->dir);
    if (rc < 0)
        return err_set(err, GW_EIO, "make the end of segment %" PRIu64 " durable: %s",
                       segment->header.number, strerror(-rc));
    return 0;
}

static int end_last(struct recovery *recovery, struct walk *walk, struct err *err)
{
    uint64_t torn_end =
        walk->bad_end > walk->scan.nonzero_end ? walk->bad_end : walk->scan.nonzero_end;
    if (torn_end > walk->good_end)
        recovery->report->torn_bytes = torn_end - walk->good_end;
    walk->segment->end = walk->good_end;
    return recovery->journal->options.read_only ? 0 : mend(recovery, walk, torn_end, err);
}

/* A segment with a successor: it ends where that says, and anything missing before is damage. */
static void end_older(struct recovery *recovery, const struct found *found, struct walk *walk)
{
    walk->segment->end = walk->good_end;
    if (!found->trusted || walk->good_end >= found->limit)
        return;
    walk->segment->end = walk->scan.limit > walk->good_end ? walk->scan.limit : walk->good_end;
    count_damage(recovery, walk, found->limit, found->segment.void_seq);
}

static int recover_segment(struct recovery *recovery, size_t index, uint64_t expected_seq,
                           struct err *err)
{
    struct found *found = &recovery->found[index];
    const struct disk *disk = recovery->journal->options.disk;
    bool last = index + 1 == recovery->count;
    bool mended = last && !recovery->journal->options.read_only;
    uint64_t size;
    int fd = open_segment(recovery->journal, found->segment.header.number,
                          mended ? O_RDWR : O_RDONLY, &size, err);
    if (fd < 0)
        return fd;
    struct walk walk;
    begin_walk(recovery, found, expected_seq, fd, &walk);
    int rc = walk_extents(recovery, &walk, last);
    if (rc < 0)
        err_set(err, rc, "read segment %" PRIu64 " near offset %" PRIu64,
                found->segment.header.number, walk.scan.place.offset);
    else if (last)
        rc = end_last(recovery, &walk, err);
    else
        end_older(recovery, found, &walk);
    disk->close(disk, fd);
    found->segment.header.salt = walk.scan.place.salt;
    found->segment.sealed = true;
    recovery->report->extents += found->segment.extents;
    return rc < 0 ? rc : 0;
}

/* An older segment from what its successor says; false when it must be walked. */
static bool take_summary(struct recovery *recovery, size_t index)
{
    struct found *found = &recovery->found[index];
    struct segment *segment = &found->segment;
    if (recovery->count - index <= WALKED_MAX || !found->trusted || !found->header_ok ||
        segment->allocated < found->limit)
        return false;
    segment->end = found->limit;
    segment->next_seq = found->successor->first_seq;
    segment->extents = found->successor->before_extents;
    segment->received_min_ms = found->successor->before_received_min_ms;
    segment->received_max_ms = found->successor->before_received_max_ms;
    segment->sealed = true;
    recovery->report->extents += segment->extents;
    return true;
}

static void tell_missing(const struct recovery *recovery, size_t index)
{
    const struct segment_header *header = &recovery->found[index].segment.header;
    if (index == 0 || header->before == 0 || !recovery->found[index].header_ok)
        return;
    for (size_t i = 0; i < index; i++)
        if (recovery->found[i].segment.header.number == header->before)
            return;
    recovery->report->damaged_extents++;
    log_event(LOG_ERROR, "journal_segment_missing", "segment=%" PRIu64 " before=%" PRIu64,
              header->before, header->number);
}

int journal_recover(struct journal *journal, struct journal_recovery *report, struct err *err)
{
    struct recovery recovery = {.journal = journal, .report = report};
    int rc = list_segments(&recovery, err);
    if (rc == 0)
        rc = read_headers(&recovery, err);
    uint64_t expected_seq = 1;
    for (size_t i = 0; rc == 0 && i < recovery.count; i++) {
        tell_missing(&recovery, i);
        rc = take_summary(&recovery, i) ? 0 : recover_segment(&recovery, i, expected_seq, err);
        if (rc < 0)
            break;
        expected_seq = recovery.found[i].segment.next_seq;
        journal_add_segment(journal, &recovery.found[i].segment);
        journal->next_number = recovery.found[i].segment.header.number + 1;
    }
    report->segments = recovery.count;
    extent_loader_fini(&recovery.loader);
    free(recovery.found);
    return rc;
}
