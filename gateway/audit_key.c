/* SPDX-License-Identifier: Apache-2.0
 *
 * See audit_key.h. SipHash-2-4: Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012.
 */
#include "audit_key.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct sip {
    uint64_t v[4];
};

static inline uint64_t rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void sip_round(struct sip *sip)
{
    uint64_t *v = sip->v;
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32) + v[3];
    v[2] += v[1];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

static void sip_word(struct sip *sip, uint64_t word)
{
    sip->v[3] ^= word;
    sip_round(sip);
    sip_round(sip);
    sip->v[0] ^= word;
}

static uint64_t word_le(const uint8_t *at, size_t size)
{
    uint64_t word = 0;
    for (size_t i = 0; i < size; i++)
        word |= (uint64_t)at[i] << (8 * i);
    return word;
}

uint64_t audit_sip_hash(struct bytes in)
{
    struct sip sip = {{UINT64_C(0x736f6d6570736575), UINT64_C(0x646f72616e646f6d),
                       UINT64_C(0x6c7967656e657261), UINT64_C(0x7465646279746573)}};
    size_t at = 0;
    for (; at + 8 <= in.size; at += 8)
        sip_word(&sip, word_le(in.data + at, 8));
    sip_word(&sip, word_le(in.data + at, in.size - at) | (uint64_t)in.size << 56);
    sip.v[2] ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(&sip);
    return sip.v[0] ^ sip.v[1] ^ sip.v[2] ^ sip.v[3];
}

struct audit_key audit_key_of(const struct batch *batch, uint32_t row)
{
    return (struct audit_key){
        .seq = batch->seq[row],
        .vendor = batch->strings[batch->vendor[row]],
        .device = batch->strings[batch->device[row]],
        .metric = batch->strings[batch->metric[row]],
        .ts_ms = batch->ts_ms[row],
    };
}

uint64_t audit_key_hash(const struct audit_key *key)
{
    uint8_t memory[512];
    struct bytes parts[] = {key->vendor, key->device, key->metric};
    size_t size = 64 + key->vendor.size + key->device.size + key->metric.size;
    uint8_t *text = size <= sizeof memory ? memory : mem_alloc(size);
    size_t at = key->seq ? (size_t)snprintf((char *)text, 32, "%" PRIu64 "\n", key->seq) : 0;
    for (size_t i = 0; i < array_count(parts); i++) {
        if (parts[i].size)
            memcpy(text + at, parts[i].data, parts[i].size);
        at += parts[i].size;
        text[at++] = '\n';
    }
    at += (size_t)snprintf((char *)text + at, 32, "%" PRId64, key->ts_ms);
    uint64_t hash = audit_sip_hash(bytes_of(text, at));
    if (text != memory)
        free(text);
    return hash;
}
