/* SPDX-License-Identifier: Apache-2.0
 *
 * The options of a ClickHouse sink: one row is parser, default, range, help and reference.
 */
#include "sinks/clickhouse/options.h"

#define MEMBER(name) offsetof(struct clickhouse_options, name)

const struct option clickhouse_option_rows[] = {
    {
        .name = "url",
        .type = OPTION_STRING,
        .offset = MEMBER(url),
        .help = "http://HOST:PORT/DATABASE, or https://. Replicas of a shard are separated by `,` "
                "(the first that answers is used), shards by `;`.",
    },
    {
        .name = "table",
        .type = OPTION_STRING,
        .offset = MEMBER(table),
        .def = "readings",
        .help = "The table that `tidegate clickhouse ddl` describes; on shards the local one.",
    },
    {
        .name = "user",
        .type = OPTION_STRING,
        .offset = MEMBER(user),
        .help = "Who inserts; without it, the server's `default`. Needs INSERT, and to see the "
                "table.",
    },
    {
        .name = "password_file",
        .type = OPTION_PATH,
        .offset = MEMBER(password_file),
        .help = "File with the password of `user` as its first line.",
    },
    {
        .name = "tls_ca_file",
        .type = OPTION_PATH,
        .offset = MEMBER(tls_ca_file),
        .help = "Certificates (PEM) that vouch for https servers; without it, the system's.",
    },
    {
        .name = "unit_rows",
        .type = OPTION_INT,
        .offset = MEMBER(unit_rows),
        .def = "200000",
        .min = 1,
        .max = 2000000,
        .help = "Readings that are split by shard and day and sent at once, at most.",
    },
    {
        .name = "flush_age",
        .type = OPTION_DURATION,
        .offset = MEMBER(flush_age_ms),
        .def = "2s",
        .min = 50,
        .max = 3600 * 1000,
        .help = "A reading waits at most so long for others; each block makes work for the server.",
    },
    {
        .name = "block_rows",
        .type = OPTION_INT,
        .offset = MEMBER(block_rows),
        .def = "200000",
        .min = 1,
        .max = 1000000,
        .help = "Readings of one INSERT, at most.",
    },
    {
        .name = "open_units",
        .type = OPTION_INT,
        .offset = MEMBER(open_units),
        .def = "4",
        .min = 1,
        .max = 8,
        .help = "Units under way at once; each holds its readings and its encoded blocks in "
                "memory until it is stored.",
    },
    {
        .name = "connections",
        .type = OPTION_INT,
        .offset = MEMBER(connections),
        .def = "3",
        .min = 1,
        .max = 16,
        .help = "INSERTs to one shard at once.",
    },
    {
        .name = "connect_timeout",
        .type = OPTION_DURATION,
        .offset = MEMBER(connect_timeout_ms),
        .def = "3s",
        .min = 100,
        .max = 60 * 1000,
        .help = "For a connection with its TLS handshake.",
    },
    {
        .name = "timeout",
        .type = OPTION_DURATION,
        .offset = MEMBER(timeout_ms),
        .def = "60s",
        .min = 1000,
        .max = 3600 * 1000,
        .help = "A request on which nothing moves for so long is given up and its block sent "
                "again; so is any request after ten times as long.",
    },
    {
        .name = "settle",
        .type = OPTION_DURATION,
        .offset = MEMBER(settle_ms),
        .def = "15m",
        .min = 0,
        .max = 7 * 86400LL * 1000,
        .help = "How long readings are kept after ClickHouse confirmed them, because it does not "
                "sync: when it was restarted they are sent again.",
    },
    {
        .name = "insert_quorum",
        .type = OPTION_INT,
        .offset = MEMBER(insert_quorum),
        .def = "0",
        .min = 0,
        .max = 100,
        .help = "Replicas that must have a block before it counts as stored; 0: the one that "
                "took it.",
    },
    {0},
};
