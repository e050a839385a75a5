/* SPDX-License-Identifier: Apache-2.0
 *
 * MurmurHash2 (Austin Appleby), as Kafka's clients use it.
 */
#include "sinks/kafka/partition.h"

/* MurmurHash2 with the seed of org.apache.kafka.common.utils.Utils.murmur2. */
static uint32_t murmur2(struct bytes key)
{
    const uint32_t m = 0x5bd1e995;
    uint32_t hash = 0x9747b28c ^ (uint32_t)key.size;
    const uint8_t *at = key.data;
    size_t left = key.size;
    for (; left >= 4; at += 4, left -= 4) {
        uint32_t word =
            (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
        word *= m;
        word ^= word >> 24;
        word *= m;
        hash = hash * m ^ word;
    }
    if (left >= 3)
        hash ^= (uint32_t)at[2] << 16;
    if (left >= 2)
        hash ^= (uint32_t)at[1] << 8;
    if (left >= 1)
        hash = (hash ^ at[0]) * m;
    hash ^= hash >> 13;
    hash *= m;
    return hash ^ hash >> 15;
}

int32_t partition_of_key(struct bytes key, int32_t partitions)
{
    return (int32_t)(murmur2(key) & 0x7fffffff) % partitions;
}
