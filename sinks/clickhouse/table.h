/* SPDX-License-Identifier: Apache-2.0
 *
 * What the server is, and what the table looks like: which of the accepted types each column has,
 * and which settings this version knows. Filled at start from three answers of the server, then
 * read-only. Pure: answers in, a verdict out. Any thread, one at a time for one shape.
 */
#ifndef TIDEGATE_SINKS_CLICKHOUSE_TABLE_H
#define TIDEGATE_SINKS_CLICKHOUSE_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"

/* In the order of the table (DESIGN 7). The two _MS columns stand only in tables without
 * DateTime64. */
enum table_column_id {
    COLUMN_VENDOR,
    COLUMN_DEVICE,
    COLUMN_METRIC,
    COLUMN_TS,
    COLUMN_TS_MS,
    COLUMN_VALUE,
    COLUMN_UNIT,
    COLUMN_SCALE,
    COLUMN_QUALITY,
    COLUMN_FLAGS,
    COLUMN_TIME_SOURCE,
    COLUMN_SEQ,
    COLUMN_RECEIVED,
    COLUMN_RECEIVED_MS,
    COLUMN_GATEWAY,
    COLUMN_VERSION,
    COLUMN_COUNT
};
const char *table_column_name(enum table_column_id id); /* "time_source" */

/* How the values of a column lie in a Native block. */
enum wire_type {
    WIRE_ABSENT,
    WIRE_STRING,
    WIRE_LOW_CARDINALITY, /* of String */
    WIRE_INT8,            /* and UInt8; 16, 32, 64 likewise */
    WIRE_INT16,
    WIRE_INT32,
    WIRE_INT64,
    WIRE_DATETIME,   /* UInt32, seconds */
    WIRE_DATETIME64, /* Int64, ticks of 10^-precision s */
    WIRE_NULLABLE_FLOAT64,
};

enum { TABLE_TYPE_SIZE = 96 };
struct table_column {
    enum wire_type wire;
    int64_t ticks_per_ms;       /* of WIRE_DATETIME64 */
    char type[TABLE_TYPE_SIZE]; /* as the table has it: goes on the wire so, 18.16 wants it exact */
};

struct table_shape {
    uint32_t major, minor; /* 18, 16 */
    bool async_insert;     /* the server knows this setting; the following likewise */
    bool insert_deduplication_token;
    bool types_conversion; /* input_format_native_allow_types_conversion */
    bool datetime64;       /* types that it knows */
    bool low_cardinality;
    bool codecs;
    struct table_column columns[COLUMN_COUNT];
    int64_t ts_min_ms, ts_max_ms; /* what `ts` and `received` of the table hold, both inclusive */
};

/* The answer of `SELECT version()`: "18.16.1", "24.8.4.13-lts\n". Clears *shape and sets what follows
 * from the version. GW_EINVAL for text that is no version, or older than 18.16. */
int table_version_parse(struct bytes answer, struct table_shape *shape, struct err *err);

/* The queries to send; appended. Names are quoted. */
void table_describe_query(const char *database, const char *table, struct buffer *out);
void table_engine_query(const char *database, const char *table, struct buffer *out);

/* The answer of table_describe_query. After table_version_parse; fills the columns. GW_EINVAL lists
 * all that is wrong in one sentence and names `tidegate clickhouse ddl`. Columns of the operator's
 * own are left to their defaults. */
int table_describe_check(struct bytes answer, struct table_shape *shape, struct err *err);

/* The answer of table_engine_query: a row sent twice must become one row, and rows of different
 * keys must stay. After table_describe_check. GW_EINVAL for another engine or sorting key; an empty
 * answer (no right to see it) is accepted with *seen false. */
int table_engine_check(struct bytes answer, const struct table_shape *shape, bool *seen,
                       struct err *err);

/* INSERT INTO `database`.`table` (columns ...) FORMAT Native */
void table_insert_query(const struct table_shape *shape, const char *database, const char *table,
                        struct buffer *out);

/* The settings of an INSERT for this version, as URL parameters "&name=value..." (each with its '&'
 * in front; none unknown to the server, none empty), decompress=1 and wait_end_of_query=1 too. `token` is the block's. `again`: rows that this
 * server has confirmed before and may have lost: its memory of blocks must not drop them. */
void table_insert_settings(const struct table_shape *shape, const char *token, bool again,
                           struct buffer *out);

#endif
