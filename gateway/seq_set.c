/* SPDX-License-Identifier: Apache-2.0
 *
 * A sorted array: numbers come almost in order, and are asked for in order. One thread.
 */
#include "seq_set.h"

#include <stdlib.h>

#include "base/mem.h"

void seq_set_fini(struct seq_set *set)
{
    free(set->items);
    *set = (struct seq_set){0};
}

void seq_set_clear(struct seq_set *set)
{
    set->count = 0;
    set->unsorted = false;
}

void seq_set_add(struct seq_set *set, uint64_t seq)
{
    if (set->count && set->items[set->count - 1] == seq)
        return;
    if (set->count == set->capacity) {
        set->capacity = set->capacity ? set->capacity * 2 : 256;
        set->items = mem_realloc(set->items, set->capacity * sizeof *set->items);
    }
    set->unsorted = set->unsorted || (set->count && set->items[set->count - 1] > seq);
    set->items[set->count++] = seq;
}

static int by_number(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

void seq_set_seal(struct seq_set *set)
{
    if (set->unsorted)
        qsort(set->items, set->count, sizeof *set->items, by_number);
    set->unsorted = false;
}

bool seq_set_has(const struct seq_set *set, uint64_t seq)
{
    gw_assert(!set->unsorted);
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set->items[middle] < seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low < set->count && set->items[low] == seq;
}
