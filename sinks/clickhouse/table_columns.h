/* SPDX-License-Identifier: Apache-2.0
 *
 * The rows behind the columns of the table. For table*.c only.
 */
#ifndef TIDEGATE_SINKS_CLICKHOUSE_TABLE_COLUMNS_H
#define TIDEGATE_SINKS_CLICKHOUSE_TABLE_COLUMNS_H

#include "sinks/clickhouse/type.h"

struct table_column_row {
    const char *name;
    enum column_kind kind;
};
extern const struct table_column_row table_columns[COLUMN_COUNT];

#endif
