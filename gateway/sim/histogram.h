/* SPDX-License-Identifier: Apache-2.0
 *
 * Latencies by count: buckets of equal relative width (1/32), so that p50 and p99.9 are both within
 * 3 % without keeping the values. One thread.
 */
#ifndef TIDEGATE_SIM_HISTOGRAM_H
#define TIDEGATE_SIM_HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_BUCKETS = 60 * 32 };

/* A zeroed object is an empty histogram. */
struct histogram {
    uint64_t count;
    int64_t max_ns;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, int64_t value_ns);
/* The value that `share` (0..1) of all values do not exceed, in nanoseconds; 0 when empty. */
int64_t histogram_quantile(const struct histogram *histogram, double share);

#endif
