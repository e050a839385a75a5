/* SPDX-License-Identifier: Apache-2.0
 *
 * One round of a loop: libuv reads every socket that is ready, packets go into the filling commit,
 * and at the end of the round (uv_check) the commit is handed over unless an earlier one is still
 * with the journal; then it goes on filling, so the groups grow just as large as the disk is slow.
 * When it comes back, each connection gets its acknowledgements in one write.
 */
#include "sources/mqtt/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "sources/mqtt/conn.h"
#include "sources/mqtt/session.h"

enum {
    READ_BUFFER_BYTES = 128 * 1024,
    SWEEP_MS = 250,
};

/* ---- commits ---- */

static struct commit *commit_take(struct loop *loop)
{
    struct commit *commit = loop->spare;
    loop->spare = NULL;
    return commit ? commit : commit_new(loop->mailbox, loop->shared->rawlog);
}

static void commit_give(struct loop *loop, struct commit *commit)
{
    commit_reset(commit);
    if (loop->spare)
        commit_free(commit);
    else
        loop->spare = commit;
}

bool loop_open_chunk(struct loop *loop)
{
    loop->starved = !commit_open_chunk(loop->filling);
    return !loop->starved;
}

static void finish_commit(struct loop *loop, struct commit *commit)
{
    for (size_t i = 0; i < commit->slot_count; i++)
        conn_committed(commit->slots[i].conn, commit, &commit->slots[i]);
    int64_t now_ms = clock_wall_ms();
    for (size_t i = 0; i < commit->release_count; i++)
        session_release(loop->shared->sessions, commit->releases[i], now_ms);
}

/* Durable ones from the front on: acknowledgements leave in order (invariant 4). */
static void finish_commits(struct loop *loop)
{
    while (loop->oldest && loop->oldest->durable) {
        struct commit *commit = loop->oldest;
        loop->oldest = commit->next;
        if (loop->oldest == NULL)
            loop->newest = NULL;
        if (commit->chunk) {
            chunk_release(loop->shared->rawlog, commit->chunk);
            commit->chunk = NULL;
        }
        finish_commit(loop, commit);
        commit_give(loop, commit);
    }
}

static void submit_filling(struct loop *loop)
{
    struct commit *commit = loop->filling;
    *(loop->newest ? &loop->newest->next : &loop->oldest) = commit;
    loop->newest = commit;
    loop->filling = commit_take(loop);
    if (commit->chunk && commit->chunk->record_count == 0) {
        chunk_release(loop->shared->rawlog, commit->chunk);
        commit->chunk = NULL;
    }
    if (commit->chunk) {
        loop->in_flight++;
        commit->submitted_ns = clock_monotonic_ns();
        stat_add(&loop->stats.commits, 1);
        commit_submit(commit);
    } else {
        commit->durable = true;
    }
}

void loop_submit_full(struct loop *loop)
{
    const struct chunk *chunk = loop->filling->chunk;
    if (chunk && chunk->body.size >= rawlog_chunk_bytes(loop->shared->rawlog))
        submit_filling(loop);
}

void loop_submit(struct loop *loop)
{
    loop_submit_full(loop);
    if (!commit_empty(loop->filling) && loop->in_flight == 0 && loop->gather_ns == 0)
        submit_filling(loop);
}

/* ---- retries ---- */

void loop_retry_later(struct loop *loop, struct conn *conn)
{
    if (conn->retry)
        return;
    if (loop->retry_count == loop->retry_capacity) {
        loop->retry_capacity = loop->retry_capacity ? loop->retry_capacity * 2 : 64;
        loop->retries = mem_realloc(loop->retries, loop->retry_capacity * sizeof *loop->retries);
    }
    conn->retry = true;
    loop->retries[loop->retry_count++] = conn;
}

/* Those that must wait again are put behind `count`, so one pass ends. */
static void run_retries(struct loop *loop)
{
    size_t count = loop->retry_count;
    bool starved = loop->starved && !loop_open_chunk(loop);
    for (size_t i = 0; i < count; i++) {
        struct conn *conn = loop->retries[i];
        conn->retry = false;
        if (starved && conn->hold == HOLD_JOURNAL && conn->state < CONN_CLOSING)
            loop_retry_later(loop, conn); /* would only fail again */
        else
            conn_retry(conn);
    }
    loop->retry_count -= count;
    memmove(loop->retries, loop->retries + count, loop->retry_count * sizeof *loop->retries);
}

/* ---- turns ---- */

void loop_rest(struct loop *loop, struct conn *conn)
{
    if (loop->rest_count == loop->rest_capacity) {
        loop->rest_capacity = loop->rest_capacity ? loop->rest_capacity * 2 : 64;
        loop->resting = mem_realloc(loop->resting, loop->rest_capacity * sizeof *loop->resting);
    }
    conn_read_stop(conn);
    loop->resting[loop->rest_count++] = conn;
}

/* In the round that they were read in, so that none is gone yet. */
static void wake_resting(struct loop *loop)
{
    for (size_t i = 0; i < loop->rest_count; i++)
        if (conn_may_read(loop->resting[i]) && !loop->paused && !loop->closing)
            conn_read_start(loop->resting[i]);
    loop->rest_count = 0;
}

/* ---- letters ---- */

static void on_take_over(struct loop *loop, struct session *session)
{
    bool wanted;
    struct conn *owner =
        session_mail_arrived(loop->shared->sessions, session, loop->mailbox, &wanted);
    if (wanted && owner)
        conn_close(owner, CLOSE_TAKEN_OVER);
}

static void on_granted(struct loop *loop, struct session *session)
{
    bool wanted;
    struct conn *owner =
        session_mail_arrived(loop->shared->sessions, session, loop->mailbox, &wanted);
    if (owner && owner->state == CONN_CLAIM && !owner->owner) {
        conn_session_granted(owner);
        conn_flush(owner);
    }
}

static void on_login(struct login *login)
{
    if (login->conn)
        conn_logged_in(login->conn, login);
    else
        login_free(login);
}

static void pause_all(struct loop *loop, bool pause)
{
    loop->paused = pause;
    for (size_t i = 0; i < loop->conn_count; i++)
        (pause ? conn_pause : conn_resume)(loop->conns[i]);
}

/* Nothing more is taken in; what was taken is acknowledged as it becomes durable. */
static void begin_close(struct loop *loop)
{
    loop->closing = true;
    if (loop->listens)
        uv_close((uv_handle_t *)&loop->listen, NULL);
    if (loop->listens_tls)
        uv_close((uv_handle_t *)&loop->listen_tls, NULL);
    for (size_t i = 0; i < loop->conn_count; i++) {
        struct conn *conn = loop->conns[i];
        conn_pause(conn);
        if (conn->pending == 0)
            conn_close(conn, loop_goodbye(loop));
    }
    loop_sweep(loop); /* wills that waited for their delay are due now */
}

static void on_mail(struct loop *loop, const struct mail *mail)
{
    switch (mail->kind) {
    case MAIL_TAKE_OVER: on_take_over(loop, mail->session); break;
    case MAIL_SESSION_GRANTED: on_granted(loop, mail->session); break;
    case MAIL_LOGIN: on_login(mail->login); break;
    case MAIL_PAUSE: pause_all(loop, true); break;
    case MAIL_RESUME: pause_all(loop, false); break;
    case MAIL_CLOSE:
        if (!loop->closing)
            begin_close(loop);
        break;
    }
}

void loop_take_mail(struct loop *loop)
{
    mailbox_woken(loop->mailbox);
    struct commit *commit = mailbox_take_commits(loop->mailbox);
    while (commit) {
        struct commit *next = commit->next_mail;
        commit->durable = true;
        loop->in_flight--;
        loop_gather(loop, commit);
        commit = next;
    }
    finish_commits(loop);
    struct mail *mail = mailbox_take_mails(loop->mailbox);
    while (mail) {
        struct mail *next = mail->next;
        on_mail(loop, mail);
        free(mail);
        mail = next;
    }
}

static void on_mailbox(uv_poll_t *poll, int status, int events)
{
    (void)events;
    gw_assert(status == 0);
    loop_take_mail(container_of(poll, struct loop, mail));
}

/* ---- the end ---- */

/* What is with the journal comes back to a closed mailbox, or never; the rest is ours. */
static void forget_commits(struct loop *loop)
{
    struct commit *commit = loop->oldest;
    while (commit) {
        struct commit *next = commit->next;
        if (commit->chunk == NULL)
            commit_free(commit);
        commit = next;
    }
    loop->oldest = loop->newest = NULL;
}

static void end_now(struct loop *loop)
{
    loop->ended = true;
    for (size_t i = loop->conn_count; i-- > 0;)
        conn_abandon(loop->conns[i]);
    for (size_t i = 0; i < loop->retry_count; i++)
        loop->retries[i]->retry = false;
    loop->retry_count = 0;
    mailbox_close(loop->mailbox);
    forget_commits(loop);
    uv_close((uv_handle_t *)&loop->mail, NULL);
    uv_close((uv_handle_t *)&loop->timer, NULL);
    uv_close((uv_handle_t *)&loop->quota, NULL);
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_close((uv_handle_t *)&loop->idle, NULL);
    uv_close((uv_handle_t *)&loop->check, NULL);
}

static void end_if_done(struct loop *loop)
{
    if (!loop->closing || loop->ended)
        return;
    bool settled = loop->oldest == NULL && commit_empty(loop->filling);
    for (size_t i = 0; settled && i < loop->conn_count; i++)
        settled = loop->conns[i]->finished;
    if (settled || clock_monotonic_ms() >= atomic_load(&loop->close_deadline_ms))
        end_now(loop);
}

/* ---- the round ---- */

static void end_round(struct loop *loop)
{
    loop->now_ms = (uint32_t)uv_now(&loop->uv);
    loop->wall_ms = clock_wall_ms();
    wake_resting(loop);
    loop_accept_on(loop);
    if (loop->retry_count)
        run_retries(loop);
    if (loop->waiting)
        loop_serve_waiting(loop);
    if (commit_empty(loop->filling))
        loop->gather_ns = 0; /* who has said nothing yet need not wait when he does */
    loop_submit(loop);
    finish_commits(loop);
    if (loop->first_handshake) {
        loop_handshakes(loop);
        loop_submit(loop);
    }
    end_if_done(loop);
}

static void on_check(uv_check_t *check)
{
    end_round(container_of(check, struct loop, check));
}

/* Timers run before the poll, which may take long: the round must not wait for its end. */
static void on_timer(uv_timer_t *timer)
{
    struct loop *loop = container_of(timer, struct loop, timer);
    loop->now_ms = (uint32_t)uv_now(&loop->uv);
    atomic_store_explicit(&loop->turned_ms, clock_monotonic_ms(), memory_order_relaxed);
    if (!loop->ended)
        loop_sweep(loop);
    end_round(loop);
}

static void *run(void *arg)
{
    struct loop *loop = arg;
    struct shared *shared = loop->shared;
    /* libuv writes without MSG_NOSIGNAL; a peer that is gone must not end the process. */
    sigset_t broken_pipe;
    sigemptyset(&broken_pipe);
    sigaddset(&broken_pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &broken_pipe, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    loop->turned_ms = 0;
    /* With the last one gone nobody posts any more. */
    if (atomic_fetch_sub(&shared->loops_running, 1) == 1)
        shared->closed(shared->closed_arg);
    return NULL;
}

/* ---- life ---- */

static struct loop *no_loop(struct loop *loop, const char *why, struct err *err)
{
    err_set(err, GW_EIO, "mqtt: event loop: %s", why);
    free(loop);
    return NULL;
}

struct loop *loop_new(struct shared *shared, unsigned index, struct err *err)
{
    struct loop *loop = mem_zalloc(sizeof *loop);
    int status = uv_loop_init(&loop->uv);
    if (status)
        return no_loop(loop, uv_strerror(status), err);
    loop->mailbox = mailbox_new();
    if (loop->mailbox == NULL) {
        uv_loop_close(&loop->uv);
        return no_loop(loop, strerror(errno), err);
    }
    loop->shared = shared;
    loop->index = index;
    loop->read_buffer_size = READ_BUFFER_BYTES;
    loop->read_buffer = mem_alloc(loop->read_buffer_size);
    if (shared->tls) {
        loop->plain_size = READ_BUFFER_BYTES + TLS_RECORD_BYTES;
        loop->plain = mem_alloc(loop->plain_size);
    }
    uv_timer_init(&loop->uv, &loop->timer);
    uv_timer_init(&loop->uv, &loop->quota);
    uv_prepare_init(&loop->uv, &loop->prepare);
    uv_idle_init(&loop->uv, &loop->idle);
    uv_check_init(&loop->uv, &loop->check);
    gw_assert(uv_poll_init(&loop->uv, &loop->mail, mailbox_fd(loop->mailbox)) == 0);
    loop->filling = commit_new(loop->mailbox, shared->rawlog);
    return loop;
}

int loop_start(struct loop *loop, struct err *err)
{
    uv_timer_start(&loop->timer, on_timer, SWEEP_MS, SWEEP_MS);
    uv_poll_start(&loop->mail, UV_READABLE, on_mailbox);
    uv_prepare_start(&loop->prepare, loop_before_poll);
    uv_check_start(&loop->check, on_check);
    loop->now_ms = (uint32_t)uv_now(&loop->uv);
    loop->wall_ms = clock_wall_ms();
    loop->turned_ms = clock_monotonic_ms();
    int status = pthread_create(&loop->thread, NULL, run, loop);
    if (status)
        return err_set(err, GW_EIO, "mqtt: start a thread: %s", uv_strerror(-status));
    pthread_setname_np(loop->thread, "mqtt");
    loop->started = true;
    return 0;
}

void loop_close(struct loop *loop, int64_t drain_ms)
{
    atomic_store(&loop->close_deadline_ms, clock_monotonic_ms() + drain_ms);
    mailbox_post(loop->mailbox, MAIL_CLOSE, NULL);
}

static void close_any(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void loop_free(struct loop *loop)
{
    if (loop == NULL)
        return;
    if (loop->started) {
        pthread_join(loop->thread, NULL);
    } else {
        mailbox_close(loop->mailbox);
        uv_walk(&loop->uv, close_any, NULL);
        uv_run(&loop->uv, UV_RUN_DEFAULT);
    }
    gw_assert(uv_loop_close(&loop->uv) == 0);
    struct commit *late = mailbox_take_commits(loop->mailbox);
    while (late) {
        struct commit *next = late->next_mail;
        commit_free(late);
        late = next;
    }
    commit_free(loop->filling);
    commit_free(loop->spare);
    mailbox_release(loop->mailbox);
    while (loop->grants) {
        struct grant *next = loop->grants->next;
        free(loop->grants);
        loop->grants = next;
    }
    access_view_fini(&loop->access);
    tls_context_release(loop->tls);
    buffer_fini(&loop->tls_io.out);
    free(loop->plain);
    buffer_fini(&loop->reply);
    buffer_fini(&loop->scratch);
    free(loop->read_buffer);
    free(loop->conns);
    free(loop->retries);
    free(loop->resting);
    free(loop);
}

/* ---- connections and logins ---- */

void loop_add_conn(struct loop *loop, struct conn *conn)
{
    if (loop->conn_count == loop->conn_capacity) {
        loop->conn_capacity = loop->conn_capacity ? loop->conn_capacity * 2 : 64;
        loop->conns = mem_realloc(loop->conns, loop->conn_capacity * sizeof *loop->conns);
    }
    conn->index = (uint32_t)loop->conn_count;
    loop->conns[loop->conn_count++] = conn;
    stat_add(&loop->stats.connections, 1);
}

void loop_remove_conn(struct loop *loop, struct conn *conn)
{
    struct conn *last = loop->conns[--loop->conn_count];
    gw_assert(loop->conns[conn->index] == conn);
    loop->conns[conn->index] = last;
    last->index = conn->index;
    stat_sub(&loop->stats.connections, 1);
}

struct grant *loop_grant_acquire(struct loop *loop, const struct access_grant *grant)
{
    struct grant *at = loop->grants;
    while (at &&
           !(strcmp(at->grant.vendor, grant->vendor) == 0 &&
             at->grant.generation == grant->generation &&
             at->grant.subscribe_accept == grant->subscribe_accept &&
             at->grant.by_certificate == grant->by_certificate &&
             at->grant.bound_user == grant->bound_user && at->grant.loopback == grant->loopback))
        at = at->next;
    if (at == NULL) {
        at = mem_zalloc(sizeof *at);
        at->grant = *grant;
        at->vendor = vendor_table_find(loop->shared->vendors, grant);
        at->seat = at->vendor->seats[loop->shared->first_seat + loop->index];
        at->next = loop->grants;
        loop->grants = at;
    }
    at->uses++;
    return at;
}

void loop_grant_release(struct loop *loop, struct grant *grant)
{
    if (grant == NULL || --grant->uses > 0)
        return;
    struct grant **link = &loop->grants;
    while (*link != grant)
        link = &(*link)->next;
    *link = grant->next;
    free(grant);
}
