/* SPDX-License-Identifier: Apache-2.0
 *
 * The log of what was decoded again: a journal of batches with sequence numbers of its own, which
 * only count; the raw ones are in the batches. It tells what the stores hold for messages that the
 * reading log knows in an older decoding, so that history sent later is the newest, and that a
 * further decoding knows which readings to take away. Any thread; a lock inside.
 */
#ifndef TIDEGATE_AGAIN_LOG_H
#define TIDEGATE_AGAIN_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/disk.h"
#include "base/err.h"
#include "base/identity.h"
#include "journal/journal.h"
#include "model/batch.h"

struct again_log;

struct again_options {
    const struct disk *disk;
    const char *dir; /* made with the first batch */
    struct identity identity;
    uint64_t segment_bytes; /* 0: 16 MiB */
    uint64_t max_bytes;     /* 0: no bound; append says GW_EFULL there */
    uint64_t reserve_bytes; /* room on the volume that is left alone */
};

/* Opens what is there; reads none of it yet. */
int again_log_new(const struct again_options *options, struct again_log **out, struct err *err);
void again_log_free(struct again_log *log); /* no reader is open; accepts null */

/* Read all that is there once, so that the others know what is where. They do it themselves when it
 * was not done; with much to read it takes seconds. */
int again_log_index(struct again_log *log, struct err *err);
/* Whoever reads the index gives up: GW_ECLOSED. For closing. */
void again_log_stop(struct again_log *log);

/* Durable when it returns 0. GW_EFULL, GW_EIO: call again later. */
int again_log_append(struct again_log *log, const struct batch *batch, struct err *err);

/* Batches that have readings of the messages first .. last, in the order written. */
struct again_reader {
    struct again_log *log;
    uint64_t *numbers; /* of those, ascending */
    size_t count, capacity, at;
    struct journal_reader *reader;
    uint64_t reader_next;
};
void again_reader_init(struct again_reader *reader, struct again_log *log);
void again_reader_fini(struct again_reader *reader); /* accepts a zeroed object */
int again_reader_find(struct again_reader *reader, uint64_t first, uint64_t last, struct err *err);
/* 1 and a batch with a reference, 0 at the end; GW_ECORRUPT: that one is damaged, further ones may
 * come; GW_EIO: calling again tries it again. */
int again_reader_next(struct again_reader *reader, struct batch **out, struct err *err);

/* Whole segments go from the oldest on: what came from messages below first_kept_seq, and what later
 * batches supersede. Does nothing before the index was read. */
void again_log_retain(struct again_log *log, uint64_t first_kept_seq);
uint64_t again_log_bytes(struct again_log *log);

#endif
