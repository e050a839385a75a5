/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing a capture file: messages are collected to a frame, which is compressed and handed on whole.
 * The exporter's thread.
 */
#include <stdlib.h>
#include <zstd.h>

#include "base/crc32c.h"
#include "sources/capture/file.h"

enum { FRAME_BYTES = 1 << 20, LEVEL = 3 };

struct capture_writer {
    int (*put)(void *arg, struct bytes in, struct err *err);
    void *arg;
    uint64_t id;
    uint64_t offset;  /* bytes handed on */
    uint64_t written; /* messages, those of the open frame too */
    uint32_t count;   /* in the open frame */
    int64_t last_ms;
    struct buffer body, packed, record;
    ZSTD_CCtx *zstd;
};

static int hand_on(struct capture_writer *writer, struct bytes in, struct err *err)
{
    int rc = writer->put(writer->arg, in, err);
    writer->offset += in.size;
    return rc;
}

int capture_writer_new(const struct capture_header *header,
                       int (*put)(void *arg, struct bytes in, struct err *err), void *arg,
                       struct capture_writer **out, struct err *err)
{
    uint8_t text[CAPTURE_HEADER_BYTES];
    struct capture_writer *writer = mem_zalloc(sizeof *writer);
    *writer = (struct capture_writer){.put = put, .arg = arg, .id = header->id};
    writer->zstd = ZSTD_createCCtx();
    gw_assert(writer->zstd != NULL);
    ZSTD_CCtx_setParameter(writer->zstd, ZSTD_c_compressionLevel, LEVEL);
    capture_header_encode(header, text);
    int rc = hand_on(writer, bytes_of(text, sizeof text), err);
    if (rc) {
        capture_writer_free(writer);
        return rc;
    }
    *out = writer;
    return 0;
}

void capture_writer_free(struct capture_writer *writer)
{
    if (writer == NULL)
        return;
    ZSTD_freeCCtx(writer->zstd);
    buffer_fini(&writer->body);
    buffer_fini(&writer->packed);
    buffer_fini(&writer->record);
    free(writer);
}

static int frame_put(struct capture_writer *writer, enum capture_kind kind, uint32_t count,
                     struct bytes body, struct err *err)
{
    struct capture_frame frame = {
        .kind = (uint8_t)kind,
        .first = writer->written - count,
        .count = count,
        .raw_bytes = (uint32_t)body.size,
        .offset = writer->offset,
    };
    struct bytes stored = body;
    if (kind == CAPTURE_KIND_MESSAGES) {
        size_t bound = ZSTD_compressBound(body.size);
        buffer_clear(&writer->packed);
        uint8_t *at = buffer_reserve(&writer->packed, bound);
        size_t size = ZSTD_compress2(writer->zstd, at, bound, body.data, body.size);
        gw_assert(!ZSTD_isError(size));
        if (size < body.size) {
            stored = bytes_of(at, size);
            frame.codec = 1;
        }
    }
    frame.stored_bytes = (uint32_t)stored.size;
    frame.body_crc = crc32c(0, stored);
    uint8_t text[CAPTURE_FRAME_BYTES];
    capture_frame_encode(&frame, writer->id, text);
    int rc = hand_on(writer, bytes_of(text, sizeof text), err);
    return rc ? rc : hand_on(writer, stored, err);
}

static int flush(struct capture_writer *writer, struct err *err)
{
    if (writer->count == 0)
        return 0;
    int rc =
        frame_put(writer, CAPTURE_KIND_MESSAGES, writer->count, buffer_bytes(&writer->body), err);
    buffer_clear(&writer->body);
    writer->count = 0;
    writer->last_ms = 0;
    return rc;
}

static void record_put(struct capture_writer *writer, const struct message *message)
{
    struct buffer *record = &writer->record;
    buffer_clear(record);
    /* Unsigned: a difference of hostile times must not overflow, and comes back the same. */
    uint64_t delta = (uint64_t)message->received_ms - (uint64_t)writer->last_ms;
    buffer_varint(record, zigzag_encode((int64_t)delta));
    buffer_varint(record, message->seq);
    buffer_u8(record, message->flags);
    buffer_u8(record, message->protocol);
    buffer_u16_le(record, message->packet_id);
    buffer_varbytes(record, message->vendor);
    buffer_varbytes(record, message->client);
    buffer_varbytes(record, message->topic);
    buffer_varbytes(record, message->properties);
    buffer_varint(&writer->body, record->size + message->payload.size);
    buffer_add_bytes(&writer->body, buffer_bytes(record));
    buffer_add_bytes(&writer->body, message->payload);
    writer->last_ms = message->received_ms;
    writer->count++;
    writer->written++;
}

int capture_write(struct capture_writer *writer, const struct message *message, struct err *err)
{
    size_t size = message->payload.size + message->topic.size + message->client.size +
                  message->vendor.size + message->properties.size;
    if (size > CAPTURE_BODY_MAX - FRAME_BYTES)
        return err_set(err, GW_ELIMIT, "a message of %zu bytes is larger than any that MQTT has",
                       size);
    record_put(writer, message);
    return writer->body.size >= FRAME_BYTES ? flush(writer, err) : 0;
}

int capture_write_lost(struct capture_writer *writer, uint64_t first_seq, uint64_t count,
                       struct err *err)
{
    uint8_t body[16];
    store_u64_le(body, first_seq);
    store_u64_le(body + 8, count);
    int rc = flush(writer, err);
    return rc ? rc : frame_put(writer, CAPTURE_KIND_LOST, 0, bytes_of(body, sizeof body), err);
}

int capture_write_end(struct capture_writer *writer, struct err *err)
{
    int rc = flush(writer, err);
    return rc ? rc : frame_put(writer, CAPTURE_KIND_END, 0, (struct bytes){0}, err);
}

uint64_t capture_written(const struct capture_writer *writer)
{
    return writer->written;
}
