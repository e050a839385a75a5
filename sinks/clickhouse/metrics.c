/* SPDX-License-Identifier: Apache-2.0
 *
 * The sink's own metrics. Any thread: reads atomics, and names that never change.
 */
#include <inttypes.h>

#include "sinks/clickhouse/state.h"

#define PREFIX "tidegate_sink_clickhouse_"

static void put_head(struct buffer *out, const char *name, const char *type, const char *help)
{
    buffer_printf(out, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n", name, help, name, type);
}

static void put_counter(struct buffer *out, const char *sink, const char *name, const char *help,
                        _Atomic uint64_t *value)
{
    put_head(out, name, "counter", help);
    buffer_printf(out, PREFIX "%s{sink=\"%s\"} %" PRIu64 "\n", name, sink,
                  atomic_load_explicit(value, memory_order_relaxed));
}

static void put_host(struct buffer *out, const struct sink *sink, const struct ch_host *host,
                     const char *name, uint64_t value)
{
    buffer_printf(out, PREFIX "%s{sink=\"%s\",shard=\"%u\",host=\"%s\"} %" PRIu64 "\n", name,
                  sink->host->name, host->shard + 1, host->name, value);
}

static void put_host_counter(struct buffer *out, const struct sink *sink, const char *name,
                             const char *help, size_t offset)
{
    put_head(out, name, "counter", help);
    for (uint32_t i = 0; i < sink->hosts.count; i++) {
        struct ch_host *host = &sink->hosts.hosts[i];
        _Atomic uint64_t *value = (void *)((char *)host + offset);
        put_host(out, sink, host, name, atomic_load_explicit(value, memory_order_relaxed));
    }
}

static void put_hosts(struct buffer *out, const struct sink *sink)
{
    put_head(out, "up", "gauge", "1 while the server answered last time and its table fits.");
    for (uint32_t i = 0; i < sink->hosts.count; i++)
        put_host(out, sink, &sink->hosts.hosts[i], "up",
                 atomic_load_explicit(&sink->hosts.hosts[i].up, memory_order_relaxed));
    put_host_counter(out, sink, "host_blocks_total", "Blocks that the server confirmed.",
                     offsetof(struct ch_host, blocks));
    put_host_counter(out, sink, "host_failures_total",
                     "Answers, or their lack, after which another replica was tried.",
                     offsetof(struct ch_host, failures));
    put_host_counter(out, sink, "host_restarts_total", "Restarts of the server, by its uptime.",
                     offsetof(struct ch_host, restarts));
}

void ch_metrics(struct sink *sink, struct buffer *out)
{
    const char *name = sink->host->name;
    put_counter(out, name, "blocks_total", "Blocks stored.", &sink->blocks);
    put_counter(out, name, "rows_total", "Readings stored.", &sink->rows);
    put_counter(out, name, "sent_bytes_total", "Bytes of stored blocks, compressed.", &sink->bytes);
    put_counter(out, name, "small_blocks_total",
                "Blocks of less than 1000 readings: they cost the server more than they carry.",
                &sink->small_blocks);
    put_counter(out, name, "resent_blocks_total", "Blocks that were sent once more.",
                &sink->resent);
    put_counter(out, name, "failovers_total", "Blocks that went on to another replica.",
                &sink->failovers);
    put_counter(out, name, "bisected_blocks_total",
                "Blocks that were split to find rows that the table does not take.",
                &sink->bisected);
    put_counter(out, name, "refused_rows_total", "Readings that became dead letters.",
                &sink->refused);
    put_counter(out, name, "rewinds_total",
                "Times that the lane was sent back, because a server may have lost readings.",
                &sink->rewinds);
    put_hosts(out, sink);
}
