/* SPDX-License-Identifier: Apache-2.0
 *
 * The string table, a hash with open addressing. Separate because both batches and files of readings
 * are built on it. One thread.
 */
#include "model/string_table.h"

#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/identity.h"

enum { SLOTS_FIRST = 1024 };

void string_table_init(struct string_table *table)
{
    *table = (struct string_table){.entry_capacity = SLOTS_FIRST / 2, .slot_mask = SLOTS_FIRST - 1};
    table->entries = mem_alloc(table->entry_capacity * sizeof *table->entries);
    table->slots = mem_alloc(SLOTS_FIRST * sizeof *table->slots);
    table->seed = identity_random().bits;
    buffer_reserve(&table->data, 1);
    string_table_clear(table);
}

void string_table_fini(struct string_table *table)
{
    buffer_fini(&table->data);
    free(table->entries);
    free(table->slots);
    *table = (struct string_table){0};
}

void string_table_clear(struct string_table *table)
{
    buffer_clear(&table->data);
    table->entries[0] = (struct string_entry){0};
    table->count = 1;
    memset(table->slots, 0, ((size_t)table->slot_mask + 1) * sizeof *table->slots);
}

static uint32_t *slot_for(struct string_table *table, uint64_t hash, struct bytes in)
{
    for (uint64_t at = hash & table->slot_mask;; at = (at + 1) & table->slot_mask) {
        uint32_t *slot = &table->slots[at];
        if (*slot == 0 ||
            (table->entries[*slot].hash == hash && bytes_equal(string_table_at(table, *slot), in)))
            return slot;
    }
}

/* At most half of the slots are used, so a search is short. */
static void grow_slots(struct string_table *table)
{
    uint32_t count = (table->slot_mask + 1) * 2;
    free(table->slots);
    table->slots = mem_zalloc(count * sizeof *table->slots);
    table->slot_mask = count - 1;
    for (uint32_t i = 1; i < table->count; i++) {
        uint64_t at = table->entries[i].hash & table->slot_mask;
        while (table->slots[at])
            at = (at + 1) & table->slot_mask;
        table->slots[at] = i;
    }
}

static uint32_t append(struct string_table *table, uint64_t hash, struct bytes in)
{
    gw_assert(table->count < UINT32_MAX / 4);
    if (table->count == table->entry_capacity) {
        table->entry_capacity *= 2;
        table->entries =
            mem_realloc(table->entries, table->entry_capacity * sizeof *table->entries);
    }
    uint32_t number = table->count++;
    table->entries[number] = (struct string_entry){table->data.size, in.size, hash};
    buffer_add_bytes(&table->data, in);
    return number;
}

uint32_t string_table_add(struct string_table *table, struct bytes in, uint32_t guess)
{
    if (in.size == 0)
        return 0;
    if (guess && bytes_equal(string_table_at(table, guess), in))
        return guess;
    uint64_t hash = XXH3_64bits_withSeed(in.data, in.size, table->seed);
    uint32_t *slot = slot_for(table, hash, in);
    if (*slot)
        return *slot;
    uint32_t number = *slot = append(table, hash, in);
    if (table->count > table->slot_mask / 2)
        grow_slots(table);
    return number;
}
