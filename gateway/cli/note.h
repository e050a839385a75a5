/* SPDX-License-Identifier: Apache-2.0
 *
 * What a verb changes beside a running gateway, or without one, stands in the gateway's audit log, too.
 */
#ifndef TIDEGATE_CLI_NOTE_H
#define TIDEGATE_CLI_NOTE_H

#include "base/audit_log.h"

/* Who is the user that runs the verb. `dir` is the audit log's folder; null: `data`/audit. Where that
 * folder is not there, nothing is written: no gateway ever ran. That it cannot be written is told on
 * standard error. */
void note_done(const char *dir, const char *data, enum audit_what what, const char *object,
               const char *why);

#endif
