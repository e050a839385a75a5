/* SPDX-License-Identifier: Apache-2.0
 *
 * Checking everything: each extent of each segment, header and body, for `journal verify`. Reads
 * the files itself, beside a running gateway or with none. One thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "journal/scan.h"
#include "journal/state.h"

struct verify {
    struct journal *journal;
    void (*line)(void *arg, const char *text);
    void *arg;
    struct extent_loader loader;
    uint64_t damaged, extents;
    uint64_t next_seq; /* 0: before the first extent */
};

static void tell(struct verify *verify, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void tell(struct verify *verify, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    verify->line(verify->arg, text);
}

static void check_extent(struct verify *verify, struct scan *scan,
                         const struct extent_header *header)
{
    struct bytes body;
    int rc = extent_load(&verify->loader, scan->disk, scan->fd, header, &body);
    verify->extents++;
    if (verify->next_seq && header->first_seq > verify->next_seq)
        tell(verify, "  missing: sequence numbers %" PRIu64 " .. %" PRIu64, verify->next_seq,
             header->first_seq - 1);
    verify->next_seq = header->first_seq + header->seq_count;
    if (rc == 0)
        return;
    verify->damaged++;
    tell(verify,
         "  damaged: segment %" PRIu64 " offset %" PRIu64 ", body of %" PRIu32
         " bytes, sequence numbers %" PRIu64 " + %" PRIu32 "%s",
         header->place.segment, header->place.offset, header->stored_bytes, header->first_seq,
         header->seq_count, rc == GW_EIO ? " (cannot be read)" : "");
}

static int check_extents(struct verify *verify, struct scan *scan)
{
    struct extent_header header;
    int rc;
    while ((rc = scan_next(scan, &header)) == 1) {
        if (scan->skipped) {
            verify->damaged++;
            tell(verify,
                 "  damaged: segment %" PRIu64 " offset %" PRIu64 ", %" PRIu64
                 " bytes without a valid header",
                 scan->place.segment, scan->skipped_from, scan->skipped);
        }
        check_extent(verify, scan, &header);
    }
    if (rc == 0 && scan->skipped) {
        verify->damaged++;
        tell(verify,
             "  damaged: segment %" PRIu64 " offset %" PRIu64 ", %" PRIu64
             " bytes up to its end without a valid header",
             scan->place.segment, scan->skipped_from, scan->skipped);
    }
    return rc;
}

static int check_header(struct verify *verify, struct scan *scan)
{
    uint8_t raw[SEGMENT_HEADER_BYTES];
    struct segment_header header;
    struct err err;
    bool damaged = true;
    if (disk_read_all(scan->disk, scan->fd, raw, sizeof raw, 0) == 0)
        segment_header_decode(raw, &header, &damaged, &err);
    if (damaged) {
        verify->damaged++;
        tell(verify, "  damaged: segment %" PRIu64 " header", scan->place.segment);
    }
    return 0;
}

static int check_segment(struct verify *verify, const struct segment *segment)
{
    struct journal *journal = verify->journal;
    const struct disk *disk = journal->options.disk;
    char *path = segment_path(journal->dir, segment->header.number, "log");
    int fd = disk->open(disk, path, O_RDONLY);
    free(path);
    if (fd < 0)
        return fd == -ENOENT ? 0 : GW_EIO; /* retention took it meanwhile */
    struct scan scan = {
        .disk = disk,
        .fd = fd,
        .place = {journal->identity, segment->header.salt, segment->header.number,
                  SEGMENT_HEADER_BYTES},
        .limit = segment->end,
        .expected_seq = segment->header.first_seq,
        .void_seq = segment->void_seq,
    };
    uint64_t extents = verify->extents;
    uint64_t damaged = verify->damaged;
    check_header(verify, &scan);
    int rc = check_extents(verify, &scan);
    disk->close(disk, fd);
    tell(verify,
         "segment %" PRIu64 ": %" PRIu64 " extents, %" PRIu64 " bytes, sequence %" PRIu64
         " .. %" PRIu64 ", damaged places: %" PRIu64,
         segment->header.number, verify->extents - extents, segment->end, segment->header.first_seq,
         segment->next_seq, verify->damaged - damaged);
    return rc;
}

int journal_verify(struct journal *journal, void (*line)(void *arg, const char *text), void *arg,
                   struct err *err)
{
    struct verify verify = {.journal = journal, .line = line, .arg = arg};
    struct segment segment;
    uint64_t number = 0;
    bool last = false;
    int rc = 0;
    while (rc == 0 && !last && journal_find_segment(journal, number, &segment, &last)) {
        rc = check_segment(&verify, &segment);
        number = segment.header.number + 1;
    }
    extent_loader_fini(&verify.loader);
    if (rc < 0)
        return err_set(err, rc, "verify %s: segment %" PRIu64 " cannot be read", journal->dir,
                       number - 1);
    return verify.damaged < INT32_MAX ? (int)verify.damaged : INT32_MAX;
}
