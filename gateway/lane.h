/* SPDX-License-Identifier: Apache-2.0
 *
 * A lane: a cursor on the reading log and the sink behind it, on a thread and loop of its own. It
 * cuts the reading log into units, syncs the bounds of a unit before its first attempt (invariant
 * 6), hands it to the sink, and moves the cursor when everything up to there is stored.
 */
#ifndef TIDEGATE_LANE_H
#define TIDEGATE_LANE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/disk.h"
#include "config/config.h"
#include "feed.h"
#include "journal/journal.h"
#include "recent.h"
#include "refused.h"

enum lane_health {
    LANE_OK = 0,
    LANE_RETRYING = 1, /* the destination does not take it now */
    LANE_STOPPED = 2,  /* the operator must act */
};

enum { LANE_LATENCY_BUCKETS = 16, LANE_ROWS_BUCKETS = 24 };

/* Any thread, by atomics; since start but for the positions. */
struct lane_stats {
    _Atomic uint64_t next_seq;    /* everything below is confirmed by the destination */
    _Atomic uint64_t rows, units; /* stored */
    _Atomic uint64_t retries, refused_rows;
    _Atomic uint64_t lost_seqs; /* messages whose readings damage to the reading log took away */
    _Atomic uint64_t open_units, open_rows;
    _Atomic int64_t stored_received_ms;  /* receive time of the newest reading that is stored */
    _Atomic int64_t waiting_received_ms; /* of the oldest that was read and is not; 0: none */
    _Atomic uint64_t write_ms_sum;
    _Atomic uint64_t write_ms_bucket[LANE_LATENCY_BUCKETS]; /* i: below 2^i ms; last: above */
    _Atomic uint64_t unit_rows_bucket[LANE_ROWS_BUCKETS];   /* i: below 2^i rows; last: above */
    _Atomic uint64_t retries_by_reason[SINK_REASON_COUNT];  /* of units and of starts */
    /* Readings of the whole journal up to next_seq: decoder_stats' readings less these wait. */
    _Atomic uint64_t confirmed_readings;
    _Atomic uint64_t settled_seq; /* everything below is safe there: retention goes by it */
    _Atomic uint64_t rewinds;     /* how often what was confirmed had to be sent again */
    /* What retention took for want of room before it was sent (when_full: park); 0: nothing. */
    _Atomic uint64_t parked_first_seq, parked_last_seq;
    _Atomic uint64_t parked_messages;
    _Atomic uint64_t replay_rows, replay_units; /* stored; not among rows and units */
    _Atomic bool started;                       /* the sink's start succeeded */
    _Atomic int health;
};

struct lane_options {
    const struct disk *disk;
    const struct config_sink *sink; /* outlives the lane */
    struct journal *readings;
    struct journal *raw; /* for host->message; may be null in tests of lanes without dead letters */
    struct recent *recent; /* may be null */
    const struct vocabulary *vocabulary;
    struct refused *refused; /* takes what the sink refuses for good; outlives the lane */
    /* Where the raw log ends: what the reading log lacks up to there comes again. A cursor further
     * on is of another journal. */
    uint64_t received_end;
    const char *cursor_path;
    const char *data_dir;
};

struct lane;
/* Opens the cursor and makes the sink. GW_EINVAL: the operator must act. */
int lane_new(const struct lane_options *options, struct lane **out, struct err *err);
/* The thread; it starts the sink. */
int lane_start(struct lane *lane, struct err *err);
/* Wait for the first result of the sink's start, until that monotonic time: GW_EINVAL when the
 * operator must act, else 0, also when there is none yet: the lane goes on by itself. */
int lane_wait_started(struct lane *lane, int64_t until_ms, struct err *err);
/* The end comes near: a sink that is not started is not tried again. Any thread. */
void lane_stop_soon(struct lane *lane);
/* Units are whole as soon as nothing more waits for them: nobody is to wait for their age. Any thread. */
void lane_hurry(struct lane *lane);
/* Send what is in the reading log, at most timeout_ms, then close the sink and end the thread. The
 * first returns at once, so that several lanes do it side by side; the second waits for the end. */
void lane_stop_begin(struct lane *lane, int64_t timeout_ms);
void lane_stop(struct lane *lane, int64_t timeout_ms);
void lane_free(struct lane *lane); /* after stop; accepts null */
/* Retention has no room and only this lane, whose when_full is park, needs what is below that number:
 * soon stats.settled_seq is there, and what was left out is written down. Main thread. */
void lane_park(struct lane *lane, uint64_t below_seq);
/* History for this sink (feed.h), beside live traffic. The lane takes a reference, and lets it go when
 * the feed was ended and it has answered for what it took. GW_EEXIST: it has one already. Any thread;
 * the lane is started, and not being stopped. */
int lane_attach(struct lane *lane, struct feed *feed, struct err *err);
/* Look into the feed: there is something, or it was ended. */
void lane_wake(struct lane *lane);
const char *lane_name(const struct lane *lane);
const char *lane_sink_type(const struct lane *lane);
const struct lane_stats *lane_stats(const struct lane *lane);
/* The sentence of the last retry, "" when all is well; copied into out. */
void lane_why(struct lane *lane, char out[200]);
/* The sink's own metrics, appended. */
void lane_metrics(struct lane *lane, struct buffer *out);

#endif
