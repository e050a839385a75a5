/* SPDX-License-Identifier: Apache-2.0
 *
 * What the stores should hold of a few messages: the readings of the reading log, and over them what
 * was decoded again since. A store keeps, of readings with the same key, that of the highest
 * generation; so does this. The thread of the replay.
 */
#ifndef TIDEGATE_REPLAY_HELD_H
#define TIDEGATE_REPLAY_HELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/batch.h"

struct held_slot {
    uint32_t hash;  /* of the key; 0: free */
    uint32_t batch; /* index in `batches` */
    uint32_t row;
    bool found; /* held_find was asked for it */
};

/* A zeroed object holds nothing. */
struct held {
    struct batch **batches; /* in the order added */
    size_t batch_count, batch_capacity;
    struct held_slot *slots;
    uint64_t slot_mask, used;
    uint64_t *string_hashes; /* of the batch at hand... */
    uint32_t *row_hashes;    /* ...and of its keys */
    size_t string_capacity, row_capacity;
    uint32_t row_count;
};
void held_fini(struct held *held);
void held_clear(struct held *held);
/* Takes the reference over. Of readings with the same key (seq, vendor, device, metric, ts) that of
 * the higher generation stays, the later one among equals. */
void held_add(struct held *held, struct batch *batch);
/* Before rows of one batch are asked about, one of `batches` or another. */
void held_look_into(struct held *held, const struct batch *batch);
/* The slot of that row of batches[batch], or null when another one with its key stays. */
const struct held_slot *held_slot(const struct held *held, size_t batch, uint32_t row);
/* The slot with the key of that row of another batch, or null; marked as found. */
struct held_slot *held_find(struct held *held, const struct batch *batch, uint32_t row);

#endif
