/* SPDX-License-Identifier: Apache-2.0
 *
 * Halving, depth first, the lower half first. Pure.
 */
#include "sinks/clickhouse/bisect.h"

#include "base/mem.h"

static void push(struct bisect *bisect, struct row_range range)
{
    gw_assert(bisect->todo_count < array_count(bisect->todo));
    bisect->todo[bisect->todo_count++] = range;
}

/* One row that failed is found; more rows are two halves. */
static void split_failed(struct bisect *bisect, struct row_range range)
{
    if (range.count == 1) {
        if (bisect->found_count == BISECT_FOUND_MAX)
            bisect->overflow = true;
        else
            bisect->found[bisect->found_count++] = range.first;
        return;
    }
    uint32_t half = range.count / 2;
    push(bisect, (struct row_range){range.first + half, range.count - half});
    push(bisect, (struct row_range){range.first, half});
}

void bisect_init(struct bisect *bisect, struct row_range range)
{
    gw_assert(range.count > 0);
    *bisect = (struct bisect){0};
    split_failed(bisect, range);
}

bool bisect_next(const struct bisect *bisect, struct row_range *range)
{
    if (bisect->todo_count == 0 || bisect->overflow)
        return false;
    *range = bisect->todo[bisect->todo_count - 1];
    return true;
}

void bisect_stored(struct bisect *bisect)
{
    gw_assert(bisect->todo_count > 0);
    bisect->todo_count--;
}

void bisect_failed(struct bisect *bisect)
{
    gw_assert(bisect->todo_count > 0);
    split_failed(bisect, bisect->todo[--bisect->todo_count]);
}
