/* SPDX-License-Identifier: Apache-2.0
 *
 * A unit -> parts: each of one shard and one UTC day, in the order of the table, and no larger
 * than a block may be. The same unit with the same limits gives the same parts, rows and order,
 * also after a restart. One thread.
 *
 * Few late rows of many days make many small parts. A unit has at most one small part a shard and
 * day, and a device time is at most 400 days old (gateway/normalise.h), so that is bounded by the
 * unit and not by its rows; more rows a unit (the lane's rows and age) is what makes it rarer.
 */
#ifndef TIDEGATE_SINKS_CLICKHOUSE_SPLIT_H
#define TIDEGATE_SINKS_CLICKHOUSE_SPLIT_H

#include <stdint.h>

#include "model/string_table.h"
#include "sinks/clickhouse/table.h"
#include "sinks/sink.h"

/* Below SPLIT_SMALL rows a part costs the server more than it carries; for the metrics. */
enum { SPLIT_SMALL = 1000, SPLIT_SHARDS_MAX = 1024 };

struct split_limits {
    uint32_t shards;   /* 1.. */
    uint32_t rows_max; /* of a part */
    size_t bytes_max;  /* of a part before compression; a single larger row is a part of its own */
    int64_t ts_min_ms, ts_max_ms; /* rows outside are refused: time_range */
};

/* A row of the split in the order of the table. */
struct split_row {
    uint32_t batch, row;             /* in the unit */
    uint32_t vendor, device, metric; /* ranks: split->strings in ascending order of bytes */
    uint32_t unit;
    int64_t ts_ms;
};

struct part {
    uint32_t shard;
    int64_t day;           /* since 1970-01-01 UTC */
    uint32_t first, count; /* rows[first .. first+count) */
};

struct split {
    const struct unit *unit; /* borrowed; outlives the split */
    struct split_row *rows;
    uint32_t row_count;
    struct part *parts; /* by shard, then day */
    uint32_t part_count, small_count;
    struct sink_refusal *refusals; /* rows that no block may hold, by sequence number */
    uint32_t refusal_count;
    struct bytes *strings; /* well-formed UTF-8, by rank */
    uint32_t string_count;
    struct string_table table; /* holds their bytes */
};

/* Accepts a unit of any size; *split need not be initialised. */
void split_init(struct split *split, const struct unit *unit, const struct split_limits *limits);
void split_fini(struct split *split); /* accepts a zeroed object */
/* Of row `index` of the split. */
uint64_t split_seq(const struct split *split, uint32_t index);

/* The shard of a device: XXH64 (seed 0) of "<vendor>/<device>", modulo `shards`. ClickHouse says
 * xxHash64(concat(vendor, '/', device)) % shards. */
uint32_t shard_of(struct bytes vendor, struct bytes device, uint32_t shards);

#endif
