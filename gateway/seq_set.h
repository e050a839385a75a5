/* SPDX-License-Identifier: Apache-2.0
 *
 * A set of sequence numbers, for the messages of one batch: filled, sealed, asked. One thread.
 */
#ifndef TIDEGATE_SEQ_SET_H
#define TIDEGATE_SEQ_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A zeroed object is an empty set. */
struct seq_set {
    uint64_t *items; /* ascending when sealed */
    size_t count, capacity;
    bool unsorted;
};
void seq_set_fini(struct seq_set *set);
void seq_set_clear(struct seq_set *set); /* memory is kept */
/* The same number twice is no harm. */
void seq_set_add(struct seq_set *set, uint64_t seq);
/* After the last add, before the first has. */
void seq_set_seal(struct seq_set *set);
bool seq_set_has(const struct seq_set *set, uint64_t seq);

#endif
