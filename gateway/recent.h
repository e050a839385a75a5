/* SPDX-License-Identifier: Apache-2.0
 *
 * The batches that were appended to the reading log last, as they are in memory, so that lanes which
 * keep up need not read and decode them again, each for itself. Only a cache: what is not here is in
 * the log. Any thread, a lock inside.
 */
#ifndef TIDEGATE_RECENT_H
#define TIDEGATE_RECENT_H

#include <stddef.h>

#include "model/batch.h"

struct recent;
struct recent *recent_new(size_t bytes_max);
void recent_free(struct recent *recent); /* accepts null */
/* Durable by now; takes a reference of its own. The oldest go when bytes_max is passed. */
void recent_add(struct recent *recent, struct batch *batch);
/* The batch that begins with that sequence number, with a reference for the caller, or null. */
struct batch *recent_find(struct recent *recent, uint64_t first_seq);

#endif
