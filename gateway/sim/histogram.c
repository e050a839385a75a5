/* SPDX-License-Identifier: Apache-2.0
 *
 * A bucket is the power of two and the five bits below it. Separate, because the simulator and the
 * load generator report the same quantiles. One thread.
 */
#include "sim/histogram.h"

static unsigned bucket_of(uint64_t value)
{
    if (value < 32)
        return (unsigned)value;
    unsigned power = 63U - (unsigned)__builtin_clzll(value);
    unsigned bucket = (power - 4) * 32 + (unsigned)(value >> (power - 5) & 31);
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

/* The upper end of a bucket. */
static int64_t bucket_value(unsigned bucket)
{
    if (bucket < 32)
        return bucket;
    unsigned power = bucket / 32 + 4;
    uint64_t width = 1ULL << (power - 5);
    return (int64_t)((1ULL << power) + (bucket % 32 + 1) * width - 1);
}

void histogram_add(struct histogram *histogram, int64_t value_ns)
{
    if (value_ns < 0)
        value_ns = 0;
    histogram->count++;
    histogram->buckets[bucket_of((uint64_t)value_ns)]++;
    if (value_ns > histogram->max_ns)
        histogram->max_ns = value_ns;
}

int64_t histogram_quantile(const struct histogram *histogram, double share)
{
    uint64_t wanted = (uint64_t)((double)histogram->count * share);
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen > wanted || (seen == histogram->count && seen > 0)) {
            int64_t value = bucket_value(i);
            return value < histogram->max_ns ? value : histogram->max_ns;
        }
    }
    return 0;
}
