/* SPDX-License-Identifier: Apache-2.0
 *
 * The sink's own memory, and what its files give each other: clickhouse.c (life), send.c (units,
 * blocks, answers), watch.c (which servers answer, restarts, rewinds). Nobody else includes this.
 * The lane's thread, but for the counters.
 */
#ifndef TIDEGATE_SINKS_CLICKHOUSE_STATE_H
#define TIDEGATE_SINKS_CLICKHOUSE_STATE_H

#include "sinks/clickhouse/clickhouse.h"
#include "sinks/clickhouse/memory.h"
#include "sinks/clickhouse/probe.h"
#include "sinks/clickhouse/work.h"

enum { CH_JOBS_MAX = 2 };

/* What we ask a host in the background. */
struct ch_watch {
    struct sink *sink;
    struct ch_probe probe;
    bool wanted; /* ask as soon as may be: depth says what */
    enum ch_probe_depth depth;
    int64_t asked_ms; /* begun last */
};

struct ch_shard {
    uint32_t sending;  /* requests under way */
    int64_t stored_ms; /* the last block that it took; 0: none */
};

struct sink {
    struct sink_host *host;
    const struct clickhouse_options *options;
    struct ch_hosts hosts;
    struct ch_shard *shards;
    struct table_shape *shapes; /* of each shard's table */
    struct ch_watch *watches;   /* one a host */
    struct http_client *client;
    char *memory_path;
    bool memory_changed, rewound_at_start, has_stranger;

    struct ch_work *works;                       /* open, encoding or kept; oldest first */
    uint32_t encoding;                           /* jobs on worker threads */
    struct block_encoder *encoders[CH_JOBS_MAX]; /* not lent to a job; kept while there is work */
    struct ch_part *queue, **queue_end;
    uint64_t epoch;         /* grows when kept blocks are void: a rewind, another shape */
    uint64_t again_through; /* up to here blocks may be gone that servers know as stored */
    uint64_t confirmed_through, sent_through;

    uv_timer_t tick; /* once a second: the hosts */
    uv_timer_t kick; /* at once: what write() began */
    bool handles_are_open;
    uint32_t closing_left; /* handles and the client */
    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;

    _Atomic uint64_t blocks, rows, bytes, small_blocks;
    _Atomic uint64_t failovers, resent, bisected, refused, rewinds;
};

/* ---- clickhouse.c ---- */

/* A job on a worker thread ended while closing. */
void ch_sink_finish_closing(struct sink *sink);

/* As seen from the data folder; null for none. The caller frees it. */
char *ch_path(const struct sink_host *host, const char *path);
/* The password and a NUL, appended; the NUL alone when there is none. */
int ch_password_read(const struct clickhouse_options *options, const struct sink_host *host,
                     struct buffer *out, struct err *err);
/* The password file is read again: somebody may have mended it. */
void ch_sink_login_again(struct sink *sink);

/* ---- send.c ---- */

void ch_send_unit(struct sink *sink, struct unit *unit);
/* Begin what waits: encoding, requests. */
void ch_send_more(struct sink *sink);
/* The host's table was looked at: blocks that waited for that go on, or fail. */
void ch_send_checked(struct sink *sink, struct ch_host *host, const struct ch_probe *probe);
/* Between bursts of units their memory is given back. */
void ch_send_rest(struct sink *sink);
/* Everything that is open is answered CLOSED. */
void ch_send_give_up(struct sink *sink);

/* ---- watch.c ---- */

/* All hosts, on a loop of its own, at most so long. 0 when each shard has one that fits. What is
 * below `cursor` was confirmed by them before. */
int ch_watch_start(struct sink *sink, uint64_t cursor, const struct http_options *http,
                   struct err *err);
/* From now on through sink->client. */
void ch_watch_begin(struct sink *sink);
void ch_watch_tick(struct sink *sink);
/* The host is to be asked soon. */
void ch_watch_want(struct sink *sink, struct ch_host *host, enum ch_probe_depth depth);

void ch_metrics(struct sink *sink, struct buffer *out);

/* try.c: sink_type.probe. */
void ch_try(const void *options, struct sink_host *host, sink_tell *tell, void *arg);

#endif
