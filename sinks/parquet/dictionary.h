/* SPDX-License-Identifier: Apache-2.0
 *
 * The distinct values of a column chunk, numbered in the order of first sight. One thread.
 */
#ifndef TIDEGATE_SINKS_PARQUET_DICTIONARY_H
#define TIDEGATE_SINKS_PARQUET_DICTIONARY_H

#include <stdbool.h>
#include <stdint.h>

struct dictionary {
    uint64_t *symbols;
    uint32_t count, capacity;
    uint32_t *index; /* of each value */
    uint32_t index_capacity;
    uint32_t *slots; /* number + 1, 0: free */
    uint32_t slot_mask;
};

void dictionary_fini(struct dictionary *dictionary); /* accepts a zeroed object */
/* False, and no use, when there are more than `limit` distinct values. */
bool dictionary_build(struct dictionary *dictionary, const uint64_t *values, uint32_t count,
                      uint32_t limit);

#endif
