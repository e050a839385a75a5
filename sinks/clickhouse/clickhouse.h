/* SPDX-License-Identifier: Apache-2.0
 *
 * The sink that inserts into ClickHouse over HTTP.
 */
#ifndef TIDEGATE_SINKS_CLICKHOUSE_CLICKHOUSE_H
#define TIDEGATE_SINKS_CLICKHOUSE_CLICKHOUSE_H

#include "sinks/sink.h"

extern const struct sink_type sink_clickhouse;

/* Section of a `clickhouse` sink. */
struct clickhouse_options {
    char *url;
    char *table;
    char *user;
    char *password_file;
    char *tls_ca_file;
    int64_t unit_rows;
    int64_t flush_age_ms;
    int64_t block_rows;
    int64_t open_units;
    int64_t connections; /* requests at once to a shard */
    int64_t connect_timeout_ms;
    int64_t timeout_ms;
    int64_t settle_ms;
    int64_t insert_quorum;
};

#endif
