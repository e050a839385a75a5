/* SPDX-License-Identifier: Apache-2.0
 *
 * Batches of a replay into the store. Ranges of our files of a day never overlap, so the rows of one
 * message and day can only be in the one file whose range holds its sequence number: that file is
 * written anew, under its own name, and takes the old one's place by a rename. Rows that no file
 * covers get a file of their own, named `r`. One thread at a time.
 */
#ifndef TIDEGATE_SINKS_PARQUET_AMEND_H
#define TIDEGATE_SINKS_PARQUET_AMEND_H

#include "sinks/parquet/unit.h"

/* Batches in the order of the replay: what a later one says of a key counts. 0 when all of it is
 * durable, and to be seen by readers. After an error some files have it and others not; repeated, it
 * comes to the same. result->refusals stays empty. */
int amend_store(struct store *store, struct batch *const *batches, uint32_t count,
                const struct parquet_options *options, struct unit_result *result, struct err *err);

#endif
