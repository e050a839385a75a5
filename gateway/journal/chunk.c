/* SPDX-License-Identifier: Apache-2.0
 *
 * Chunks: the memory in which messages travel from the loops to the journal thread, and its budget.
 * Every chunk counts with what it has reserved, also while it lies unused. Any thread.
 */
#include <stdlib.h>

#include "journal/rawlog_state.h"

void chunk_pool_init(struct chunk_pool *pool, size_t chunk_bytes, uint64_t memory_bytes)
{
    *pool = (struct chunk_pool){.chunk_bytes = chunk_bytes, .memory_bytes = memory_bytes};
    pthread_mutex_init(&pool->lock, NULL);
}

void chunk_free(struct chunk *chunk)
{
    buffer_fini(&chunk->body);
    buffer_fini(&chunk->last_vendor);
    buffer_fini(&chunk->last_client);
    buffer_fini(&chunk->last_topic);
    free(container_of(chunk, struct slot, chunk));
}

void chunk_pool_fini(struct chunk_pool *pool)
{
    while (pool->free) {
        struct chunk *chunk = pool->free;
        pool->free = chunk->next;
        chunk_free(chunk);
    }
    pthread_mutex_destroy(&pool->lock);
}

/* A little above chunk_bytes, so that the message that fills it does not double it. */
static size_t nominal_bytes(const struct chunk_pool *pool)
{
    return pool->chunk_bytes + pool->chunk_bytes / 8 + 1024;
}

static size_t reserved_bytes(const struct chunk *chunk)
{
    return sizeof(struct slot) + chunk->body.capacity + chunk->last_vendor.capacity +
           chunk->last_client.capacity + chunk->last_topic.capacity;
}

static struct chunk *make(struct chunk_pool *pool)
{
    struct slot *slot = mem_zalloc(sizeof *slot);
    slot->chunk.body.capacity = nominal_bytes(pool);
    slot->chunk.body.data = mem_alloc(slot->chunk.body.capacity);
    return &slot->chunk;
}

static void recount(struct chunk_pool *pool, struct chunk *chunk)
{
    struct slot *slot = container_of(chunk, struct slot, chunk);
    pool->memory_used -= slot->counted;
    slot->counted = reserved_bytes(chunk);
    pool->memory_used += slot->counted;
}

void chunk_pool_recount(struct chunk_pool *pool, struct chunk *chunk)
{
    pthread_mutex_lock(&pool->lock);
    recount(pool, chunk);
    pthread_mutex_unlock(&pool->lock);
}

struct chunk *chunk_acquire(struct rawlog *rawlog)
{
    struct chunk_pool *pool = &rawlog->pool;
    struct chunk *chunk = NULL;
    pthread_mutex_lock(&pool->lock);
    size_t need = pool->free ? 0 : nominal_bytes(pool) + sizeof(struct slot);
    if (pool->memory_used + need <= pool->memory_bytes) {
        if (pool->free) {
            chunk = pool->free;
            pool->free = chunk->next;
        } else {
            chunk = make(pool);
            recount(pool, chunk);
        }
        chunk->next = NULL;
    }
    pthread_mutex_unlock(&pool->lock);
    return chunk;
}

/* Empty again, and of the usual size again. */
static void reset(struct chunk_pool *pool, struct chunk *chunk)
{
    struct buffer body = chunk->body;
    struct buffer names[] = {chunk->last_vendor, chunk->last_client, chunk->last_topic};
    size_t nominal = nominal_bytes(pool);
    if (body.capacity != nominal) {
        body.data = mem_realloc(body.data, nominal);
        body.capacity = nominal;
    }
    body.size = 0;
    for (size_t i = 0; i < array_count(names); i++) {
        if (names[i].capacity > 1024)
            buffer_fini(&names[i]);
        buffer_clear(&names[i]);
    }
    *chunk = (struct chunk){
        .body = body, .last_vendor = names[0], .last_client = names[1], .last_topic = names[2]};
}

void chunk_release(struct rawlog *rawlog, struct chunk *chunk)
{
    struct chunk_pool *pool = &rawlog->pool;
    reset(pool, chunk);
    pthread_mutex_lock(&pool->lock);
    recount(pool, chunk);
    chunk->next = pool->free;
    pool->free = chunk;
    pthread_mutex_unlock(&pool->lock);
}
