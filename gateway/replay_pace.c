/* SPDX-License-Identifier: Apache-2.0
 *
 * A token bucket, and a few samples. Pure.
 */
#include "replay_pace.h"

#include <string.h>

enum { SLICES_PER_SECOND = 20, SAVED_PER_SECOND = 10 };

uint32_t replay_pace_slice(const struct replay_pace *pace)
{
    int64_t slice = pace->rate / SLICES_PER_SECOND;
    return pace->rate <= 0 ? 0 : slice < 1 ? 1 : slice > UINT32_MAX ? UINT32_MAX : (uint32_t)slice;
}

int64_t replay_pace_take(struct replay_pace *pace, uint64_t count, int64_t now_ms)
{
    if (pace->rate <= 0)
        return 0;
    double rate = (double)pace->rate;
    if (pace->at_ms)
        pace->tokens += rate * (double)(now_ms - pace->at_ms) / 1000;
    if (pace->tokens > rate / SAVED_PER_SECOND)
        pace->tokens = rate / SAVED_PER_SECOND;
    pace->at_ms = now_ms;
    /* What is larger than the bucket goes whole and leaves a debt, or it would never go. */
    int64_t wait_ms = pace->tokens < 0 ? (int64_t)(-pace->tokens / rate * 1000) + 1 : 0;
    pace->tokens -= (double)count;
    return wait_ms;
}

double replay_speed(struct replay_speed *speed, uint64_t readings, int64_t now_ms)
{
    unsigned newest = speed->count ? speed->count - 1 : 0;
    if (speed->count == 0 || now_ms - speed->samples[newest].at_ms >= REPLAY_SPEED_MS) {
        if (speed->count == REPLAY_SPEED_SAMPLES) {
            memmove(&speed->samples[0], &speed->samples[1],
                    (REPLAY_SPEED_SAMPLES - 1) * sizeof speed->samples[0]);
            speed->count--;
        }
        speed->samples[speed->count].at_ms = now_ms;
        speed->samples[speed->count++].readings = readings;
    }
    int64_t ms = now_ms - speed->samples[0].at_ms;
    uint64_t more = readings - speed->samples[0].readings;
    return ms > 0 ? (double)more * 1000 / (double)ms : 0;
}
