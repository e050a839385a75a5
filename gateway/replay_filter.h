/* SPDX-License-Identifier: Apache-2.0
 *
 * Which readings of a span a replay is about. Vendor and device stand in the rows; topics stand only
 * in the raw log, so a topic filter becomes the set of sequence numbers whose message matches. The
 * thread of the replay.
 */
#ifndef TIDEGATE_REPLAY_FILTER_H
#define TIDEGATE_REPLAY_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "journal/journal.h"
#include "model/batch.h"
#include "replay.h"
#include "seq_set.h"

struct replay_filter {
    int64_t from_ms, to_ms;
    const char *vendor, *device, *topic; /* null: all */
};
struct replay_filter replay_filter_of(const struct replay_request *request);

/* Every row of `batch` passes: it may go as it is. */
bool replay_filter_takes_all(const struct replay_filter *filter, const struct batch *batch);

/* The filter for the rows of one batch: names are looked up once. */
struct replay_rows {
    const struct batch *batch;
    int64_t from_ms, to_ms;
    bool any_vendor, any_device, none;
    uint32_t vendor, device;
    const struct seq_set *topics; /* null: all */
};
struct replay_rows replay_rows_of(const struct replay_filter *filter, const struct batch *batch,
                                  const struct seq_set *topics);
bool replay_rows_has(const struct replay_rows *rows, uint32_t row);

/* One row of a batch into a builder. */
void replay_row_copy(const struct batch *from, uint32_t row, struct batch_builder *to);
/* What a builder holds as a batch of a replay that covers what `from` covers. */
struct batch *replay_batch_finish(struct batch_builder *builder, const struct batch *from);

/* Walks the raw log for messages whose topic matches. */
struct replay_topics {
    struct journal *raw;
    const char *filter;
    struct journal_reader *reader;
    uint64_t reader_seq;  /* where it reads on */
    struct extent extent; /* read and perhaps not used up; seq_count 0: none */
    bool damaged;         /* `extent` is lost */
    struct seq_set found;
    uint64_t lost; /* messages of the last range that are no longer there */
};
void replay_topics_init(struct replay_topics *topics, struct journal *raw, const char *filter);
void replay_topics_fini(struct replay_topics *topics); /* accepts a zeroed object */
/* `found` becomes what matches in first .. last. Ranges that ascend cost one pass. GW_EIO. */
int replay_topics_find(struct replay_topics *topics, uint64_t first, uint64_t last,
                       struct err *err);
/* The messages of an extent at hand, added to `found`. */
void replay_topics_add(const struct extent *extent, const char *filter, uint64_t first,
                       uint64_t last, struct seq_set *found);

#endif
