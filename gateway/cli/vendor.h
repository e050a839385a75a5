/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of `tidegate vendor` share. Main thread.
 */
#ifndef TIDEGATE_CLI_VENDOR_H
#define TIDEGATE_CLI_VENDOR_H

#include "cli/cli.h"
#include "config/vendor_files.h"

struct vendor_options {
    char *config, *data, *password_file, *client, *topics;
    bool generate, json;
};

/* A password of its user's choice: from the file (its first line), or asked for twice at the terminal.
 * Wiped by vendor_password_fini. CLI_GO, or the exit code after telling why. */
int vendor_password(const struct cli_command *command, const char *file, struct buffer *out);
void vendor_password_fini(struct buffer *password);

#endif
