/* SPDX-License-Identifier: Apache-2.0
 *
 * What a lane reads: batch after batch from a sequence number on, out of memory while it keeps up
 * (recent.h), else from the reading log. The lane's thread.
 */
#ifndef TIDEGATE_LANE_READER_H
#define TIDEGATE_LANE_READER_H

#include "journal/journal.h"
#include "recent.h"

struct lane_reader {
    struct journal *readings;
    struct recent *recent; /* may be null */
    struct journal_reader *reader;
    uint64_t reader_seq; /* what `reader` gives next, when it is there */
    uint64_t next_seq;   /* the lowest number that was not given out */
    uint32_t hits;       /* from memory, without one from the log between them */
    uint64_t lost_first; /* of the last LANE_READ_LOST */
    uint64_t lost_count;
};

enum lane_read {
    LANE_READ_END = 0, /* nothing more that is durable, now */
    LANE_READ_BATCH = 1,
    LANE_READ_LOST = 2, /* damage took lost_first and lost_count from there on; why in the err */
};

void lane_reader_init(struct lane_reader *reader, struct journal *readings, struct recent *recent);
void lane_reader_fini(struct lane_reader *reader); /* accepts a zeroed object */
/* Go on at that number. */
void lane_reader_seek(struct lane_reader *reader, uint64_t next_seq);
/* enum lane_read, or GW_EIO: calling again tries again. A batch that begins before the number where
 * reading was to go on is given without what lies before. The reference is the caller's. */
int lane_reader_next(struct lane_reader *reader, struct batch **out, struct err *err);

#endif
