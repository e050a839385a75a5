/* SPDX-License-Identifier: Apache-2.0
 *
 * Dead letters: messages nobody could decode, whole, with the reason. A log of their own
 * (journal/journal.h) with its own retention, so that they outlive the raw log's history.
 *
 * The decoder's thread writes; the verbs read the folder of a running or a stopped gateway.
 */
#ifndef TIDEGATE_DEADLETTER_H
#define TIDEGATE_DEADLETTER_H

#include "journal/journal.h"
#include "model/batch.h"
#include "model/message.h"

/* One dead letter. Bytes are borrowed. */
struct deadletter {
    struct message message; /* with its raw sequence number; `vendor` as routed, if it was */
    enum reject_stage stage;
    uint16_t codec_version;
    struct bytes codec; /* "" when no route was found */
    struct bytes reason;
    struct bytes detail;
};

/* Append one, in the form on disk (journal/FORMAT.md, "dead letter"), to an extent's body. */
void deadletter_encode(const struct deadletter *letter, struct buffer *body);

/* Walk the letters of one extent of kind EXTENT_DEAD. */
struct deadletter_reader {
    struct reader in;
};
void deadletter_reader_init(struct deadletter_reader *reader, const struct extent *extent);
/* 1 and *out, 0 at the end, GW_ECORRUPT. Bytes are borrowed from the extent. */
int deadletter_reader_next(struct deadletter_reader *reader, struct deadletter *out);

#endif
