/* SPDX-License-Identifier: Apache-2.0
 *
 * Invariant 9, message by message: what the raw log holds has exactly one fate in the reading log, and
 * each reading that a sink confirmed is in its store (audit_owed.h), told by vendor and UTC day of
 * receive. Works window by window, so that memory is bounded whatever the logs hold; each is filled in
 * this order: batches, what was decoded again, letters of sinks, messages, then one store after the
 * other. One thread.
 */
#ifndef TIDEGATE_AUDIT_H
#define TIDEGATE_AUDIT_H

#include "audit_owed.h"
#include "cursors.h"
#include "model/batch.h"
#include "model/message.h"

enum { AUDIT_SINKS_MAX = 32, AUDIT_DAYS_MAX = 4000, AUDIT_VENDORS_MAX = 4096 };

/* Why a reading that was confirmed is not in the store. */
enum absent_reason {
    ABSENT_LOST, /* nothing explains it: a difference */
    ABSENT_REPLACED, /* a later message has the same device, metric and time: the store keeps that one */
    ABSENT_EXPIRED, /* older than what the store keeps */
    ABSENT_BEFORE,  /* from before the sink began (`start`) */
    ABSENT_REFUSED, /* the store did not take it: a dead letter */
    ABSENT_REASONS
};

/* Readings. */
struct audit_sink_counts {
    uint64_t confirmed, parked, waiting;
    /* Of the confirmed ones, when the store was looked at. What was decoded again counts as it is now. */
    uint64_t stored;
    uint64_t absent[ABSENT_REASONS];
    uint64_t extra;    /* rows that are of no reading: a difference */
    uint64_t repeated; /* rows beyond the first: a difference only where each stands once */
    uint64_t older;    /* as before they were decoded again: that replay went to another sink */
};

/* One vendor on one day. */
struct audit_row {
    uint64_t received; /* messages */
    uint64_t decoded;  /* with readings */
    uint64_t empty;    /* decoded well, without readings */
    uint64_t dead;
    uint64_t quarantined; /* lost to damage of the raw log before they were decoded */
    uint64_t waiting;     /* not yet decoded */
    uint64_t hidden;      /* their fate stood in a damaged place of the reading log */
    uint64_t unaccounted; /* must be 0: decoded past, and with no fate */
    uint64_t readings;
    struct audit_sink_counts sinks[AUDIT_SINKS_MAX];
};

/* Numbers first..last differ in the same way. */
struct audit_difference {
    const char *what, *sink; /* sink: null, or whose store differs */
    uint64_t first_seq, last_seq, expected, found;
};

struct audit;
/* `cursors` outlive it. */
int audit_new(const struct cursor_list *cursors, struct audit **out, struct err *err);
void audit_free(struct audit *audit); /* accepts null */

/* ---- a window ---- */

enum { AUDIT_WINDOW_MAX = 1 << 24 }; /* messages */
/* Numbers first_seq <= seq < end_seq, at most AUDIT_WINDOW_MAX; what was known of others is forgotten,
 * but for the sums and differences. */
void audit_window(struct audit *audit, uint64_t first_seq, uint64_t end_seq);
/* Memory of the window: whoever finds it large cuts before the batch at hand. */
size_t audit_bytes(const struct audit *audit);
void audit_cut(struct audit *audit, uint64_t end_seq);
uint64_t audit_first(const struct audit *audit);
uint64_t audit_end(const struct audit *audit);

void audit_batch(struct audit *audit, const struct batch *batch);
/* A damaged place of the reading log. */
void audit_hidden(struct audit *audit, uint64_t first_seq, uint64_t count);
/* The reading log ends there. */
void audit_decoded_to(struct audit *audit, uint64_t next_seq);
/* Readings that were decoded again. How many messages of the window were not known to be so. */
uint64_t audit_again(struct audit *audit, const struct batch *batch);
/* A reading of it was refused by the sink of that cursor. */
void audit_refused(struct audit *audit, uint64_t seq, size_t cursor);
/* A time of receive near the window's beginning: the day of damage that no message stands before. */
void audit_received_about(struct audit *audit, int64_t received_ms);
/* Behind all of the above. */
void audit_sealed(struct audit *audit);
void audit_message(struct audit *audit, const struct message *message);
/* A damaged place of the raw log. */
void audit_lost(struct audit *audit, uint64_t first_seq, uint64_t count);

/* ---- a store ---- */

/* `cursor`: its place among the cursors. What the rows tell in any order; of numbers that the sink has
 * not confirmed nothing is asked. */
void audit_store_begin(struct audit *audit, size_t cursor, const struct audit_rule *rule);
/* The sink did not begin with the oldest message: what lies before the first that the store has was never
 * sent. Its cursor does not tell where it began. After begin. */
void audit_store_began_later(struct audit *audit);
/* A row; its hash: the low bits of that of audit_key.h. */
void audit_store_row(struct audit *audit, uint64_t seq, const struct owed_row *row);
/* The window's end for this store: what is below was confirmed. */
uint64_t audit_store_end(const struct audit *audit);
/* Rows and sum of the low 32 bits of their hashes that a store of this rule has for the messages
 * first .. +count, when all is well. False: it cannot be told so simply. */
bool audit_store_sum(const struct audit *audit, uint64_t first_seq, uint64_t count, uint64_t *rows,
                     uint64_t *sum);
/* It has exactly these. */
void audit_store_all(struct audit *audit, uint64_t first_seq, uint64_t count);

/* Readings that are not there, ascending; whoever knows why sets `reason`. Beyond a
 * million nobody is asked: those are lost. */
struct audit_absent {
    uint64_t seq;
    uint32_t hash; /* low bits */
    uint32_t readings;
    uint32_t expected; /* of its message */
    enum absent_reason reason;
};
struct audit_absent *audit_store_judge(struct audit *audit, size_t *count);
/* Into the sums and differences. */
void audit_store_finish(struct audit *audit);
bool audit_store_looked_at(const struct audit *audit, size_t cursor);

/* ---- telling ---- */

/* Vendor by vendor, its days ascending. */
void audit_each(const struct audit *audit,
                void (*each)(void *arg, const char *vendor, int64_t day,
                             const struct audit_row *row),
                void *arg);
/* The first thousand; *more is how many there are beyond. */
const struct audit_difference *audit_differences(const struct audit *audit, size_t *count,
                                                 uint64_t *more);

#endif
