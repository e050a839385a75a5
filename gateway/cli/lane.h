/* SPDX-License-Identifier: Apache-2.0
 *
 * What the actions of `tidegate lane` share. Main thread.
 */
#ifndef TIDEGATE_CLI_LANE_H
#define TIDEGATE_CLI_LANE_H

#include "cli/cli.h"
#include "cursors.h"

struct lane_verb_options {
    char *data, *admin, *config;
    bool json, yes;
};

/* The names of the sinks that use cursors, and where that is known from. */
struct lane_sinks {
    bool known;
    bool running; /* told by the gateway that runs on the folder */
    char **names;
    size_t count;
};

/* From --config, or from the running gateway when it is the one with that identity. CLI_GO, or the
 * exit code after an error was told; not to know is none. */
int lane_sinks_learn(const struct cli_command *command, const struct lane_verb_options *options,
                     struct identity identity, struct lane_sinks *out);
void lane_sinks_fini(struct lane_sinks *sinks);
bool lane_sinks_have(const struct lane_sinks *sinks, const char *name);

/* The cursors of --data. CLI_GO, or the exit code after an error was told. */
int lane_cursors(const struct cli_command *command, const struct lane_verb_options *options,
                 struct cursor_list *out);

int lane_ls(const struct cli_command *command, const struct lane_verb_options *options);

#endif
