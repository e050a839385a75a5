/* SPDX-License-Identifier: Apache-2.0
 *
 * The ring of units. Separate from the lane, which decides when something happens to them.
 */
#include "lane_slots.h"

#include <stdlib.h>

void slots_init(struct slots *slots, uint32_t max, const struct cursor_state *saved)
{
    gw_assert(max >= 1 && max <= CURSOR_UNITS_MAX);
    *slots = (struct slots){.max = max, .bound_count = saved->unit_count};
    memcpy(slots->bounds, saved->units, sizeof slots->bounds);
}

void slot_release(struct slot *slot)
{
    for (uint32_t i = 0; i < slot->unit.batch_count; i++)
        batch_release(slot->unit.batches[i]);
    free(slot->unit.batches);
    *slot = (struct slot){0};
}

void slots_fini(struct slots *slots)
{
    while (slots->count)
        slots_pop(slots);
}

void slots_reset(struct slots *slots)
{
    slots_fini(slots);
    slots->bound_count = slots->bound_used = 0;
}

void slots_follow(struct slots *slots, uint64_t seq)
{
    gw_assert(slots->count == 0);
    uint32_t kept = 0;
    for (uint32_t i = slots->bound_used; i < slots->bound_count; i++) {
        struct cursor_bounds bounds = slots->bounds[i];
        if (bounds.last_seq < seq)
            continue;
        if (bounds.first_seq < seq)
            bounds.first_seq = seq;
        slots->bounds[kept++] = bounds;
    }
    slots->bound_count = kept;
    slots->bound_used = 0;
}

static uint64_t end_after(uint64_t end, uint64_t first_seq, uint64_t last_seq)
{
    return first_seq < end && last_seq >= end ? last_seq + 1 : end;
}

uint64_t slots_park_end(struct slots *slots, uint64_t seq)
{
    for (uint32_t i = 0; i < slots->count; i++) {
        const struct slot *slot = slots_at(slots, i);
        if (slot->state != SLOT_FILLING)
            seq = end_after(seq, slot->unit.first_seq, slot->unit.last_seq);
        else if (slot->bound_last && slot->unit.batch_count)
            seq = end_after(seq, slot->unit.first_seq, slot->bound_last);
    }
    for (uint32_t i = slots->bound_used; i < slots->bound_count; i++)
        seq = end_after(seq, slots->bounds[i].first_seq, slots->bounds[i].last_seq);
    return seq;
}

bool slots_park(struct slots *slots, uint64_t end)
{
    struct slot *filling = slots_filling(slots);
    if (filling && (filling->unit.batch_count == 0 || filling->unit.first_seq < end)) {
        slots->bound_used -= filling->bound_last != 0;
        slot_release(filling);
        slots->count--;
    }
    while (slots->bound_used < slots->bound_count &&
           slots->bounds[slots->bound_used].last_seq < end)
        slots->bound_used++;
    bool left = false;
    for (uint32_t i = 0; i < slots->count; i++) {
        struct slot *slot = slots_at(slots, i);
        slot->parked = slot->parked || slot->unit.first_seq < end;
        left = left || !slot->parked;
    }
    return left;
}

struct slot *slots_at(struct slots *slots, uint32_t index)
{
    return &slots->ring[(slots->first + index) % CURSOR_UNITS_MAX];
}

struct slot *slots_filling(struct slots *slots)
{
    if (slots->count == 0)
        return NULL;
    struct slot *slot = slots_at(slots, slots->count - 1);
    return slot->state == SLOT_FILLING ? slot : NULL;
}

struct slot *slots_begin(struct slots *slots, int64_t now_ms)
{
    if (slots->count == slots->max)
        return NULL;
    struct slot *slot = slots_at(slots, slots->count++);
    *slot = (struct slot){.state = SLOT_FILLING, .since_ms = now_ms};
    if (slots->bound_used < slots->bound_count)
        slot->bound_last = slots->bounds[slots->bound_used++].last_seq;
    return slot;
}

void slots_pop(struct slots *slots)
{
    slot_release(slots_at(slots, 0));
    slots->first = (slots->first + 1) % CURSOR_UNITS_MAX;
    slots->count--;
}

void slot_add(struct slot *slot, struct batch *batch)
{
    struct unit *unit = &slot->unit;
    if (unit->batch_count == 0) {
        unit->first_seq = batch->first_seq;
        unit->generation = batch->generation;
    }
    unit->batches = mem_realloc(unit->batches, (unit->batch_count + 1) * sizeof(struct batch *));
    unit->batches[unit->batch_count++] = batch;
    unit->last_seq = batch->last_seq;
    unit->rows += batch->count;
    slot->items += (uint64_t)batch->count + batch->reject_count;
}

bool slot_takes(const struct slot *slot, const struct batch *batch, uint64_t items_max)
{
    if (slot->unit.batch_count == 0)
        return true;
    if (slot->bound_last)
        return batch->last_seq <= slot->bound_last;
    return batch->generation == slot->unit.generation &&
           slot->items + batch->count + batch->reject_count <= items_max;
}

bool slots_any_open(struct slots *slots)
{
    for (uint32_t i = 0; i < slots->count; i++)
        if (slots_at(slots, i)->state == SLOT_OPEN)
            return true;
    return false;
}

uint32_t slots_at_sink(struct slots *slots)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < slots->count; i++) {
        enum slot_state state = slots_at(slots, i)->state;
        count += state == SLOT_OPEN || state == SLOT_WAITING;
    }
    return count;
}

uint64_t slots_rows(struct slots *slots)
{
    uint64_t rows = 0;
    for (uint32_t i = 0; i < slots->count; i++)
        rows += slots_at(slots, i)->unit.rows;
    return rows;
}

void slots_bounds(struct slots *slots, struct cursor_state *out)
{
    uint32_t next = slots->bound_used; /* of those from before the restart */
    out->unit_count = 0;
    for (uint32_t i = 0; i < slots->count; i++) {
        const struct slot *slot = slots_at(slots, i);
        if (slot->parked)
            continue;
        if (slot->state != SLOT_FILLING)
            out->units[out->unit_count++] =
                (struct cursor_bounds){slot->unit.first_seq, slot->unit.last_seq};
        else if (slot->bound_last)
            next--; /* begun, but not given out again */
    }
    for (; next < slots->bound_count; next++)
        out->units[out->unit_count++] = slots->bounds[next];
}
