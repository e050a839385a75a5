/* SPDX-License-Identifier: Apache-2.0
 *
 * See feed.h. A queue of references, and how far what was taken from it is stored. Batches are
 * stored in the order they were taken, whatever the order of the answers: the lane says so.
 */
#include "feed.h"

#include <pthread.h>
#include <stdlib.h>

struct item {
    struct batch *batch;
    struct item *next;
};

struct feed {
    _Atomic uint32_t references;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t bytes_max;
    void (*wake)(void *arg);
    void *arg;

    struct item *first, *last; /* queued */
    size_t bytes;              /* queued and taken */
    uint64_t open;             /* batches queued or taken, and not stored */
    uint64_t stored_seq;
    uint64_t stored_count;
    size_t room_max; /* the replay waits until so much is open at most; else SIZE_MAX */
    bool starved;    /* the lane found nothing */
    bool ended;
};

struct feed *feed_new(size_t bytes_max, void (*wake)(void *arg), void *arg)
{
    struct feed *feed = mem_zalloc(sizeof *feed);
    *feed = (struct feed){
        .bytes_max = bytes_max, .room_max = SIZE_MAX, .wake = wake, .arg = arg, .starved = true};
    atomic_init(&feed->references, 1);
    pthread_mutex_init(&feed->lock, NULL);
    pthread_cond_init(&feed->changed, NULL);
    return feed;
}

/* Locked. */
static struct batch *pop(struct feed *feed)
{
    struct item *item = feed->first;
    if (item == NULL)
        return NULL;
    struct batch *batch = item->batch;
    feed->first = item->next;
    if (feed->first == NULL)
        feed->last = NULL;
    free(item);
    return batch;
}

struct feed *feed_acquire(struct feed *feed)
{
    atomic_fetch_add(&feed->references, 1);
    return feed;
}

void feed_free(struct feed *feed)
{
    struct batch *batch;
    if (feed == NULL || atomic_fetch_sub(&feed->references, 1) > 1)
        return;
    while ((batch = pop(feed)))
        batch_release(batch);
    pthread_cond_destroy(&feed->changed);
    pthread_mutex_destroy(&feed->lock);
    free(feed);
}

/* ---- the replay's side ---- */

/* Locked. */
static bool has_room(const struct feed *feed)
{
    return feed->ended || feed->open == 0 || feed->bytes <= feed->room_max;
}

/* Until at most `bytes_max` is open. The lane may hold back a unit that could still grow, so it hears
 * of it. With the lock held, which it lets go. */
static void wait_room(struct feed *feed, size_t bytes_max)
{
    feed->room_max = bytes_max;
    if (!has_room(feed)) {
        pthread_mutex_unlock(&feed->lock);
        feed->wake(feed->arg);
        pthread_mutex_lock(&feed->lock);
    }
    while (!has_room(feed))
        pthread_cond_wait(&feed->changed, &feed->lock);
    feed->room_max = SIZE_MAX;
}

bool feed_put(struct feed *feed, struct batch *batch)
{
    struct item *item = mem_alloc(sizeof *item);
    *item = (struct item){.batch = batch};
    pthread_mutex_lock(&feed->lock);
    /* One batch always fits: it may be larger than the whole queue. */
    wait_room(feed, batch->bytes < feed->bytes_max ? feed->bytes_max - batch->bytes : 0);
    bool ended = feed->ended;
    bool wakes = !ended && feed->starved;
    if (!ended) {
        if (feed->last)
            feed->last->next = item;
        else
            feed->first = item;
        feed->last = item;
        feed->bytes += batch->bytes;
        feed->open++;
        feed->starved = false;
    }
    pthread_mutex_unlock(&feed->lock);
    if (ended) {
        batch_release(batch);
        free(item);
    }
    if (wakes)
        feed->wake(feed->arg);
    return !ended;
}

bool feed_drained(struct feed *feed)
{
    pthread_mutex_lock(&feed->lock);
    wait_room(feed, 0);
    bool drained = feed->open == 0;
    pthread_mutex_unlock(&feed->lock);
    return drained;
}

uint64_t feed_stored_seq(struct feed *feed)
{
    pthread_mutex_lock(&feed->lock);
    uint64_t seq = feed->stored_seq;
    pthread_mutex_unlock(&feed->lock);
    return seq;
}

uint64_t feed_stored_count(struct feed *feed)
{
    pthread_mutex_lock(&feed->lock);
    uint64_t count = feed->stored_count;
    pthread_mutex_unlock(&feed->lock);
    return count;
}

/* ---- the lane's side ---- */

struct batch *feed_take(struct feed *feed)
{
    pthread_mutex_lock(&feed->lock);
    struct batch *batch = feed->ended ? NULL : pop(feed);
    feed->starved = batch == NULL;
    pthread_mutex_unlock(&feed->lock);
    return batch;
}

bool feed_waits(struct feed *feed)
{
    pthread_mutex_lock(&feed->lock);
    bool waits = feed->first == NULL && !has_room(feed);
    pthread_mutex_unlock(&feed->lock);
    return waits;
}

void feed_stored(struct feed *feed, struct batch *const *batches, uint32_t count)
{
    pthread_mutex_lock(&feed->lock);
    for (uint32_t i = 0; i < count; i++) {
        feed->bytes -= batches[i]->bytes;
        feed->open--;
        feed->stored_seq = batches[i]->last_seq;
        feed->stored_count++;
    }
    pthread_cond_broadcast(&feed->changed);
    pthread_mutex_unlock(&feed->lock);
}

/* ---- both ---- */

void feed_end(struct feed *feed)
{
    pthread_mutex_lock(&feed->lock);
    feed->ended = true;
    pthread_cond_broadcast(&feed->changed);
    pthread_mutex_unlock(&feed->lock);
}

bool feed_ended(struct feed *feed)
{
    pthread_mutex_lock(&feed->lock);
    bool ended = feed->ended;
    pthread_mutex_unlock(&feed->lock);
    return ended;
}
