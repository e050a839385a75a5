/* SPDX-License-Identifier: Apache-2.0
 *
 * The decoder's memory on disk, saved with the position it belongs to. Start-up loads the newest
 * save at or before the end of the reading log and decodes forward from it without output; decoding
 * history again begins at the save before that history. One thread.
 */
#ifndef TIDEGATE_DECODE_STATE_H
#define TIDEGATE_DECODE_STATE_H

#include "base/disk.h"
#include "base/err.h"
#include "base/identity.h"
#include "normalise.h"

/* Save `normaliser` as the memory before message `seq`. Temporary name, sync, rename: a crash
 * leaves the saves that were there. */
int decode_state_save(const struct disk *disk, const char *dir, struct identity identity,
                      uint64_t seq, const struct normaliser *normaliser, struct err *err);

/* Load the newest save with a position <= seq into `normaliser`. Returns the position, or 0 when
 * there is none (the memory is empty then). Damaged saves are passed over and said in the log. */
uint64_t decode_state_load(const struct disk *disk, const char *dir, struct identity identity,
                           uint64_t seq, struct normaliser *normaliser);

/* Delete saves that nothing kept needs: the newest at or below `first_kept_seq` and those above it
 * stay, and of these only the newest sixteen, because with many meters one save is large. */
void decode_state_trim(const struct disk *disk, const char *dir, uint64_t first_kept_seq);

/* The decode generation: grows by one whenever `digest` is not that of the last call. */
int decode_generation(const struct disk *disk, const char *dir, uint64_t digest, uint32_t *out,
                      struct err *err);

#endif
