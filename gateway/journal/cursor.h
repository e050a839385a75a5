/* SPDX-License-Identifier: Apache-2.0
 *
 * A cursor file: how far a lane's destination has confirmed, and the bounds of the units that are
 * under way. Two slots are written in turn, each with a counter and a checksum, so that a torn
 * write leaves the older one. One thread.
 */
#ifndef TIDEGATE_JOURNAL_CURSOR_H
#define TIDEGATE_JOURNAL_CURSOR_H

#include <stdint.h>

#include "base/disk.h"
#include "base/err.h"
#include "base/identity.h"

enum { CURSOR_UNITS_MAX = 8 };

struct cursor_bounds {
    uint64_t first_seq, last_seq;
};

struct cursor_state {
    uint64_t next_seq; /* everything below is confirmed; 1 in a new cursor */
    uint64_t settled_seq; /* everything below is safe at the destination (sink.h, settle_ms): what
                             retention and a rewind go by; never above next_seq */
    uint64_t readings;    /* batch_totals.readings at next_seq, for the lag in readings */
    uint32_t generation;
    uint32_t unit_count; /* synced bounds of units that were begun and not confirmed */
    struct cursor_bounds units[CURSOR_UNITS_MAX];
};

struct cursor;
/* Opens or makes `path`. A file of another journal, with both slots bad, or of a newer version is
 * an error with a text that names the way out; it is never skipped over. */
int cursor_open(struct cursor **out, const struct disk *disk, const char *path,
                struct identity identity, struct err *err);
/* The same; a cursor that is made begins as `first` says. */
int cursor_open_from(struct cursor **out, const struct disk *disk, const char *path,
                     struct identity identity, const struct cursor_state *first, struct err *err);
const struct cursor_state *cursor_state(const struct cursor *cursor);
/* Write and sync. After an error the cursor is not trusted: the next save writes a new file. */
int cursor_save(struct cursor *cursor, const struct cursor_state *state, struct err *err);
void cursor_close(struct cursor *cursor); /* accepts null */
/* Look without opening for writing. */
int cursor_peek(const struct disk *disk, const char *path, struct cursor_state *out,
                struct identity *identity, struct err *err);

#endif
