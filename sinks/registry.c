/* SPDX-License-Identifier: Apache-2.0
 *
 * Every sink, one line each.
 */
#include <string.h>

#include "sinks/clickhouse/clickhouse.h"
#include "sinks/discard/discard.h"
#include "sinks/kafka/kafka.h"
#include "sinks/parquet/parquet.h"
#include "sinks/sink.h"

static const char *const reason_names[SINK_REASON_COUNT] = {
    [SINK_REASON_OTHER] = "other",     [SINK_REASON_UNREACHABLE] = "unreachable",
    [SINK_REASON_TIMEOUT] = "timeout", [SINK_REASON_UNKNOWN] = "unknown",
    [SINK_REASON_BUSY] = "busy",       [SINK_REASON_UNAVAILABLE] = "unavailable",
    [SINK_REASON_DISK] = "disk",       [SINK_REASON_RESTART] = "restart",
    [SINK_REASON_DENIED] = "denied",   [SINK_REASON_SCHEMA] = "schema",
    [SINK_REASON_FENCED] = "fenced",
};

const char *sink_reason_name(enum sink_reason reason)
{
    gw_assert(reason < SINK_REASON_COUNT && reason_names[reason]);
    return reason_names[reason];
}

static const struct sink_type *const sinks[] = {
    &sink_clickhouse,
    &sink_discard,
    &sink_parquet,
    &sink_kafka,
};

const struct sink_type *sink_find(const char *name)
{
    for (size_t i = 0; i < array_count(sinks); i++)
        if (strcmp(name, sinks[i]->name) == 0)
            return sinks[i];
    return NULL;
}

const struct sink_type *sink_at(size_t index)
{
    return index < array_count(sinks) ? sinks[index] : NULL;
}
