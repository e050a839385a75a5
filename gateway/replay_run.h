/* SPDX-License-Identifier: Apache-2.0
 *
 * A job that runs: what replay_readings.c, replay_again.c and replay_letters.c share. They read and
 * choose; this paces, puts into the feed, follows what is stored, and saves the position. Its fields
 * are the job's thread's, but for what stands below `lock`.
 */
#ifndef TIDEGATE_REPLAY_RUN_H
#define TIDEGATE_REPLAY_RUN_H

#include <pthread.h>
#include <stdatomic.h>

#include "again_log.h"
#include "replay.h"
#include "replay_filter.h"
#include "replay_job.h"
#include "replay_pace.h"

/* What was found up to a place, counted. */
struct replay_counts {
    uint64_t messages, readings, withdrawn, changed, damaged, failed;
};

struct replay_run {
    const struct replays_options *options;
    struct again_log *again;
    struct feed *feed; /* null: a dry run */
    struct replay_filter filter;
    _Atomic bool stop;
    struct replay_pace pace;
    struct replay_counts counts; /* of all that was read */
    uint64_t put_count;          /* batches */
    int64_t saved_at_ms;         /* monotonic */
    bool save_failed;

    pthread_mutex_t lock; /* what others look at */
    struct replay_job job;
    struct replay_place *places; /* of batches that were put, ascending; stored ones go */
    size_t place_count, place_capacity;
    struct replay_speed speed;
    uint64_t warm_seq;   /* read before the span; what is needed from there on; 0: nothing */
    bool spanned;        /* the span is known */
    int64_t blocked_ms;  /* monotonic, since when it waits for the sink; 0: it does not */
    char waits_for[160]; /* anything else */
};

/* When `put_count` batches are stored, everything below next_seq is. */
struct replay_place {
    uint64_t put_count, next_seq;
    struct replay_counts counts;
};

/* Takes the job over; `job` is empty then. */
void replay_run_init(struct replay_run *run, const struct replays_options *options,
                     struct again_log *again, struct replay_job *job);
void replay_run_fini(struct replay_run *run);
/* Before its thread begins: the job runs, from its position on. Takes the reference to the feed. */
void replay_run_begin(struct replay_run *run, struct feed *feed);
/* After its thread's work: the state it ends in. Gives the feed back. */
struct feed *replay_run_end(struct replay_run *run, enum replay_state state, const char *why);

/* ---- the job's thread ---- */

/* The span is known: where the job begins, or goes on. */
uint64_t replay_run_spanned(struct replay_run *run, uint64_t first_seq, uint64_t last_seq);
/* Takes the reference over; an empty batch is dropped. Waits for its pace and for the sink; false:
 * stopped. */
bool replay_run_put(struct replay_run *run, struct batch *batch);
/* The same for what was decoded again: the log of that gets it first. GW_ECLOSED: stopped. */
int replay_run_decoded(struct replay_run *run, struct batch *batch, struct err *err);
/* Everything below next_seq was read, and what it held was put. Saves when a second is over. */
void replay_run_passed(struct replay_run *run, uint64_t next_seq);
/* first .. +count was lost to damage: said once, counted. */
void replay_run_damaged(struct replay_run *run, const char *log, uint64_t first, uint64_t count);
/* A line for replay_examples, up to REPLAY_EXAMPLES_MAX; false: there are enough. */
bool replay_run_example(struct replay_run *run, const char *line);
/* After an error that may pass: wait a little, tell why. False: stopped, or it was so too often. */
bool replay_run_retry(struct replay_run *run, unsigned *attempts, const char *why);
/* Wait for room or the like, as long as it takes; false: stopped. */
bool replay_run_wait(struct replay_run *run, int64_t ms, const char *why);
/* Write the job file now. */
int replay_run_save(struct replay_run *run, struct err *err);

/* The three sources: 0: all is put. GW_ECLOSED: stopped. Else an error that needs an operator. */
int replay_readings_run(struct replay_run *run, struct err *err);
int replay_again_run(struct replay_run *run, struct err *err);
int replay_letters_run(struct replay_run *run, struct err *err);

/* ---- any thread ---- */

/* It stops soon. */
void replay_run_stop(struct replay_run *run);
void replay_run_status(struct replay_run *run, struct replay_status *out);
uint64_t replay_run_need(struct replay_run *run);

#endif
