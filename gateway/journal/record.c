/* SPDX-License-Identifier: Apache-2.0
 *
 * Records to bytes and back. Adding a message is the ingest loop's own work for each message, so it
 * reserves once and copies each byte once; a vendor, client or topic that the record before had
 * costs one bit. Adding: the loop that owns the chunk. Reading: any thread, bytes may be hostile.
 */
#include "journal/record.h"

#include "base/clock.h"

/* The first byte of a record's content: what stands behind it. What is absent is as in the record
 * before; a chunk begins with all of them empty. */
enum {
    HAS_VENDOR = 0x01,
    HAS_CLIENT = 0x02,
    HAS_TOPIC = 0x04,
    HAS_PROPERTIES = 0x08,
    HAS_PACKET_ID = 0x10,
};

/* ---- writing ---- */

/* True when it differs from the one before, which it then becomes. */
static bool changes(struct buffer *last, struct bytes now)
{
    if (last->size == now.size && (now.size == 0 || memcmp(last->data, now.data, now.size) == 0))
        return false;
    buffer_clear(last);
    buffer_add_bytes(last, now);
    return true;
}

static size_t varint_bytes(uint64_t value)
{
    return value < 0x80 ? 1 : (size_t)(63 - __builtin_clzll(value)) / 7 + 1;
}

static size_t varbytes_bytes(struct bytes in)
{
    return varint_bytes(in.size) + in.size;
}

static uint8_t *put_varbytes(uint8_t *at, struct bytes in)
{
    at += store_varint(at, in.size);
    if (in.size)
        memcpy(at, in.data, in.size);
    return at + in.size;
}

void chunk_add_message(struct chunk *chunk, const struct message *message)
{
    uint8_t bits = 0;
    size_t size = 3 + message->payload.size;
    if (changes(&chunk->last_vendor, message->vendor)) {
        bits |= HAS_VENDOR;
        size += varbytes_bytes(message->vendor);
    }
    if (changes(&chunk->last_client, message->client)) {
        bits |= HAS_CLIENT;
        size += varbytes_bytes(message->client);
    }
    if (changes(&chunk->last_topic, message->topic)) {
        bits |= HAS_TOPIC;
        size += varbytes_bytes(message->topic);
    }
    if (message->properties.size) {
        bits |= HAS_PROPERTIES;
        size += varbytes_bytes(message->properties);
    }
    if (message->packet_id) {
        bits |= HAS_PACKET_ID;
        size += 2;
    }
    uint8_t *at = buffer_reserve(&chunk->body, size + 16);
    const uint8_t *start = at;
    *at++ = RECORD_MESSAGE;
    at += store_varint(at, size);
    *at++ = bits;
    *at++ = message->flags;
    *at++ = message->protocol;
    if (bits & HAS_PACKET_ID) {
        store_u16_le(at, message->packet_id);
        at += 2;
    }
    if (bits & HAS_VENDOR)
        at = put_varbytes(at, message->vendor);
    if (bits & HAS_CLIENT)
        at = put_varbytes(at, message->client);
    if (bits & HAS_TOPIC)
        at = put_varbytes(at, message->topic);
    if (bits & HAS_PROPERTIES)
        at = put_varbytes(at, message->properties);
    if (message->payload.size)
        memcpy(at, message->payload.data, message->payload.size);
    at += message->payload.size;
    chunk->body.size += (size_t)(at - start);
    if (chunk->message_count++ == 0)
        chunk->received_ms = message->received_ms ? message->received_ms : clock_wall_ms();
    chunk->record_count++;
    chunk->message_bytes += message->payload.size + message->topic.size;
}

void chunk_add_session(struct chunk *chunk, const struct session_record *record)
{
    uint8_t bits = 0;
    if (changes(&chunk->last_vendor, record->vendor))
        bits |= HAS_VENDOR;
    if (changes(&chunk->last_client, record->client))
        bits |= HAS_CLIENT;
    struct buffer *body = &chunk->body;
    /* One slot for the time or the position: no kind has both. */
    uint64_t slot =
        zigzag_encode(record->kind == RECORD_INTAKE ? (int64_t)record->position : record->at_ms);
    size_t size = 1 + varint_bytes(record->expiry_s) + varint_bytes(slot) + 2 +
                  (bits & HAS_VENDOR ? varbytes_bytes(record->vendor) : 0) +
                  (bits & HAS_CLIENT ? varbytes_bytes(record->client) : 0);
    buffer_u8(body, (uint8_t)record->kind);
    buffer_varint(body, size);
    buffer_u8(body, bits);
    buffer_varint(body, record->expiry_s);
    buffer_varint(body, slot);
    buffer_u16_le(body, record->packet_id);
    if (bits & HAS_VENDOR)
        buffer_varbytes(body, record->vendor);
    if (bits & HAS_CLIENT)
        buffer_varbytes(body, record->client);
    chunk->record_count++;
}

size_t frame_encode(uint8_t out[FRAME_HEADER_MAX], uint32_t message_count, int64_t received_ms,
                    size_t records_bytes)
{
    size_t size = store_varint(out, message_count);
    size += store_varint(out + size, zigzag_encode(received_ms));
    return size + store_varint(out + size, records_bytes);
}

/* ---- reading ---- */

void record_reader_init(struct record_reader *reader, const struct extent *extent)
{
    *reader = (struct record_reader){
        .in = reader_of(extent->body),
        .seq = extent->first_seq,
        .chunk_end_seq = extent->first_seq,
        .end_seq = extent->first_seq + extent->seq_count,
    };
}

/* 1: a frame was opened, 0: the extent is at its end, GW_ECORRUPT. */
static int next_frame(struct record_reader *reader)
{
    if (reader->seq != reader->chunk_end_seq)
        return GW_ECORRUPT;
    if (reader_left(&reader->in) == 0)
        return reader->seq == reader->end_seq ? 0 : GW_ECORRUPT;
    uint64_t count = reader_varint(&reader->in);
    reader->received_ms = zigzag_decode(reader_varint(&reader->in));
    struct bytes records = reader_varbytes(&reader->in);
    if (reader->in.failed || count > reader->end_seq - reader->seq)
        return GW_ECORRUPT;
    reader->chunk_end_seq += count;
    reader->chunk = reader_of(records);
    reader->vendor = reader->client = reader->topic = (struct bytes){0};
    return 1;
}

static void read_names(struct record_reader *reader, struct reader *in, uint8_t bits)
{
    if (bits & HAS_VENDOR)
        reader->vendor = reader_varbytes(in);
    if (bits & HAS_CLIENT)
        reader->client = reader_varbytes(in);
    if (bits & HAS_TOPIC)
        reader->topic = reader_varbytes(in);
}

static int read_message(struct record_reader *reader, struct bytes content, struct message *out)
{
    struct reader in = reader_of(content);
    if (reader->seq == reader->chunk_end_seq)
        return GW_ECORRUPT;
    *out = (struct message){.seq = reader->seq++, .received_ms = reader->received_ms};
    uint8_t bits = reader_u8(&in);
    out->flags = reader_u8(&in);
    out->protocol = reader_u8(&in);
    if (bits & HAS_PACKET_ID)
        out->packet_id = reader_u16_le(&in);
    read_names(reader, &in, bits);
    if (bits & HAS_PROPERTIES)
        out->properties = reader_varbytes(&in);
    out->vendor = reader->vendor;
    out->client = reader->client;
    out->topic = reader->topic;
    out->payload = reader_bytes(&in, reader_left(&in));
    return in.failed ? GW_ECORRUPT : 1;
}

static int read_session(struct record_reader *reader, struct bytes content, uint8_t kind,
                        struct session_record *out)
{
    struct reader in = reader_of(content);
    uint8_t bits = reader_u8(&in);
    *out = (struct session_record){.kind = kind};
    uint64_t expiry_s = reader_varint(&in);
    out->expiry_s = (uint32_t)expiry_s;
    int64_t slot = zigzag_decode(reader_varint(&in));
    if (kind == RECORD_INTAKE)
        out->position = (uint64_t)slot;
    else
        out->at_ms = slot;
    out->packet_id = reader_u16_le(&in);
    read_names(reader, &in, bits & (HAS_VENDOR | HAS_CLIENT));
    out->vendor = reader->vendor;
    out->client = reader->client;
    return in.failed || expiry_s > UINT32_MAX ? GW_ECORRUPT : 1;
}

int record_reader_next(struct record_reader *reader, enum record_kind *kind,
                       struct message *message, struct session_record *session)
{
    for (;;) {
        if (reader_left(&reader->chunk) == 0) {
            int rc = next_frame(reader);
            if (rc <= 0)
                return rc;
            continue;
        }
        uint8_t raw_kind = reader_u8(&reader->chunk);
        struct bytes content = reader_varbytes(&reader->chunk);
        if (reader->chunk.failed)
            return GW_ECORRUPT;
        *kind = raw_kind;
        if (raw_kind == RECORD_MESSAGE)
            return read_message(reader, content, message);
        if (raw_kind >= RECORD_SESSION_MADE && raw_kind <= RECORD_INTAKE)
            return read_session(reader, content, raw_kind, session);
        /* A kind of a later version: it takes no sequence number and names nothing. */
    }
}
