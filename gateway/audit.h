/* SPDX-License-Identifier: Apache-2.0
 *
 * Invariant 9, message by message: what the raw log holds has exactly one fate in the reading log, and
 * what a sink confirmed is told by vendor and UTC day of receive. Filled in this order: batches, letters
 * of sinks, messages, then the rows of a store. About seven bytes for each message of the span. One
 * thread.
 */
#ifndef TIDEGATE_AUDIT_H
#define TIDEGATE_AUDIT_H

#include "cursors.h"
#include "model/batch.h"
#include "model/message.h"

enum { AUDIT_SINKS_MAX = 32, AUDIT_DAYS_MAX = 4000, AUDIT_VENDORS_MAX = 4096 };

struct audit_sink_counts {
    uint64_t confirmed, parked, waiting; /* readings */
    uint64_t
        stored; /* of the confirmed ones, as the store itself has them; when it was looked at */
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
/* Numbers first_seq <= seq < end_seq. GW_ELIMIT: too many for the memory. `cursors` outlive it. */
int audit_new(uint64_t first_seq, uint64_t end_seq, const struct cursor_list *cursors,
              struct audit **out, struct err *err);
void audit_free(struct audit *audit); /* accepts null */

void audit_batch(struct audit *audit, const struct batch *batch);
/* A damaged place of the reading log. */
void audit_hidden(struct audit *audit, uint64_t first_seq, uint64_t count);
/* The reading log ends there. */
void audit_decoded_to(struct audit *audit, uint64_t next_seq);
/* A store need not have what the reading log has of it: refused there, or decoded again since. */
void audit_excuse(struct audit *audit, uint64_t first_seq, uint64_t last_seq);
void audit_message(struct audit *audit, const struct message *message);
/* A damaged place of the raw log. */
void audit_lost(struct audit *audit, uint64_t first_seq, uint64_t count);

/* Rows of a store, in any order; what lies outside of the span is passed over. `cursor`: its place
 * among the cursors. */
void audit_store_begin(struct audit *audit, size_t cursor);
void audit_store_row(struct audit *audit, uint64_t seq, struct bytes vendor, int64_t received_ms);
/* Compare with what the sink confirmed. */
void audit_store_compare(struct audit *audit);
bool audit_store_looked_at(const struct audit *audit, size_t cursor);

void audit_each(const struct audit *audit,
                void (*each)(void *arg, const char *vendor, int64_t day,
                             const struct audit_row *row),
                void *arg);
/* The first thousand; *more is how many there are beyond. */
const struct audit_difference *audit_differences(const struct audit *audit, size_t *count,
                                                 uint64_t *more);

#endif
