/* SPDX-License-Identifier: Apache-2.0
 *
 * What keeps the audit log from being filled from outside: in each minute the same entry stands
 * once, refusals of one address 30 times, refusals of all 120 times; the rest is counted, and the
 * counts are told when the minute is over. Not thread-safe: the audit log's lock is around it.
 */
#ifndef TIDEGATE_BASE_AUDIT_LIMIT_H
#define TIDEGATE_BASE_AUDIT_LIMIT_H

#include "base/audit_log.h"

enum { AUDIT_SLOTS = 512, AUDIT_ADDRESS_MAX = 30, AUDIT_REFUSED_MAX = 120 };

struct audit_slot {
    uint64_t key; /* 0: free */
    uint64_t held;
    uint32_t used;
    bool address;  /* counts an address, not one entry */
    char *members; /* stand again in the line that counts */
};

struct audit_limit {
    int64_t minute; /* monotonic; of the slots */
    struct audit_slot slots[AUDIT_SLOTS];
    uint32_t count;   /* slots in use */
    uint32_t refused; /* entries that passed */
    uint64_t held[AUDIT_WHATS];
};

/* True when the entry shall be written now. `members`: its text, borrowed. */
bool audit_limit_pass(struct audit_limit *limit, const struct audit_entry *entry,
                      struct bytes members);
/* When the minute is over (or `now`): a line for each count into `out`, and a new minute. Returns
 * the lines. */
size_t audit_limit_tell(struct audit_limit *limit, int64_t monotonic_ms, int64_t wall_ms, bool now,
                        struct buffer *out);
/* Milliseconds until something is to be told; -1: nothing waits. */
int64_t audit_limit_wait_ms(const struct audit_limit *limit, int64_t monotonic_ms);
void audit_limit_fini(struct audit_limit *limit);

#endif
