/* SPDX-License-Identifier: Apache-2.0
 *
 * How fast a replay goes: a bucket of readings that fills at a rate. And how fast it went. One
 * thread, or a lock outside.
 */
#ifndef TIDEGATE_REPLAY_PACE_H
#define TIDEGATE_REPLAY_PACE_H

#include <stdint.h>

struct replay_pace {
    int64_t rate;  /* readings a second; 0: no limit */
    double tokens; /* below 0: owed */
    int64_t at_ms; /* monotonic; 0: not begun */
};

/* Take `count` readings out; how long to wait before they go, in ms. Of what was not used, only that of the
 * last tenth of a second is saved up: a sink that was down is not flooded afterwards. */
int64_t replay_pace_take(struct replay_pace *pace, uint64_t count, int64_t now_ms);

/* How many may go at once, so that they go evenly; 0: any number. */
uint32_t replay_pace_slice(const struct replay_pace *pace);

enum { REPLAY_SPEED_SAMPLES = 8, REPLAY_SPEED_MS = 1000 };

/* Readings a second over the last few seconds. */
struct replay_speed {
    struct {
        int64_t at_ms;
        uint64_t readings;
    } samples[REPLAY_SPEED_SAMPLES];
    unsigned count;
};
double replay_speed(struct replay_speed *speed, uint64_t readings, int64_t now_ms);

#endif
