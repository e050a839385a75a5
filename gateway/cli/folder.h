/* SPDX-License-Identifier: Apache-2.0
 *
 * The logs below a data folder, opened to look at them only: a running gateway is not disturbed.
 * Main thread.
 */
#ifndef TIDEGATE_CLI_FOLDER_H
#define TIDEGATE_CLI_FOLDER_H

#include "journal/journal.h"

struct folder_log {
    const char *name; /* "raw", also of its folder below DIR/journal */
    enum journal_kind kind;
};
extern const struct folder_log folder_logs[3]; /* raw, readings, dead */
extern const struct folder_log
    folder_refused; /* dead letters of sinks; there only after the first */

/* GW_ENOENT when there is none; `err` names the path. */
int folder_open(const char *data, const struct folder_log *log, struct journal **out,
                struct err *err);

/* The lock that a running gateway holds: 0 and *fd to close when done; GW_ELOCKED when one runs. */
int folder_lock(const char *data, int *fd, struct err *err);

struct folder_walk {
    int (*extent)(void *arg, const struct extent *extent); /* 0, or GW_ECORRUPT: counts as damage */
    void *arg;
    bool *done;       /* set by `extent` when it has enough */
    bool gaps_normal; /* dead letters: numbers between two of them are fine messages */
    uint64_t damaged; /* ranges that could not be read */
};
/* Every extent from `from` on that is there now. */
int folder_each(struct journal *journal, uint64_t from, struct folder_walk *walk, struct err *err);

#endif
