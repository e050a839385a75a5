/* SPDX-License-Identifier: Apache-2.0
 *
 * The sessions as a snapshot (rawlog.h has the rest): a frame of session records.
 */
#ifndef TIDEGATE_JOURNAL_SESSIONS_H
#define TIDEGATE_JOURNAL_SESSIONS_H

#include "journal/rawlog.h"

/* Append the body of a snapshot extent. */
void sessions_snapshot(const struct sessions *sessions, struct buffer *out);

#endif
