/* SPDX-License-Identifier: Apache-2.0
 *
 * `tidegate status --watch`: the gates on a live screen.
 */
#ifndef TIDEGATE_CLI_STATUS_WATCH_H
#define TIDEGATE_CLI_STATUS_WATCH_H

#include <stdint.h>

#include "cli/http.h"

/* Until q or Ctrl-C; without a terminal a block of text every interval, until a signal. Returns the
 * exit code. */
int status_watch(struct http *http, int64_t every_ms);

#endif
