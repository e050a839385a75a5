/* SPDX-License-Identifier: Apache-2.0
 *
 * `tidegate journal export`, an action of journal.c's verb. Main thread.
 */
#ifndef TIDEGATE_CLI_JOURNAL_EXPORT_H
#define TIDEGATE_CLI_JOURNAL_EXPORT_H

#include "cli/cli.h"

extern const struct cli_command journal_export_command;
int journal_export(const struct cli_command *command, int argc, char **argv);

#endif
