/* SPDX-License-Identifier: Apache-2.0
 *
 * The parts of a running gateway: made and ended by gateway.c, read by what reports and controls.
 * Nobody else includes this.
 */
#ifndef TIDEGATE_PARTS_H
#define TIDEGATE_PARTS_H

#include <pthread.h>
#include <uv.h>

#include "admin/admin.h"
#include "base/audit_log.h"
#include "decoder.h"
#include "gateway.h"
#include "history.h"
#include "journal/rawlog.h"
#include "lane.h"
#include "outlook.h"
#include "replay.h"
#include "retention.h"
#include "sources/access.h"
#include "sources/mqtt/tls_context.h"
#include "sources/source.h"
#include "sources/vendor.h"

/* Folders below the data folder. */
struct gateway_paths {
    char *data, *raw, *readings, *dead, *refused, *again, *cursors, *state, *intake, *replays;
};

enum { SOURCES_MAX = 3 };

struct source_end {
    struct gateway *gateway;
    _Atomic bool closed;
};

/* drain.c's. The state is an enum drain_state. */
struct drain {
    _Atomic int state;
    bool leaving;             /* found at start: an earlier process began it */
    _Atomic bool told;        /* somebody has heard that it is done */
    _Atomic int64_t since_ms; /* wall clock */
    int64_t done_ms;          /* monotonic */
    uv_async_t asked;
    uv_timer_t look;
};

struct gateway {
    struct config *config;         /* as last loaded; the parts that cannot change keep... */
    struct config *config_started; /* ...this one, which is the first */
    uint32_t generation;           /* of `config` */
    pthread_mutex_t config_lock;   /* for both, where others than the main thread look */
    int (*reload)(void *arg, struct config **out, struct buffer *errors);
    void *reload_arg;

    struct gateway_paths paths;
    struct audit_log *audit; /* null until the folders are there */
    struct rawlog *rawlog;
    struct journal *readings, *dead;
    struct refused *refused;
    struct access *access;
    struct vendor_table vendors;
    uint64_t *cuts; /* the decoder's */
    size_t cut_count;
    struct decoder *decoder;
    struct recent *recent;
    struct retention retention;
    struct lane **lanes;
    size_t lane_count;
    struct replays *replays;
    pthread_mutex_t replay_lock;         /* whoever begins or ends one */
    bool replays_closed;                 /* under it: nobody may any more */
    struct source *sources[SOURCES_MAX]; /* all that there are; two of them by name: */
    size_t source_count;
    struct source *listener;
    struct source *brokers;  /* null without any, now and before */
    struct source *captures; /* null without any */
    struct source_end source_ends[SOURCES_MAX];
    _Atomic unsigned sources_open; /* that were told to close, and have not */
    bool sources_told;
    struct drain drain;
    struct admin *admin;
    int64_t started_ms; /* wall clock */
    struct outlook outlook;
    struct { /* expiry.c's: what was told of each file of the TLS port */
        int64_t ends_ms, told_ms;
    } expiry[TLS_FILES];
    struct history history;

    uv_loop_t loop; /* the main thread's */
    uv_signal_t sigterm, sigint, sighup;
    uv_timer_t housekeeping, pulse;
    uv_async_t source_closed;
    _Atomic bool serving; /* every part is started */
    _Atomic bool stopping;
    _Atomic int64_t turned_ms; /* monotonic: when the main loop last was at its timers */
    _Atomic uint64_t reload_failures, reloads;
};

/* gateway.c, main thread. Tell the sources to close; again, with less patience, those that have not. */
void gateway_sources_close(struct gateway *gateway, int64_t drain_ms);
/* As SIGTERM does. */
void gateway_end(struct gateway *gateway);

#endif
