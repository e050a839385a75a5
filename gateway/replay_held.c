/* SPDX-License-Identifier: Apache-2.0
 *
 * A hash table of keys to rows. Strings are hashed once a batch, so a row costs a few
 * multiplications and mostly one comparison. The table is larger than a cache and rows lie anywhere
 * in it, so the slots of the next rows are asked for while one is looked at: that is most of the time.
 */
#include "replay_held.h"

#include <stdlib.h>
#include <xxhash.h>

#include "base/mem.h"

enum { SLOTS_FIRST = 1024, AHEAD = 16 };

void held_clear(struct held *held)
{
    for (size_t i = 0; i < held->batch_count; i++)
        batch_release(held->batches[i]);
    held->batch_count = 0;
    held->used = 0;
    if (held->slots)
        memset(held->slots, 0, (held->slot_mask + 1) * sizeof *held->slots);
}

void held_fini(struct held *held)
{
    held_clear(held);
    free(held->batches);
    free(held->slots);
    free(held->string_hashes);
    free(held->row_hashes);
    *held = (struct held){0};
}

static uint32_t key_hash(const struct held *held, const struct batch *batch, uint32_t row)
{
    const uint64_t *strings = held->string_hashes;
    const uint64_t parts[] = {batch->seq[row], (uint64_t)batch->ts_ms[row],
                              strings[batch->vendor[row]], strings[batch->device[row]],
                              strings[batch->metric[row]]};
    return (uint32_t)XXH3_64bits(parts, sizeof parts) | 1;
}

void held_look_into(struct held *held, const struct batch *batch)
{
    if (batch->string_count > held->string_capacity) {
        held->string_capacity = batch->string_count;
        held->string_hashes =
            mem_realloc(held->string_hashes, held->string_capacity * sizeof *held->string_hashes);
    }
    for (uint32_t i = 0; i < batch->string_count; i++)
        held->string_hashes[i] = XXH3_64bits(batch->strings[i].data, batch->strings[i].size);
    if (batch->count > held->row_capacity) {
        held->row_capacity = batch->count;
        held->row_hashes =
            mem_realloc(held->row_hashes, held->row_capacity * sizeof *held->row_hashes);
    }
    held->row_count = batch->count;
    for (uint32_t row = 0; row < batch->count; row++)
        held->row_hashes[row] = key_hash(held, batch, row);
}

static bool same_key(const struct batch *a, uint32_t left, const struct batch *b, uint32_t right)
{
    return a->seq[left] == b->seq[right] && a->ts_ms[left] == b->ts_ms[right] &&
           bytes_equal(a->strings[a->metric[left]], b->strings[b->metric[right]]) &&
           bytes_equal(a->strings[a->device[left]], b->strings[b->device[right]]) &&
           bytes_equal(a->strings[a->vendor[left]], b->strings[b->vendor[right]]);
}

/* The slot of the key, or the free one where it belongs; `batch` was looked into. */
static struct held_slot *slot_of(const struct held *held, const struct batch *batch, uint32_t row)
{
    gw_assert(row < held->row_count);
    uint32_t hash = held->row_hashes[row];
    if (held->row_count - row > AHEAD)
        __builtin_prefetch(&held->slots[(held->row_hashes[row + AHEAD] >> 1) & held->slot_mask]);
    for (uint64_t at = (hash >> 1) & held->slot_mask;; at = (at + 1) & held->slot_mask) {
        struct held_slot *slot = &held->slots[at];
        if (slot->hash == 0 ||
            (slot->hash == hash && same_key(held->batches[slot->batch], slot->row, batch, row)))
            return slot;
    }
}

static void slots_grow(struct held *held, uint64_t more)
{
    uint64_t size = held->slots ? held->slot_mask + 1 : SLOTS_FIRST;
    if (held->slots && (held->used + more) * 2 <= size)
        return;
    while ((held->used + more) * 2 > size)
        size *= 2;
    struct held_slot *old = held->slots;
    uint64_t old_size = old ? held->slot_mask + 1 : 0;
    held->slots = mem_zalloc(size * sizeof *held->slots);
    held->slot_mask = size - 1;
    for (uint64_t i = 0; i < old_size; i++) {
        if (old[i].hash == 0)
            continue;
        uint64_t at = (old[i].hash >> 1) & held->slot_mask;
        while (held->slots[at].hash)
            at = (at + 1) & held->slot_mask;
        held->slots[at] = old[i];
    }
    free(old);
}

static void batch_keep(struct held *held, struct batch *batch)
{
    if (held->batch_count == held->batch_capacity) {
        held->batch_capacity = held->batch_capacity ? held->batch_capacity * 2 : 8;
        held->batches = mem_realloc(held->batches, held->batch_capacity * sizeof *held->batches);
    }
    held->batches[held->batch_count++] = batch;
}

void held_add(struct held *held, struct batch *batch)
{
    uint32_t index = (uint32_t)held->batch_count;
    batch_keep(held, batch);
    held_look_into(held, batch);
    slots_grow(held, batch->count);
    for (uint32_t row = 0; row < batch->count; row++) {
        struct held_slot *slot = slot_of(held, batch, row);
        if (slot->hash && held->batches[slot->batch]->generation > batch->generation)
            continue;
        held->used += slot->hash == 0;
        *slot = (struct held_slot){.hash = held->row_hashes[row], .batch = index, .row = row};
    }
}

const struct held_slot *held_slot(const struct held *held, size_t batch, uint32_t row)
{
    const struct batch *of = held->batches[batch];
    const struct held_slot *slot = slot_of(held, of, row);
    return slot->batch == batch && slot->row == row ? slot : NULL;
}

struct held_slot *held_find(struct held *held, const struct batch *batch, uint32_t row)
{
    if (held->used == 0)
        return NULL;
    struct held_slot *slot = slot_of(held, batch, row);
    if (slot->hash == 0)
        return NULL;
    slot->found = true;
    return slot;
}
