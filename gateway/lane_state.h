/* SPDX-License-Identifier: Apache-2.0
 *
 * A lane inside: shared by lane.c (its life and its loop), lane_start.c (the sink's start),
 * lane_units.c (reading, giving out, answers), lane_position.c (the cursor: saved, settled,
 * followed, rewound, parked) and lane_feed.c (history beside it). Nobody else includes it. The lane's thread, where nothing else stands.
 */
#ifndef TIDEGATE_LANE_STATE_H
#define TIDEGATE_LANE_STATE_H

#include <pthread.h>
#include <uv.h>

#include "base/log.h"
#include "journal/cursor.h"
#include "lane.h"
#include "lane_feed.h"
#include "lane_reader.h"
#include "lane_slots.h"
#include "missed.h"
#include "raw_messages.h"
#include "settle.h"

enum { LANE_BACKOFF_MS_MIN = 200, LANE_BACKOFF_MS_MAX = 30000 };

struct lane {
    struct lane_options options;
    const struct sink_type *type;
    struct sink *sink;
    struct sink_host host;

    struct cursor *cursor;
    struct cursor_state saved; /* what the cursor file should say */
    bool unsaved;              /* it does not, because of an error */
    int64_t save_at_ms;        /* not before */
    struct settle settle;
    bool rewinding;              /* until what is open is answered */
    struct missed *missed;       /* null: when_full is hold */
    _Atomic uint64_t park_below; /* from retention: what it wants to take */
    int64_t park_at_ms;          /* not before, after an error */
    struct log_limit park_limit;

    struct lane_reader reader;
    bool unread;        /* the reading log could not be read */
    int64_t read_at_ms; /* not before */
    struct raw_messages messages;

    struct slots slots;
    struct batch *ahead; /* read, but did not fit into the unit before */
    uint64_t rows_max;
    int64_t age_max_ms;
    struct lane_feed feed;

    /* the sink's start */
    bool sink_started;
    bool
        refused; /* the destination is ahead of the journal: only a new start of the program helps */
    int start_health;
    int64_t start_at_ms;
    int64_t start_backoff_ms;
    _Atomic bool hurry;     /* units do not wait for company */
    _Atomic bool ends_soon; /* no start is begun any more */
    pthread_mutex_t first_lock;
    pthread_cond_t first_told;
    bool first_known, first_left; /* told; nobody waits for it any more */
    int first_rc;
    struct err first_err;

    uv_loop_t loop;
    uv_async_t wake;
    uv_timer_t tick;
    uint32_t handles_open;
    pthread_t thread;
    bool started;
    bool closing;
    _Atomic bool stopping;
    _Atomic int64_t stop_at_ms;

    pthread_mutex_t why_lock;
    char why[200];
    struct lane_stats stats;
};

/* lane.c */
void lane_why_set(struct lane *lane, const char *why);
/* The worst of what troubles the lane now; tells when the last trouble went. */
void lane_health_update(struct lane *lane);

/* lane_start.c */
void lane_start_sink(struct lane *lane);

/* lane_units.c */
void lane_on_answer(struct sink_host *host, struct unit *unit, const struct sink_result *result);
/* The same unit again, later: RETRY, or what was refused cannot be stored now. */
void lane_retry_later(struct lane *lane, struct slot *slot, enum sink_reason reason,
                      const char *why);
/* Rows that were refused are dead letters by now. */
void lane_refusals_count(struct lane *lane, const struct sink_result *result);
/* Another attempt for units that wait and are due. */
void lane_write_due(struct lane *lane);
/* Read, fill units, give out what is whole. True when there may be more. */
bool lane_fill(struct lane *lane);

/* lane_position.c */
/* The position and the bounds of what is under way, synced. False: an error, told; tried again. */
bool lane_save(struct lane *lane);
/* What must be saved and is not, and what has settled meanwhile. */
void lane_save_due(struct lane *lane);
/* Everything below is confirmed. */
void lane_confirmed(struct lane *lane, uint64_t next_seq, uint64_t readings);
/* The destination says that it has everything below `seq` and nothing from there on. GW_EINVAL: the
 * journal does not reach so far. */
int lane_follow(struct lane *lane, uint64_t seq, struct err *err);
void lane_on_rewind(struct sink_host *host, const char *why);
/* Go back, once nothing is open. */
void lane_rewind_step(struct lane *lane);
void lane_missed_publish(struct lane *lane);
/* Do what retention asked for. */
void lane_park_step(struct lane *lane);
/* A parked unit was stored after all. */
void lane_parked_stored(struct lane *lane, const struct unit *unit);

#endif
