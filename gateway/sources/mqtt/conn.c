/* SPDX-License-Identifier: Apache-2.0
 *
 * The life of a connection: accept, acknowledgements that come due, retries, deadlines, the end.
 * Loop thread.
 */
#include "sources/mqtt/conn.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"

enum {
    LINGER_MS = 2000, /* a peer has so long to read why it was closed */
    PINGS_A_SECOND = 1000,
};

static struct log_limit close_limits[] = {[0 ... CLOSE_REASONS - 1] = {.burst = 10}};

struct mailbox *conn_mailbox(const struct conn *conn)
{
    return conn->loop->mailbox;
}

/* ---- accept ---- */

static void shed(struct conn *conn)
{
    stat_add(&conn->loop->stats.shed, 1);
    conn->finished = true;
    conn->state = CONN_CLOSING;
    conn_close_handle(conn);
}

static void peer_ask(struct conn *conn)
{
    struct sockaddr_storage peer;
    int size = sizeof peer;
    if (uv_tcp_getpeername(&conn->tcp, (struct sockaddr *)&peer, &size) == 0)
        conn->peer = address_of((struct sockaddr *)&peer);
}

void conn_accept(struct loop *loop, uv_stream_t *server)
{
    struct conn *conn = mem_zalloc(sizeof *conn);
    conn->loop = loop;
    conn->heard_ms = loop->now_ms;
    gw_assert(uv_tcp_init(&loop->uv, &conn->tcp) == 0);
    conn->handle_open = true;
    loop_add_conn(loop, conn);
    int status = uv_accept(server, (uv_stream_t *)&conn->tcp);
    uint64_t open = atomic_fetch_add(&loop->shared->connections, 1);
    stat_add(&loop->stats.accepted, 1);
    if (status != 0 || open >= loop->shared->connections_max || loop->closing) {
        shed(conn);
        return;
    }
    peer_ask(conn);
    conn->secure = server == (uv_stream_t *)&loop->listen_tls;
    conn->proxied = conn->proxy_wanted =
        networks_contain(loop->shared->proxies, loop->shared->proxy_count, &conn->peer);
    if (!conn_admit(conn))
        return;
    uv_tcp_nodelay(&conn->tcp, 1);
    if (conn->secure)
        conn_secure_begin(conn);
    if (!loop->paused)
        conn_read_start(conn);
}

/* Nothing is said to it: it would not understand. */
void conn_foreign(struct conn *conn, struct bytes first)
{
    static struct log_limit limit = {.burst = 10};
    char peer[ADDRESS_TEXT_SIZE];
    int suppressed = 0;
    enum foreign protocol = foreign_of(first);
    struct stats *stats = &conn->loop->stats;
    stat_add(conn->secure ? &stats->tls_foreign[protocol] : &stats->foreign[protocol], 1);
    if (log_limit_pass(&limit, &suppressed))
        log_event(LOG_WARN, "mqtt_wrong_protocol", "port=%s protocol=%s peer=%s suppressed=%d",
                  conn->secure ? "tls" : "plain", foreign_names[protocol],
                  address_format(&conn->peer, peer), suppressed);
    conn_close(conn, conn->tls && !conn->tls->open ? CLOSE_NOT_TLS : CLOSE_NOT_MQTT);
}

/* ---- acknowledgements ---- */

void conn_owe(struct conn *conn, uint32_t bytes, enum packet_type type, uint16_t packet_id,
              uint8_t reason)
{
    struct commit *commit = conn->loop->filling;
    if (conn->commit != commit) {
        conn->slot = commit_add_slot(commit, conn);
        conn->commit = commit;
        conn->pending++;
    }
    commit->slots[conn->slot].bytes += bytes;
    conn->unacked_bytes += bytes;
    stat_add(&conn->grant->seat->unacked_bytes, bytes);
    if (type)
        commit_add_entry(commit, conn->slot, type, packet_id, reason);
}

static void put_ack(struct conn *conn, enum packet_type type, uint16_t packet_id, uint8_t reason)
{
    struct buffer *reply = &conn->loop->reply;
    uint8_t *at = buffer_reserve(reply, PACKET_ACK_SIZE_MAX);
    reply->size += packet_ack_store(at, type, conn->version, packet_id, reason);
    stat_add(&conn->loop->stats.acks, 1);
    /* 4.9: these three give the client its quota back. */
    bool settles = type != PACKET_PUBREC || reason >= REASON_UNSPECIFIED;
    if (settles && conn->inflight)
        conn->inflight--;
}

void conn_ack(struct conn *conn, enum packet_type type, uint16_t packet_id, uint8_t reason)
{
    if (conn->pending == 0)
        put_ack(conn, type, packet_id, reason);
    else /* [MQTT-4.6.0-2]: not before those that came earlier */
        conn_owe(conn, 0, type, packet_id, reason);
}

static void settle(struct conn *conn)
{
    if (conn->handle_open || !conn->finished || conn->pending || conn->retry)
        return;
    struct loop *loop = conn->loop;
    conn_uncount(conn);
    loop_remove_conn(loop, conn);
    atomic_fetch_sub(&loop->shared->connections, 1);
    loop_grant_release(loop, conn->grant);
    alias_table_free(conn->aliases);
    will_free(conn->will);
    buffer_fini(&conn->tail);
    free(conn->user);
    free(conn);
}

void conn_committed(struct conn *conn, const struct commit *commit, const struct commit_slot *slot)
{
    conn->pending--;
    conn->unacked_bytes -= slot->bytes;
    stat_sub(&conn->grant->seat->unacked_bytes, slot->bytes);
    if (conn->commit == commit)
        conn->commit = NULL;
    for (uint32_t i = slot->first; i != COMMIT_END; i = commit->entries[i].next) {
        const struct commit_entry *entry = &commit->entries[i];
        if (entry->type == PACKET_CONNACK && conn->state == CONN_OPENING)
            conn_connack(conn);
        else if (entry->type != PACKET_CONNACK && conn->state == CONN_OPEN)
            put_ack(conn, entry->type, entry->packet_id, entry->reason);
    }
    conn_flush(conn);
    if (conn->state == CONN_OPEN && conn->loop->closing && conn->pending == 0)
        conn_close(conn, loop_goodbye(conn->loop));
    if (conn->hold && !conn->waits && conn->state < CONN_CLOSING)
        conn_retry(conn);
    settle(conn);
}

/* ---- holding ---- */

void conn_hold(struct conn *conn, enum hold why)
{
    if (!conn->hold) {
        conn->hold = (uint8_t)(why & 7);
        conn->partial = false;
        conn->since_ms = conn->loop->now_ms;
        conn->scanned = 0;
        stat_add(&conn->loop->stats.held[why], 1);
        stat_add(&conn->grant->seat->held, 1);
    }
    if (why >= HOLD_MEMORY)
        loop_wait_for_quota(conn->loop, conn);
    else
        loop_retry_later(conn->loop, conn);
}

static void unhold(struct conn *conn)
{
    struct vendor_seat *seat;
    if (!conn->hold)
        return;
    seat = conn->grant->seat;
    loop_wait_no_more(conn);
    stat_sub(&conn->loop->stats.held[conn->hold], 1);
    stat_sub(&seat->held, 1);
    conn->hold = HOLD_NONE;
    stat_sub(&conn->loop->stats.tail_bytes, conn->tail_counted);
    seat->tail_bytes -= conn->tail_counted;
    conn->tail_counted = 0;
    conn->heard_ms = conn->loop->now_ms; /* its keep alive stood still */
}

static void retry_open(struct conn *conn)
{
    uint32_t since = conn->since_ms;
    bool was_held = conn->hold;
    unhold(conn);
    bool progress = conn_consume_tail(conn);
    if (was_held && conn->hold && !progress)
        conn->since_ms = since;
    conn_flush(conn);
    if (conn->state == CONN_OPEN && !conn->hold) {
        if (conn->at_end)
            conn_close(conn, CLOSE_PEER_CLOSED);
        else if (!conn->loop->paused)
            conn_read_start(conn);
    }
}

void conn_retry(struct conn *conn)
{
    switch (conn->state) {
    case CONN_CLAIM:
        if (conn->owner && conn->hold) {
            uint32_t since = conn->since_ms;
            unhold(conn);
            conn_session_granted(conn);
            if (conn->hold)
                conn->since_ms = since;
        }
        break;
    case CONN_OPEN: retry_open(conn); break;
    case CONN_CLOSING:
    case CONN_GONE:
        if (!conn->finished)
            conn_leave(conn);
        settle(conn);
        break;
    default: break;
    }
}

void conn_pause(struct conn *conn)
{
    if (conn->state < CONN_CLOSING)
        conn_read_stop(conn);
}

void conn_resume(struct conn *conn)
{
    conn->heard_ms = conn->loop->now_ms;
    conn->since_ms = conn->loop->now_ms;
    if (conn->state < CONN_CLOSING && !conn_blocked(conn))
        conn_read_start(conn);
}

/* ---- the end ---- */

static void log_close(const struct conn *conn, enum close_reason reason)
{
    struct log_limit *limit = &close_limits[reason];
    int suppressed = 0;
    if (!close_rows[reason].log || !log_limit_pass(limit, &suppressed))
        return;
    struct log_text client, vendor;
    struct bytes none = {0};
    bool named = conn->session != NULL;
    log_event(LOG_WARN, "mqtt_closed", "reason=%s vendor=\"%s\" client=\"%s\" suppressed=%d",
              close_rows[reason].word,
              log_escape(&vendor, named ? session_vendor(conn->session) : none),
              log_escape(&client, named ? session_client(conn->session) : none), suppressed);
}

/* What the protocol lets us say: CONNACK before, DISCONNECT after a successful CONNACK
 * [MQTT-3.14.0-1]; older versions have only the CONNACK. */
static void say_why(struct conn *conn, enum close_reason reason)
{
    const struct close_row *row = &close_rows[reason];
    struct buffer *reply = &conn->loop->reply;
    bool v5 = conn->version == PACKET_V5;
    if (conn->version == 0)
        return;
    if (conn->connected) {
        if (v5 && row->code)
            packet_disconnect_write(reply, row->code);
    } else if (row->connack && (v5 || row->connack_old)) {
        struct packet_connack connack = {.version = conn->version, .reason = row->connack};
        packet_connack_write(reply, &connack);
    }
}

static void drop_will(struct conn *conn)
{
    will_free(conn->will);
    conn->will = NULL;
}

void conn_close(struct conn *conn, enum close_reason reason)
{
    if (conn->state >= CONN_CLOSING)
        return;
    stat_add(&conn->loop->stats.closed[reason], 1);
    log_close(conn, reason);
    unhold(conn);
    if (conn->grant)
        stat_sub(&conn->grant->seat->connections, 1);
    conn_leave_vendor(conn);
    say_why(conn, reason);
    if (conn->login) {
        conn->login->conn = NULL;
        atomic_store(&conn->login->cancelled, true);
        conn->login = NULL;
    }
    conn->state = CONN_CLOSING;
    conn->reason = (uint8_t)reason;
    conn->heard_ms = conn->loop->now_ms;
    conn_flush(conn);
    conn_secure_end(conn);
    if (reason == CLOSE_DISCONNECT || !conn->connected) /* [MQTT-3.14.4-3], [MQTT-3.1.2-10] */
        drop_will(conn);
    buffer_fini(&conn->tail);
    if (close_rows[reason].linger)
        conn_linger(conn);
    else
        conn_close_handle(conn);
    conn_leave(conn);
}

void conn_abandon(struct conn *conn)
{
    conn_close(conn, loop_goodbye(conn->loop));
    if (!conn->finished) {
        drop_will(conn);
        if (conn->session)
            session_cancel(conn->loop->shared->sessions, conn->session, conn, clock_wall_ms());
        conn->session = NULL;
        conn->finished = true;
    }
    conn->pending = 0; /* what is still with the journal no longer names it: the loop ends */
    conn_close_handle(conn);
}

static void on_closed(uv_handle_t *handle)
{
    struct conn *conn = container_of((uv_tcp_t *)handle, struct conn, tcp);
    conn->handle_open = false;
    conn->state = CONN_GONE;
    settle(conn);
}

void conn_close_handle(struct conn *conn)
{
    uv_handle_t *handle = (uv_handle_t *)&conn->tcp;
    if (conn->handle_open && !uv_is_closing(handle))
        uv_close(handle, on_closed);
}

/* ---- deadlines ---- */

static bool access_lost(struct conn *conn)
{
    struct loop *loop = conn->loop;
    if (conn->grant->grant.generation == access_generation(loop->shared->access))
        return false;
    struct bytes user = conn->user ? bytes_text(conn->user) : (struct bytes){0};
    struct access_grant fresh = conn->grant->grant;
    fresh.credential = conn->credential;
    if (!access_renew(loop->shared->access, &fresh, user, session_client(conn->session)))
        return true;
    struct grant *old = conn->grant;
    conn->grant = loop_grant_acquire(loop, &fresh); /* of the same vendor, so of the same seat */
    loop_grant_release(loop, old);
    return false;
}

static void sweep_open(struct conn *conn)
{
    const struct listener_options *options = conn->loop->shared->options;
    uint32_t now = conn->loop->now_ms;
    uint32_t silent_ms = now - conn->heard_ms;
    bool flood = conn->pings > PINGS_A_SECOND;
    conn->pings = 0;
    if (conn->tls)
        tls_calm(conn->tls);
    if (access_lost(conn))
        conn_close(conn, CLOSE_WITHDRAWN);
    else if (flood)
        conn_close(conn, CLOSE_RATE);
    else if (conn->hold && now - conn->since_ms > options->hold_max_ms)
        conn_close(conn, CLOSE_HELD);
    else if (conn->partial && now - conn->since_ms > options->packet_timeout_ms)
        conn_close(conn, CLOSE_PACKET_TIMEOUT);
    else if (!conn->hold && conn->keep_alive_s && silent_ms > conn->keep_alive_s * 1500u)
        conn_close(conn, CLOSE_KEEP_ALIVE); /* [MQTT-3.1.2-22] */
}

void conn_sweep(struct conn *conn)
{
    const struct listener_options *options = conn->loop->shared->options;
    uint32_t silent_ms = conn->loop->now_ms - conn->heard_ms;
    if (conn->loop->paused && conn->state < CONN_CLOSING)
        return;
    switch (conn->state) {
    case CONN_NEW:
        if (silent_ms <= options->connect_timeout_ms)
            break;
        if (conn_handshaking(conn))
            conn_secure_refused(conn, TLS_TIMEOUT);
        conn_close(conn, CLOSE_CONNECT_TIMEOUT);
        break;
    case CONN_LOGIN:
        if (silent_ms > options->connect_timeout_ms)
            conn_close(conn, CLOSE_LOGIN_BUSY);
        break;
    case CONN_CLAIM:
    case CONN_OPENING:
        if (silent_ms > options->hold_max_ms)
            conn_close(conn, CLOSE_HELD);
        break;
    case CONN_OPEN: sweep_open(conn); break;
    default:
        if (silent_ms > LINGER_MS)
            conn_close_handle(conn);
        break;
    }
}
