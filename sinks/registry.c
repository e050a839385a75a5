/* SPDX-License-Identifier: Apache-2.0
 *
 * Every sink, one line each.
 */
#include <string.h>

#include "sinks/discard/discard.h"
#include "sinks/parquet/parquet.h"
#include "sinks/sink.h"

static const struct sink_type *const sinks[] = {
    &sink_discard,
    &sink_parquet,
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
