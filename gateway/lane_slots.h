/* SPDX-License-Identifier: Apache-2.0
 *
 * The units of a lane that are under way: a ring, oldest first. A unit is FILLING (batches are
 * added), OPEN (the sink has it), WAITING (for another attempt) or STORED; it leaves the ring when
 * it and all before it are stored. The lane's thread.
 */
#ifndef TIDEGATE_LANE_SLOTS_H
#define TIDEGATE_LANE_SLOTS_H

#include "journal/cursor.h"
#include "sinks/sink.h"

enum slot_state { SLOT_FREE, SLOT_FILLING, SLOT_OPEN, SLOT_WAITING, SLOT_STORED };

struct slot {
    struct unit unit;
    enum slot_state state;
    int64_t since_ms;    /* monotonic: when it was begun, then when it was given out */
    int64_t retry_at_ms; /* not before */
    int64_t backoff_ms;
    int health;          /* enum lane_health of what its last answer said; OK before */
    bool parked;         /* retention took its readings: the cursor is past it */
    uint64_t items;      /* rows, and messages that gave none: what it costs to hold */
    uint64_t bound_last; /* not 0: its end was synced before a restart and must be the same again */
};

struct slots {
    struct slot ring[CURSOR_UNITS_MAX];
    uint32_t first, count, max;
    struct cursor_bounds bounds[CURSOR_UNITS_MAX]; /* synced before a restart */
    uint32_t bound_count, bound_used;
};

/* `saved` is what the cursor said at start. At most `max` units are under way. */
void slots_init(struct slots *slots, uint32_t max, const struct cursor_state *saved);
void slots_fini(struct slots *slots);
/* Nothing is under way, and no bounds wait: all of it comes again, or never. */
void slots_reset(struct slots *slots);
/* What lies below `seq` need not come any more: bounds of before the restart end there or go. Only
 * before the first unit is begun. */
void slots_follow(struct slots *slots, uint64_t seq);
/* Where parking what lies below `seq` ends: behind the last unit that lies below it in part, because a
 * unit is parked whole. */
uint64_t slots_park_end(struct slots *slots, uint64_t seq);
/* What lies below `end` (of slots_park_end) is parked; a unit that is being filled there goes, and so
 * do bounds. True when units are left behind it that the cursor will still pass. */
bool slots_park(struct slots *slots, uint64_t end);
struct slot *slots_at(struct slots *slots, uint32_t index); /* 0: the oldest */
/* The unit that is being filled, or null. */
struct slot *slots_filling(struct slots *slots);
/* A new one behind the others, or null when there are `max`. */
struct slot *slots_begin(struct slots *slots, int64_t now_ms);
/* Let the oldest go. */
void slots_pop(struct slots *slots);
/* Takes the reference of `batch` over. */
void slot_add(struct slot *slot, struct batch *batch);
/* May `batch` be added, with at most items_max in a unit? An empty unit takes any. */
bool slot_takes(const struct slot *slot, const struct batch *batch, uint64_t items_max);
/* Let go of what it holds; it is free then. */
void slot_release(struct slot *slot);
uint64_t slots_rows(struct slots *slots);
/* Units that the sink has, or had and gets again. */
uint32_t slots_at_sink(struct slots *slots);
bool slots_any_open(struct slots *slots);
/* The bounds that the cursor must hold: of all units that are no longer filling nor parked, and of those that
 * were under way before a restart and are not yet again. */
void slots_bounds(struct slots *slots, struct cursor_state *out);

#endif
