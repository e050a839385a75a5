/* SPDX-License-Identifier: Apache-2.0
 *
 * Which of what a destination confirmed is old enough to be safe there (sinks/sink.h, settle_ms).
 * Remembers a few marks "at that time everything below that number was confirmed", so memory stays
 * the same however often units are confirmed; a mark may be late by a part of settle_ms, never
 * early. One thread.
 */
#ifndef TIDEGATE_SETTLE_H
#define TIDEGATE_SETTLE_H

#include <stdbool.h>
#include <stdint.h>

enum { SETTLE_MARKS_MAX = 64, SETTLE_PARTS = 32 };

struct settle {
    int64_t after_ms;
    struct {
        int64_t at_ms;
        uint64_t seq;
    } marks[SETTLE_MARKS_MAX]; /* by time, ascending */
    uint32_t count;
};

void settle_init(struct settle *settle, int64_t after_ms);
/* Everything below `seq` is confirmed by now. Times are monotonic. */
void settle_confirmed(struct settle *settle, uint64_t seq, int64_t now_ms);
/* Everything below that number is safe; 0: nothing more than was said before. */
uint64_t settle_reached(struct settle *settle, int64_t now_ms);
/* What was confirmed is not so any more. */
void settle_forget(struct settle *settle);

#endif
