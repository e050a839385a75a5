/* SPDX-License-Identifier: Apache-2.0
 *
 * A bump allocator over a list of blocks. One thread.
 */
#include "base/arena.h"

#include <stdalign.h>
#include <stdlib.h>

enum { BLOCK_SIZE_MIN = 16 * 1024 };

struct arena_block {
    struct arena_block *next;
    size_t size;
    size_t used;
    alignas(max_align_t) uint8_t data[];
};

void arena_fini(struct arena *arena)
{
    if (arena == NULL)
        return;
    for (struct arena_block *block = arena->blocks; block;) {
        struct arena_block *next = block->next;
        free(block);
        block = next;
    }
    *arena = (struct arena){0};
}

void arena_reset(struct arena *arena)
{
    /* The newest block is kept, unless one large message made it large: memory must fall back. */
    struct arena_block *kept = arena->blocks;
    if (kept && kept->size > 64 * (size_t)BLOCK_SIZE_MIN)
        kept = NULL;
    for (struct arena_block *block = arena->blocks; block;) {
        struct arena_block *next = block->next;
        if (block != kept)
            free(block);
        block = next;
    }
    if (kept) {
        kept->next = NULL;
        kept->used = 0;
    }
    arena->blocks = kept;
    arena->used = 0;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    struct arena_block *block = arena->blocks;
    if (block == NULL || block->size - block->used < size) {
        size_t capacity = size > BLOCK_SIZE_MIN ? size : BLOCK_SIZE_MIN;
        block = mem_alloc(sizeof *block + capacity);
        *block = (struct arena_block){.next = arena->blocks, .size = capacity};
        arena->blocks = block;
    }
    void *out = block->data + block->used;
    block->used += size;
    arena->used += size;
    return out;
}

struct bytes arena_copy(struct arena *arena, struct bytes in)
{
    void *copy = arena_alloc(arena, in.size);
    if (in.size)
        memcpy(copy, in.data, in.size);
    return bytes_of(copy, in.size);
}
