/* SPDX-License-Identifier: Apache-2.0
 *
 * A TLS handshake costs as much processor time as a thousand messages, and after an outage a whole
 * fleet comes back at once. So connections whose handshake can go on wait in a row, and each round
 * serves as many of them as fit in a share of its time, after the sockets and acknowledgements of
 * those that are connected: these never wait for more than that share and one step. Loop thread.
 */
#include "base/clock.h"
#include "sources/mqtt/conn.h"

enum { BUDGET_NS = 2000000 };

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
    tls->next = NULL;
    tls->prev = loop->last_handshake;
    *(tls->prev ? &tls->prev->next : &loop->first_handshake) = tls;
    loop->last_handshake = tls;
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

bool loop_handshake_one(struct loop *loop)
{
    struct tls *tls = loop->first_handshake;
    if (tls == NULL || loop->paused || loop->closing)
        return false;
    loop_handshake_forget(loop, tls);
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
