/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages of the raw log by their sequence number, as they arrived: for dead letters and for sinks
 * that pass them on. It keeps its place, so that ascending numbers cost one read an extent. One
 * thread.
 */
#ifndef TIDEGATE_RAW_MESSAGES_H
#define TIDEGATE_RAW_MESSAGES_H

#include "journal/journal.h"
#include "journal/rawlog.h"
#include "model/message.h"

struct raw_messages {
    struct journal *raw; /* null: none is ever found */
    struct journal_reader *reader;
    struct extent extent; /* where the reader stands; seq_count 0: nowhere */
    bool damaged;         /* that range is lost */
    struct record_reader records;
    uint64_t next_seq; /* in the extent: the lowest that `records` has not passed */
};

void raw_messages_init(struct raw_messages *messages, struct journal *raw);
void raw_messages_fini(struct raw_messages *messages); /* accepts a zeroed object */
/* Bytes are valid until the next call. GW_ENOENT: it is not in the log, or damage took it. GW_EIO:
 * it cannot be read now. */
int raw_messages_find(struct raw_messages *messages, uint64_t seq, struct message *out,
                      struct err *err);

#endif
