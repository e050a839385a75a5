/* SPDX-License-Identifier: Apache-2.0
 *
 * An entry of the audit log as a line of JSON, and its key. Pure; any thread.
 */
#ifndef TIDEGATE_BASE_AUDIT_ENTRY_H
#define TIDEGATE_BASE_AUDIT_ENTRY_H

#include "base/audit_log.h"

/* A number that stands behind an entry: how many like it were not written. */
struct audit_count {
    const char *name; /* null: none */
    uint64_t value;
};

/* Appends the object and '\n'; a line is below 16 KiB whatever comes from outside. */
void audit_entry_line(const struct audit_entry *entry, int64_t now_ms, struct audit_count count,
                      struct buffer *out);
/* The members behind "time", without braces: what stands again in the line that counts repeats. */
void audit_entry_members(const struct audit_entry *entry, struct buffer *out);
void audit_line(int64_t now_ms, struct bytes members, struct audit_count count, struct buffer *out);

#endif
