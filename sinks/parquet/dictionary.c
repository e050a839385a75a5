/* SPDX-License-Identifier: Apache-2.0
 *
 * Distinct values by a hash with open addressing. One thread.
 */
#include "sinks/parquet/dictionary.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { SLOTS_FIRST = 1024 };

void dictionary_fini(struct dictionary *dictionary)
{
    free(dictionary->symbols);
    free(dictionary->index);
    free(dictionary->slots);
    *dictionary = (struct dictionary){0};
}

/* Finalizer of MurmurHash3, public domain: every bit of the value reaches the low bits. */
static uint64_t mix(uint64_t value)
{
    value ^= value >> 33;
    value *= 0xff51afd7ed558ccdULL;
    value ^= value >> 33;
    value *= 0xc4ceb9fe1a85ec53ULL;
    return value ^ value >> 33;
}

static uint32_t *slot_for(struct dictionary *dictionary, uint64_t value)
{
    uint64_t at = mix(value) & dictionary->slot_mask;
    while (dictionary->slots[at] && dictionary->symbols[dictionary->slots[at] - 1] != value)
        at = (at + 1) & dictionary->slot_mask;
    return &dictionary->slots[at];
}

static void reset(struct dictionary *dictionary, uint32_t count)
{
    if (dictionary->slots == NULL) {
        dictionary->slot_mask = SLOTS_FIRST - 1;
        dictionary->slots = mem_alloc(SLOTS_FIRST * sizeof *dictionary->slots);
    }
    memset(dictionary->slots, 0, ((size_t)dictionary->slot_mask + 1) * sizeof *dictionary->slots);
    dictionary->count = 0;
    if (count > dictionary->index_capacity) {
        dictionary->index_capacity = count;
        dictionary->index = mem_realloc(dictionary->index, count * sizeof *dictionary->index);
    }
}

static void grow_slots(struct dictionary *dictionary)
{
    uint32_t count = (dictionary->slot_mask + 1) * 2;
    free(dictionary->slots);
    dictionary->slots = mem_zalloc(count * sizeof *dictionary->slots);
    dictionary->slot_mask = count - 1;
    for (uint32_t i = 0; i < dictionary->count; i++)
        *slot_for(dictionary, dictionary->symbols[i]) = i + 1;
}

static uint32_t add(struct dictionary *dictionary, uint64_t value)
{
    uint32_t *slot = slot_for(dictionary, value);
    if (*slot)
        return *slot - 1;
    if (dictionary->count == dictionary->capacity) {
        dictionary->capacity = dictionary->capacity ? dictionary->capacity * 2 : SLOTS_FIRST;
        dictionary->symbols =
            mem_realloc(dictionary->symbols, dictionary->capacity * sizeof *dictionary->symbols);
    }
    uint32_t number = dictionary->count++;
    dictionary->symbols[number] = value;
    *slot = number + 1;
    if (dictionary->count > dictionary->slot_mask / 2)
        grow_slots(dictionary);
    return number;
}

bool dictionary_build(struct dictionary *dictionary, const uint64_t *values, uint32_t count,
                      uint32_t limit)
{
    reset(dictionary, count);
    for (uint32_t i = 0; i < count; i++) {
        if (i && values[i] == values[i - 1])
            dictionary->index[i] = dictionary->index[i - 1];
        else
            dictionary->index[i] = add(dictionary, values[i]);
        if (dictionary->count > limit)
            return false;
    }
    return true;
}
