/* SPDX-License-Identifier: Apache-2.0
 *
 * What was decoded now against what the stores should hold: the rows to send, and for each key that
 * is no longer yielded a row that takes it away. Pure but for the examples. The replay's thread.
 */
#ifndef TIDEGATE_REPLAY_DIFF_H
#define TIDEGATE_REPLAY_DIFF_H

#include "model/batch.h"
#include "replay_filter.h"
#include "replay_held.h"
#include "seq_set.h"

struct replay_diff {
    const struct replay_filter *filter; /* of it, the time */
    const struct batch *now;            /* rows by ascending number of message */
    struct held *held;
    /* Messages that were decoded now, or refused: of no other anything is taken away, because damage
     * is no new decoding. Sealed. */
    const struct seq_set *decoded;
    const struct seq_set *chosen[2]; /* messages in each of these; null: all. Sealed */

    /* results */
    uint64_t changed; /* differs in value, unit or quality from what is held, is new, or goes */
    bool whole;       /* every row of `now` was sent */
    /* A difference as a line of text; false: no more are wanted. Null: none are. */
    bool (*example)(void *arg, const char *line);
    void *example_arg;
};

/* Numbers of the messages that have a row, now or before, with these names, added; not sealed. A
 * message is chosen whole: if its device has another name now, the filter must not send one half of
 * that change. */
void replay_diff_names(struct replay_diff *diff, const struct replay_filter *names,
                       struct seq_set *out);

/* Rows into `to`, by ascending number of message. */
void replay_diff_rows(struct replay_diff *diff, struct batch_builder *to);

#endif
