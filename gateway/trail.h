/* SPDX-License-Identifier: Apache-2.0
 *
 * The gateway's own entries in the audit log (base/audit_log.h), and its metrics. (audit.h is
 * another thing: the proof that what came in equals what went out.)
 */
#ifndef TIDEGATE_TRAIL_H
#define TIDEGATE_TRAIL_H

#include "base/audit_log.h"

struct gateway;
/* With the first entry, that it starts. Main thread. */
int trail_open(struct gateway *gateway, struct err *err);
/* The last entry, and the end. `why` null: as it was told to. */
void trail_close(struct gateway *gateway, const char *why);
void trail_metrics(const struct gateway *gateway, struct buffer *out); /* any thread */

#endif
