/* SPDX-License-Identifier: Apache-2.0
 *
 * Setting a data folder aside so that the next start begins under a new identity: the way out when
 * a destination is ahead of the journal (invariant 5), because a volume was wiped or restored.
 */
#ifndef TIDEGATE_RENEW_H
#define TIDEGATE_RENEW_H

#include "base/bytes.h"
#include "base/disk.h"
#include "base/err.h"

/* Moves journal, cursors and state of `data` to data/retired/<time>; nothing is deleted, and what
 * sinks stored stays where it is. The path is appended to `where`. GW_ELOCKED while a gateway runs
 * on the folder, GW_ENOENT when there is no journal. */
int data_renew(const struct disk *disk, const char *data, struct buffer *where, struct err *err);

#endif
