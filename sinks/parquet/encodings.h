/* SPDX-License-Identifier: Apache-2.0
 *
 * Parquet's encodings of columns, both ways (apache/parquet-format, Encodings.md): PLAIN is simple
 * enough to stand where it is used; here are the RLE/bit-packing hybrid and DELTA_BINARY_PACKED.
 * Decoders trust nothing. Any thread.
 */
#ifndef TIDEGATE_SINKS_PARQUET_ENCODINGS_H
#define TIDEGATE_SINKS_PARQUET_ENCODINGS_H

#include "base/bytes.h"

/* Bits needed for numbers up to `max`; 0 for 0. */
static inline int bits_for(uint64_t max)
{
    return max ? 64 - __builtin_clzll(max) : 0;
}

/* RLE/bit-packing hybrid, without length and bit width. width 0..32; every value fits it. */
void rle_encode(const uint32_t *values, size_t count, int width, struct buffer *out);
/* Exactly `count` values; sets in->failed when the bytes do not hold them. */
void rle_decode(struct reader *in, int width, uint32_t *values, size_t count);

/* DELTA_BINARY_PACKED of INT64, blocks of 128 in 4 miniblocks. */
void delta_encode(const int64_t *values, size_t count, struct buffer *out);
void delta_decode(struct reader *in, int64_t *values, size_t count);

#endif
