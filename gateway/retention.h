/* SPDX-License-Identifier: Apache-2.0
 *
 * What may be deleted, and when. Main thread.
 */
#ifndef TIDEGATE_RETENTION_H
#define TIDEGATE_RETENTION_H

#include <stddef.h>
#include <stdint.h>

/* What one round remembers for the next. */
struct retention {
    uint64_t tight_seq; /* where the oldest segment ended when there was no room; 0: there was */
    uint64_t held_seq;  /* from there on somebody needs the logs who may not be parked */
    size_t orphans;     /* cursors without a sink, as told last */
    int64_t orphans_told_ms; /* monotonic */
};

struct gateway;

/* One round: history beyond its age and size goes; when room is short, the oldest history goes
 * first, so that taking in new messages never waits for old ones that every sink has. Nothing that
 * a cursor, a running replay or the decoder's memory still needs is touched (invariant 6), a cursor
 * without a sink included. When nothing else can go, and only lanes need the oldest part whose when_full is park,
 * they are asked to go on without it; it goes in a later round, when they have. */
void retention_run(struct gateway *gateway);

#endif
