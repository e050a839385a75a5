/* SPDX-License-Identifier: Apache-2.0
 *
 * The sink's start, on the lane's own thread, because a destination that is down may take seconds to
 * say so: no other lane and no listener waits for that. The main thread waits a moment for the first
 * result of all lanes together (lane_wait_started), so that what an operator must mend is a refusal
 * to start.
 */
#include <errno.h>
#include <inttypes.h>

#include "base/clock.h"
#include "base/log.h"
#include "lane_state.h"

/* The main thread hears the first result only. True when it still waits for it. */
static bool first_tell(struct lane *lane, int rc, const struct err *err)
{
    pthread_mutex_lock(&lane->first_lock);
    bool heard = !lane->first_known && !lane->first_left;
    if (!lane->first_known) {
        lane->first_known = true;
        lane->first_rc = rc;
        lane->first_err = *err;
        pthread_cond_broadcast(&lane->first_told);
    }
    pthread_mutex_unlock(&lane->first_lock);
    return heard;
}

static void start_failed(struct lane *lane, int rc, struct err *err)
{
    bool stops = rc == GW_EINVAL;
    int health = stops ? LANE_STOPPED : LANE_RETRYING;
    int64_t backoff_ms = lane->start_backoff_ms * 2;
    if (backoff_ms < LANE_BACKOFF_MS_MIN)
        backoff_ms = LANE_BACKOFF_MS_MIN;
    if (backoff_ms > LANE_BACKOFF_MS_MAX || stops)
        backoff_ms = LANE_BACKOFF_MS_MAX;
    lane->start_backoff_ms = backoff_ms;
    lane->start_at_ms = clock_monotonic_ms() + backoff_ms;
    lane->stats.retries++;
    lane->stats.retries_by_reason[stops ? SINK_REASON_OPERATOR : SINK_REASON_OTHER]++;
    lane_why_set(lane, err->text);
    bool worse = lane->start_health != health;
    lane->start_health = health;
    lane_health_update(lane);
    /* Told once, not with every attempt; and not when the program says it by refusing to start. */
    bool heard = first_tell(lane, rc, err);
    if (worse && !(heard && stops))
        log_event(stops ? LOG_ERROR : LOG_WARN, stops ? "sink_stopped" : "sink_not_started",
                  "sink=%s why=\"%s\"", lane->host.name, err->text);
}

void lane_start_sink(struct lane *lane)
{
    if (lane->refused || lane->ends_soon || lane->stopping ||
        clock_monotonic_ms() < lane->start_at_ms)
        return;
    struct err err = {{0}};
    uint64_t before = lane->saved.next_seq;
    uint64_t seq = before;
    int rc = lane->type->start(lane->sink, &seq, &err);
    uv_update_time(&lane->loop); /* it may have taken seconds */
    if (rc == 0 && seq != before) {
        rc = lane_follow(lane, seq, &err);
        lane->refused = rc == GW_EINVAL;
    }
    if (rc) {
        start_failed(lane, rc, &err);
        return;
    }
    lane->sink_started = true;
    lane->stats.started = true;
    lane_health_update(lane);
    first_tell(lane, 0, &err);
    log_event(LOG_INFO, "sink_started", "sink=%s type=%s next_seq=%" PRIu64, lane->host.name,
              lane->type->name, lane->saved.next_seq);
}

int lane_wait_started(struct lane *lane, int64_t until_ms, struct err *err)
{
    struct timespec deadline = {until_ms / 1000, until_ms % 1000 * 1000000};
    pthread_mutex_lock(&lane->first_lock);
    int waited = 0;
    while (!lane->first_known && waited != ETIMEDOUT)
        waited = pthread_cond_timedwait(&lane->first_told, &lane->first_lock, &deadline);
    lane->first_left = true;
    int rc = lane->first_known ? lane->first_rc : 0;
    if (rc == GW_EINVAL)
        *err = lane->first_err;
    pthread_mutex_unlock(&lane->first_lock);
    return rc == GW_EINVAL ? err_wrap(err, rc, "sink %s", lane->host.name) : 0;
}
