/* SPDX-License-Identifier: Apache-2.0
 *
 * What chunk.c and rawlog.c share. Nobody else includes it.
 */
#ifndef TIDEGATE_JOURNAL_RAWLOG_STATE_H
#define TIDEGATE_JOURNAL_RAWLOG_STATE_H

#include <pthread.h>

#include "journal/rawlog.h"

/* A chunk, and what the budget counts for it. */
struct slot {
    struct chunk chunk;
    size_t counted;
};

/* Chunks that nobody uses, and the budget of all of them. */
struct chunk_pool {
    pthread_mutex_t lock;
    struct chunk *free;
    size_t chunk_bytes;
    uint64_t memory_bytes, memory_used;
};

void chunk_pool_init(struct chunk_pool *pool, size_t chunk_bytes, uint64_t memory_bytes);
/* Frees the unused ones; chunks that others hold stay theirs. */
void chunk_pool_fini(struct chunk_pool *pool);
/* A chunk may have grown past what was counted: count again. */
void chunk_pool_recount(struct chunk_pool *pool, struct chunk *chunk);
void chunk_free(struct chunk *chunk);

enum { GROUP_CHUNKS_MAX = 1024 };

struct rawlog {
    struct rawlog_options options;
    struct journal *journal;
    struct sessions *sessions;
    struct chunk_pool pool;
    struct rawlog_stats stats;
    _Atomic int health;

    pthread_mutex_t lock; /* the queue and the flags */
    pthread_cond_t changed;
    struct chunk *waiting, **waiting_end;
    bool stopping, ended;
    int64_t stop_deadline_ns;

    pthread_t thread;
    bool started;

    /* the journal thread's */
    int64_t received_ms; /* of the last message: never falls */
    struct bytes *parts;
    uint8_t (*frames)[40];
};

#endif
