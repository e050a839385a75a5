/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory that lives until the next reset: what one message needs while it is decoded. One thread.
 */
#ifndef TIDEGATE_BASE_ARENA_H
#define TIDEGATE_BASE_ARENA_H

#include "base/bytes.h"

struct arena_block;

/* A zeroed object is an empty arena. */
struct arena {
    struct arena_block *blocks; /* newest first */
    size_t used;                /* bytes handed out since the last reset */
};

void arena_fini(struct arena *arena);
/* Forget everything handed out; keeps one block for the next round. */
void arena_reset(struct arena *arena);
/* Aligned for any type; never null; not zeroed. */
void *arena_alloc(struct arena *arena, size_t size);
struct bytes arena_copy(struct arena *arena, struct bytes in);

#endif
