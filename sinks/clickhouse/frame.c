/* SPDX-License-Identifier: Apache-2.0
 *
 * Compressed frames. The compressor's memory is kept between blocks. Separate from the block
 * because a frame knows bytes only. One thread.
 */
#include "sinks/clickhouse/frame.h"

#include <stdlib.h>
#include <zstd.h>

#include "sinks/clickhouse/city.h"

enum { CHECKSUM_SIZE = 16, INNER_HEADER_SIZE = FRAME_HEADER_SIZE - CHECKSUM_SIZE };
/* What the servers take at most (DBMS DEFAULT: 1 GiB). */
enum { FRAME_SIZE_MAX = 1 << 30 };

struct framer {
    enum frame_method method;
    ZSTD_CCtx *zstd; /* of FRAME_ZSTD */
};

struct framer *framer_new(enum frame_method method, int level)
{
    struct framer *framer = mem_zalloc(sizeof *framer);
    framer->method = method;
    if (method == FRAME_ZSTD) {
        framer->zstd = ZSTD_createCCtx();
        gw_assert(framer->zstd);
        gw_assert(
            !ZSTD_isError(ZSTD_CCtx_setParameter(framer->zstd, ZSTD_c_compressionLevel, level)));
    }
    return framer;
}

void framer_free(struct framer *framer)
{
    if (framer)
        ZSTD_freeCCtx(framer->zstd);
    free(framer);
}

/* ---- out ---- */

/* The payload of one frame at `to`; its size. */
static size_t payload_write(struct framer *framer, struct bytes raw, uint8_t *to, size_t room)
{
    if (framer->method == FRAME_NONE) {
        memcpy(to, raw.data, raw.size);
        return raw.size;
    }
    size_t size = ZSTD_compress2(framer->zstd, to, room, raw.data, raw.size);
    gw_assert(!ZSTD_isError(size)); /* the room is the bound, and nothing else can fail */
    return size;
}

static void frame_add(struct framer *framer, struct bytes raw, struct buffer *out)
{
    size_t room = ZSTD_compressBound(raw.size);
    uint8_t *frame = buffer_reserve(out, FRAME_HEADER_SIZE + room);
    size_t payload = payload_write(framer, raw, frame + FRAME_HEADER_SIZE, room);
    uint8_t *inner = frame + CHECKSUM_SIZE;
    inner[0] = (uint8_t)framer->method;
    store_u32_le(inner + 1, (uint32_t)(payload + INNER_HEADER_SIZE));
    store_u32_le(inner + 5, (uint32_t)raw.size);
    struct city128 checksum = city_hash128(bytes_of(inner, payload + INNER_HEADER_SIZE));
    store_u64_le(frame, checksum.low);
    store_u64_le(frame + 8, checksum.high);
    out->size += FRAME_HEADER_SIZE + payload;
}

void framer_add(struct framer *framer, struct bytes raw, struct buffer *out)
{
    for (size_t at = 0; at < raw.size;) {
        size_t size = raw.size - at < FRAME_RAW_MAX ? raw.size - at : FRAME_RAW_MAX;
        frame_add(framer, bytes_of(raw.data + at, size), out);
        at += size;
    }
}

/* ---- back ---- */

static int payload_read(uint8_t method, struct bytes payload, uint32_t raw_size, struct buffer *out,
                        struct err *err)
{
    if (method == FRAME_NONE && payload.size == raw_size) {
        buffer_add_bytes(out, payload);
        return 0;
    }
    if (method != FRAME_ZSTD)
        return err_set(err, GW_ECORRUPT, "frame: method 0x%02x, %zu bytes for %u", method,
                       payload.size, raw_size);
    size_t size =
        ZSTD_decompress(buffer_reserve(out, raw_size), raw_size, payload.data, payload.size);
    if (ZSTD_isError(size) || size != raw_size)
        return err_set(err, GW_ECORRUPT, "frame: %s",
                       ZSTD_isError(size) ? ZSTD_getErrorName(size) : "shorter than it says");
    out->size += size;
    return 0;
}

static int frame_read(struct reader *reader, struct buffer *out, struct err *err)
{
    struct city128 checksum;
    checksum.low = reader_u64_le(reader);
    checksum.high = reader_u64_le(reader);
    struct reader inner = *reader;
    uint8_t method = reader_u8(&inner);
    uint32_t size = reader_u32_le(&inner), raw_size = reader_u32_le(&inner);
    if (inner.failed || size < INNER_HEADER_SIZE || size > FRAME_SIZE_MAX ||
        raw_size > FRAME_SIZE_MAX)
        return err_set(err, GW_ECORRUPT, "frame: no header");
    struct bytes body = reader_bytes(reader, size);
    if (reader->failed)
        return err_set(err, GW_ECORRUPT, "frame: cut");
    struct city128 found = city_hash128(body);
    if (found.low != checksum.low || found.high != checksum.high)
        return err_set(err, GW_ECORRUPT, "frame: the checksum does not match");
    struct bytes payload = {body.data + INNER_HEADER_SIZE, body.size - INNER_HEADER_SIZE};
    return payload_read(method, payload, raw_size, out, err);
}

int frame_decode(struct bytes in, struct buffer *out, struct err *err)
{
    struct reader reader = reader_of(in);
    while (reader_left(&reader) > 0) {
        int status = frame_read(&reader, out, err);
        if (status < 0)
            return status;
    }
    return 0;
}
