/* SPDX-License-Identifier: Apache-2.0
 *
 * One log on disk: a folder of preallocated segments, each a row of extents. The raw log, the
 * reading log and the dead letters are three of these. gateway/journal/FORMAT.md has every byte.
 *
 * One thread appends. Any number of readers, each on a thread of its own, see an extent only after
 * its sync. Sequence numbers order everything: an extent covers first_seq .. first_seq+seq_count-1
 * and every extent begins where the one before ended, or later (a gap is told to readers).
 */
#ifndef TIDEGATE_JOURNAL_JOURNAL_H
#define TIDEGATE_JOURNAL_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/disk.h"
#include "base/err.h"
#include "base/identity.h"

enum journal_kind { JOURNAL_RAW = 1, JOURNAL_READINGS = 2, JOURNAL_DEAD = 3 };

/* What an extent's body is; stands in its header. */
enum extent_kind {
    EXTENT_RECORDS = 1,  /* raw log: messages and session records (rawlog.h) */
    EXTENT_SNAPSHOT = 2, /* raw log: the sessions at this place, seq_count 0 */
    EXTENT_BATCH = 3,    /* reading log: one batch (model/batch.h) */
    EXTENT_DEAD = 4,     /* dead letters of one batch's range (deadletter.h) */
};

struct extent {
    uint64_t first_seq;
    uint32_t seq_count;
    uint32_t generation;     /* decode generation; 0 in the raw log */
    enum extent_kind kind;
    bool replay;
    int64_t received_min_ms; /* of what it holds; 0, 0 when it holds no message */
    int64_t received_max_ms;
    struct bytes body;       /* uncompressed */
};

struct journal_options {
    const struct disk *disk;
    const char *dir; /* made when absent; its parent must exist */
    enum journal_kind kind;
    struct identity identity;  /* for a new journal (0: a random one is made); an existing one must
                                  match unless 0 */
    uint64_t segment_bytes;    /* preallocated, 1 MiB .. 4 GiB */
    uint64_t max_bytes;        /* of all segments; 0: no limit. At the limit append says GW_EFULL */
    uint64_t reserve_bytes;    /* free space on the volume below which a new segment says GW_EFULL */
    int compression_level;     /* zstd; 0: bodies are stored as they are */
    bool read_only;            /* no lock, no repair, nothing is written: for the verbs */
    /* Body of the snapshot that begins every segment (raw log), appended to `out` on the thread
     * that appends; null: none. */
    void (*snapshot)(void *arg, struct buffer *out);
    void *snapshot_arg;
};

/* What opening found. The texts also went to the log. */
struct journal_recovery {
    uint64_t segments, extents;
    uint64_t torn_bytes;       /* cut from the tail; a copy is kept beside as *.torn */
    uint64_t damaged_extents;  /* quarantined, in the middle */
    uint64_t damaged_seqs;     /* sequence numbers in them, where known */
    uint64_t first_seq, next_seq;
};

struct journal;

/* Opens or makes the folder, takes the lock, recovers. Reads the header of every segment, every
 * extent's header of the newest 16, and checks every checksum of the last; damage elsewhere is
 * found by readers and by journal_verify, which checks all. Errors: GW_ELOCKED (says by which pid), GW_EVERSION, GW_ECORRUPT (and what
 * to do), GW_EIO, GW_EINVAL (another journal's identity). */
int journal_open(struct journal **out, const struct journal_options *options,
                 struct journal_recovery *recovery, struct err *err);
/* Syncs nothing (everything appended is synced), closes files, releases the lock. No reader may be
 * open. Accepts null. */
void journal_close(struct journal *journal);

/* Append and sync one extent: 0 means durable, and readers see it. first_seq must be journal_next_seq
 * or higher. GW_EFULL: no room now (disk, max_bytes); nothing was written, try the same extent
 * again later. GW_EIO: a write or sync failed; the segment is given up and is never written, synced
 * or trusted again, the extent is not durable; calling again puts it into a new segment. One
 * thread. */
int journal_append(struct journal *journal, const struct extent *extent, struct err *err);
/* Close the present segment and begin a new one with the next append. One thread (the appender). */
void journal_rotate(struct journal *journal);

/* Any thread. */
uint64_t journal_next_seq(const struct journal *journal);  /* durable up to here, exclusive */
uint64_t journal_first_seq(const struct journal *journal); /* the oldest that is kept */
uint64_t journal_bytes(const struct journal *journal);     /* disk used */
struct identity journal_identity(const struct journal *journal);

/* Delete whole segments from the oldest on, while all they hold is below `keep_from_seq`, and they
 * are older than keep_ms (by received_max) or the log is larger than keep_bytes. Never the present
 * segment. keep_ms/keep_bytes 0: no history is kept beyond keep_from_seq. The appender's thread or
 * any other. */
int journal_retain(struct journal *journal, uint64_t keep_from_seq, int64_t keep_ms,
                   uint64_t keep_bytes, int64_t now_ms, struct err *err);

/* Called on the appender's thread after each durable extent: for uv_async_send and the like. At most
 * 16; returns GW_ELIMIT beyond. Registered before readers run, removed never. */
int journal_watch(struct journal *journal, void (*on_append)(void *arg), void *arg);
/* Wait until next_seq > seq or the time is over; true when there is something. Any thread. */
bool journal_wait(struct journal *journal, uint64_t seq, int64_t timeout_ms);
/* Wake every journal_wait now (for closing). */
void journal_wake(struct journal *journal);

/* ---- reading ---- */

struct journal_reader;
enum journal_read {
    JOURNAL_END = 0,     /* nothing more that is durable, now */
    JOURNAL_EXTENT = 1,
    JOURNAL_DAMAGED = 2, /* out->first_seq, seq_count: a range that is lost; reading goes on */
};
/* Begin with the extent that holds from_seq, or the first behind it. */
int journal_reader_new(struct journal *journal, uint64_t from_seq, struct journal_reader **out,
                       struct err *err);
/* enum journal_read, or GW_EIO: the medium failed to read (transient; calling again retries).
 * out->body is valid until the next call on this reader. Sequence gaps between two extents are
 * reported as JOURNAL_DAMAGED before the extent behind the gap. */
int journal_reader_next(struct journal_reader *reader, struct extent *out, struct err *err);
void journal_reader_free(struct journal_reader *reader);

/* Every extent of every segment, checked; the callback hears one line per segment and one per
 * damage. Returns the number of damaged places, or an error. */
int journal_verify(struct journal *journal, void (*line)(void *arg, const char *text), void *arg,
                   struct err *err);
/* One row per segment, for `journal ls` and metrics. */
struct journal_segment_info {
    char name[64];
    uint64_t number, first_seq, next_seq, bytes_used, bytes_allocated, extents;
    int64_t received_min_ms, received_max_ms;
    bool sealed, damaged;
};
void journal_segments(struct journal *journal,
                      void (*row)(void *arg, const struct journal_segment_info *info), void *arg);

#endif
