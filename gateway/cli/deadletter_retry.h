/* SPDX-License-Identifier: Apache-2.0
 *
 * `tidegate deadletter retry`. Main thread.
 */
#ifndef TIDEGATE_CLI_DEADLETTER_RETRY_H
#define TIDEGATE_CLI_DEADLETTER_RETRY_H

#include "cli/cli.h"

extern const struct cli_command deadletter_retry_command;
int deadletter_retry(const struct cli_command *command, int argc, char **argv);

#endif
