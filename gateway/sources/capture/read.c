/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading a capture file: one frame at a time is in memory. Nothing is believed before its checksum,
 * and no memory is taken that the file's own size does not vouch for, but for the body a checked
 * header announces. The reader's thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <zstd.h>

#include "base/crc32c.h"
#include "sources/capture/file.h"

enum {
    SEARCH_BYTES = 1 << 20,
    GO_ON = 100, /* beside enum capture_read: nothing to tell, look on */
};

struct capture_reader {
    const struct disk *disk;
    int fd;
    char *path;
    struct capture_header header;
    uint64_t size;   /* of the file, as last seen: it may still be written */
    uint64_t offset; /* of the next frame */
    uint64_t index;  /* of the next message */
    uint64_t skip_below;
    struct reader records; /* of the frame that is open */
    uint64_t left;         /* messages in it that are still to come */
    int64_t last_ms;
    struct buffer stored, raw;
    ZSTD_DCtx *zstd;
};

/* ---- opening ---- */

static int size_see(struct capture_reader *reader, struct err *err)
{
    struct disk_stat stat;
    int rc = reader->disk->stat(reader->disk, reader->path, &stat);
    if (rc < 0)
        return err_set(err, rc == -ENOENT ? GW_ENOENT : GW_EIO, "%s: %s", reader->path,
                       strerror(-rc));
    if (!stat.regular)
        return err_set(err, GW_EINVAL, "%s: a capture file must be a file, not a pipe or folder",
                       reader->path);
    reader->size = stat.size;
    return 0;
}

static int read_at(struct capture_reader *reader, void *data, size_t size, uint64_t offset,
                   struct err *err)
{
    int rc = disk_read_all(reader->disk, reader->fd, data, size, offset);
    return rc < 0
               ? err_set(err, GW_EIO, "%s: at %" PRIu64 ": %s", reader->path, offset, strerror(-rc))
               : 0;
}

static int open_file(struct capture_reader *reader, struct err *err)
{
    uint8_t text[CAPTURE_HEADER_BYTES];
    struct err why;
    int rc = size_see(reader, err);
    if (rc)
        return rc;
    rc = reader->fd = reader->disk->open(reader->disk, reader->path, O_RDONLY);
    if (rc < 0)
        return err_set(err, GW_EIO, "%s: %s", reader->path, strerror(-rc));
    if (reader->size < sizeof text)
        return err_set(err, GW_ECORRUPT, "%s: this is no capture file: too short", reader->path);
    rc = read_at(reader, text, sizeof text, 0, err);
    if (rc)
        return rc;
    rc = capture_header_decode(text, &reader->header, &why);
    return rc ? err_set(err, rc, "%s: %s", reader->path, why.text) : 0;
}

int capture_reader_new(const struct disk *disk, const char *path, struct capture_reader **out,
                       struct err *err)
{
    struct capture_reader *reader = mem_zalloc(sizeof *reader);
    *reader = (struct capture_reader){
        .disk = disk, .fd = -1, .path = mem_strdup(path), .offset = CAPTURE_HEADER_BYTES};
    int rc = open_file(reader, err);
    if (rc) {
        capture_reader_free(reader);
        return rc;
    }
    reader->zstd = ZSTD_createDCtx();
    gw_assert(reader->zstd != NULL);
    *out = reader;
    return 0;
}

void capture_reader_free(struct capture_reader *reader)
{
    if (reader == NULL)
        return;
    if (reader->fd >= 0)
        reader->disk->close(reader->disk, reader->fd);
    ZSTD_freeDCtx(reader->zstd);
    buffer_fini(&reader->stored);
    buffer_fini(&reader->raw);
    free(reader->path);
    free(reader);
}

const struct capture_header *capture_reader_header(const struct capture_reader *reader)
{
    return &reader->header;
}

bool capture_reader_total(const struct capture_reader *reader, uint64_t *total)
{
    uint8_t text[CAPTURE_FRAME_BYTES];
    struct capture_frame frame;
    if (reader->size < CAPTURE_HEADER_BYTES + sizeof text)
        return false;
    uint64_t at = reader->size - sizeof text;
    if (disk_read_all(reader->disk, reader->fd, text, sizeof text, at) < 0 ||
        !capture_frame_decode(text, reader->header.id, at, &frame) ||
        frame.kind != CAPTURE_KIND_END)
        return false;
    *total = frame.first;
    return true;
}

void capture_reader_skip(struct capture_reader *reader, uint64_t index)
{
    reader->skip_below = index;
}

/* ---- frames ---- */

/* Move to the first place behind this one where a frame's header stands, or to the file's end. */
static int search(struct capture_reader *reader, struct err *err)
{
    struct buffer *window = &reader->stored;
    uint64_t at = reader->offset + 1;
    struct capture_frame frame;
    while (at < reader->size && reader->size - at >= CAPTURE_FRAME_BYTES) {
        size_t size = reader->size - at < SEARCH_BYTES ? (size_t)(reader->size - at) : SEARCH_BYTES;
        buffer_clear(window);
        int rc = read_at(reader, buffer_reserve(window, size), size, at, err);
        if (rc)
            return rc;
        for (size_t i = 0; i + CAPTURE_FRAME_BYTES <= size; i++) {
            if (window->data[i] == 'T' &&
                capture_frame_decode(window->data + i, reader->header.id, at + i, &frame)) {
                reader->offset = at + i;
                return 0;
            }
        }
        at += size - (CAPTURE_FRAME_BYTES - 1);
    }
    reader->offset = reader->size;
    return 0;
}

/* Take up to `stored` checked bytes apart: false when they are not what the header says. */
static bool unpack(struct capture_reader *reader, const struct capture_frame *frame)
{
    struct bytes stored = buffer_bytes(&reader->stored);
    if (frame->codec == 0) {
        reader->records = reader_of(stored);
        return frame->raw_bytes == frame->stored_bytes;
    }
    if (frame->codec != 1 || ZSTD_getFrameContentSize(stored.data, stored.size) != frame->raw_bytes)
        return false;
    buffer_clear(&reader->raw);
    uint8_t *at = buffer_reserve(&reader->raw, frame->raw_bytes);
    size_t size = ZSTD_decompressDCtx(reader->zstd, at, frame->raw_bytes, stored.data, stored.size);
    reader->records = reader_of(bytes_of(at, frame->raw_bytes));
    return size == frame->raw_bytes;
}

static int damaged(struct capture_reader *reader, uint64_t count, struct capture_item *out)
{
    *out = (struct capture_item){.index = reader->index, .count = count};
    reader->index += count;
    return CAPTURE_DAMAGED;
}

static int lost(struct capture_reader *reader, struct capture_item *out)
{
    *out = (struct capture_item){
        .index = reader->index,
        .first_seq = reader_u64_le(&reader->records),
        .count = reader_u64_le(&reader->records),
    };
    return reader->records.failed ? damaged(reader, 0, out) : CAPTURE_LOST;
}

/* Its body, from the file. */
static int frame_load(struct capture_reader *reader, const struct capture_frame *frame, bool *good,
                      struct err *err)
{
    uint64_t at = frame->offset + CAPTURE_FRAME_BYTES;
    buffer_clear(&reader->stored);
    uint8_t *data = buffer_reserve(&reader->stored, frame->stored_bytes + (size_t)1);
    int rc = read_at(reader, data, frame->stored_bytes, at, err);
    if (rc)
        return rc;
    reader->stored.size = frame->stored_bytes;
    *good = crc32c(0, buffer_bytes(&reader->stored)) == frame->body_crc && unpack(reader, frame);
    return 0;
}

/* What the frame that was just found is. */
static int frame_open(struct capture_reader *reader, const struct capture_frame *frame,
                      struct capture_item *out, struct err *err)
{
    bool good = true;
    uint64_t end = frame->offset + CAPTURE_FRAME_BYTES + frame->stored_bytes;
    bool wanted = frame->kind == CAPTURE_KIND_LOST
                      ? frame->first >= reader->skip_below
                      : frame->first + frame->count > reader->skip_below;
    if (frame->kind == CAPTURE_KIND_END)
        return CAPTURE_END;
    if (frame->kind > CAPTURE_KIND_END || !wanted) {
        reader->index = frame->first + frame->count;
        reader->offset = end;
        return GO_ON;
    }
    int rc = frame_load(reader, frame, &good, err);
    if (rc)
        return rc;
    reader->offset = end;
    reader->index = frame->first;
    if (!good)
        return damaged(reader, frame->count, out);
    if (frame->kind == CAPTURE_KIND_LOST)
        return lost(reader, out);
    reader->left = frame->count;
    reader->last_ms = 0;
    return GO_ON;
}

static int frame_next(struct capture_reader *reader, struct capture_item *out, struct err *err)
{
    uint8_t text[CAPTURE_FRAME_BYTES];
    struct capture_frame frame;
    *out = (struct capture_item){.index = reader->index};
    int rc = size_see(reader, err); /* it may have grown: a copy that is still being made */
    if (rc)
        return rc;
    if (reader->offset > reader->size || reader->size - reader->offset < sizeof text)
        return CAPTURE_CUT;
    rc = read_at(reader, text, sizeof text, reader->offset, err);
    if (rc)
        return rc;
    if (!capture_frame_decode(text, reader->header.id, reader->offset, &frame)) {
        rc = search(reader, err);
        return rc ? rc : GO_ON;
    }
    uint64_t reached = reader->index > reader->skip_below ? reader->index : reader->skip_below;
    if (frame.first > reached) /* so many were in frames whose header is damaged */
        return damaged(reader, frame.first - reader->index, out);
    if (frame.first < reader->index) { /* no writer of ours made this */
        reader->offset += sizeof text;
        return damaged(reader, 0, out);
    }
    if (frame.stored_bytes > reader->size - reader->offset - sizeof text)
        return CAPTURE_CUT;
    return frame_open(reader, &frame, out, err);
}

/* ---- messages ---- */

static bool record_next(struct capture_reader *reader, struct message *out)
{
    struct reader in = reader_of(reader_varbytes(&reader->records));
    if (reader->records.failed)
        return false;
    uint64_t delta = (uint64_t)zigzag_decode(reader_varint(&in));
    out->received_ms = reader->last_ms = (int64_t)((uint64_t)reader->last_ms + delta);
    out->seq = reader_varint(&in);
    out->flags = reader_u8(&in);
    out->protocol = reader_u8(&in);
    out->packet_id = reader_u16_le(&in);
    out->vendor = reader_varbytes(&in);
    out->client = reader_varbytes(&in);
    out->topic = reader_varbytes(&in);
    out->properties = reader_varbytes(&in);
    out->payload = reader_bytes(&in, reader_left(&in));
    return !in.failed;
}

int capture_reader_next(struct capture_reader *reader, struct capture_item *out, struct err *err)
{
    for (;;) {
        if (reader->left == 0) {
            int got = frame_next(reader, out, err);
            if (got != GO_ON)
                return got;
            continue;
        }
        *out = (struct capture_item){.index = reader->index};
        if (!record_next(reader, &out->message)) {
            uint64_t count = reader->left;
            reader->left = 0;
            return damaged(reader, count, out);
        }
        reader->left--;
        if (reader->index++ >= reader->skip_below)
            return CAPTURE_MESSAGE;
    }
}
