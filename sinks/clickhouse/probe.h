/* SPDX-License-Identifier: Apache-2.0
 *
 * Asks one server who it is and whether its table fits: SELECT version(), uptime(), then DESCRIBE,
 * then the table's engine. Needs no right but to see the table. Separate from the sink, because it
 * runs on a loop of its own at start, and on the lane's later. One thread.
 */
#ifndef TIDEGATE_SINKS_CLICKHOUSE_PROBE_H
#define TIDEGATE_SINKS_CLICKHOUSE_PROBE_H

#include "sinks/clickhouse/errors.h"
#include "sinks/clickhouse/hosts.h"

enum ch_probe_depth {
    CH_PROBE_UPTIME, /* the first question only; all three when the version is another than before */
    CH_PROBE_TABLE,
};

/* Caller's memory, zeroed before the first use; one question round at a time. */
struct ch_probe {
    struct http_client *client;
    struct ch_host *host; /* read, not changed */
    const char *table;
    void (*done)(struct ch_probe *probe);
    void *arg; /* the caller's */

    struct http_request request;
    enum ch_probe_depth depth;
    int step;
    bool busy;

    /* For done(). */
    int result; /* 0; GW_EINVAL: an operator must act; GW_EIO: not now */
    struct err err;
    enum sink_reason reason; /* unless result is 0 */
    bool lost;               /* the connection failed */
    bool looked;             /* at the table: shape holds */
    bool engine_seen;
    int64_t uptime_s; /* -1: not heard */
    char version[32];
    struct table_shape shape;
};

/* client, host, table and done are set. done() comes later, once, unless the client is closed. */
void ch_probe_begin(struct ch_probe *probe, enum ch_probe_depth depth);

#endif
