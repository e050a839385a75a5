/* SPDX-License-Identifier: Apache-2.0
 *
 * What a store owes: the readings of a window of messages, each as 32 bits of its key's hash, and how
 * often each of them was found in the store that is being looked at. Filled, sealed, then compared with
 * one store after the other. Nine bytes a reading and four a message. One thread.
 */
#ifndef TIDEGATE_AUDIT_OWED_H
#define TIDEGATE_AUDIT_OWED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is right in a store. */
struct audit_rule {
    bool one_a_key; /* readings of one key and message are one row */
    bool exact;     /* a row more than that is a difference; else it may stand there again */
    bool keeps_old; /* what decoding again took back is there all the same, as a row */
};

struct owed;
struct owed *owed_new(void);
void owed_free(struct owed *owed); /* accepts null */
/* Empty again; memory is kept. Messages are told by their place behind first. */
void owed_begin(struct owed *owed);
size_t owed_bytes(const struct owed *owed);

/* ---- filling ---- */

void owed_add(struct owed *owed, uint32_t message, uint32_t hash);
/* The same message as it was decoded again: all its keys of then. */
void owed_add_again(struct owed *owed, uint32_t message, uint32_t generation, uint32_t hash,
                    bool withdrawn);
void owed_seal(struct owed *owed, uint32_t messages);
/* Readings of the reading log. */
uint32_t owed_readings(const struct owed *owed, uint32_t message);

/* ---- a store ---- */

void owed_store_begin(struct owed *owed);
/* A row is there. */
struct owed_row {
    uint32_t hash;
    uint32_t generation; /* it was decoded in; 0: the store does not tell */
    bool replay;         /* it was sent again */
};
void owed_found(struct owed *owed, uint32_t message, const struct owed_row *row);
/* All of these messages is there, once. */
void owed_found_all(struct owed *owed, uint32_t first, uint32_t count);
/* Rows of one key each, and the sum of their hashes; false: some were decoded again, so there is more
 * than one right sum. */
bool owed_sum(const struct owed *owed, uint32_t first, uint32_t count, uint64_t *rows,
              uint64_t *sum);

struct owed_verdict {
    uint32_t expected, missing; /* readings; of the decoding that the store comes nearest to */
    uint32_t extra;             /* rows that are of no decoding */
    uint32_t repeated;          /* rows of a key beyond what is expected */
    bool older; /* it was decoded again since, and the store has it as it was before */
};
/* All rows were told. */
void owed_store_seal(struct owed *owed);
/* `missing` hears each key that is not there, and how many readings it stands for; may be null. */
typedef void owed_missing(void *arg, uint32_t hash, uint32_t readings);
void owed_judge(const struct owed *owed, uint32_t message, const struct audit_rule *rule,
                struct owed_verdict *out, owed_missing *missing, void *arg);

#endif
