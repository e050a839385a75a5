/* SPDX-License-Identifier: Apache-2.0
 *
 * Which servers answer, whether their tables fit, and whether one was restarted. A 200 of ClickHouse
 * is no sync: what it confirmed shortly before a restart may be gone, so then the lane is asked to
 * send again from its settled position. The same when a server has been silent for long after it
 * confirmed something: nobody knows in which state it comes back, and the journal must not forget
 * what it may have lost. The lane's thread.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "sinks/clickhouse/state.h"

enum {
    START_MS_MAX = 4500,
    ASK_EVERY_MS = 60 * 1000,
    ASK_UNFIT_MS = 5 * 1000, /* a table that does not fit: an operator may be at work */
    ASK_AGAIN_MS = 1000,
    SILENT_MS_MAX = 5 * 60 * 1000,
};

/* ---- what an answer means ---- */

static bool same_columns(const struct table_shape *a, const struct table_shape *b)
{
    for (int i = 0; i < COLUMN_COUNT; i++)
        if (a->columns[i].wire != b->columns[i].wire ||
            a->columns[i].ticks_per_ms != b->columns[i].ticks_per_ms ||
            strcmp(a->columns[i].type, b->columns[i].type) != 0)
            return false;
    return true;
}

static void save_memory(struct sink *sink)
{
    int result =
        ch_memory_save(&sink->hosts, sink->again_through, sink->host->disk, sink->memory_path);
    sink->memory_changed = false;
    if (result < 0)
        log_event(LOG_WARN, "clickhouse_memory_failed", "sink=%s path=%s why=\"%s\"",
                  sink->host->name, sink->memory_path, strerror(-result));
}

/* Replicas and ZooKeeper remember blocks whose rows are gone, and would drop them: also those of which
 * we heard nothing. On disk before the lane goes back, because from then on nothing else tells what
 * was sent. */
static void distrust_blocks(struct sink *sink)
{
    if (sink->again_through >= sink->sent_through)
        return;
    sink->again_through = sink->sent_through;
    save_memory(sink);
}

static void rewind_lane(struct sink *sink, struct ch_host *host, const char *why)
{
    log_event(LOG_WARN, "clickhouse_rewind", "sink=%s host=%s why=\"%s\" through=%" PRIu64,
              sink->host->name, host->name, why, sink->confirmed_through);
    host->confirmed_at_ms = 0;
    sink->epoch++;
    distrust_blocks(sink);
    atomic_fetch_add_explicit(&sink->rewinds, 1, memory_order_relaxed);
    if (sink->host->rewind)
        sink->host->rewind(sink->host, why);
}

static void take_uptime(struct sink *sink, struct ch_host *host, const struct ch_probe *probe)
{
    if (probe->uptime_s < 0)
        return;
    if (ch_host_uptime(host, probe->uptime_s, clock_monotonic_ms())) {
        log_event(LOG_WARN, "clickhouse_restarted",
                  "sink=%s host=%s uptime_s=%" PRId64 " version=%s", sink->host->name, host->name,
                  probe->uptime_s, probe->version);
        distrust_blocks(sink);
        if (ch_host_at_risk(host, sink->options->settle_ms))
            rewind_lane(sink, host, "the server was restarted");
    }
    /* After the lane was told: killed in between, we must find the restart once more. */
    if (ch_memory_take(host, probe->uptime_s, clock_wall_ms()))
        sink->memory_changed = true;
    if (sink->memory_changed)
        save_memory(sink);
}

static void take_shape(struct sink *sink, struct ch_host *host, const struct ch_probe *probe)
{
    struct table_shape *shape = &sink->shapes[host->shard];
    bool known = shape->major != 0;
    /* A Distributed or Buffer table keeps rows in memory or a queue of its own, and a 200 says little. */
    if (!probe->engine_seen)
        log_event(
            LOG_WARN, "clickhouse_engine_unseen",
            "sink=%s host=%s table=%s why=\"system.tables does not show it: nobody checks that "
            "it is a ReplacingMergeTree(version)\"",
            sink->host->name, host->name, sink->options->table);
    host->shape = probe->shape;
    host->checked = true;
    snprintf(host->version, sizeof host->version, "%s", probe->version);
    if (known && !same_columns(shape, &probe->shape)) {
        log_event(LOG_WARN, "clickhouse_table_changed", "sink=%s host=%s", sink->host->name,
                  host->name);
        sink->epoch++;
    }
    *shape = probe->shape;
}

/* Bytes must be the same for all replicas of a shard. */
static void check_peer(const struct sink *sink, struct ch_probe *probe)
{
    const struct ch_host *peer = ch_hosts_peer(&sink->hosts, probe->host);
    if (probe->result < 0 || !probe->looked || peer == NULL ||
        same_columns(&peer->shape, &probe->shape))
        return;
    probe->reason = SINK_REASON_SCHEMA;
    probe->result = err_set(&probe->err, GW_EINVAL,
                            "%s: its table has other columns than that of its replica %s",
                            probe->host->name, peer->name);
}

static void take_failure(struct sink *sink, struct ch_host *host, const struct ch_probe *probe)
{
    bool news = strcmp(host->why, probe->err.text) != 0;
    if (probe->result == GW_EINVAL)
        host->checked = false;
    ch_host_failed(host, clock_monotonic_ms());
    host->reason = probe->reason;
    snprintf(host->why, sizeof host->why, "%.*s", (int)sizeof host->why - 1, probe->err.text);
    if (news)
        log_event(LOG_WARN, "clickhouse_host_failed", "sink=%s host=%s reason=%s why=\"%s\"",
                  sink->host->name, host->name, sink_reason_name(host->reason), host->why);
}

static void take_answer(struct sink *sink, struct ch_host *host, struct ch_probe *probe)
{
    check_peer(sink, probe);
    take_uptime(sink, host, probe);
    if (probe->result < 0) {
        take_failure(sink, host, probe);
        return;
    }
    if (probe->looked)
        take_shape(sink, host, probe);
    if (host->why[0])
        log_event(LOG_INFO, "clickhouse_host_back", "sink=%s host=%s version=%s", sink->host->name,
                  host->name, probe->version);
    host->why[0] = '\0';
    ch_host_answered(host);
}

/* ---- at start ---- */

struct start {
    struct sink *sink;
    uv_loop_t loop;
    uv_timer_t timer;
    struct http_client *client;
    struct ch_probe *probes; /* one a host */
    uint32_t left;
};

static void on_start_closed(void *arg)
{
    (void)arg;
}

static void start_end(struct start *start)
{
    if (uv_is_closing((uv_handle_t *)&start->timer))
        return;
    uv_close((uv_handle_t *)&start->timer, NULL);
    http_client_close(start->client, on_start_closed, NULL);
}

static void on_start_answer(struct ch_probe *probe)
{
    struct start *start = probe->arg;
    start->left--;
    if (start->left == 0)
        start_end(start);
}

static void on_start_timer(uv_timer_t *timer)
{
    start_end(container_of(timer, struct start, timer));
}

static int start_run(struct start *start, const struct http_options *http, struct err *err)
{
    struct sink *sink = start->sink;
    gw_assert(uv_loop_init(&start->loop) == 0);
    int result = http_client_new(&start->loop, http, &start->client, err);
    if (result == 0) {
        uv_timer_init(&start->loop, &start->timer);
        uv_timer_start(&start->timer, on_start_timer, START_MS_MAX, 0);
        start->left = sink->hosts.count;
        for (uint32_t i = 0; i < sink->hosts.count; i++) {
            start->probes[i] = (struct ch_probe){.client = start->client,
                                                 .host = &sink->hosts.hosts[i],
                                                 .table = sink->options->table,
                                                 .done = on_start_answer,
                                                 .arg = start};
            ch_probe_begin(&start->probes[i], CH_PROBE_TABLE);
        }
        uv_run(&start->loop, UV_RUN_DEFAULT);
        http_client_free(start->client);
    }
    gw_assert(uv_loop_close(&start->loop) == 0);
    return result;
}

/* Why what this server confirmed to the process before us may be gone; null: it is not. A server
 * that does not answer may come back without it, and the lane would have settled it by then. */
static const char *lost_before(const struct sink *sink, const struct ch_host *host,
                               const struct ch_probe *probe)
{
    bool known = host->started_wall_s != 0;
    if (probe->uptime_s < 0)
        return known ? "the server does not answer, and confirmed readings before" : NULL;
    if (ch_memory_restarted(host, probe->uptime_s, clock_wall_ms()))
        return "the server was restarted while we were not running";
    if (!known && probe->uptime_s * 1000 < sink->options->settle_ms)
        return "the server is young, and nobody remembers when it was started";
    if (sink->has_stranger)
        return "a server that is not in `url` any more confirmed readings before";
    return NULL;
}

static void look_back(struct sink *sink, struct ch_host *host, const struct ch_probe *probe)
{
    const char *why = lost_before(sink, host, probe);
    if (why == NULL || sink->rewound_at_start)
        return;
    distrust_blocks(sink);
    if (sink->confirmed_through == 0)
        return;
    sink->rewound_at_start = true;
    rewind_lane(sink, host, why);
}

static void take_start_answers(struct start *start)
{
    struct sink *sink = start->sink;
    for (uint32_t i = 0; i < sink->hosts.count; i++) {
        struct ch_probe *probe = &start->probes[i];
        if (probe->busy) {
            probe->reason = SINK_REASON_TIMEOUT;
            probe->result = err_set(&probe->err, GW_EIO, "%s: no answer within %d ms",
                                    probe->host->name, START_MS_MAX);
        }
        look_back(sink, &sink->hosts.hosts[i], probe);
        take_answer(sink, &sink->hosts.hosts[i], probe);
        sink->watches[i].asked_ms = clock_monotonic_ms();
        /* The process before us may have heard it confirm something just now. */
        if (probe->uptime_s >= 0 && sink->confirmed_through)
            sink->hosts.hosts[i].confirmed_at_ms = sink->watches[i].asked_ms;
    }
}

/* All that is wrong, as far as there is room. An operator is needed when none of a shard's hosts
 * fits and all of them have said so. */
static int shard_verdict(struct sink *sink, uint32_t shard, struct err *err)
{
    bool all_answered = true;
    size_t used = 0;
    for (uint32_t i = 0; i < sink->hosts.count; i++) {
        const struct ch_host *host = &sink->hosts.hosts[i];
        if (host->shard != shard)
            continue;
        if (host->checked && host->why[0] == '\0')
            return 0;
        all_answered &= host->reason >= SINK_REASON_OPERATOR;
        if (used + 2 < sizeof err->text)
            used += (size_t)snprintf(err->text + used, sizeof err->text - used, "%s%s",
                                     used ? "; " : "", host->why);
    }
    return all_answered ? GW_EINVAL : GW_EIO;
}

int ch_watch_start(struct sink *sink, uint64_t cursor, const struct http_options *http,
                   struct err *err)
{
    struct start start = {.sink = sink};
    sink->memory_changed = sink->has_stranger; /* it is told once */
    if (sink->confirmed_through < cursor - 1)
        sink->confirmed_through = cursor - 1;
    sink->sent_through = sink->confirmed_through;
    if (sink->sent_through < sink->host->given_through)
        sink->sent_through = sink->host->given_through;
    start.probes = mem_zalloc(sink->hosts.count * sizeof *start.probes);
    int result = start_run(&start, http, err);
    if (result == 0)
        take_start_answers(&start);
    free(start.probes);
    for (uint32_t shard = 0; result == 0 && shard < sink->hosts.shards; shard++)
        result = shard_verdict(sink, shard, err);
    return result;
}

/* ---- later ---- */

static void ask(struct ch_watch *watch)
{
    const struct ch_host *host = watch->probe.host;
    if (!host->checked && host->reason == SINK_REASON_DENIED)
        ch_sink_login_again(watch->sink);
    bool table = !host->checked || (watch->wanted && watch->depth == CH_PROBE_TABLE);
    watch->wanted = false;
    watch->asked_ms = clock_monotonic_ms();
    ch_probe_begin(&watch->probe, table ? CH_PROBE_TABLE : CH_PROBE_UPTIME);
}

static void on_answer(struct ch_probe *probe)
{
    struct ch_watch *watch = container_of(probe, struct ch_watch, probe);
    struct sink *sink = watch->sink;
    struct ch_host *host = &sink->hosts.hosts[watch - sink->watches];
    take_answer(sink, host, probe);
    if (watch->wanted && watch->depth == CH_PROBE_TABLE && probe->result == 0)
        ask(watch);
    else
        ch_send_checked(sink, host, probe);
}

void ch_watch_begin(struct sink *sink)
{
    for (uint32_t i = 0; i < sink->hosts.count; i++) {
        sink->watches[i].sink = sink;
        sink->watches[i].probe = (struct ch_probe){.client = sink->client,
                                                   .host = &sink->hosts.hosts[i],
                                                   .table = sink->options->table,
                                                   .done = on_answer};
    }
}

void ch_watch_want(struct sink *sink, struct ch_host *host, enum ch_probe_depth depth)
{
    struct ch_watch *watch = &sink->watches[host - sink->hosts.hosts];
    if (!watch->wanted || depth > watch->depth)
        watch->depth = depth;
    watch->wanted = true;
    if (!watch->probe.busy && depth == CH_PROBE_TABLE)
        ask(watch);
}

static bool due(const struct ch_watch *watch, const struct ch_host *host, int64_t now)
{
    int64_t since = now - watch->asked_ms;
    if (watch->probe.busy)
        return false;
    if (watch->wanted)
        return since >= ASK_AGAIN_MS;
    if (!host->checked)
        return since >= ASK_UNFIT_MS;
    if (host->down_until_ms)
        return now >= host->down_until_ms;
    return since >= ASK_EVERY_MS;
}

static bool silent_too_long(const struct sink *sink, const struct ch_host *host, int64_t now)
{
    int64_t max = sink->options->settle_ms / 3;
    if (max > SILENT_MS_MAX)
        max = SILENT_MS_MAX;
    return host->silent_since_ms && host->confirmed_at_ms && now - host->silent_since_ms >= max &&
           host->confirmed_at_ms >= host->silent_since_ms - sink->options->settle_ms;
}

void ch_watch_tick(struct sink *sink)
{
    int64_t now = clock_monotonic_ms();
    for (uint32_t i = 0; i < sink->hosts.count; i++) {
        struct ch_host *host = &sink->hosts.hosts[i];
        if (silent_too_long(sink, host, now))
            rewind_lane(sink, host, "the server has been silent since it confirmed readings");
        if (due(&sink->watches[i], host, now))
            ask(&sink->watches[i]);
    }
}
