/* SPDX-License-Identifier: Apache-2.0
 *
 * Extents to bytes and back. Nothing read here is trusted before its checksum was right, and no
 * memory is taken because a length says so. One thread for one loader or compressor.
 */
#include "journal/extent.h"

#include <zstd.h>

#include "base/crc32c.h"

enum {
    MAGIC = 0x31584754, /* "TGX1" */
    VERSION = 1,
    FLAG_REPLAY = 1,
    /* Below this a body does not become smaller. */
    COMPRESS_MIN = 64,
};

static void store_parts(struct buffer *out, const struct bytes *parts, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        buffer_add_bytes(out, parts[i]);
}

/* False when the body did not become smaller; `out` then holds nothing more than before. */
static bool compress_parts(ZSTD_CCtx *zstd, const struct bytes *parts, uint32_t count, size_t total,
                           struct buffer *out)
{
    ZSTD_CCtx_reset(zstd, ZSTD_reset_session_only);
    ZSTD_CCtx_setPledgedSrcSize(zstd, total);
    ZSTD_outBuffer room = {buffer_reserve(out, total), total, 0};
    for (uint32_t i = 0; i < count; i++) {
        ZSTD_inBuffer in = {parts[i].data, parts[i].size, 0};
        ZSTD_EndDirective end = i + 1 == count ? ZSTD_e_end : ZSTD_e_continue;
        size_t left;
        do {
            left = ZSTD_compressStream2(zstd, &room, &in, end);
            if (ZSTD_isError(left) || (room.pos == room.size && (left || in.pos < in.size)))
                return false;
        } while (end == ZSTD_e_end ? left != 0 : in.pos < in.size);
    }
    out->size += room.pos;
    return room.pos < total;
}

int extent_body_encode(struct extent_header *header, const struct bytes *parts, uint32_t count,
                       struct ZSTD_CCtx_s *zstd, struct buffer *out, struct err *err)
{
    size_t total = 0;
    for (uint32_t i = 0; i < count; i++)
        total += parts[i].size;
    if (total > EXTENT_BODY_MAX)
        return err_set(err, GW_ELIMIT, "an extent of %zu bytes is above the limit of %d", total,
                       EXTENT_BODY_MAX);
    buffer_clear(out);
    buffer_reserve(out, EXTENT_HEADER_BYTES);
    out->size = EXTENT_HEADER_BYTES;
    header->codec = EXTENT_ZSTD;
    if (zstd == NULL || total < COMPRESS_MIN || !compress_parts(zstd, parts, count, total, out)) {
        header->codec = EXTENT_STORED;
        out->size = EXTENT_HEADER_BYTES;
        store_parts(out, parts, count);
    }
    header->raw_bytes = (uint32_t)total;
    header->stored_bytes = (uint32_t)(out->size - EXTENT_HEADER_BYTES);
    size_t zeros = (size_t)extent_disk_bytes(header->stored_bytes) - out->size;
    memset(buffer_reserve(out, zeros), 0, zeros);
    out->size += zeros;
    header->body_crc =
        crc32c(0, bytes_of(out->data + EXTENT_HEADER_BYTES, out->size - EXTENT_HEADER_BYTES));
    return 0;
}

void extent_header_encode(const struct extent_header *header, uint8_t out[EXTENT_HEADER_BYTES])
{
    memset(out, 0, EXTENT_HEADER_BYTES);
    store_u32_le(out, MAGIC);
    out[4] = VERSION;
    out[5] = header->kind;
    out[6] = header->codec;
    out[7] = header->replay ? FLAG_REPLAY : 0;
    store_u64_le(out + 8, header->place.identity.bits);
    store_u64_le(out + 16, header->place.salt);
    store_u64_le(out + 24, header->place.segment);
    store_u64_le(out + 32, header->place.offset);
    store_u64_le(out + 40, header->first_seq);
    store_u32_le(out + 48, header->seq_count);
    store_u32_le(out + 52, header->generation);
    store_u64_le(out + 56, (uint64_t)header->received_min_ms);
    store_u64_le(out + 64, (uint64_t)header->received_max_ms);
    store_u32_le(out + 72, header->stored_bytes);
    store_u32_le(out + 76, header->raw_bytes);
    store_u32_le(out + 80, header->body_crc);
    /* 84..91 are zero, for later. */
    store_u32_le(out + 92, crc32c(0, bytes_of(out, 92)));
}

static bool stands_at(const struct extent_header *header, const struct extent_place *place)
{
    return header->place.identity.bits == place->identity.bits &&
           (place->salt == 0 || header->place.salt == place->salt) &&
           header->place.segment == place->segment && header->place.offset == place->offset;
}

bool extent_header_decode(const uint8_t raw[EXTENT_HEADER_BYTES], const struct extent_place *place,
                          struct extent_header *out)
{
    struct reader in = reader_of(bytes_of(raw, EXTENT_HEADER_BYTES));
    if (reader_u32_le(&in) != MAGIC || reader_u8(&in) != VERSION)
        return false;
#ifndef TIDEGATE_MUTANT_NO_CHECKSUM
    struct reader last = reader_of(bytes_of(raw + 92, 4));
    if (reader_u32_le(&last) != crc32c(0, bytes_of(raw, 92)))
        return false;
#endif
    out->kind = reader_u8(&in);
    out->codec = reader_u8(&in);
    out->replay = reader_u8(&in) & FLAG_REPLAY;
    out->place.identity.bits = reader_u64_le(&in);
    out->place.salt = reader_u64_le(&in);
    out->place.segment = reader_u64_le(&in);
    out->place.offset = reader_u64_le(&in);
    out->first_seq = reader_u64_le(&in);
    out->seq_count = reader_u32_le(&in);
    out->generation = reader_u32_le(&in);
    out->received_min_ms = (int64_t)reader_u64_le(&in);
    out->received_max_ms = (int64_t)reader_u64_le(&in);
    out->stored_bytes = reader_u32_le(&in);
    out->raw_bytes = reader_u32_le(&in);
    out->body_crc = reader_u32_le(&in);
    return stands_at(out, place) && out->raw_bytes <= EXTENT_BODY_MAX &&
           out->stored_bytes <= out->raw_bytes && out->codec <= EXTENT_ZSTD &&
           out->first_seq <= UINT64_MAX / 2;
}

void extent_loader_fini(struct extent_loader *loader)
{
    buffer_fini(&loader->stored);
    buffer_fini(&loader->raw);
    ZSTD_freeDCtx(loader->zstd);
    loader->zstd = NULL;
}

/* A single huge body must not stay in memory for ever. */
static void trim(struct buffer *buffer)
{
    if (buffer->capacity > 16 << 20)
        buffer_fini(buffer);
    buffer_clear(buffer);
}

/* Grows with what comes out, not with what the header says. */
static int decompress(struct extent_loader *loader, struct bytes stored, size_t raw_bytes)
{
    if (loader->zstd == NULL)
        loader->zstd = ZSTD_createDCtx();
    ZSTD_DCtx_reset(loader->zstd, ZSTD_reset_session_only);
    ZSTD_inBuffer in = {stored.data, stored.size, 0};
    size_t left = 1;
    while (left && loader->raw.size <= raw_bytes) {
        size_t step =
            raw_bytes - loader->raw.size < 256 << 10 ? raw_bytes - loader->raw.size + 1 : 256 << 10;
        ZSTD_outBuffer out = {buffer_reserve(&loader->raw, step), step, 0};
        left = ZSTD_decompressStream(loader->zstd, &out, &in);
        if (ZSTD_isError(left) || (left && out.pos == 0 && in.pos == in.size))
            return GW_ECORRUPT;
        loader->raw.size += out.pos;
    }
    return left == 0 && in.pos == in.size && loader->raw.size == raw_bytes ? 0 : GW_ECORRUPT;
}

int extent_load(struct extent_loader *loader, const struct disk *disk, int fd,
                const struct extent_header *header, struct bytes *body)
{
    trim(&loader->stored);
    trim(&loader->raw);
    size_t size = (size_t)extent_disk_bytes(header->stored_bytes) - EXTENT_HEADER_BYTES;
    uint8_t *data = buffer_reserve(&loader->stored, size);
    if (disk_read_all(disk, fd, data, size, header->place.offset + EXTENT_HEADER_BYTES) < 0)
        return GW_EIO;
#ifndef TIDEGATE_MUTANT_NO_CHECKSUM
    if (crc32c(0, bytes_of(data, size)) != header->body_crc)
        return GW_ECORRUPT;
#endif
    *body = bytes_of(data, header->stored_bytes);
    if (header->codec == EXTENT_STORED)
        return header->raw_bytes == header->stored_bytes ? 0 : GW_ECORRUPT;
    int rc = decompress(loader, *body, header->raw_bytes);
    *body = buffer_bytes(&loader->raw);
    return rc;
}
