/* SPDX-License-Identifier: Apache-2.0
 *
 * How long the journal lasts: the room that the logs could still take, over what they grew by during
 * the last minute. It tells what an outage of every destination costs, before there is one. Sampled
 * on the main thread; the result is read by any.
 */
#ifndef TIDEGATE_OUTLOOK_H
#define TIDEGATE_OUTLOOK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    OUTLOOK_LOGS = 2,     /* raw log, reading log */
    OUTLOOK_SAMPLES = 31, /* one every two seconds of housekeeping: a minute */
};

/* One log now, in bytes. */
struct outlook_log {
    uint64_t written; /* since the outlook began: only grows */
    uint64_t needed;  /* of segments that some cursor still needs */
    uint64_t max;     /* limit of the log; 0: none */
};

struct outlook_now {
    int64_t at_ms; /* monotonic */
    struct outlook_log logs[OUTLOOK_LOGS];
    /* What the volume can still take: free space and history that may be deleted, less the reserve. */
    uint64_t volume_room;
    bool full; /* a log takes nothing: what does not grow any more has not got room for ever */
};

/* Segments of one log as they were last seen. */
struct outlook_tail {
    uint64_t number, used, written;
    uint64_t begun; /* what was written when it was first looked at */
};

struct outlook {
    struct {
        int64_t at_ms;
        uint64_t written[OUTLOOK_LOGS];
    } samples[OUTLOOK_SAMPLES]; /* a ring */
    uint64_t count;             /* taken since start */
    struct outlook_tail tails[OUTLOOK_LOGS];
    _Atomic int64_t seconds_left; /* -1: nothing grew, or too early to tell; 0 in a zeroed one */
    _Atomic uint64_t room;        /* bytes of the log or volume that ends first */
    _Atomic uint64_t rate;        /* its bytes a second */
    _Atomic uint64_t needed[OUTLOOK_LOGS]; /* bytes of segments that somebody still needs */
};

void outlook_sample(struct outlook *outlook, const struct outlook_now *now);

struct gateway;
/* Looks at the logs and the volume, and samples. Main thread, after retention_run. */
void outlook_run(struct gateway *gateway);

#endif
