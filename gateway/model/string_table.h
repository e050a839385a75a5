/* SPDX-License-Identifier: Apache-2.0
 *
 * A set of strings with numbers: each stands once, numbers count up from 0 in the order of first
 * sight, and number 0 is "". One thread.
 */
#ifndef TIDEGATE_MODEL_STRING_TABLE_H
#define TIDEGATE_MODEL_STRING_TABLE_H

#include <stdint.h>

#include "base/bytes.h"

struct string_entry {
    size_t offset, size;
    uint64_t hash;
};

struct string_table {
    uint32_t count;
    struct buffer data; /* the strings end to end, in the order of their numbers */
    struct string_entry *entries;
    uint32_t entry_capacity;
    uint32_t *slots; /* open addressing; 0: free ("" stands in no slot) */
    uint32_t slot_mask;
    uint64_t seed; /* names come from outside: nobody shall choose our collisions */
};

void string_table_init(struct string_table *table);
void string_table_fini(struct string_table *table); /* accepts a zeroed object */
/* Empty but for "". Memory is kept. */
void string_table_clear(struct string_table *table);
/* Its number; bytes are copied when it is new. `guess` is a number it may well have (that of the row
 * before), or 0. */
uint32_t string_table_add(struct string_table *table, struct bytes in, uint32_t guess);

/* Valid until the next add. */
static inline struct bytes string_table_at(const struct string_table *table, uint32_t number)
{
    const struct string_entry *entry = &table->entries[number];
    return bytes_of(table->data.data + entry->offset, entry->size);
}

#endif
