/* SPDX-License-Identifier: MIT
 *
 * CityHash128 of version 1.0.2, in C. Separate because it is not ours: the algorithm is that of
 * Geoff Pike and Jyrki Alakuijala, under this notice:
 *
 * Copyright (c) 2011 Google, Inc.
 *
 * Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
 * associated documentation files (the "Software"), to deal in the Software without restriction,
 * including without limitation the rights to use, copy, modify, merge, publish, distribute,
 * sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
 * furnished to do so, subject to the following conditions:
 *
 * The above copyright notice and this permission notice shall be included in all copies or
 * substantial portions of the Software.
 *
 * THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
 * NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
 * NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM,
 * DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT
 * OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
 *
 * Any thread.
 */
#include "sinks/clickhouse/city.h"

#include <endian.h>

#define K0  UINT64_C(0xc3a5c85c97cb3127)
#define K1  UINT64_C(0xb492b66fbe98f273)
#define K2  UINT64_C(0x9ae16a3b2f90404f)
#define K3  UINT64_C(0xc949d7c7509e6557)
#define MIX UINT64_C(0x9ddfea08eb382d69)

struct pair {
    uint64_t first, second;
};

static inline uint64_t load64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return le64toh(value);
}

static inline uint64_t load32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return le32toh(value);
}

/* 0 < shift < 64 */
static inline uint64_t rotate(uint64_t value, unsigned shift)
{
    return value >> shift | value << (64 - shift);
}

static inline uint64_t shift_mix(uint64_t value)
{
    return value ^ value >> 47;
}

static inline uint64_t hash_two(uint64_t low, uint64_t high)
{
    uint64_t a = shift_mix((low ^ high) * MIX);
    return shift_mix((high ^ a) * MIX) * MIX;
}

static uint64_t hash_up_to_16(const uint8_t *at, size_t size)
{
    if (size > 8) {
        uint64_t first = load64(at), last = load64(at + size - 8);
        return hash_two(first, rotate(last + size, (unsigned)size)) ^ last;
    }
    if (size >= 4)
        return hash_two(size + (load32(at) << 3), load32(at + size - 4));
    if (size > 0) {
        uint64_t y = at[0] + ((uint64_t)at[size >> 1] << 8);
        uint64_t z = size + ((uint64_t)at[size - 1] << 2);
        return shift_mix(y * K2 ^ z * K3) * K2;
    }
    return K2;
}

static inline struct pair hash_32_weak(const uint8_t *at, uint64_t a, uint64_t b)
{
    uint64_t z = load64(at + 24);
    a += load64(at);
    b = rotate(b + a + z, 21);
    uint64_t c = a;
    a += load64(at + 8) + load64(at + 16);
    b += rotate(a, 44);
    return (struct pair){a + z, b + c};
}

/* Below 128 bytes. */
static struct city128 hash_short(const uint8_t *at, size_t size, struct pair seed)
{
    uint64_t a = seed.first, b = seed.second, c, d;
    if (size <= 16) {
        a = shift_mix(a * K1) * K1;
        c = b * K1 + hash_up_to_16(at, size);
        d = shift_mix(a + (size >= 8 ? load64(at) : c));
    } else {
        c = hash_two(load64(at + size - 8) + K1, a);
        d = hash_two(b + size, c + load64(at + size - 16));
        a += d;
        for (size_t done = 0; done + 16 < size; done += 16) {
            a = (a ^ shift_mix(load64(at + done) * K1) * K1) * K1;
            b ^= a;
            c = (c ^ shift_mix(load64(at + done + 8) * K1) * K1) * K1;
            d ^= c;
        }
    }
    a = hash_two(a, c);
    b = hash_two(d, b);
    return (struct city128){a ^ b, hash_two(b, a)};
}

struct state {
    uint64_t x, y, z;
    struct pair v, w;
};

static inline void state_take_64(struct state *state, const uint8_t *at)
{
    uint64_t x = rotate(state->x + state->y + state->v.first + load64(at + 16), 37) * K1;
    uint64_t y = rotate(state->y + state->v.second + load64(at + 48), 42) * K1;
    x ^= state->w.second;
    y ^= state->v.first;
    uint64_t z = rotate(state->z ^ state->w.first, 33);
    state->v = hash_32_weak(at, state->v.second * K1, x + state->w.first);
    state->w = hash_32_weak(at + 32, z + state->w.second, y);
    state->x = z;
    state->y = y;
    state->z = x;
}

static inline void state_take_tail(struct state *state, const uint8_t *at)
{
    state->y = rotate(state->y - state->x, 42) * K0 + state->v.second;
    state->w.first += load64(at + 16);
    state->x = rotate(state->x, 49) * K0 + state->w.first;
    state->w.first += state->v.first;
    state->v = hash_32_weak(at, state->v.first, state->v.second);
}

/* From 128 bytes on. The tail is taken from its end in steps of 32, so that the last step may reach
 * back into what was taken before. */
static struct city128 hash_long(const uint8_t *at, size_t size, struct pair seed)
{
    struct state state = {.x = seed.first, .y = seed.second, .z = size * K1};
    state.v.first = rotate(state.y ^ K1, 49) * K1 + load64(at);
    state.v.second = rotate(state.v.first, 42) * K1 + load64(at + 8);
    state.w.first = rotate(state.y + state.z, 35) * K1 + state.x;
    state.w.second = rotate(state.x + load64(at + 88), 53) * K1;
    for (; size >= 128; size -= 128, at += 128) {
        state_take_64(&state, at);
        state_take_64(&state, at + 64);
    }
    state.y += rotate(state.w.first, 37) * K0 + state.z;
    state.x += rotate(state.v.first + state.z, 49) * K0;
    for (size_t done = 32; done < size + 32; done += 32)
        state_take_tail(&state, at + size - done);
    uint64_t x = hash_two(state.x, state.v.first);
    uint64_t y = hash_two(state.y, state.w.first);
    return (struct city128){hash_two(x + state.v.second, state.w.second) + y,
                            hash_two(x + state.w.second, y + state.v.second)};
}

static struct city128 hash_seeded(const uint8_t *at, size_t size, struct pair seed)
{
    return size < 128 ? hash_short(at, size, seed) : hash_long(at, size, seed);
}

struct city128 city_hash128(struct bytes in)
{
    if (in.size >= 16)
        return hash_seeded(in.data + 16, in.size - 16,
                           (struct pair){load64(in.data) ^ K3, load64(in.data + 8)});
    if (in.size >= 8)
        return hash_seeded(
            in.data, 0,
            (struct pair){load64(in.data) ^ in.size * K0, load64(in.data + in.size - 8) ^ K1});
    return hash_seeded(in.data, in.size, (struct pair){K0, K1});
}
