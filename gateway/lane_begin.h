/* SPDX-License-Identifier: Apache-2.0
 *
 * Where a lane without a cursor begins, and what the reading log says of a position. Main thread at
 * start, the lane's own later; only reads.
 */
#ifndef TIDEGATE_LANE_BEGIN_H
#define TIDEGATE_LANE_BEGIN_H

#include "config/config.h"
#include "journal/cursor.h"
#include "journal/journal.h"

/* The first state of a cursor, as the sink's option `start` says. `received_end`: where the raw log
 * ends. GW_EIO: the reading log cannot be read. */
int lane_begin(const struct config_sink *sink, struct journal *readings, uint64_t received_end,
               struct cursor_state *out, struct err *err);
/* Readings of the journal below `seq`, by the totals in the batches next to it; 0 when none of them
 * can be read. */
uint64_t lane_readings_at(struct journal *readings, uint64_t seq);
/* The earliest and the latest receive time of the batches that hold these two numbers; 0 when one
 * cannot be read. */
void lane_received(struct journal *readings, uint64_t first_seq, uint64_t last_seq,
                   int64_t *earliest_ms, int64_t *latest_ms);

#endif
