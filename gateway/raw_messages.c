/* SPDX-License-Identifier: Apache-2.0
 *
 * One extent at a time is in memory. A number in it is found by walking its records on from the last
 * one that was asked for; a number a little further on by reading on; any other by a new reader. One
 * thread.
 */
#include "raw_messages.h"

#include <inttypes.h>

/* Beyond so many extents of the present size, looking up the place is cheaper than reading on. */
enum { READ_ON_EXTENTS = 4 };

void raw_messages_init(struct raw_messages *messages, struct journal *raw)
{
    *messages = (struct raw_messages){.raw = raw};
}

static void leave(struct raw_messages *messages)
{
    journal_reader_free(messages->reader);
    messages->reader = NULL;
    messages->extent = (struct extent){0};
}

void raw_messages_fini(struct raw_messages *messages)
{
    leave(messages);
}

static bool holds(const struct raw_messages *messages, uint64_t seq)
{
    const struct extent *extent = &messages->extent;
    return extent->seq_count && seq >= extent->first_seq &&
           seq - extent->first_seq < extent->seq_count;
}

static bool is_near(const struct raw_messages *messages, uint64_t seq)
{
    const struct extent *extent = &messages->extent;
    uint64_t end = extent->first_seq + extent->seq_count;
    return messages->reader && extent->seq_count && seq >= end &&
           seq - end < (uint64_t)extent->seq_count * READ_ON_EXTENTS;
}

/* Read on until the extent that holds `seq`, or the first behind it. */
static int go_to(struct raw_messages *messages, uint64_t seq, struct err *err)
{
    if (!is_near(messages, seq)) {
        leave(messages);
        int rc = journal_reader_new(messages->raw, seq, &messages->reader, err);
        if (rc)
            return rc;
    }
    int got;
    while ((got = journal_reader_next(messages->reader, &messages->extent, err)) > 0) {
        const struct extent *extent = &messages->extent;
        if (extent->first_seq + extent->seq_count <= seq)
            continue;
        messages->damaged = got == JOURNAL_DAMAGED;
        record_reader_init(&messages->records, extent);
        messages->next_seq = extent->first_seq;
        return 0;
    }
    leave(messages);
    return got < 0 ? got
                   : err_set(err, GW_ENOENT, "message %" PRIu64 " is behind the end of the raw log",
                             seq);
}

/* Walk the records of the present extent. */
static int walk_to(struct raw_messages *messages, uint64_t seq, struct message *out,
                   struct err *err)
{
    struct session_record session;
    enum record_kind kind;
    if (seq < messages->next_seq)
        record_reader_init(&messages->records, &messages->extent);
    messages->next_seq = seq + 1;
    while (record_reader_next(&messages->records, &kind, out, &session) == 1)
        if (kind == RECORD_MESSAGE && out->seq == seq)
            return 0;
    return err_set(err, GW_ENOENT, "message %" PRIu64 " is not in its extent of the raw log", seq);
}

int raw_messages_find(struct raw_messages *messages, uint64_t seq, struct message *out,
                      struct err *err)
{
    if (messages->raw == NULL)
        return err_set(err, GW_ENOENT, "there is no raw log here");
    if (!holds(messages, seq)) {
        int rc = go_to(messages, seq, err);
        if (rc)
            return rc;
    }
    if (!holds(messages, seq))
        return err_set(err, GW_ENOENT, "message %" PRIu64 " is no longer in the raw log", seq);
    if (messages->damaged)
        return err_set(err, GW_ENOENT, "message %" PRIu64 " was lost to damage on disk", seq);
    return walk_to(messages, seq, out, err);
}
