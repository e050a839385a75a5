/* SPDX-License-Identifier: Apache-2.0
 *
 * Type names of ClickHouse that we can write, and how each lies on the wire. Any thread.
 */
#ifndef TIDEGATE_SINKS_CLICKHOUSE_TYPE_H
#define TIDEGATE_SINKS_CLICKHOUSE_TYPE_H

#include "sinks/clickhouse/table.h"

/* What a column is for. */
enum column_kind {
    KIND_TEXT,
    KIND_TIME,
    KIND_MILLISECONDS, /* 0..999 */
    KIND_VALUE,
    KIND_SMALL, /* 0..18 */
    KIND_NUMBER,
    KIND_VERSION, /* what the engine compares */
};

/* `text` as DESCRIBE says it, after its escapes. False: it cannot hold what the kind needs. */
bool type_parse(struct bytes text, enum column_kind kind, struct table_column *out);
/* What to name when it cannot: "Nullable(Float64)". */
const char *type_wanted(enum column_kind kind);

#endif
