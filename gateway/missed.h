/* SPDX-License-Identifier: Apache-2.0
 *
 * What a parked lane left out (invariant 6, when_full: park): a small text file beside its cursor, a
 * line a range, written anew and synced whenever it changes. What stands there is not at the
 * destination. One thread.
 */
#ifndef TIDEGATE_MISSED_H
#define TIDEGATE_MISSED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/disk.h"
#include "base/err.h"

enum missed_kind {
    MISSED_PARKED,    /* never sent, or never confirmed */
    MISSED_UNSETTLED, /* confirmed, but perhaps not yet safe there */
};

struct missed_range {
    enum missed_kind kind;
    uint64_t first_seq, last_seq;             /* both inclusive */
    int64_t received_from_ms, received_to_ms; /* of its messages; 0: not known */
    int64_t since_ms, until_ms; /* wall clock: when the lane was parked, first and last */
};

struct missed;
/* Reads the file, when there is one. GW_ECORRUPT: it has a line that is none; the text names it. */
int missed_open(struct missed **out, const struct disk *disk, const char *path, struct err *err);
void missed_close(struct missed *missed); /* accepts null */
/* Durable when 0. A range that begins where the last of its kind ended is put together with it. */
int missed_add(struct missed *missed, const struct missed_range *range, struct err *err);
/* These are at the destination after all, or come again. */
int missed_remove(struct missed *missed, uint64_t first_seq, uint64_t last_seq, struct err *err);
/* What of these is PARKED was confirmed after all: it is UNSETTLED now. */
int missed_confirmed(struct missed *missed, uint64_t first_seq, uint64_t last_seq, struct err *err);
/* Is all of it PARKED? */
bool missed_covers(const struct missed *missed, uint64_t first_seq, uint64_t last_seq);
/* The destination has what lies below `seq`: of the range that holds `seq` or ends there, that part
 * goes. */
int missed_arrived(struct missed *missed, uint64_t seq, struct err *err);
/* Of the kind PARKED: first and last number, 0 when there are none, and how many are between them. */
void missed_extent(const struct missed *missed, uint64_t *first_seq, uint64_t *last_seq,
                   uint64_t *count);

/* DIR/NAME.missed beside DIR/NAME.cursor; the caller frees it. */
char *missed_path(const char *cursor_path);
/* For the verbs: the ranges of a file, in its order. The caller frees *out. GW_ENOENT: none. */
int missed_load(const struct disk *disk, const char *path, struct missed_range **out, size_t *count,
                struct err *err);

#endif
