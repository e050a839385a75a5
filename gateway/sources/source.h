/* SPDX-License-Identifier: Apache-2.0
 *
 * The contract between the gateway and something that brings messages in.
 *
 * A source runs on loops of its own. It fills chunks (journal/rawlog.h) and acknowledges a message
 * only after the chunk that holds it came back through done() (invariant 1). When chunk_acquire
 * gives null it stops reading, and goes on when a chunk comes back (invariant 7).
 * Life: new -> start -> (pause, resume) -> close -> closed() -> free. All calls come on the
 * program's main thread; closed() is called on any thread.
 */
#ifndef TIDEGATE_SOURCES_SOURCE_H
#define TIDEGATE_SOURCES_SOURCE_H

#include "base/bytes.h"
#include "base/err.h"

struct source;

struct source_type {
    const char *name;
    /* Bind, connect, start threads. */
    int (*start)(struct source *source, struct err *err);
    /* Take nothing more in; what is open stays open. */
    void (*pause)(struct source *source);
    void (*resume)(struct source *source);
    /* Say goodbye to peers, acknowledge what becomes durable within drain_ms, close everything. A second
     * time before closed() came, with the same function: so much time is left from now on. */
    void (*close)(struct source *source, int64_t drain_ms, void (*closed)(void *arg), void *arg);
    void (*free)(struct source *source);
    /* Append Prometheus text; any thread. */
    void (*metrics)(struct source *source, struct buffer *out);
};

/* Embedded first in every source. */
struct source {
    const struct source_type *type;
};

#endif
