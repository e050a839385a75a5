/* SPDX-License-Identifier: Apache-2.0
 *
 * See outlook.h. The logs are preallocated by segment, so their size on disk moves in steps; what
 * counts as growth is the bytes that segments hold.
 */
#include "outlook.h"

#include "base/clock.h"
#include "parts.h"

enum { SECONDS_MAX = 10 * 366 * 86400 };

/* ---- the arithmetic ---- */

/* Bytes a second of each log between the oldest sample and this one; false while there is none. */
static bool rates_of(const struct outlook *outlook, const struct outlook_now *now,
                     double rates[OUTLOOK_LOGS])
{
    uint64_t kept = outlook->count < OUTLOOK_SAMPLES ? outlook->count : OUTLOOK_SAMPLES;
    if (kept == 0)
        return false;
    uint64_t oldest = (outlook->count - kept) % OUTLOOK_SAMPLES;
    int64_t past_ms = now->at_ms - outlook->samples[oldest].at_ms;
    for (int i = 0; i < OUTLOOK_LOGS; i++)
        rates[i] = past_ms > 0
                       ? (double)(now->logs[i].written - outlook->samples[oldest].written[i]) *
                             1000 / (double)past_ms
                       : 0;
    return past_ms > 0;
}

static void sample_keep(struct outlook *outlook, const struct outlook_now *now)
{
    uint64_t at = outlook->count++ % OUTLOOK_SAMPLES;
    outlook->samples[at].at_ms = now->at_ms;
    for (int i = 0; i < OUTLOOK_LOGS; i++)
        outlook->samples[at].written[i] = now->logs[i].written;
}

/* Keeps the shorter time of what is there and room / rate. */
static void shorter(double room, double rate, int64_t *seconds, double *room_out, double *rate_out)
{
    if (rate <= 0)
        return;
    double left = room / rate;
    int64_t whole = left < SECONDS_MAX ? (int64_t)left : SECONDS_MAX;
    if (*seconds >= 0 && whole >= *seconds)
        return;
    *seconds = whole;
    *room_out = room;
    *rate_out = rate;
}

void outlook_sample(struct outlook *outlook, const struct outlook_now *now)
{
    double rates[OUTLOOK_LOGS], room = 0, rate = 0, all = 0;
    int64_t seconds = -1;
    if (rates_of(outlook, now, rates)) {
        for (int i = 0; i < OUTLOOK_LOGS; i++) {
            const struct outlook_log *log = &now->logs[i];
            all += rates[i];
            if (log->max)
                shorter(log->max > log->needed ? (double)(log->max - log->needed) : 0, rates[i],
                        &seconds, &room, &rate);
        }
        shorter((double)now->volume_room, all, &seconds, &room, &rate);
    }
    sample_keep(outlook, now);
    if (now->full)
        seconds = 0;
    outlook->seconds_left = seconds;
    outlook->room = (uint64_t)room;
    outlook->rate = (uint64_t)rate;
}

/* ---- looking ---- */

/* What one log's segments hold. */
struct look {
    struct outlook_tail *tail;
    uint64_t needed_seq;    /* the first that may not go */
    uint64_t needed, spare; /* bytes of segments with such, and allocated bytes that may go */
    uint64_t last_number, last_used;
};

static void on_segment(void *arg, const struct journal_segment_info *info)
{
    struct look *look = arg;
    struct outlook_tail *tail = look->tail;
    if (info->number == tail->number)
        tail->written += info->bytes_used > tail->used ? info->bytes_used - tail->used : 0;
    else if (info->number > tail->number)
        tail->written += info->bytes_used;
    if (info->number >= look->last_number) {
        look->last_number = info->number;
        look->last_used = info->bytes_used;
    }
    if (info->next_seq > look->needed_seq || !info->sealed) {
        look->needed += info->bytes_used;
        look->spare +=
            info->bytes_allocated > info->bytes_used ? info->bytes_allocated - info->bytes_used : 0;
    } else {
        look->spare += info->bytes_allocated;
    }
}

void outlook_run(struct gateway *gateway)
{
    const struct config_journal *limits = &gateway->config_started->journal;
    struct journal *logs[OUTLOOK_LOGS] = {rawlog_journal(gateway->rawlog), gateway->readings};
    struct outlook *outlook = &gateway->outlook;
    struct outlook_now now = {.at_ms = clock_monotonic_ms(), .volume_room = UINT64_MAX};
    struct disk_space space;
    uint64_t spare = 0;
    for (int i = 0; i < OUTLOOK_LOGS; i++) {
        /* Lanes that park are not in it: rather than stop the intake they go on without. */
        struct look look = {.tail = &outlook->tails[i], .needed_seq = gateway->retention.held_seq};
        journal_segments(logs[i], on_segment, &look);
        outlook->tails[i].number = look.last_number;
        outlook->tails[i].used = look.last_used;
        if (outlook->count == 0)
            outlook->tails[i].begun = outlook->tails[i].written;
        now.logs[i] =
            (struct outlook_log){outlook->tails[i].written, look.needed, limits->max_bytes};
        spare += look.spare;
        outlook->needed[i] = look.needed;
    }
    if (disk_real.space(&disk_real, gateway->paths.data, &space) == 0) {
        uint64_t room = space.available + spare;
        now.volume_room = room > limits->reserve_bytes ? room - limits->reserve_bytes : 0;
    }
    now.full = rawlog_health(gateway->rawlog) == RAWLOG_FULL;
    outlook_sample(outlook, &now);
}
