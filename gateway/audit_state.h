/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the audit share: audit.c fills a window and tells, audit_store.c compares it with a
 * store. Private to them. One thread.
 */
#ifndef TIDEGATE_AUDIT_STATE_H
#define TIDEGATE_AUDIT_STATE_H

#include "audit.h"

enum { DIFFERENCES_MAX = 1000, ABSENT_MAX = 1 << 20 };

enum audit_fate {
    FATE_NONE,
    FATE_COVERED, /* a batch covers it and says nothing of it: right only when damage took it */
    FATE_READINGS,
    FATE_EMPTY,
    FATE_DEAD,
    FATE_HIDDEN,
    FATE_MASK = 0x0f,
    FATE_REFUSED = 0x10, /* bits beside */
    FATE_AGAIN = 0x20,
};

struct audit_vendor {
    char *name;
    struct audit_row *days[AUDIT_DAYS_MAX]; /* in the order of audit->days */
};

struct audit_refusal {
    uint64_t seq;
    size_t cursor;
};

struct audit {
    const struct cursor_list *cursors;
    uint64_t first_seq, end_seq, decoded_to; /* of the window */
    uint64_t confirmed_to;                   /* by whichever sink is furthest */
    uint8_t *fates;
    uint16_t *vendor_of, *day_of;
    struct owed *owed;
    struct audit_refusal *refusals;
    size_t refusal_count, refusal_capacity;

    size_t store; /* the cursor whose store is being compared */
    struct audit_rule rule;
    bool looked_at[AUDIT_SINKS_MAX];
    uint64_t first_found[AUDIT_SINKS_MAX]; /* the lowest number in its store; 0: none yet */
    bool began_later;
    struct audit_absent *absent;
    size_t absent_count;

    struct audit_vendor *vendors;
    size_t vendor_count;
    int64_t days[AUDIT_DAYS_MAX]; /* in the order in which they came */
    size_t day_count;
    int64_t last_day; /* of the message before */
    struct audit_difference differences[DIFFERENCES_MAX];
    size_t difference_count;
    uint64_t differences_more;
};

/* Is it of the window? */
static inline bool audit_holds(const struct audit *audit, uint64_t seq)
{
    return seq >= audit->first_seq && seq < audit->end_seq;
}

/* The vendor and day of a message of the window. */
struct audit_row *audit_row_of(struct audit *audit, uint64_t seq);
void audit_differ(struct audit *audit, const char *what, const char *sink, uint64_t seq,
                  uint64_t expected, uint64_t found);
bool audit_is_parked(const struct cursor_file *cursor, uint64_t seq);
int audit_by_seq(const void *a, const void *b); /* of struct audit_refusal */

#endif
