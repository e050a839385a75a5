/* SPDX-License-Identifier: Apache-2.0
 *
 * Units of replays on their way into the store: at once where that costs little, else into what waits
 * (pending.h), to go into the files together. One thread at a time; the sink gives it to a job with the
 * store.
 */
#ifndef TIDEGATE_SINKS_PARQUET_HISTORY_H
#define TIDEGATE_SINKS_PARQUET_HISTORY_H

#include "sinks/parquet/amend.h"
#include "sinks/parquet/pending.h"

/* What is put into the files at once, at most: about 300 bytes of memory a row. */
enum { HISTORY_ROWS_MAX = 1000000, HISTORY_QUIET_MS = 500 };

struct history {
    struct store *store;
    struct pending pending;
    int64_t last_put_ms; /* monotonic; 0: none yet */
    bool failing;        /* what waits could not be put into the files */
};

struct history_policy {
    uint64_t live_next; /* what the lane stores next: rows from here on wait for it */
    bool may_amend;     /* nobody else works on these days */
    bool more_comes;    /* the unit is as large as units are: it will not be the last one */
    int64_t today;      /* UTC day */
    int zstd_closed;    /* level for days before yesterday */
};

int history_open(struct history *history, struct store *store, struct err *err);
void history_close(struct history *history); /* accepts a zeroed object, or twice */

/* 0 when the unit is durable, from this call or an earlier one. */
int history_put(struct history *history, const struct unit *unit,
                const struct history_policy *policy, const struct parquet_options *options,
                struct unit_result *result, struct err *err);
/* What waits should go into the files now: there is much of it, or no unit came for a while. `more`:
 * there is a unit at hand. */
bool history_due(const struct history *history, uint64_t live_next, bool more, int64_t now_ms);
/* True when one of the days of what waits is `day`. */
bool history_touches(const struct history *history, int64_t day);
/* Put the oldest of what waits into the files. */
int history_apply(struct history *history, const struct history_policy *policy,
                  const struct parquet_options *options, struct unit_result *result,
                  struct err *err);

#endif
