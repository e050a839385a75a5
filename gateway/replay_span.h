/* SPDX-License-Identifier: Apache-2.0
 *
 * A span of receive time -> the sequence numbers it may lie in. Whichever thread runs the replay.
 */
#ifndef TIDEGATE_REPLAY_SPAN_H
#define TIDEGATE_REPLAY_SPAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "journal/journal.h"

struct replay_span {
    uint64_t first_seq, last_seq; /* both inclusive; 0, 0: nothing */
};

/* May hold a message received in [from_ms, to_ms). */
static inline bool replay_overlaps(int64_t from_ms, int64_t to_ms, int64_t min_ms, int64_t max_ms)
{
    return max_ms != 0 && max_ms >= from_ms && min_ms < to_ms;
}

/* From the first extent to the last that may hold a message of [from_ms, to_ms), damaged ones
 * between or beside them included, because nobody knows their times. Each segment has its own
 * bounds in time, so clocks that go back between segments hide nothing: what lies between and is
 * outside in time is only read, not sent. `may_miss`: sequence numbers that are not there are
 * normal (the log of dead letters). GW_EIO; GW_ECLOSED: *stop became true. */
int replay_span_find(struct journal *log, int64_t from_ms, int64_t to_ms, bool may_miss,
                     const _Atomic bool *stop, struct replay_span *out, struct err *err);

/* Where to begin decoding so that the memory is right at first_seq without a save: at most `age_ms`
 * of receive time and `bytes_max` on disk before it. */
uint64_t replay_span_before(struct journal *raw, uint64_t first_seq, int64_t age_ms,
                            uint64_t bytes_max);

#endif
