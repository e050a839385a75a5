/* SPDX-License-Identifier: Apache-2.0
 *
 * A replay that was asked for, begun and followed: for one sink, or for each sink that the gateway has.
 * Main thread.
 */
#ifndef TIDEGATE_CLI_REPLAY_SINKS_H
#define TIDEGATE_CLI_REPLAY_SINKS_H

#include "cli/replay_job.h"

struct replay_sinks {
    struct replay_follow follow;
    bool
        all; /* every sink of the gateway, one after the other, whatever became of the one before */
    bool detach; /* print the id of each, and leave */
};

/* `ask->sink` is set for each when `all`. Errors are told; returns an exit code: the first that is not
 * well. */
int replay_sinks_run(const struct replay_sinks *sinks, struct replay_ask *ask);

/* --sink NAME, --all-sinks or --dry-run: exactly what goes together. CLI_GO, or a usage error. */
int replay_sinks_check(const char *verb, const char *sink, bool all, bool dry_run);

#endif
