/* SPDX-License-Identifier: Apache-2.0
 *
 * Verbs as a user sees them: exit code, standard output, standard error. They run in this process,
 * with the three streams in files of a folder of the test's own. One thread.
 */
#ifndef TIDEGATE_TESTS_CLI_KIT_H
#define TIDEGATE_TESTS_CLI_KIT_H

#include "lib/temp_dir.h"

struct cli_kit {
    struct temp_dir dir;
    char *out, *err; /* of the last command */
};

/* For cmocka: *state is a struct cli_kit. */
int cli_kit_setup(void **state);
int cli_kit_teardown(void **state);
/* The words of `line` as argv of `main`; `input` (or null: nothing) as standard input. Returns the
 * exit code. */
int cli_kit_run(struct cli_kit *kit, int (*main)(int argc, char **argv), const char *line,
                const char *input);

#endif
