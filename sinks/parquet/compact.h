/* SPDX-License-Identifier: Apache-2.0
 *
 * Merging small files of a day. Three steps: choose (the thread that has the store), merge (any other
 * thread, the store goes on meanwhile), exchange (the thread that has the store). Whoever reads all
 * files under the folder sees each reading once at every moment, where the file system can exchange
 * folders.
 */
#ifndef TIDEGATE_SINKS_PARQUET_COMPACT_H
#define TIDEGATE_SINKS_PARQUET_COMPACT_H

#include "sinks/parquet/merge.h"
#include "sinks/parquet/store.h"

struct compact_policy {
    uint64_t safe_below; /* files of sequence numbers from here on may come again: left alone */
    size_t files_max;    /* of a day; half of it starts merging today */
    int64_t today;       /* UTC day */
    int64_t now_ms;      /* monotonic */
    int64_t settle_ms;   /* days before yesterday rest so long after a change */
};

/* Closed days end up in files of about this size. */
enum { COMPACT_FILE_BYTES = 1 << 30 };

struct compact_plan {
    int64_t day;
    struct file_range inputs[MERGE_INPUTS_MAX];
    size_t count;            /* 0: nothing to do */
    struct file_range range; /* of the merged file */
    char *paths[MERGE_INPUTS_MAX];
    char *merged; /* temporary path */
    struct merge_result result;
};
void compact_plan_fini(struct compact_plan *plan);

/* The most useful merge; false when there is none. */
bool compact_choose(const struct store *store, const struct compact_policy *policy,
                    struct compact_plan *plan);
/* Writes and syncs plan->merged. Does not touch the store. */
int compact_merge(const struct disk *disk, struct compact_plan *plan,
                  const struct parquet_options *options, struct err *err);
/* Put the merged file in place of its inputs. *old gets the path of the folder with the old files, to
 * be removed later (allocated), or null. */
int compact_exchange(struct store *store, const struct compact_plan *plan, char **old,
                     struct err *err);
/* The merge failed: forget what it wrote, and never try a damaged input again. */
void compact_give_up(struct store *store, const struct compact_plan *plan, int status);

#endif
