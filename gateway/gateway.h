/* SPDX-License-Identifier: Apache-2.0
 *
 * The gateway whole: builds the parts from a configuration, starts them from the disk outwards,
 * takes them down in reverse. Main thread, but for the calls marked "any thread".
 */
#ifndef TIDEGATE_GATEWAY_H
#define TIDEGATE_GATEWAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "config/config.h"

struct gateway;

/* Runs until SIGTERM or SIGINT; reloads mappings and credentials on SIGHUP. Returns an exit code.
 * `config` is taken over. `reload` makes the configuration anew (same arguments as the first time),
 * for SIGHUP. */
int gateway_run(struct config *config,
                int (*reload)(void *arg, struct config **out, struct buffer *errors),
                void *reload_arg);

/* What the admin interface asks. Any thread; `out` is appended. */
void gateway_metrics(struct gateway *gateway, struct buffer *out); /* Prometheus text 0.0.4 */
void gateway_status(struct gateway *gateway, struct buffer *out);  /* one JSON object */
bool gateway_ready(struct gateway *gateway, struct buffer *why);   /* a sentence when not */
/* Readings with seq >= from, as JSON lines, at most `limit`; waits up to wait_ms for the first.
 * *next gets the seq to ask for next. from 0, or beyond the end: begin at the end. */
int gateway_tail(struct gateway *gateway, uint64_t from, uint64_t limit, int64_t wait_ms,
                 struct buffer *out, uint64_t *next);

struct lane_stats;
/* How long the oldest of what waits for a lane has waited; 0 when nothing waits. */
int64_t gateway_lane_lag_ms(const struct gateway *gateway, const struct lane_stats *stats);

#endif
