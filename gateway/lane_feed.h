/* SPDX-License-Identifier: Apache-2.0
 *
 * The part of a lane that sends history (feed.h) beside live traffic: one unit at a time, without
 * bounds and without the cursor. Only the lane's own files include it. The lane's thread, where
 * nothing else stands.
 */
#ifndef TIDEGATE_LANE_FEED_H
#define TIDEGATE_LANE_FEED_H

#include <pthread.h>

#include "feed.h"
#include "lane_slots.h"

struct lane;

struct lane_feed {
    pthread_mutex_t lock;
    struct feed *feed; /* under the lock, as the next: any thread may attach one */
    struct feed *next; /* waits until the unit of the one before, which was ended, is stored */

    struct slot slot;     /* of `feed`; SLOT_FREE: nothing is under way */
    struct batch *ahead;  /* taken, but did not fit into the unit before */
    bool turn;            /* live took the last room: the next is the replay's */
    int64_t stored_at_ms; /* monotonic; 0: never */
};

void lane_feed_init(struct lane *lane);
void lane_feed_fini(struct lane *lane);
/* Take from the feed what the unit holds. True when there may be more. */
bool lane_feed_fill(struct lane *lane);
/* A unit is ready for its first or its next attempt. */
bool lane_feed_ready(struct lane *lane);
/* Give it to the sink, where live units leave room. */
void lane_feed_write(struct lane *lane);
void lane_feed_answer(struct lane *lane, const struct sink_result *result);
/* The destination lost some of what it had confirmed within its settle time: a replay that is over is
 * not repeated by itself. */
void lane_feed_rewound(struct lane *lane);

#endif
