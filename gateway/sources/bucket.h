/* SPDX-License-Identifier: Apache-2.0
 *
 * A token bucket of one number: the time at which it would be at rest again. What was taken beyond
 * the rate stands ahead of the clock, at most `burst` far; whoever takes pushes it on. Shared by loops
 * without a lock: two that look at once may both take, so it can pass its limit by one of each loop.
 */
#ifndef TIDEGATE_SOURCES_BUCKET_H
#define TIDEGATE_SOURCES_BUCKET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Zeroed: at rest. */
struct bucket {
    _Atomic int64_t rest_ns;
};

/* Is there room now? */
static inline bool bucket_open(const struct bucket *bucket, int64_t burst_ns, int64_t now_ns)
{
    return atomic_load_explicit(&bucket->rest_ns, memory_order_relaxed) - now_ns < burst_ns;
}

/* One message larger than the burst is let pass and paid for after. */
static inline void bucket_take(struct bucket *bucket, int64_t cost_ns, int64_t now_ns)
{
    int64_t rest = atomic_load_explicit(&bucket->rest_ns, memory_order_relaxed), next;
    do {
        next = (rest > now_ns ? rest : now_ns) + cost_ns;
    } while (!atomic_compare_exchange_weak_explicit(&bucket->rest_ns, &rest, next,
                                                    memory_order_relaxed, memory_order_relaxed));
}

#endif
