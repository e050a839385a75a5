/* SPDX-License-Identifier: Apache-2.0
 *
 * What the journal's tests share: extents whose content follows from their sequence number, so that
 * whoever reads one knows whether it is right; and the question "is everything that was
 * acknowledged still there".
 */
#ifndef TIDEGATE_TESTS_JOURNAL_KIT_H
#define TIDEGATE_TESTS_JOURNAL_KIT_H

#include "journal/journal.h"
#include "lib/fault_disk.h"
#include "lib/temp_dir.h"

enum { KIT_SEQS = 3 }; /* sequence numbers of each extent */

struct journal_options kit_options(const struct disk *disk, const char *dir);
/* The body of the extent that begins with this number: a few hundred to a few thousand bytes. */
void kit_body(uint64_t first_seq, struct buffer *out);
/* Append the next one; what journal_append said. */
int kit_append(struct journal *journal, struct err *err);
/* Append until it fails or `count` are durable; the sequence number behind the last durable. */
uint64_t kit_append_many(struct journal *journal, int count);

/* An open journal in a folder of its own, on a disk that can fail. */
struct kit_world {
    struct temp_dir dir;
    struct fault_disk fault;
    struct journal_options options; /* may be changed between close and open */
    struct journal *journal;
    struct journal_recovery recovery;
    struct err err;
};
void kit_world_make(struct kit_world *world);
void kit_world_open(struct kit_world *world); /* again, after journal_close */
void kit_world_end(struct kit_world *world);  /* closes the journal, too */

/* A closed journal on disk, and the bytes of its last segment. */
enum { KIT_LOG_EXTENTS_MAX = 63 };
struct kit_log {
    struct temp_dir dir;
    char segment[320]; /* path of the last one */
    struct buffer bytes;
    uint64_t offsets[KIT_LOG_EXTENTS_MAX + 1]; /* of its extents, and behind them */
    size_t extents;
};
void kit_log_make(struct kit_log *log, int segments, int extents);
void kit_log_end(struct kit_log *log);
/* Open on the real disk; fails the test when it does not. */
struct journal *kit_open(const char *dir, struct journal_recovery *recovery);

struct kit_seen {
    uint64_t next_seq;      /* behind the last extent read */
    uint64_t extents, seqs; /* delivered whole */
    uint64_t lost;          /* sequence numbers told as damaged */
    uint64_t wrong;         /* delivered with a content that was never written: must be 0 */
};
/* Read all from `from_seq` on. */
void kit_read(struct journal *journal, uint64_t from_seq, struct kit_seen *seen);
/* Open with the real disk, assert that every number below next_seq is delivered whole, and that
 * one more append works; close. Snapshots and what was not acknowledged may be there. */
void kit_assert_whole(const char *dir, uint64_t next_seq);

/* The n-th segment file of the folder, from 0; false when there are fewer. */
bool kit_segment_path(const char *dir, size_t index, char *out, size_t size);
void kit_load(const char *path, struct buffer *out);
void kit_store(const char *path, struct bytes in);

#endif
