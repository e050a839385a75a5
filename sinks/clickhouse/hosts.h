/* SPDX-License-Identifier: Apache-2.0
 *
 * The servers behind `url`: shards, the replicas of each, and what we know of every one of them:
 * whether it answers, which replica is to be used, and whether it was restarted since it confirmed
 * something. Sends nothing; times are given by the caller. One thread, but for the gauges.
 *
 * url: shards are separated by `;`, replicas of a shard by `,`, the most wanted first:
 *     http://a1:8123/db,http://a2:8123/db ; http://b1:8123/db,http://b2:8123/db
 */
#ifndef TIDEGATE_SINKS_CLICKHOUSE_HOSTS_H
#define TIDEGATE_SINKS_CLICKHOUSE_HOSTS_H

#include <stdatomic.h>

#include "sinks/clickhouse/table.h"
#include "sinks/sink.h"

enum { HOSTS_MAX = 256, HOST_BACKOFF_MS_MIN = 1000, HOST_BACKOFF_MS_MAX = 60000 };

struct ch_host {
    char *base;     /* http://a1:8123 */
    char *name;     /* a1:8123 */
    char *database; /* db */
    uint32_t shard;

    bool checked; /* its table was looked at and fits; shape is that of its answer */
    struct table_shape shape;
    char version[32];
    enum sink_reason reason; /* why not checked, or why it failed last; "" when all is well */
    char why[320];

    int64_t down_until_ms; /* not asked before, as long as another can be; 0: it answers */
    int64_t backoff_ms;
    int64_t silent_since_ms; /* the first failure since it last answered; 0: it answers */

    int64_t uptime_s, uptime_at_ms; /* its word, and when; uptime_at_ms 0: none yet */
    int64_t started_wall_s;         /* as remembered; 0: nothing is (memory.h) */
    int64_t confirmed_at_ms; /* the last block it confirmed, since the last rewind; 0: none */

    _Atomic bool up; /* for the metrics, as are: */
    _Atomic uint64_t blocks, failures, restarts;
};

struct ch_hosts {
    struct ch_host *hosts; /* by shard, in the order of `url` */
    uint32_t count;
    uint32_t shards;
};

/* GW_EINVAL says which part of `url` is wrong, and how. */
int ch_hosts_init(struct ch_hosts *hosts, const char *url, struct err *err);
void ch_hosts_fini(struct ch_hosts *hosts); /* accepts a zeroed object */

/* The replica to use: the first of the shard that is checked and does not back off; when all do,
 * the one whose time comes first. `tried` is a bit for each replica of the shard (by its place, the
 * 64th and later share the last) that is not to be given. Null: none is left. */
struct ch_host *ch_hosts_pick(struct ch_hosts *hosts, uint32_t shard, uint64_t tried,
                              int64_t now_ms);
uint64_t ch_hosts_bit(const struct ch_hosts *hosts, const struct ch_host *host);
/* The most wanted replica of a shard. */
struct ch_host *ch_hosts_first(struct ch_hosts *hosts, uint32_t shard);
/* Another host of its shard that is checked, or null: its table must have the same columns. */
const struct ch_host *ch_hosts_peer(const struct ch_hosts *hosts, const struct ch_host *host);

/* It failed in a way that another replica may not, or it answered. */
void ch_host_failed(struct ch_host *host, int64_t now_ms);
void ch_host_answered(struct ch_host *host);

/* Its uptime as of now. True when it was restarted since its last word. */
bool ch_host_uptime(struct ch_host *host, int64_t uptime_s, int64_t now_ms);
/* It confirmed something within `settle_ms` before it was started, as of its last uptime, or since
 * that start: what is not synced then may be gone. */
bool ch_host_at_risk(const struct ch_host *host, int64_t settle_ms);

#endif
