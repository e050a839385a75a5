/* SPDX-License-Identifier: Apache-2.0
 *
 * History on its way to one lane: a bounded queue between the thread of a replay, which makes
 * batches, and the lane, which sends them through its sink beside live traffic. The lane's own
 * cursor knows nothing of it. Two threads, a lock inside.
 *
 * A batch of a feed has `replay` set; its rows stand for themselves: whatever a store holds under the
 * same (gateway, seq, vendor, device, metric, ts) is replaced by it, and a row flagged `withdrawn`
 * takes that reading away. So a batch may be sent twice, and bounds need not be synced.
 */
#ifndef TIDEGATE_FEED_H
#define TIDEGATE_FEED_H

#include <stdbool.h>
#include <stdint.h>

#include "model/batch.h"

struct feed;
/* `wake` is called (any thread) when there is a batch for a lane that found none. */
struct feed *feed_new(size_t bytes_max, void (*wake)(void *arg), void *arg);
/* Counted references: whoever made it has one, a lane takes one. The last feed_free frees. */
struct feed *feed_acquire(struct feed *feed);
void feed_free(struct feed *feed); /* accepts null */

/* ---- the replay's side ---- */

/* Takes the reference over. Waits while the queue is full; false: the feed was ended. */
bool feed_put(struct feed *feed, struct batch *batch);
/* Wait until everything that was put is stored; false: the feed was ended before. */
bool feed_drained(struct feed *feed);
/* Everything with a last_seq up to this one, and put before, is stored at the destination. */
uint64_t feed_stored_seq(struct feed *feed);
/* How many batches are stored, in the order put. */
uint64_t feed_stored_count(struct feed *feed);

/* ---- the lane's side ---- */

/* The next batch, with a reference for the caller; null: none now. */
struct batch *feed_take(struct feed *feed);
/* Everything was taken, and the replay waits for it: nothing more comes before it is stored. */
bool feed_waits(struct feed *feed);
/* The unit that held these, in the order taken, is stored. */
void feed_stored(struct feed *feed, struct batch *const *batches, uint32_t count);

/* ---- both ---- */

/* No more: waiting ends, what is queued is dropped. The lane answers for what it has taken, then
 * lets the feed go. */
void feed_end(struct feed *feed);
bool feed_ended(struct feed *feed);

#endif
