/* SPDX-License-Identifier: Apache-2.0
 *
 * History again: what was received in a span of time, sent once more to one sink, as the reading log
 * has it or decoded again from the raw log by today's codecs and mappings. Jobs are files, so they
 * outlive a restart; each that runs has a thread of its own and feeds a lane (feed.h). Main and admin
 * threads.
 */
#ifndef TIDEGATE_REPLAY_H
#define TIDEGATE_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/disk.h"
#include "base/err.h"
#include "config/config.h"
#include "feed.h"
#include "journal/journal.h"

enum { REPLAY_ID_SIZE = 24 };

enum replay_source {
    REPLAY_READINGS, /* the reading log's batches; of a span that was decoded again since, the newest
                        decoding */
    REPLAY_AGAIN,    /* the raw log, decoded by the present configuration */
    REPLAY_LETTERS,  /* dead letters, those of its sink too, decoded by the present configuration */
};

/* Strings are owned by whoever made it; null: all. */
struct replay_request {
    enum replay_source source;
    char *sink;             /* of the configuration; null only for a dry run */
    int64_t from_ms, to_ms; /* receive time, UTC: from_ms <= received < to_ms */
    char *vendor, *device;
    char *topic;  /* MQTT filter */
    char *reason; /* of REPLAY_LETTERS */
    int64_t rate; /* readings a second; 0: as fast as the sink takes them */
    bool dry_run; /* counts what would be sent and what would change; sends nothing */
};
void replay_request_fini(struct replay_request *request);

enum replay_state { REPLAY_RUNNING, REPLAY_STOPPED, REPLAY_DONE, REPLAY_FAILED };

struct replay_status {
    char id[REPLAY_ID_SIZE]; /* "20261122-081500-1": also the name of its file */
    enum replay_state state;
    enum replay_source source;
    char sink[72];
    bool dry_run;
    int64_t started_ms, ended_ms;
    uint64_t first_seq, last_seq; /* of the span; 0, 0: nothing lies in it */
    uint64_t next_seq;            /* everything below is stored (or counted) */
    /* Sent; of a dry run: that would be. Withdrawn are also those that went before: another sink may
     * not have heard of it. */
    uint64_t messages, readings, withdrawn;
    uint64_t
        changed; /* readings that are not as the store should have them: of AGAIN and LETTERS */
    uint64_t damaged; /* sequence numbers in the span that damage took: reported, passed over */
    uint64_t failed;  /* of LETTERS: those that today's configuration cannot decode either */
    double readings_per_s; /* over the last seconds */
    char why[200];         /* of FAILED, or what it waits for */
};

struct replays;
struct audit_log;
struct replays_options {
    const struct disk *disk;
    const char *dir;         /* of the job files; made when absent */
    const char *state_dir;   /* the decoder's saves */
    const char *again_dir;   /* a log of what was decoded again: journal/again */
    const char *refused_dir; /* letters of sinks (refused.h), there after the first; null: none */
    struct journal *raw, *readings, *dead;
    uint64_t again_segment_bytes; /* of that log; 0: 16 MiB */
    uint64_t again_max_bytes;     /* where a job that decodes again waits for room; 0: none */
    uint64_t reserve_bytes;       /* room on the volume that is left alone */
    uint64_t feed_bytes;          /* queued for one lane; 0: 16 MiB */
    struct audit_log *audit;      /* hears how each job ends; null: nobody does */
    /* The feed of a sink's lane: attach gives GW_ENOENT without such a sink, GW_EEXIST when another
     * replay has it. The lane takes a reference of its own (feed_acquire) and lets it go when the
     * feed was ended and it has answered for what it took. Called by whoever calls replay_begin,
     * replay_resume or replays_start. */
    int (*attach)(void *arg, const char *sink, struct feed *feed, struct err *err);
    /* The feed has ended; does not wait for the lane. A job's thread. */
    void (*detach)(void *arg, const char *sink, struct feed *feed);
    /* A lane wakes up to look into its feed. A job's thread. */
    void (*wake)(void *arg, const char *sink);
    /* The configuration of now, and its decode generation. With a reference (config_acquire), which
     * is given back with config_free: a job may hold it over a reload. Any thread. */
    struct config *(*config)(void *arg, uint32_t *generation);
    void *arg;
};
/* Reads the jobs that are there; those that were running go on after replays_start. */
int replays_new(const struct replays_options *options, struct replays **out, struct err *err);
int replays_start(struct replays *replays, struct err *err);
/* Jobs that run are stopped where they are, and go on at the next start. Within a second, and nobody
 * calls the others meanwhile or later. */
void replays_stop(struct replays *replays);
void replays_free(struct replays *replays); /* after stop; accepts null */

/* Any thread. A copy is taken. GW_EINVAL: the request is wrong; GW_ENOENT: no such sink; GW_EEXIST:
 * that sink has a replay already; GW_EIO, GW_EFULL: the job cannot be written; GW_ECLOSED: the
 * gateway stops. */
int replay_begin(struct replays *replays, const struct replay_request *request,
                 char id[REPLAY_ID_SIZE], struct err *err);
/* Stop where it is (its state tells when it has; one that does not run is no error); resume from
 * there; forget one that does not run. GW_ENOENT: no such job. GW_EEXIST: it runs, or its sink has
 * another. GW_EINVAL: it is done, or about a journal that was set aside. */
int replay_stop(struct replays *replays, const char *id, struct err *err);
int replay_resume(struct replays *replays, const char *id, struct err *err);
int replay_forget(struct replays *replays, const char *id, struct err *err);
/* The i-th job, newest first; false past the end. */
bool replay_status(struct replays *replays, size_t index, struct replay_status *out);
/* Lines of text about what a job found, appended: of a dry run of AGAIN up to twenty differences
 * (before -> after), of LETTERS why letters still fail and how many. GW_ENOENT: no such job. */
int replay_examples(struct replays *replays, const char *id, struct buffer *out);
/* The lowest sequence numbers that running jobs still need, or UINT64_MAX: retention keeps them while
 * there is room. */
uint64_t replays_need(struct replays *replays);
/* With the retention of the reading log: what was decoded again goes when the messages that it came
 * from (below this sequence number) are gone from the reading log. Any thread. */
void replays_retain(struct replays *replays, uint64_t first_kept_seq);

#endif
