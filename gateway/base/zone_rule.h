/* SPDX-License-Identifier: Apache-2.0
 *
 * The rule in the footer of a TZif file: a POSIX TZ string with the extension of RFC 8536, 3.3.1
 * (hours up to 167 in the time of a change). Any thread.
 */
#ifndef TIDEGATE_BASE_ZONE_RULE_H
#define TIDEGATE_BASE_ZONE_RULE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

enum zone_day_kind { ZONE_DAY_JULIAN, ZONE_DAY_ZERO_BASED, ZONE_DAY_WEEKDAY };

/* A day of a year: Jn (1..365, 29 February never counted), n (0..365), or Mm.w.d. */
struct zone_day {
    enum zone_day_kind kind;
    int day;         /* Jn, n, or the weekday with 0 for Sunday */
    int month, week; /* week 5: the last */
    int32_t time_s;  /* local time of that day, may be negative */
};

struct zone_rule {
    int32_t standard_s; /* seconds east of UTC */
    bool has_dst;
    int32_t dst_s;
    struct zone_day start, end; /* of daylight time */
};

/* The whole of `text` must be used. */
bool zone_rule_parse(struct bytes text, struct zone_rule *out);

/* The two changes of a year in the order of time, as UTC. Only when has_dst. */
struct zone_change {
    int64_t at_s;
    int32_t offset_s; /* from then on */
};
void zone_rule_changes(const struct zone_rule *rule, int year, struct zone_change out[2]);

#endif
