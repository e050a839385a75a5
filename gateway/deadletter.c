/* SPDX-License-Identifier: Apache-2.0
 *
 * The form of a dead letter on disk: its length, fixed numbers, then length-prefixed strings, so
 * that a later version may add fields at the end. Pure; any thread.
 */
#include "deadletter.h"

enum { LETTER_FIXED = 8 + 8 + 1 + 1 + 2 + 1 + 2 };

void deadletter_encode(const struct deadletter *letter, struct buffer *body)
{
    const struct message *message = &letter->message;
    size_t start = body->size;
    buffer_u32_le(body, 0); /* the length, when it is known */
    buffer_u64_le(body, message->seq);
    buffer_u64_le(body, (uint64_t)message->received_ms);
    buffer_u8(body, message->flags);
    buffer_u8(body, message->protocol);
    buffer_u16_le(body, message->packet_id);
    buffer_u8(body, (uint8_t)letter->stage);
    buffer_u16_le(body, letter->codec_version);
    buffer_varbytes(body, letter->codec);
    buffer_varbytes(body, letter->reason);
    buffer_varbytes(body, letter->detail);
    buffer_varbytes(body, message->vendor);
    buffer_varbytes(body, message->client);
    buffer_varbytes(body, message->topic);
    buffer_varbytes(body, message->properties);
    buffer_varbytes(body, message->payload);
    store_u32_le(body->data + start, (uint32_t)(body->size - start - 4));
}

void deadletter_reader_init(struct deadletter_reader *reader, const struct extent *extent)
{
    reader->in = reader_of(extent->body);
}

int deadletter_reader_next(struct deadletter_reader *reader, struct deadletter *out)
{
    if (reader_left(&reader->in) == 0)
        return 0;
    uint32_t size = reader_u32_le(&reader->in);
    struct reader in = reader_of(reader_bytes(&reader->in, size));
    if (reader->in.failed || size < LETTER_FIXED)
        return GW_ECORRUPT;
    *out = (struct deadletter){0};
    out->message.seq = reader_u64_le(&in);
    out->message.received_ms = (int64_t)reader_u64_le(&in);
    out->message.flags = reader_u8(&in);
    out->message.protocol = reader_u8(&in);
    out->message.packet_id = reader_u16_le(&in);
    uint8_t stage = reader_u8(&in);
    out->stage = (enum reject_stage)stage;
    out->codec_version = reader_u16_le(&in);
    out->codec = reader_varbytes(&in);
    out->reason = reader_varbytes(&in);
    out->detail = reader_varbytes(&in);
    out->message.vendor = reader_varbytes(&in);
    out->message.client = reader_varbytes(&in);
    out->message.topic = reader_varbytes(&in);
    out->message.properties = reader_varbytes(&in);
    out->message.payload = reader_varbytes(&in);
    return in.failed || stage >= STAGE_COUNT ? GW_ECORRUPT : 1;
}
