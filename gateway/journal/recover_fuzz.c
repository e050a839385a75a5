/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzz target: arbitrary bytes as a segment file. Opening, reading, verifying and appending must
 * neither crash nor loop, nor take memory because a length says so. Input: the first byte chooses
 * whether the bytes are mended first (a good segment header in front, checksums of extents made
 * right, so that the fuzzer gets past them), and whether a good segment follows; the rest is the
 * file.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/log.h"
#include "journal/extent.h"
#include "journal/rawlog.h"
#include "journal/segment.h"
#include "lib/temp_dir.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MEND = 1, FOLLOWED = 2, READ_ONLY = 4 };

static struct temp_dir dir;
static const struct identity ours = {0x0123456789abcdef};

static void remove_dir(void)
{
    temp_dir_remove(&dir);
}

static void put_file(const char *name, struct bytes in)
{
    char path[320];
    snprintf(path, sizeof path, "%s/%s", dir.path, name);
    int fd = disk_real.open(&disk_real, path, O_WRONLY | O_CREAT | O_TRUNC);
    gw_assert(fd >= 0 && disk_write_all(&disk_real, fd, in, 0) == 0);
    disk_real.close(&disk_real, fd);
}

/* At each sector that begins like an extent: place, body checksum and header checksum made right. */
static void mend_extents(uint8_t *file, size_t size)
{
    for (size_t at = SEGMENT_HEADER_BYTES; at + EXTENT_HEADER_BYTES <= size; at += EXTENT_ALIGN) {
        uint8_t *raw = file + at;
        if (raw[0] != 'T')
            continue;
        memcpy(raw, "TGX1\1", 5);
        store_u64_le(raw + 8, ours.bits);
        store_u64_le(raw + 16, 77);
        store_u64_le(raw + 24, 1);
        store_u64_le(raw + 32, at);
        struct reader in = reader_of(bytes_of(raw + 72, 4));
        uint64_t body = extent_disk_bytes(reader_u32_le(&in)) - EXTENT_HEADER_BYTES;
        if (body <= size - at - EXTENT_HEADER_BYTES)
            store_u32_le(raw + 80, crc32c(0, bytes_of(raw + EXTENT_HEADER_BYTES, (size_t)body)));
        store_u32_le(raw + 92, crc32c(0, bytes_of(raw, 92)));
    }
}

static void mend(uint8_t *file, size_t size)
{
    const struct segment_header header = {
        .kind = JOURNAL_RAW, .identity = ours, .number = 1, .salt = 77, .first_seq = 1};
    segment_header_encode(&header, file);
    mend_extents(file, size);
}

static void put_follower(size_t before_end)
{
    uint8_t head[SEGMENT_HEADER_BYTES];
    struct segment_header header = {.kind = JOURNAL_RAW,
                                    .identity = ours,
                                    .number = 2,
                                    .salt = 78,
                                    .first_seq = 1000,
                                    .before = 1,
                                    .before_end = before_end};
    segment_header_encode(&header, head);
    put_file("00000000000000000002.log", bytes_of(head, sizeof head));
}

static void walk_records(const struct extent *extent, struct sessions *sessions)
{
    struct record_reader reader;
    enum record_kind kind;
    struct message message;
    struct session_record session;
    record_reader_init(&reader, extent);
    while (record_reader_next(&reader, &kind, &message, &session) == 1)
        if (kind != RECORD_MESSAGE)
            sessions_apply(sessions, &session);
}

static void read_all(struct journal *journal)
{
    struct journal_reader *reader;
    struct extent extent;
    struct err err;
    struct sessions *sessions = sessions_new();
    uint64_t next = 0;
    int steps = 0;
    int rc;
    gw_assert(journal_reader_new(journal, 1, &reader, &err) == 0);
    while ((rc = journal_reader_next(reader, &extent, &err)) > 0) {
        /* Whatever the bytes: numbers only go up, and stay below what is durable. */
        gw_assert(extent.first_seq >= next);
        next = extent.first_seq + extent.seq_count;
        gw_assert(next <= journal_next_seq(journal) && ++steps < 100000);
        if (rc == JOURNAL_EXTENT)
            walk_records(&extent, sessions);
    }
    journal_reader_free(reader);
    sessions_free(sessions);
}

static void no_line(void *arg, const char *text)
{
    (void)arg;
    (void)text;
}

static void use(const struct journal_options *options)
{
    struct journal *journal;
    struct journal_recovery recovery;
    struct err err;
    if (journal_open(&journal, options, &recovery, &err) < 0)
        return;
    read_all(journal);
    journal_verify(journal, no_line, NULL, &err);
    struct extent extent = {.first_seq = journal_next_seq(journal),
                            .seq_count = 1,
                            .kind = EXTENT_RECORDS,
                            .body = bytes_text("x")};
    /* A number that no journal reaches is refused; all others can be appended to. */
    if (!options->read_only && extent.first_seq < UINT64_MAX / 4)
        gw_assert(journal_append(journal, &extent, &err) == 0);
    journal_close(journal);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (dir.path[0] == '\0') {
        temp_dir_make(&dir);
        atexit(remove_dir);
        log_set_level((enum log_level)(LOG_ERROR + 1));
    }
    if (size < 1)
        return 0;
    uint8_t choice = data[0];
    struct buffer file = {0};
    if (choice & MEND) {
        buffer_reserve(&file, SEGMENT_HEADER_BYTES);
        file.size = SEGMENT_HEADER_BYTES;
    }
    buffer_add(&file, data + 1, size - 1);
    if (choice & MEND)
        mend(file.data, file.size);
    put_file("00000000000000000001.log", buffer_bytes(&file));
    if (choice & FOLLOWED)
        put_follower(file.size);
    struct journal_options options = {
        .disk = &disk_real,
        .dir = dir.path,
        .kind = JOURNAL_RAW,
        .segment_bytes = 1 << 20,
        .read_only = choice & READ_ONLY,
    };
    use(&options);
    buffer_fini(&file);
    temp_dir_clear(dir.path);
    return 0;
}
