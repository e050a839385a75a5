/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes from outside, with their length; a reader that cannot overrun; a buffer that grows.
 *
 * `struct bytes` borrows: whoever hands it out says for how long. `struct reader` has a sticky
 * error: after the first read past the end every further read gives zero and `failed` stays set,
 * so a parser checks once at the end. Numbers are little-endian on disk (`_le`) and big-endian in
 * MQTT (`_be`). Nothing here is shared between threads.
 */
#ifndef TIDEGATE_BASE_BYTES_H
#define TIDEGATE_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"

struct bytes {
    const uint8_t *data;
    size_t size;
};

static inline struct bytes bytes_of(const void *data, size_t size)
{
    return (struct bytes){(const uint8_t *)data, size};
}

static inline struct bytes bytes_text(const char *text)
{
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool bytes_equal_text(struct bytes a, const char *text)
{
    return bytes_equal(a, bytes_text(text));
}

/* Order by unsigned bytes, the shorter first: the order of UTF-8 code points. */
static inline int bytes_compare(struct bytes a, struct bytes b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common ? memcmp(a.data, b.data, common) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

/* A NUL-terminated copy; the caller frees it. */
static inline char *bytes_strdup(struct bytes in)
{
    char *text = mem_alloc(in.size + 1);
    if (in.size)
        memcpy(text, in.data, in.size);
    text[in.size] = '\0';
    return text;
}

/* ---- reader ---- */

struct reader {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
};

static inline struct reader reader_of(struct bytes in)
{
    /* What is empty may be null, and null takes no addition. */
    return (struct reader){in.data, in.size ? in.data + in.size : in.data, false};
}

static inline size_t reader_left(const struct reader *reader)
{
    return (size_t)(reader->end - reader->at);
}

static inline struct bytes reader_bytes(struct reader *reader, size_t size)
{
    if (reader->failed || size > reader_left(reader)) {
        reader->failed = true;
        return (struct bytes){reader->at, 0};
    }
    struct bytes out = {reader->at, size};
    reader->at += size;
    return out;
}

static inline uint8_t reader_u8(struct reader *reader)
{
    struct bytes in = reader_bytes(reader, 1);
    return in.size ? in.data[0] : 0;
}

static inline uint16_t reader_u16_be(struct reader *reader)
{
    struct bytes in = reader_bytes(reader, 2);
    return in.size ? (uint16_t)(in.data[0] << 8 | in.data[1]) : 0;
}

static inline uint32_t reader_u32_be(struct reader *reader)
{
    struct bytes in = reader_bytes(reader, 4);
    return in.size ? (uint32_t)in.data[0] << 24 | (uint32_t)in.data[1] << 16 |
                         (uint32_t)in.data[2] << 8 | in.data[3]
                   : 0;
}

static inline uint16_t reader_u16_le(struct reader *reader)
{
    struct bytes in = reader_bytes(reader, 2);
    return in.size ? (uint16_t)(in.data[1] << 8 | in.data[0]) : 0;
}

static inline uint32_t reader_u32_le(struct reader *reader)
{
    struct bytes in = reader_bytes(reader, 4);
    return in.size ? (uint32_t)in.data[3] << 24 | (uint32_t)in.data[2] << 16 |
                         (uint32_t)in.data[1] << 8 | in.data[0]
                   : 0;
}

static inline uint64_t reader_u64_le(struct reader *reader)
{
    uint64_t low = reader_u32_le(reader);
    uint64_t high = reader_u32_le(reader);
    return high << 32 | low;
}

/* LEB128, at most ten bytes. */
static inline uint64_t reader_varint(struct reader *reader)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = reader_u8(reader);
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return reader->failed ? 0 : value;
    }
    reader->failed = true;
    return 0;
}

/* A varint length and that many bytes. */
static inline struct bytes reader_varbytes(struct reader *reader)
{
    uint64_t size = reader_varint(reader);
    if (size > reader_left(reader)) {
        reader->failed = true;
        size = 0;
    }
    return reader_bytes(reader, (size_t)size);
}

static inline uint64_t zigzag_encode(int64_t value)
{
    return (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
}

static inline int64_t zigzag_decode(uint64_t value)
{
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

/* ---- buffer ---- */

/* Memory that grows. A zeroed object is an empty buffer; buffer_fini frees. */
struct buffer {
    uint8_t *data;
    size_t size;
    size_t capacity;
};

void buffer_fini(struct buffer *buffer);
/* Room for `more` bytes behind `size`; the pointer is valid until the next growth. */
uint8_t *buffer_reserve(struct buffer *buffer, size_t more);
void buffer_printf(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static inline void buffer_clear(struct buffer *buffer)
{
    buffer->size = 0;
}

static inline struct bytes buffer_bytes(const struct buffer *buffer)
{
    return (struct bytes){buffer->data, buffer->size};
}

static inline void buffer_add(struct buffer *buffer, const void *data, size_t size)
{
    if (size) {
        memcpy(buffer_reserve(buffer, size), data, size);
        buffer->size += size;
    }
}

static inline void buffer_add_bytes(struct buffer *buffer, struct bytes in)
{
    buffer_add(buffer, in.data, in.size);
}

static inline void buffer_add_text(struct buffer *buffer, const char *text)
{
    buffer_add(buffer, text, strlen(text));
}

static inline void buffer_u8(struct buffer *buffer, uint8_t value)
{
    *buffer_reserve(buffer, 1) = value;
    buffer->size += 1;
}

static inline void store_u16_le(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

static inline void store_u32_le(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static inline void store_u64_le(uint8_t *at, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static inline void buffer_u16_le(struct buffer *buffer, uint16_t value)
{
    store_u16_le(buffer_reserve(buffer, 2), value);
    buffer->size += 2;
}

static inline void buffer_u32_le(struct buffer *buffer, uint32_t value)
{
    store_u32_le(buffer_reserve(buffer, 4), value);
    buffer->size += 4;
}

static inline void buffer_u64_le(struct buffer *buffer, uint64_t value)
{
    store_u64_le(buffer_reserve(buffer, 8), value);
    buffer->size += 8;
}

static inline void buffer_u16_be(struct buffer *buffer, uint16_t value)
{
    uint8_t *at = buffer_reserve(buffer, 2);
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
    buffer->size += 2;
}

static inline void buffer_u32_be(struct buffer *buffer, uint32_t value)
{
    uint8_t *at = buffer_reserve(buffer, 4);
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
    buffer->size += 4;
}

/* Returns the number of bytes written at `at`, at most ten. */
static inline size_t store_varint(uint8_t *at, uint64_t value)
{
    size_t count = 0;
    while (value >= 0x80) {
        at[count++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    at[count++] = (uint8_t)value;
    return count;
}

static inline void buffer_varint(struct buffer *buffer, uint64_t value)
{
    buffer->size += store_varint(buffer_reserve(buffer, 10), value);
}

static inline void buffer_varbytes(struct buffer *buffer, struct bytes in)
{
    buffer_varint(buffer, in.size);
    buffer_add_bytes(buffer, in);
}

#endif
