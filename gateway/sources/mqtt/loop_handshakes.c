/* SPDX-License-Identifier: Apache-2.0
 *
 * A TLS handshake costs as much processor time as a thousand messages, and after an outage a whole
 * fleet comes back at once. So connections whose handshake can go on wait in a row, and each round
 * serves as many of them as fit in a share of its time, after the sockets and acknowledgements of
 * those that are connected: these never wait for more than that share and one step. Loop thread.
 */
#include "base/clock.h"
#include "sources/mqtt/conn.h"

enum {
    BUDGET_NS = 2000000,
    /* A handshake in the middle holds 40 KiB. Of thousands at a time each would leave a hole of that size
     * between what stays, so only so many are; and those go first, but not for ever, since a peer could send
     * a byte at a time. */
    BEGUN_MAX = 64,
    TURNS_BEFORE = 8,
    /* Who keeps the others waiting for so long gives way. */
    STALL_MS = 1000,
};

struct tls_context *loop_tls(struct loop *loop)
{
    struct shared *shared = loop->shared;
    uint64_t newest = atomic_load(&shared->tls_generation);
    if (loop->tls == NULL || loop->tls_generation != newest) {
        tls_context_release(loop->tls);
        pthread_mutex_lock(&shared->tls_lock);
        loop->tls = tls_context_acquire(shared->tls);
        loop->tls_generation = atomic_load(&shared->tls_generation);
        pthread_mutex_unlock(&shared->tls_lock);
    }
    return loop->tls;
}

void loop_handshake_wait(struct loop *loop, struct tls *tls)
{
    conn_read_stop(tls->conn);
    if (tls->waits)
        return;
    tls->waits = true;
    bool before = tls->begun && tls->turns < TURNS_BEFORE;
    tls->prev = before ? NULL : loop->last_handshake;
    tls->next = before ? loop->first_handshake : NULL;
    *(tls->prev ? &tls->prev->next : &loop->first_handshake) = tls;
    *(tls->next ? &tls->next->prev : &loop->last_handshake) = tls;
    stat_add(&loop->stats.tls_waiting, 1);
}

void loop_handshake_forget(struct loop *loop, struct tls *tls)
{
    if (!tls->waits)
        return;
    tls->waits = false;
    *(tls->prev ? &tls->prev->next : &loop->first_handshake) = tls->next;
    *(tls->next ? &tls->next->prev : &loop->last_handshake) = tls->prev;
    stat_sub(&loop->stats.tls_waiting, 1);
}

/* ---- in the middle of it ---- */

static void begin(struct loop *loop, struct tls *tls)
{
    tls->begun = true;
    tls->begun_ms = loop->now_ms;
    tls->next_begun = NULL;
    tls->prev_begun = loop->last_begun;
    *(tls->prev_begun ? &tls->prev_begun->next_begun : &loop->first_begun) = tls;
    loop->last_begun = tls;
    loop->begun++;
}

void loop_handshake_done(struct loop *loop, struct tls *tls)
{
    if (!tls->begun)
        return;
    tls->begun = false;
    *(tls->prev_begun ? &tls->prev_begun->next_begun : &loop->first_begun) = tls->next_begun;
    *(tls->next_begun ? &tls->next_begun->prev_begun : &loop->last_begun) = tls->prev_begun;
    loop->begun--;
}

static bool oldest_stalls(const struct loop *loop)
{
    return loop->now_ms - loop->first_begun->begun_ms > STALL_MS;
}

bool loop_handshake_ready(const struct loop *loop)
{
    const struct tls *tls = loop->first_handshake;
    return tls && !loop->paused && !loop->closing &&
           (tls->begun || loop->begun < BEGUN_MAX || oldest_stalls(loop));
}

/* ---- turns ---- */

bool loop_handshake_one(struct loop *loop)
{
    struct tls *tls = loop->first_handshake;
    if (!loop_handshake_ready(loop))
        return false;
    if (!tls->begun && loop->begun >= BEGUN_MAX) {
        struct conn *oldest = loop->first_begun->conn;
        conn_secure_refused(oldest, TLS_TIMEOUT);
        conn_close(oldest, CLOSE_CONNECT_TIMEOUT);
    }
    loop_handshake_forget(loop, tls);
    if (!tls->begun)
        begin(loop, tls);
    if (tls->turns < UINT8_MAX)
        tls->turns++;
    conn_handshake_turn(tls->conn);
    return true;
}

void loop_handshakes(struct loop *loop)
{
    if (loop->first_handshake == NULL)
        return;
    int64_t until_ns = clock_monotonic_ns() + BUDGET_NS;
    while (loop_handshake_one(loop) && clock_monotonic_ns() < until_ns)
        ;
}
