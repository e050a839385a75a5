/* SPDX-License-Identifier: Apache-2.0
 *
 * The contract between a lane and a destination. A sink is one folder and one line in
 * sinks/registry.c; read sinks/discard first.
 *
 * Everything here runs on the lane's own thread and loop; a sink that blocks delays only its own
 * lane. Life: init -> start -> write ... -> close -> closed() -> fini.
 */
#ifndef TIDEGATE_SINKS_SINK_H
#define TIDEGATE_SINKS_SINK_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/disk.h"
#include "base/err.h"
#include "base/identity.h"
#include "base/option.h"
#include "model/batch.h"
#include "model/message.h"
#include "model/metric.h"

/* What a lane sends at once: whole batches of one generation. The lane has synced its bounds; after
 * a restart exactly the same bounds come again, so whatever a sink derives from a unit (a name, a
 * token, bytes) comes out the same. Read-only; valid until it is answered. */
struct unit {
    uint64_t first_seq, last_seq; /* both inclusive */
    uint32_t generation;
    /* History (gateway/feed.h): rows stand for themselves and replace what is stored under the same
     * gateway, seq, vendor, device, metric, ts, or take it away (`withdrawn`). At most one is open,
     * counted with the live ones; it is no part of the position, comes in any order to them, covers
     * only what the lane has stored, and after a restart may come cut otherwise. */
    bool replay;
    struct batch **batches;
    uint32_t batch_count;
    uint64_t rows;
    void *lane; /* the lane's; a sink leaves it alone */
};

enum sink_answer {
    SINK_STORED, /* durable at the destination: the cursor may pass */
    SINK_RETRY,  /* not stored, or unknown: the same unit comes again after the lane's backoff */
    SINK_CLOSED, /* close() came first: the unit is given back, the cursor stays */
};

/* Why a unit, or a start, has to be tried again; a label of the lane's metrics. From
 * SINK_REASON_OPERATOR on nothing gets better unless an operator acts: the lane alarms, and still
 * tries again at its slowest. */
enum sink_reason {
    SINK_REASON_OTHER,
    SINK_REASON_UNREACHABLE, /* no connection, or it broke before anything was sent */
    SINK_REASON_TIMEOUT,
    SINK_REASON_UNKNOWN,     /* sent, and no word whether it is stored */
    SINK_REASON_BUSY,        /* it said: too much, later */
    SINK_REASON_UNAVAILABLE, /* reached, but it cannot store now: replicas, read only, no space */
    SINK_REASON_DISK,        /* our own disk */
    SINK_REASON_RESTART,     /* our own client was made anew; what it had in flight comes again */
    SINK_REASON_OPERATOR,    /* first of those that need one; also for what fits none below */
    SINK_REASON_DENIED = SINK_REASON_OPERATOR, /* sign-in or permission */
    SINK_REASON_SCHEMA,                        /* table or topic is missing, or has another shape */
    SINK_REASON_FENCED,                        /* a second gateway writes in our name */
    SINK_REASON_COUNT
};
const char *sink_reason_name(enum sink_reason reason); /* "unreachable" */

/* A row that the destination will never take: it becomes a dead letter of STAGE_SINK. */
struct sink_refusal {
    uint64_t seq;
    const char *reason; /* fixed word */
    char detail[200];
};

/* One answer. Everything is borrowed for the call. */
struct sink_result {
    enum sink_answer answer;
    enum sink_reason reason;             /* of RETRY */
    const char *why;                     /* of RETRY: a sentence for people, or null */
    const struct sink_refusal *refusals; /* of STORED: the rows left out; usually none */
    size_t refusal_count;
};

/* What a probe found at one server, topic or folder. Borrowed for the call. */
struct sink_finding {
    const char *what;        /* "a1:8123", "topic water.reading.v1" */
    const char *why;         /* null: all is well; else a sentence */
    enum sink_reason reason; /* of `why` */
    const char *seen;        /* when all is well: "version 24.8.4.13" */
};
typedef void sink_tell(void *arg, const struct sink_finding *finding);

struct sink;

/* What the lane gives to its sink; outlives it. */
struct sink_host {
    uv_loop_t *loop;
    const struct disk *disk;
    struct identity identity; /* of the journal */
    const char *name;         /* of the sink, for logs and metrics: "parquet" */
    const char *data_dir;     /* relative paths in options are below it */
    /* At start: the highest number that a process before this one may have given to the sink, were it
     * answered or not. */
    uint64_t given_through;
    /* Metrics as configured at start; lives as long as the sink. */
    const struct vocabulary *vocabulary;
    /* Answer a unit, exactly once for each write, later, never from inside write. */
    void (*answer)(struct sink_host *host, struct unit *unit, const struct sink_result *result);
    /* The message of a sequence number of an open unit, as it arrived; its bytes are valid until
     * the next call. GW_ENOENT: damage on disk took it; GW_EIO: try again later. Ascending numbers
     * are cheap. */
    int (*message)(struct sink_host *host, uint64_t seq, struct message *out, struct err *err);
    /* The destination may have lost what it confirmed within settle_ms: when the open units are
     * answered, the lane sends again from the last settled position. */
    void (*rewind)(struct sink_host *host, const char *why);
};

struct sink_type {
    const char *name;             /* "parquet" */
    const char *summary;          /* one line */
    const struct option *options; /* rows for a struct of options_size bytes */
    size_t options_size;
    /* What a unit should be, at most: the lane closes a unit at whichever comes first. A sink
     * may take more than one open unit at a time, up to CURSOR_UNITS_MAX (8). */
    uint64_t (*unit_rows_max)(const void *options);
    int64_t (*unit_age_max_ms)(
        const void *options); /* a reading waits at most so long for company */
    uint32_t (*open_units_max)(const void *options);
    /* How long after its confirmation a unit may still be lost at the destination (its answer is no
     * sync): the journal is kept so much longer. Null: 0, what is confirmed is safe. */
    int64_t (*settle_ms)(const void *options);
    /* Options that are fine alone and wrong together, GW_EINVAL with a sentence: the configuration
     * tells it with the place in the file. No I/O. Null: nothing can be wrong. */
    int (*check)(const void *options, struct err *err);

    /* Checks the options and allocates; no I/O that can block for long. *out is owned by the lane
     * and ended by fini. `options` outlives the sink. */
    int (*init)(struct sink **out, const void *options, struct sink_host *host, struct err *err);
    /* Open the destination, clean up what a crash left; at most five seconds. *cursor is the first
     * sequence number that the lane has no confirmation for; a destination that keeps the position
     * together with the readings puts its own there, and the lane follows it. GW_EINVAL: the
     * operator must act (destination ahead of the journal, unusable path, a table of the wrong
     * shape): at the start of the program it refuses to start with the text. Other errors: the lane
     * tries again with backoff. Called again only after it failed. */
    int (*start)(struct sink *sink, uint64_t *cursor, struct err *err);
    /* Returns at once. */
    void (*write)(struct sink *sink, struct unit *unit);
    /* Finish or give up open units (each is answered), close handles, then call closed. */
    void (*close)(struct sink *sink, void (*closed)(void *arg), void *arg);
    void (*fini)(struct sink *sink);
    /* Append Prometheus text of its own (names begin with tidegate_sink_<type>_), any thread; may
     * be null. */
    void (*metrics)(struct sink *sink, struct buffer *out);
    /* For `tidegate doctor`, without a sink: try the destination, and change nothing there nor on disk.
     * Blocks for ten seconds at most; of `host` only name, disk, data_dir and vocabulary are set. Null:
     * there is nothing to try. */
    void (*probe)(const void *options, struct sink_host *host, sink_tell *tell, void *arg);
};

/* Short forms of host->answer. */
static inline void sink_stored(struct sink_host *host, struct unit *unit)
{
    host->answer(host, unit, &(struct sink_result){.answer = SINK_STORED});
}

static inline void sink_retry(struct sink_host *host, struct unit *unit, enum sink_reason reason,
                              const char *why)
{
    host->answer(host, unit,
                 &(struct sink_result){.answer = SINK_RETRY, .reason = reason, .why = why});
}

static inline void sink_closed(struct sink_host *host, struct unit *unit)
{
    host->answer(host, unit, &(struct sink_result){.answer = SINK_CLOSED});
}

/* The registry, in sinks/registry.c. */
const struct sink_type *sink_find(const char *name); /* null when unknown */
const struct sink_type *sink_at(size_t index);       /* null past the end */

#endif
