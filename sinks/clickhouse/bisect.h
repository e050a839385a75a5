/* SPDX-License-Identifier: Apache-2.0
 *
 * Finds the rows that the server does not take: a range that failed is halved until it is one row.
 * What the server takes on the way is stored. The order depends on the answers only, so that after
 * a restart the same pieces (and so the same bytes) come again. Pure. One thread.
 */
#ifndef TIDEGATE_SINKS_CLICKHOUSE_BISECT_H
#define TIDEGATE_SINKS_CLICKHOUSE_BISECT_H

#include <stdbool.h>
#include <stdint.h>

/* More refused rows than this in one block are not bad rows, but a table that does not fit. */
enum { BISECT_FOUND_MAX = 200 };

struct row_range {
    uint32_t first, count;
};

struct bisect {
    struct row_range
        todo[40]; /* a stack, the next on top; depth is at most log2 of the rows, + 1 */
    uint32_t todo_count;
    uint32_t found[BISECT_FOUND_MAX]; /* rows that failed alone */
    uint32_t found_count;
    bool overflow; /* there are more */
};

/* `range` has just failed as a whole. */
void bisect_init(struct bisect *bisect, struct row_range range);
/* The next piece to send; false: done (or too many were found). */
bool bisect_next(const struct bisect *bisect, struct row_range *range);
/* The answer to that piece. */
void bisect_stored(struct bisect *bisect);
void bisect_failed(struct bisect *bisect);

#endif
