/* SPDX-License-Identifier: Apache-2.0
 *
 * RLE/bit-packing hybrid and DELTA_BINARY_PACKED. Separate because these are pure transforms of
 * numbers and bytes. Any thread.
 */
#include "sinks/parquet/encodings.h"

enum {
    GROUP = 8,   /* bit-packed runs come in groups of eight */
    RUN_MIN = 8, /* shorter repetitions are cheaper bit-packed */
    BLOCK = 128, /* DELTA_BINARY_PACKED */
    MINIBLOCKS = 4,
    MINIBLOCK = BLOCK / MINIBLOCKS,
};

/* ---- bits, from the lowest on ---- */

static void pack_bits(const uint64_t *values, size_t count, int width, struct buffer *out)
{
    size_t size = (count * (size_t)width + 7) / 8;
    uint8_t *at = buffer_reserve(out, size);
    unsigned __int128 pending = 0;
    int pending_bits = 0;
    for (size_t i = 0; i < count; i++) {
        pending |= (unsigned __int128)values[i] << pending_bits;
        pending_bits += width;
        for (; pending_bits >= 8; pending_bits -= 8, pending >>= 8)
            *at++ = (uint8_t)pending;
    }
    if (pending_bits > 0)
        *at = (uint8_t)pending;
    out->size += size;
}

static void unpack_bits(const uint8_t *at, size_t count, int width, uint64_t *values)
{
    uint64_t mask = width == 64 ? UINT64_MAX : ((uint64_t)1 << width) - 1;
    unsigned __int128 pending = 0;
    int pending_bits = 0;
    for (size_t i = 0; i < count; i++) {
        for (; pending_bits < width; pending_bits += 8)
            pending |= (unsigned __int128)*at++ << pending_bits;
        values[i] = (uint64_t)pending & mask;
        pending >>= width;
        pending_bits -= width;
    }
}

/* ---- RLE/bit-packing hybrid ---- */

static size_t run_length(const uint32_t *values, size_t count)
{
    size_t length = 1;
    while (length < count && values[length] == values[0])
        length++;
    return length;
}

static void put_run(uint32_t value, size_t length, int width, struct buffer *out)
{
    buffer_varint(out, (uint64_t)length << 1);
    for (int bit = 0; bit < width; bit += 8)
        buffer_u8(out, (uint8_t)(value >> bit));
}

/* `count` values as whole groups; the last group of all may be short and is filled with zeros. */
static void put_packed(const uint32_t *values, size_t count, int width, struct buffer *out)
{
    size_t groups = (count + GROUP - 1) / GROUP;
    buffer_varint(out, (uint64_t)groups << 1 | 1);
    for (size_t at = 0; at < groups * GROUP; at += GROUP) {
        uint64_t group[GROUP] = {0};
        for (size_t i = 0; i < GROUP && at + i < count; i++)
            group[i] = values[at + i];
        pack_bits(group, GROUP, width, out);
    }
}

void rle_encode(const uint32_t *values, size_t count, int width, struct buffer *out)
{
    size_t packed = 0; /* values before `at` that wait to be bit-packed */
    size_t at = 0;
    while (at < count) {
        size_t run = run_length(values + at, count - at);
        /* What waits must be whole groups: it borrows from the front of the run. */
        size_t borrow = (GROUP - packed % GROUP) % GROUP;
        if (run < borrow + RUN_MIN) {
            packed += run;
            at += run;
            continue;
        }
        if (packed + borrow)
            put_packed(values + at - packed, packed + borrow, width, out);
        put_run(values[at], run - borrow, width, out);
        at += run;
        packed = 0;
    }
    if (packed)
        put_packed(values + at - packed, packed, width, out);
}

static size_t take_run(struct reader *in, int width, uint64_t length, uint32_t *values, size_t room)
{
    uint32_t value = 0;
    for (int bit = 0; bit < width; bit += 8)
        value |= (uint32_t)reader_u8(in) << bit;
    if (length == 0 || length > room || (width < 32 && value >> width))
        in->failed = true;
    if (in->failed)
        return 0;
    for (size_t i = 0; i < length; i++)
        values[i] = value;
    return (size_t)length;
}

static size_t take_packed(struct reader *in, int width, uint64_t groups, uint32_t *values,
                          size_t room)
{
    if (groups == 0 || groups > room / GROUP + 1) {
        in->failed = true;
        return 0;
    }
    struct bytes bits = reader_bytes(in, (size_t)groups * (size_t)width);
    if (in->failed)
        return 0;
    size_t done = 0;
    for (size_t i = 0; i < groups && done < room; i++) {
        uint64_t group[GROUP];
        unpack_bits(bits.data + i * (size_t)width, GROUP, width, group);
        for (size_t k = 0; k < GROUP && done < room; k++)
            values[done++] = (uint32_t)group[k];
    }
    return done;
}

void rle_decode(struct reader *in, int width, uint32_t *values, size_t count)
{
    if (width < 0 || width > 32)
        in->failed = true;
    size_t done = 0;
    while (done < count && !in->failed) {
        uint64_t head = reader_varint(in);
        if (in->failed)
            return;
        if (head & 1)
            done += take_packed(in, width, head >> 1, values + done, count - done);
        else
            done += take_run(in, width, head >> 1, values + done, count - done);
    }
}

/* ---- DELTA_BINARY_PACKED ---- */

static void put_block(const int64_t *values, size_t count, int64_t before, struct buffer *out)
{
    int64_t deltas[BLOCK];
    int64_t smallest = INT64_MAX;
    for (size_t i = 0; i < count; i++) {
        /* Wraps as the format wants it. */
        deltas[i] = (int64_t)((uint64_t)values[i] - (uint64_t)before);
        before = values[i];
        smallest = deltas[i] < smallest ? deltas[i] : smallest;
    }
    uint64_t rest[BLOCK] = {0};
    uint64_t widest[MINIBLOCKS] = {0};
    for (size_t i = 0; i < count; i++) {
        rest[i] = (uint64_t)deltas[i] - (uint64_t)smallest;
        widest[i / MINIBLOCK] |= rest[i];
    }
    buffer_varint(out, zigzag_encode(smallest));
    for (size_t i = 0; i < MINIBLOCKS; i++)
        buffer_u8(out, (uint8_t)bits_for(widest[i]));
    for (size_t i = 0; i * MINIBLOCK < count; i++)
        pack_bits(rest + i * MINIBLOCK, MINIBLOCK, bits_for(widest[i]), out);
}

void delta_encode(const int64_t *values, size_t count, struct buffer *out)
{
    buffer_varint(out, BLOCK);
    buffer_varint(out, MINIBLOCKS);
    buffer_varint(out, count);
    buffer_varint(out, zigzag_encode(count ? values[0] : 0));
    for (size_t at = 1; at < count; at += BLOCK)
        put_block(values + at, count - at < BLOCK ? count - at : BLOCK, values[at - 1], out);
}

/* values[-1] is there: the one before. */
static void take_miniblock(struct reader *in, int width, uint64_t smallest, int64_t *values,
                           size_t count)
{
    struct bytes bits = reader_bytes(in, (size_t)width * MINIBLOCK / 8);
    if (in->failed || width > 64) {
        in->failed = true;
        return;
    }
    uint64_t rest[MINIBLOCK];
    unpack_bits(bits.data, MINIBLOCK, width, rest);
    uint64_t before = (uint64_t)values[-1];
    for (size_t i = 0; i < count; i++) {
        before += smallest + rest[i];
        values[i] = (int64_t)before;
    }
}

static void take_block(struct reader *in, int64_t *values, size_t count)
{
    uint64_t smallest = (uint64_t)zigzag_decode(reader_varint(in));
    struct bytes widths = reader_bytes(in, MINIBLOCKS);
    for (size_t i = 0; i * MINIBLOCK < count && !in->failed; i++) {
        size_t left = count - i * MINIBLOCK;
        take_miniblock(in, widths.data[i], smallest, values + i * MINIBLOCK,
                       left < MINIBLOCK ? left : MINIBLOCK);
    }
}

void delta_decode(struct reader *in, int64_t *values, size_t count)
{
    uint64_t block = reader_varint(in);
    uint64_t miniblocks = reader_varint(in);
    uint64_t total = reader_varint(in);
    int64_t first = zigzag_decode(reader_varint(in));
    if (block != BLOCK || miniblocks != MINIBLOCKS || total != count)
        in->failed = true;
    if (in->failed || count == 0)
        return;
    values[0] = first;
    for (size_t at = 1; at < count && !in->failed; at += BLOCK)
        take_block(in, values + at, count - at < BLOCK ? count - at : BLOCK);
}
