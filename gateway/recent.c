/* SPDX-License-Identifier: Apache-2.0
 *
 * A ring of references in the order of sequence numbers, found by halving. Any thread, under the lock;
 * a batch is released outside it, because the last reference frees much memory.
 */
#include "recent.h"

#include <pthread.h>
#include <stdlib.h>

enum { CAPACITY = 4096 }; /* batches come by age, too: many small ones fill this first */

struct recent {
    pthread_mutex_t lock;
    size_t bytes_max, bytes;
    struct batch *ring[CAPACITY];
    size_t first, count;
};

struct recent *recent_new(size_t bytes_max)
{
    struct recent *recent = mem_zalloc(sizeof *recent);
    recent->bytes_max = bytes_max;
    pthread_mutex_init(&recent->lock, NULL);
    return recent;
}

static struct batch *at(const struct recent *recent, size_t index)
{
    return recent->ring[(recent->first + index) % CAPACITY];
}

/* With the lock held; the reference is the caller's now. */
static struct batch *take_oldest(struct recent *recent)
{
    struct batch *oldest = at(recent, 0);
    recent->bytes -= oldest->bytes;
    recent->first = (recent->first + 1) % CAPACITY;
    recent->count--;
    return oldest;
}

void recent_free(struct recent *recent)
{
    if (recent == NULL)
        return;
    while (recent->count)
        batch_release(take_oldest(recent));
    pthread_mutex_destroy(&recent->lock);
    free(recent);
}

/* The oldest, when it must make room for `bytes` more; null when there is room. */
static struct batch *make_room(struct recent *recent, size_t bytes)
{
    pthread_mutex_lock(&recent->lock);
    bool full = recent->count == CAPACITY || recent->bytes + bytes > recent->bytes_max;
    struct batch *oldest = full && recent->count ? take_oldest(recent) : NULL;
    pthread_mutex_unlock(&recent->lock);
    return oldest;
}

void recent_add(struct recent *recent, struct batch *batch)
{
    struct batch *oldest;
    if (batch->bytes > recent->bytes_max)
        return;
    while ((oldest = make_room(recent, batch->bytes)))
        batch_release(oldest);
    pthread_mutex_lock(&recent->lock);
    gw_assert(recent->count == 0 || at(recent, recent->count - 1)->last_seq < batch->first_seq);
    recent->ring[(recent->first + recent->count++) % CAPACITY] = batch_acquire(batch);
    recent->bytes += batch->bytes;
    pthread_mutex_unlock(&recent->lock);
}

struct batch *recent_find(struct recent *recent, uint64_t first_seq)
{
    struct batch *found = NULL;
    pthread_mutex_lock(&recent->lock);
    size_t low = 0, high = recent->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (at(recent, middle)->first_seq < first_seq)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < recent->count && at(recent, low)->first_seq == first_seq)
        found = batch_acquire(at(recent, low));
    pthread_mutex_unlock(&recent->lock);
    return found;
}
