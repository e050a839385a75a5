/* SPDX-License-Identifier: Apache-2.0
 *
 * The sink that stores nothing: the smallest one that keeps the whole contract of sinks/sink.h.
 */
#ifndef TIDEGATE_SINKS_DISCARD_DISCARD_H
#define TIDEGATE_SINKS_DISCARD_DISCARD_H

#include "sinks/sink.h"

extern const struct sink_type sink_discard;

/* Section of a `discard` sink. */
struct discard_options {
    int64_t delay_ms; /* between write and answer */
    int64_t unit_rows;
    int64_t unit_age_ms;
};

#endif
