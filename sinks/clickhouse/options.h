/* SPDX-License-Identifier: Apache-2.0
 *
 * The option table of the ClickHouse sink; ends with a row whose name is null.
 */
#ifndef TIDEGATE_SINKS_CLICKHOUSE_OPTIONS_H
#define TIDEGATE_SINKS_CLICKHOUSE_OPTIONS_H

#include "sinks/clickhouse/clickhouse.h"

extern const struct option clickhouse_option_rows[];

#endif
