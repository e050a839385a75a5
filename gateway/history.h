/* SPDX-License-Identifier: Apache-2.0
 *
 * How far back each log goes, and what ends it there: that is what a replay can send. Judged on the main
 * thread with each round of retention; the result is read by any.
 */
#ifndef TIDEGATE_HISTORY_H
#define TIDEGATE_HISTORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

/* What decides how old the oldest segment gets. The last four: somebody needs it, or it would have gone. */
enum history_limit {
    HISTORY_NONE,      /* keep and keep_size are 0: only what is needed stays */
    HISTORY_KEEP,      /* its age */
    HISTORY_KEEP_SIZE, /* the size of the log */
    HISTORY_ROOM,      /* max_size, or the volume: history goes before its time */
    HISTORY_SINK,
    HISTORY_CURSOR, /* one without a sink */
    HISTORY_REPLAY,
    HISTORY_DECODER, /* its memory was saved before */
    HISTORY_LIMITS
};
const char *history_limit_name(enum history_limit limit); /* "keep_size" */

/* The first number that each needs; UINT64_MAX: none. */
struct history_needs {
    uint64_t sink, cursor, replay, decoder;
    size_t lane; /* of `sink` */
};

struct history_now {
    uint64_t oldest_end;   /* the oldest segment holds what is below; 0: it is the only one */
    int64_t oldest_max_ms; /* the last that it received */
    uint64_t bytes, segment_bytes;
    int64_t keep_ms;
    uint64_t keep_bytes;
    bool room_is_short;
    int64_t now_ms;
};
/* Pure. */
enum history_limit history_judge(const struct history_now *now, const struct history_needs *needs);

enum { HISTORY_RAW, HISTORY_READINGS, HISTORY_DEAD, HISTORY_LOGS };
struct history {
    struct {
        _Atomic int64_t
            oldest_ms;         /* receive time of the oldest message; 0: none, or not looked yet */
        _Atomic int limit;     /* enum history_limit */
        _Atomic uint32_t lane; /* of HISTORY_SINK */
    } logs[HISTORY_LOGS];
};

struct gateway;
/* Main thread, after retention. */
void history_run(struct gateway *gateway, const struct history_needs *needs, bool room_is_short);
/* ,"oldest":...,"history_seconds":...,"limited_by":"sink","held_by":"kafka" appended. Any thread. */
void history_status(const struct gateway *gateway, int log, int64_t now_ms, struct buffer *out);
/* Any thread. */
void history_metrics(const struct gateway *gateway, struct buffer *out);

#endif
