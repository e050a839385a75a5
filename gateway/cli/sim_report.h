/* SPDX-License-Identifier: Apache-2.0
 *
 * What `tidegate sim` tells while it runs, and at its end.
 */
#ifndef TIDEGATE_CLI_SIM_REPORT_H
#define TIDEGATE_CLI_SIM_REPORT_H

#include <stdbool.h>

#include "sim/publisher.h"

struct sim_progress {
    bool live; /* standard error is a terminal: one line, rewritten */
    uint64_t acknowledged;
    int64_t at_ns;
};
enum { SIM_PROGRESS_LIVE_MS = 250, SIM_PROGRESS_LINE_MS = 5000 };

/* For publisher_new; `arg` is a struct sim_progress. */
void sim_progress_print(void *arg, const struct publisher_stats *stats);
void sim_progress_end(const struct sim_progress *progress);
void sim_summary_text(const struct publisher_stats *stats);
void sim_summary_json(const struct publisher_stats *stats);

#endif
