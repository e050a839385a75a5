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

/* What a lane sends at once: whole batches of one generation. The lane has synced its bounds; after
 * a restart exactly the same bounds come again, so whatever a sink derives from a unit (a name, a
 * token, bytes) comes out the same. Read-only; valid until it is answered. */
struct unit {
    uint64_t first_seq, last_seq; /* both inclusive */
    uint32_t generation;
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

/* A row that the destination will never take: it becomes a dead letter of STAGE_SINK. */
struct sink_refusal {
    uint64_t seq;
    const char *reason; /* fixed word */
    char detail[200];
};

struct sink;

/* What the lane gives to its sink; outlives it. */
struct sink_host {
    uv_loop_t *loop;
    const struct disk *disk;
    struct identity identity; /* of the journal */
    const char *name;         /* of the sink, for logs and metrics: "parquet" */
    const char *data_dir;     /* relative paths in options are below it */
    /* Answer a unit, exactly once for each write, later, never from inside write. With STORED,
     * `refusals` are the rows left out (borrowed for the call; null, 0 usually). `why` is null or
     * a sentence for the log, for RETRY. */
    void (*answer)(struct sink_host *host, struct unit *unit, enum sink_answer answer,
                   const struct sink_refusal *refusals, size_t refusal_count, const char *why);
};

struct sink_type {
    const char *name;            /* "parquet" */
    const char *summary;         /* one line */
    const struct option *options; /* rows for a struct of options_size bytes */
    size_t options_size;
    /* What a unit should be, at most: the lane closes a unit at whichever comes first. A sink
     * may take more than one open unit at a time. */
    uint64_t (*unit_rows_max)(const void *options);
    int64_t (*unit_age_max_ms)(const void *options); /* a reading waits at most so long for company */
    uint32_t open_units_max;

    /* Checks the options and allocates; no I/O that can block for long. *out is owned by the lane
     * and ended by fini. `options` outlives the sink. */
    int (*init)(struct sink **out, const void *options, struct sink_host *host, struct err *err);
    /* Open the destination, clean up what a crash left. `cursor` is the first sequence number that
     * the lane has no confirmation for. GW_EINVAL: the operator must act (destination ahead of the
     * journal, unusable path), the program refuses to start with the text; other errors: the lane
     * tries again with backoff. */
    int (*start)(struct sink *sink, uint64_t cursor, struct err *err);
    /* Returns at once. */
    void (*write)(struct sink *sink, struct unit *unit);
    /* Finish or give up open units (each is answered), close handles, then call closed. */
    void (*close)(struct sink *sink, void (*closed)(void *arg), void *arg);
    void (*fini)(struct sink *sink);
    /* Append Prometheus text of its own (names begin with tidegate_sink_<type>_), any thread; may
     * be null. */
    void (*metrics)(struct sink *sink, struct buffer *out);
};

/* The registry, in sinks/registry.c. */
const struct sink_type *sink_find(const char *name); /* null when unknown */
const struct sink_type *sink_at(size_t index);       /* null past the end */

#endif
