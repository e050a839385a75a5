/* SPDX-License-Identifier: Apache-2.0
 *
 * One ingest loop: a thread, a libuv loop, a listening socket of its own on the shared port, its
 * connections, and the commit it fills. Everything here belongs to that thread except the mailbox
 * and the counters.
 */
#ifndef TIDEGATE_SOURCES_MQTT_LOOP_H
#define TIDEGATE_SOURCES_MQTT_LOOP_H

#include <pthread.h>
#include <uv.h>

#include "journal/rawlog.h"
#include "sources/access.h"
#include "sources/mqtt/commit.h"
#include "sources/mqtt/listener.h"
#include "sources/mqtt/mailbox.h"
#include "sources/mqtt/packet.h"
#include "sources/mqtt/reason.h"
#include "sources/mqtt/stats.h"
#include "sources/mqtt/tls.h"
#include "sources/vendor.h"

struct conn;
struct hosts;
struct login_pool;
struct session_table;

/* What the loops of one listener share. Read-only but for the atomics. */
struct shared {
    const struct listener_options *options;
    struct packet_limits limits;
    struct rawlog *rawlog;
    struct access *access;
    struct session_table *sessions;
    struct vendor_table *vendors;
    unsigned first_seat; /* of the loops, in `vendors` */
    uint64_t connections_max, unnamed_max;
    struct hosts *hosts;    /* null: no limit by address */
    struct network *exempt; /* owned: addresses without such a limit */
    size_t exempt_count;
    struct login_pool *logins;
    _Atomic uint64_t unnamed; /* connections that have not logged in */
    struct network *proxies;  /* who sends a PROXY header, and must */
    size_t proxy_count;
    pthread_mutex_t tls_lock;
    struct tls_context *tls;         /* null: no TLS; under the lock */
    _Atomic uint64_t tls_generation; /* grows with each that is put there */
    _Atomic uint64_t connections;
    _Atomic uint64_t loops_running;
    _Atomic bool leaving;      /* closing is for good: clients are told so */
    void (*closed)(void *arg); /* called by the last loop to end */
    void *closed_arg;
};

/* A login's result, shared by the connections of one loop that have the same. */
struct grant {
    struct grant *next;
    uint64_t uses;
    struct vendor *vendor;
    struct vendor_seat *seat; /* the vendor's in this loop */
    struct access_grant grant;
};

struct loop {
    uv_loop_t uv;
    uv_tcp_t listen, listen_tls;
    bool listens, listens_tls;
    uv_poll_t mail; /* the mailbox has something */
    uv_timer_t timer;
    uv_timer_t quota; /* runs while somebody waits for a vendor's limits */
    uv_prepare_t prepare;
    uv_idle_t idle; /* runs for one round: that poll returns at once */
    uv_check_t check;
    pthread_t thread;
    struct shared *shared;
    unsigned index;
    struct mailbox *mailbox;
    struct stats stats;

    struct commit *filling;         /* never null while the loop runs */
    struct commit *oldest, *newest; /* submitted, in order */
    uint64_t in_flight;             /* of those, with the journal */
    struct commit *spare;

    struct conn **conns;
    size_t conn_count, conn_capacity;
    size_t unswept, slice; /* loop_sweep.c */
    struct conn **retries;
    size_t retry_count, retry_capacity;
    struct conn **resting; /* had their turn in this round, and are read on in the next */
    size_t rest_count, rest_capacity;
    struct vendor_seat *waiting; /* of vendors with somebody waiting for their limits */
    struct grant *grants;
    struct access_view access;

    uint8_t *read_buffer;
    size_t read_buffer_size;
    uint8_t *plain; /* what was read, decrypted; null without TLS */
    size_t plain_size;
    struct tls_io tls_io;
    struct tls_context *tls; /* as of tls_generation */
    uint64_t tls_generation;
    struct tls *first_handshake, *last_handshake; /* of those that wait for their turn */
    struct tls *first_begun, *last_begun;         /* of those that are in the middle of it */
    unsigned begun;
    bool starved;        /* the journal had no chunk at the last try */
    struct buffer reply; /* to the connection at hand */
    struct buffer scratch;
    uint32_t now_ms; /* monotonic, wraps: compare by difference */
    int64_t wall_ms;

    /* Waits that make larger groups (loop_pace.c). */
    int64_t gather_ns;  /* before the filling commit is handed over; 0: none */
    uint8_t window;     /* number of the present window of poll_tick_ms */
    unsigned ready;     /* different connections read from in it */
    unsigned published; /* PUBLISH in it, and... */
    unsigned piled;     /* ...those of senders that did not wait for the answer before */
    struct {
        unsigned windows;     /* until the next look what comes without the wait */
        int64_t published;    /* a window, with the wait: moving mean */
        int64_t off_until_ns; /* senders wait for us: no wait */
        int64_t off_ns;       /* for how long, the next time */
    } piled_wait;
    int64_t window_ns;                   /* when it began */
    int64_t polled_ns;                   /* when the last poll began */
    int64_t wait_ns;                     /* from one poll to the next; 0: none */
    unsigned accepted;                   /* in this round */
    bool accept_waits, accept_tls_waits; /* libuv holds one that is not taken over yet */
    bool started, paused, closing, ended;
    _Atomic int64_t turned_ms; /* monotonic: when it last was at its timers; 0: it does not run */
    _Atomic int64_t close_deadline_ms; /* monotonic */
};

/* Main thread. `port` 0 picks one and sets it; the others are given that. */
struct loop *loop_new(struct shared *shared, unsigned index, struct err *err);
int loop_listen(struct loop *loop, bool tls, const char *address, int *port, struct err *err);
int loop_start(struct loop *loop, struct err *err);
/* After its thread ended or was never started: joins, frees. Accepts null. */
void loop_free(struct loop *loop);
/* drain_ms: how long acknowledgements may still come. Any thread. */
void loop_close(struct loop *loop, int64_t drain_ms);

/* Loop thread. */

void loop_add_conn(struct loop *loop, struct conn *conn);
void loop_remove_conn(struct loop *loop, struct conn *conn);
/* conn_retry when a chunk may be there again. */
void loop_retry_later(struct loop *loop, struct conn *conn);
/* The connection had its turn: it is read on in the next round. */
void loop_rest(struct loop *loop, struct conn *conn);
/* Records can be added to loop->filling; false: not now. */
bool loop_open_chunk(struct loop *loop);
/* Hand over what fills, if it is time. */
void loop_submit(struct loop *loop);
/* Only when its chunk is full; whoever adds records in a row asks after each. */
void loop_submit_full(struct loop *loop);
struct grant *loop_grant_acquire(struct loop *loop, const struct access_grant *grant);
void loop_grant_release(struct loop *loop, struct grant *grant); /* accepts null */

/* The mailbox is readable: commits that are durable, letters. */
void loop_take_mail(struct loop *loop);

/* loop_pace.c: waits, so that a poll finds more and a commit holds more. */
void loop_before_poll(uv_prepare_t *prepare);
/* This commit came back. */
void loop_gather(struct loop *loop, const struct commit *commit);

/* loop_listen.c: a new round, in which as many are accepted again. */
void loop_accept_on(struct loop *loop);

/* loop_handshakes.c: they are bounded in each round. */
struct tls_context *loop_tls(struct loop *loop); /* the newest */
void loop_handshake_wait(struct loop *loop, struct tls *tls);
void loop_handshake_forget(struct loop *loop, struct tls *tls);
/* It is over, in either way. */
void loop_handshake_done(struct loop *loop, struct tls *tls);
/* Does somebody wait who can go on now? */
bool loop_handshake_ready(const struct loop *loop);
void loop_handshakes(struct loop *loop);
/* One step of one; false: nobody waits, or not now. */
bool loop_handshake_one(struct loop *loop);

/* loop_quota.c: conn_retry when the vendor's limits let it in. */
void loop_wait_for_quota(struct loop *loop, struct conn *conn);
void loop_wait_no_more(struct conn *conn);
void loop_serve_waiting(struct loop *loop);
/* What clients hear when the loop closes. */
static inline enum close_reason loop_goodbye(const struct loop *loop)
{
    return loop->shared->leaving ? CLOSE_LEAVING : CLOSE_SHUTDOWN;
}
/* What buckets go by: it moves once a round. */
static inline int64_t loop_now_ns(const struct loop *loop)
{
    return (int64_t)uv_now(&loop->uv) * 1000000;
}

/* loop_sweep.c: deadlines, sessions that end, wills that are due. */
void loop_sweep(struct loop *loop);

#endif
