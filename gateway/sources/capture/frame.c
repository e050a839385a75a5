/* SPDX-License-Identifier: Apache-2.0
 *
 * The two headers of a capture file as bytes and back. Pure, any thread.
 */
#include "base/crc32c.h"
#include "sources/capture/file.h"

enum { VERSION = 1, HEADER_CRC_AT = 60, FRAME_CRC_AT = 44 };

static const char header_magic[] = "TGCAPTUR";
static const char frame_magic[] = "TGfr";

void capture_header_encode(const struct capture_header *header, uint8_t out[CAPTURE_HEADER_BYTES])
{
    memset(out, 0, CAPTURE_HEADER_BYTES);
    memcpy(out, header_magic, 8);
    store_u16_le(out + 8, VERSION);
    store_u16_le(out + 10, CAPTURE_HEADER_BYTES);
    store_u64_le(out + 16, header->id);
    store_u64_le(out + 24, header->gateway.bits);
    store_u64_le(out + 32, (uint64_t)header->made_ms);
    store_u64_le(out + 40, (uint64_t)header->from_ms);
    store_u64_le(out + 48, (uint64_t)header->to_ms);
    store_u32_le(out + HEADER_CRC_AT, crc32c(0, bytes_of(out, HEADER_CRC_AT)));
}

int capture_header_decode(const uint8_t in[CAPTURE_HEADER_BYTES], struct capture_header *out,
                          struct err *err)
{
    struct reader reader = reader_of(bytes_of(in, CAPTURE_HEADER_BYTES));
    if (!bytes_equal(reader_bytes(&reader, 8), bytes_of(header_magic, 8)))
        return err_set(err, GW_ECORRUPT,
                       "this is no capture file; `tidegate journal export` makes one");
    unsigned version = reader_u16_le(&reader);
    if (version > VERSION)
        return err_set(err, GW_EVERSION,
                       "this capture file has version %u, and this program reads up to %d: take a "
                       "newer one",
                       version, VERSION);
    unsigned size = reader_u16_le(&reader);
    reader_bytes(&reader, 4);
    out->id = reader_u64_le(&reader);
    out->gateway.bits = reader_u64_le(&reader);
    out->made_ms = (int64_t)reader_u64_le(&reader);
    out->from_ms = (int64_t)reader_u64_le(&reader);
    out->to_ms = (int64_t)reader_u64_le(&reader);
    reader_bytes(&reader, 4);
    uint32_t crc = reader_u32_le(&reader);
    if (version == 0 || size != CAPTURE_HEADER_BYTES ||
        crc != crc32c(0, bytes_of(in, HEADER_CRC_AT)))
        return err_set(err, GW_ECORRUPT, "the header of this capture file is damaged");
    return 0;
}

static uint32_t frame_crc(const uint8_t *header, uint64_t id)
{
    uint8_t text[8];
    store_u64_le(text, id);
    return crc32c(crc32c(0, bytes_of(text, sizeof text)), bytes_of(header, FRAME_CRC_AT));
}

void capture_frame_encode(const struct capture_frame *frame, uint64_t id,
                          uint8_t out[CAPTURE_FRAME_BYTES])
{
    memset(out, 0, CAPTURE_FRAME_BYTES);
    memcpy(out, frame_magic, 4);
    out[4] = frame->kind;
    out[5] = frame->codec;
    store_u64_le(out + 8, frame->first);
    store_u32_le(out + 16, frame->count);
    store_u32_le(out + 20, frame->raw_bytes);
    store_u32_le(out + 24, frame->stored_bytes);
    store_u32_le(out + 28, frame->body_crc);
    store_u64_le(out + 32, frame->offset);
    store_u32_le(out + FRAME_CRC_AT, frame_crc(out, id));
}

bool capture_frame_decode(const uint8_t in[CAPTURE_FRAME_BYTES], uint64_t id, uint64_t offset,
                          struct capture_frame *out)
{
    struct reader reader = reader_of(bytes_of(in, CAPTURE_FRAME_BYTES));
    if (!bytes_equal(reader_bytes(&reader, 4), bytes_of(frame_magic, 4)))
        return false;
    out->kind = reader_u8(&reader);
    out->codec = reader_u8(&reader);
    reader_bytes(&reader, 2);
    out->first = reader_u64_le(&reader);
    out->count = reader_u32_le(&reader);
    out->raw_bytes = reader_u32_le(&reader);
    out->stored_bytes = reader_u32_le(&reader);
    out->body_crc = reader_u32_le(&reader);
    out->offset = reader_u64_le(&reader);
    reader_bytes(&reader, 4);
    return reader_u32_le(&reader) == frame_crc(in, id) && out->offset == offset &&
           out->raw_bytes <= CAPTURE_BODY_MAX && out->first <= UINT64_MAX - out->count;
}
