/* SPDX-License-Identifier: Apache-2.0
 *
 * What a running gateway tells about its lanes, for status and metrics. Any thread.
 */
#ifndef TIDEGATE_REPORT_LANES_H
#define TIDEGATE_REPORT_LANES_H

#include "cursors.h"
#include "gateway.h"
#include "lane.h"

/* Readings made and not yet confirmed. */
uint64_t gateway_lane_lag_readings(const struct gateway *gateway, const struct lane_stats *stats);
const char *gateway_lane_when_full(const struct gateway *gateway, size_t lane); /* "hold" */
const char *gateway_lane_health_name(int health);                               /* "ok" */
bool gateway_has_sink(const struct gateway *gateway, const char *name);
/* cursor_list_held, of both logs. */
uint64_t gateway_cursor_held(const struct gateway *gateway, const struct cursor_list *list,
                             const struct cursor_file *file);

/* Members `lanes` and `orphan_cursors` of the status object. */
void report_lanes(const struct gateway *gateway, struct buffer *out);

#endif
