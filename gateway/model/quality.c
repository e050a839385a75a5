/* SPDX-License-Identifier: Apache-2.0
 *
 * The names of qualities, flags and sources of time. Any thread.
 */
#include "model/quality.h"

static const char *const flag_names[FLAG_COUNT] = {
    "clock",    "unit_assumed", "unit_unknown", "rollover",       "reset",     "reverse",
    "range",    "device_fault", "maintenance",  "late",           "duplicate", "rounded",
    "withdrawn", "metric_unknown", "bad_field", "precision", "length",
};

const char *quality_name(enum quality quality)
{
    static const char *const names[] = {"good", "uncertain", "bad"};
    gw_assert((unsigned)quality < QUALITY_COUNT);
    return names[quality];
}

const char *time_source_name(enum time_source source)
{
    static const char *const names[] = {"device", "platform", "received"};
    gw_assert((unsigned)source < TIME_SOURCE_COUNT);
    return names[source];
}

const char *flag_name(int index)
{
    gw_assert(index >= 0 && index < FLAG_COUNT);
    return flag_names[index];
}

void flags_format(uint32_t flags, struct buffer *out)
{
    const char *comma = "";
    for (int i = 0; i < FLAG_COUNT; i++) {
        if (flags & 1U << i) {
            buffer_add_text(out, comma);
            buffer_add_text(out, flag_names[i]);
            comma = ",";
        }
    }
}
