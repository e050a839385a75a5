/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this folder share about an open journal. Nobody else includes it.
 *
 * The lock guards the table of segments, next_seq and the bytes; it is held for moments, never
 * over a disk call. `current` and what belongs to it is the appender's alone.
 */
#ifndef TIDEGATE_JOURNAL_STATE_H
#define TIDEGATE_JOURNAL_STATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "journal/extent.h"
#include "journal/journal.h"
#include "journal/segment.h"

enum { WATCHERS_MAX = 16 };

struct journal {
    struct journal_options options;
    char *dir;
    struct identity identity;
    int lock_fd;

    pthread_mutex_t lock;
    pthread_cond_t grown;
    struct segment **segments; /* by number, ascending; at most the last is being written */
    size_t count, capacity;
    uint64_t allocated; /* of all */
    uint64_t wakes;     /* counts journal_wake */
    _Atomic uint64_t next_seq;

    pthread_mutex_t retain_lock; /* one retention at a time */

    /* the appender's */
    struct segment *current; /* in the table too; null: the next append makes one */
    int fd;
    bool grows; /* the file system cannot reserve: room is asked for before each append */
    uint64_t next_number;
    struct ZSTD_CCtx_s *zstd;
    struct buffer out, head;

    struct {
        void (*on_append)(void *arg);
        void *arg;
    } watchers[WATCHERS_MAX];
    size_t watcher_count;
};

/* journal.c */
/* Returns the table's own copy, which lives until retention takes it, never while it is the last. */
struct segment *journal_add_segment(struct journal *journal, const struct segment *segment);
/* The segment of that number, or the first behind it; false when there is none. *last: none is
 * behind it. */
bool journal_find_segment(struct journal *journal, uint64_t number, struct segment *out,
                          bool *last);

/* recover.c: fill the table from the folder, mend the tail of the last segment. */
int journal_recover(struct journal *journal, struct journal_recovery *recovery, struct err *err);

/* append.c: as journal_append, the body in parts that are laid behind each other. */
int journal_append_parts(struct journal *journal, const struct extent *extent,
                         const struct bytes *parts, uint32_t count, struct err *err);

/* read.c: a reader that begins with the newest segment that has its snapshot whole; from the
 * oldest segment when there is none. */
int journal_reader_at_snapshot(struct journal *journal, struct journal_reader **out,
                               struct err *err);

#endif
