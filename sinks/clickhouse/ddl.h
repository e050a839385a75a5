/* SPDX-License-Identifier: Apache-2.0
 *
 * The statements that an operator runs once: table, views, and for a cluster the table over all
 * shards. Separate from the sink, which never changes a schema. Any thread.
 */
#ifndef TIDEGATE_SINKS_CLICKHOUSE_DDL_H
#define TIDEGATE_SINKS_CLICKHOUSE_DDL_H

#include <stdbool.h>
#include <stdint.h>

#include "sinks/clickhouse/table.h"

/* ClickHouse counts the end of a row's life in 32 bits of seconds, and wraps: 2026 and 27 years. */
enum { DDL_TTL_DAYS_MAX = 10000 };

struct ddl_options {
    const char *database, *table; /* plain names: [A-Za-z_][A-Za-z0-9_]* */
    const char *cluster;          /* null: one server */
    bool replicated;
    int64_t ttl_days; /* 0: rows stay; at most DDL_TTL_DAYS_MAX */
};

/* The statements, each ended by ";\n", in the order to run them. GW_EINVAL for a bad name, or what
 * this version cannot do. Only the version of *shape is read. */
int ddl_write(const struct table_shape *shape, const struct ddl_options *options,
              struct buffer *out, struct err *err);

#endif
