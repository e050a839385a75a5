/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this folder share in the gateway's process. Private to the folder. One thread,
 * the source's own, but for what says otherwise.
 */
#ifndef TIDEGATE_SOURCES_PAHO_STATE_H
#define TIDEGATE_SOURCES_PAHO_STATE_H

#include <pthread.h>
#include <uv.h>

#include "sources/paho/intake.h"
#include "sources/paho/paho.h"

enum {
    FLIGHT_MAX = 4, /* chunks of one worker on their way to the disk */
    TICK_MS = 100,
    ROUND_MS = 5, /* between two moves while messages come */
};

struct broker_worker;

/* A chunk on its way, and up to where its messages reach. */
struct flight {
    struct chunk *chunk; /* null: free */
    uint64_t end;
    uint64_t bytes; /* of topics and payloads */
    bool durable;
};

struct broker_worker {
    struct paho *paho;
    const struct paho_options *broker; /* null: left from an earlier configuration */
    unsigned number;
    char *name; /* of the file, and in the raw log: "emqx-0" */
    char *path;
    struct intake *intake;

    struct vendor *vendor; /* whose limits hold it, and its seat here; null without a broker */
    struct vendor_seat *seat;
    _Atomic int hold; /* enum hold */
    bool counted_connected;

    struct flight flights[FLIGHT_MAX]; /* a ring, oldest first */
    unsigned flight_first, flight_count;
    bool took;             /* something, since it was last seen empty */
    int64_t moved_ms;      /* monotonic: when something last went to the disk and back */
    uint64_t synced_bytes; /* that waited and were synced in the file since then */

    int wake_fd;
    uv_poll_t wake;
    uv_process_t process;
    uv_pipe_t lifeline; /* its standard input */
    uv_timer_t again;
    bool running, process_open, wake_open, lifeline_open, again_open;
    int64_t started_ms;
    unsigned deaths;             /* in a row */
    struct buffer settings_text; /* lives until it is written */
    uv_write_t settings_write;
    _Atomic uint64_t restarts, damaged;
};

struct paho {
    struct source source;
    struct paho_place place;
    struct broker_worker *workers;
    size_t worker_count;
    char *program;

    uv_loop_t loop;
    uv_async_t mail; /* chunks are durable; pause, resume, close */
    uv_timer_t tick;
    uv_timer_t round; /* the next move, while messages come or a rate holds some */
    bool round_wanted;
    unsigned seat;       /* this thread's, at each vendor */
    uint64_t generation; /* of the rules that the limits are from */
    size_t turn;         /* which worker is first: several may have one vendor */
    pthread_t thread;
    bool started, closing;
    _Atomic bool paused, close_wanted, leaving;
    _Atomic int64_t drain_until_ms;
    pthread_mutex_t lock; /* `durable` of the flights, which the journal thread sets, and... */
    bool mail_open;       /* ...whether it may still send mail, ... */
    bool mail_wanted;     /* ...and whether anybody waits for it */
    void (*closed)(void *arg);
    void *closed_arg;
};

/* ---- move.c: from the intake file to the raw log ---- */

/* Release what is durable, and send off what is there and its vendor's limits let in. True when there
 * is more, or may be, that cannot be sent now. */
bool worker_move(struct broker_worker *worker);
/* When the raw log takes nothing: see to it that a power cut does not take what waits here. At most
 * once a second, and not again for the same bytes. */
void worker_sync_waiting(struct broker_worker *worker);

/* ---- process.c: the worker processes ---- */

/* Now, or as soon as the handles of the last one are closed; and again whenever it dies. */
void worker_start(struct broker_worker *worker);
/* The byte on a worker's standard input that says: end your session, too. */
enum { PAHO_LEAVE = 'L' };
/* Close its standard input, upon which it ends. */
void worker_end(struct broker_worker *worker);

#endif
