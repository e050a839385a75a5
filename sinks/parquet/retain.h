/* SPDX-License-Identifier: Apache-2.0
 *
 * Removing old days. Runs on the thread that has the store.
 */
#ifndef TIDEGATE_SINKS_PARQUET_RETAIN_H
#define TIDEGATE_SINKS_PARQUET_RETAIN_H

#include "sinks/parquet/store.h"

struct retain_policy {
    int64_t keep_ms;     /* 0: no limit */
    uint64_t keep_bytes; /* 0: no limit; the newest day always stays */
    int64_t now_ms;      /* UTC */
};

/* True when a day has to go. */
bool retain_due(const struct store *store, const struct retain_policy *policy, int64_t *day);
/* Remove all files of ours in that day, of any gateway, at once for readers. */
int retain_remove_day(struct store *store, int64_t day, struct err *err);

#endif
