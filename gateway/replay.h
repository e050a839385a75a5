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
    REPLAY_LETTERS,  /* dead letters, decoded by the present configuration */
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
    uint64_t first_seq, last_seq;           /* of the span; 0, 0: nothing lies in it */
    uint64_t next_seq;                      /* everything below is stored (or counted) */
    uint64_t messages, readings, withdrawn; /* sent; of a dry run: that would be */
    uint64_t
        changed; /* readings that are not as the store should have them: of AGAIN and LETTERS */
    uint64_t damaged; /* sequence numbers in the span that damage took: reported, passed over */
    double readings_per_s; /* over the last seconds */
    char why[200];         /* of FAILED, or what it waits for */
};

struct replays;
struct replays_options {
    const struct disk *disk;
    const char *dir;       /* of the job files; made when absent */
    const char *state_dir; /* the decoder's saves */
    const char *again_dir; /* a log of what was decoded again: journal/again */
    struct journal *raw, *readings, *dead;
    /* The feed of a sink's lane: attach gives GW_ENOENT without such a sink, GW_EEXIST when another
     * replay has it. */
    int (*attach)(void *arg, const char *sink, struct feed *feed, struct err *err);
    void (*detach)(void *arg, const char *sink, struct feed *feed);
    /* A lane wakes up to look into its feed. */
    void (*wake)(void *arg, const char *sink);
    /* The configuration of now, and its decode generation. */
    const struct config *(*config)(void *arg, uint32_t *generation);
    void *arg;
};
/* Reads the jobs that are there; those that were running go on after replays_start. */
int replays_new(const struct replays_options *options, struct replays **out, struct err *err);
int replays_start(struct replays *replays, struct err *err);
/* Jobs that run are stopped where they are, and go on at the next start. */
void replays_stop(struct replays *replays);
void replays_free(struct replays *replays); /* after stop; accepts null */

/* Any thread. A copy is taken. GW_EINVAL: the request is wrong; GW_ENOENT: no such sink; GW_EEXIST:
 * that sink has a replay already; GW_EIO: the job cannot be written. */
int replay_begin(struct replays *replays, const struct replay_request *request,
                 char id[REPLAY_ID_SIZE], struct err *err);
/* Stop where it is; resume from there; forget one that does not run. GW_ENOENT: no such job. */
int replay_stop(struct replays *replays, const char *id, struct err *err);
int replay_resume(struct replays *replays, const char *id, struct err *err);
int replay_forget(struct replays *replays, const char *id, struct err *err);
/* The i-th job, newest first; false past the end. */
bool replay_status(struct replays *replays, size_t index, struct replay_status *out);
/* The lowest sequence numbers that running jobs still need, or UINT64_MAX: retention keeps them. */
uint64_t replays_need(struct replays *replays);

#endif
