/* SPDX-License-Identifier: Apache-2.0
 *
 * CONNECT: who is it, may it, which session is it, and when may it hear so. CONNACK waits until the
 * session's record is durable (invariant 11); a client whose session ends with its connection needs
 * none and is answered at once. Loop thread.
 */
#include <stdio.h>

#include "base/clock.h"
#include "base/identity.h"
#include "sources/mqtt/conn.h"

enum { CLIENT_ID_BYTES_MAX = 1024 };

static void fail(struct conn *conn, int reason)
{
    conn_close(conn, close_reason_of(reason));
}

/* ---- may it ---- */

static bool accept_answer(struct conn *conn, enum access_answer answer)
{
    switch (answer) {
    case ACCESS_OK: return true;
    case ACCESS_BAD_CREDENTIALS: conn_close(conn, CLOSE_BAD_CREDENTIALS); break;
    case ACCESS_LOCKED: conn_close(conn, CLOSE_LOCKED_OUT); break;
    default: conn_close(conn, CLOSE_NOT_AUTHORISED); break;
    }
    return false;
}

static void take_grant(struct conn *conn, const struct packet_connect *connect,
                       const struct access_grant *grant)
{
    conn->grant = loop_grant_acquire(conn->loop, grant);
    conn->credential = grant->credential;
    stat_add(&conn->grant->seat->connections, 1);
    if (connect->has_user)
        conn->user = bytes_strdup(connect->user);
}

/* A will is a PUBLISH that comes later: what it may not be is told at once. */
static enum close_reason will_refused(struct conn *conn, const struct packet_will *will)
{
    enum publish_rejected why;
    const struct access_grant *grant = &conn->grant->grant;
    uint64_t size = will->payload.size + will->properties.size;
    if (size > (uint64_t)conn->loop->shared->options->will_bytes_max ||
        (grant->quota.payload_bytes && will->payload.size > grant->quota.payload_bytes))
        return CLOSE_QUOTA;
    if (!access_levels_fit(&grant->quota, will->topic))
        return CLOSE_TOPIC_INVALID;
    return conn_topic_allowed(conn->loop, grant, will->topic, &why) ? 0 : CLOSE_NOT_AUTHORISED;
}

static bool take_will(struct conn *conn, const struct packet_connect *connect, struct bytes id)
{
    if (!connect->has_will)
        return true;
    enum close_reason reason = will_refused(conn, &connect->will);
    if (reason) {
        conn_audit_refusal(conn, id, connect->will.topic, "its will");
        conn_close(conn, reason);
        return false;
    }
    conn->will = will_new(connect, &conn->grant->grant);
    return true;
}

/* ---- what was agreed ---- */

static void agree_keep_alive(struct conn *conn, uint16_t wish_s)
{
    uint16_t most = (uint16_t)conn->loop->shared->options->keep_alive_max_s;
    bool cut = wish_s == 0 || wish_s > most;
    conn->keep_alive_s = wish_s;
    if (conn->version == PACKET_V5) { /* [MQTT-3.2.2-21] */
        conn->keep_alive_told = cut;
        conn->keep_alive_s = cut ? most : wish_s;
    } else if (wish_s == 0) {
        /* Nothing can be told, but nobody may be silent for ever. */
        conn->keep_alive_s = most;
    }
    if (wish_s == 0)
        uv_tcp_keepalive(&conn->tcp, 1, 300);
}

static void agree_expiry(struct conn *conn, const struct packet_connect *connect)
{
    uint32_t most = (uint32_t)conn->loop->shared->options->session_expiry_max_s;
    uint32_t wish = connect->version == PACKET_V5 ? connect->session_expiry_s
                    : connect->clean_start        ? 0
                                                  : UINT32_MAX;
    conn->session_expiry_s = wish < most ? wish : most;
    conn->expiry_told = conn->session_expiry_s != wish;
}

/* [MQTT-3.1.3-6]: unique for as long as it matters. */
static struct bytes assigned_id(struct buffer *scratch)
{
    char text[IDENTITY_TEXT_SIZE];
    buffer_clear(scratch);
    buffer_printf(scratch, "auto-%s", identity_format(identity_random(), text));
    return buffer_bytes(scratch);
}

static bool choose_id(struct conn *conn, const struct packet_connect *connect, struct bytes *id)
{
    *id = connect->client_id;
    if (id->size == 0 && connect->version != PACKET_V5 && !connect->clean_start) {
        conn_close(conn, CLOSE_CLIENT_ID); /* 3.1.1 [MQTT-3.1.3-8] */
        return false;
    }
    if (id->size > CLIENT_ID_BYTES_MAX || (id->size == 0 && connect->version == PACKET_V31)) {
        conn_close(conn, CLOSE_CLIENT_ID);
        return false;
    }
    if (id->size == 0) {
        conn->assigned_id = true;
        *id = assigned_id(&conn->loop->scratch);
    }
    return true;
}

/* Who it is, is known. */
static void enter(struct conn *conn, const struct packet_connect *connect, struct bytes id,
                  const struct access_grant *grant)
{
    take_grant(conn, connect, grant);
    if (!take_will(conn, connect, id))
        return;
    agree_keep_alive(conn, connect->keep_alive_s);
    agree_expiry(conn, connect);
    conn->state = CONN_CLAIM;
    struct bytes vendor = bytes_text(conn->grant->grant.vendor);
    conn->owner = session_claim(conn->loop->shared->sessions, conn, vendor, id, &conn->session);
    if (conn_admit_vendor(conn) && conn->owner)
        conn_session_granted(conn);
}

/* The password must be hashed, and that is not done here. */
static void wait_for_login(struct conn *conn, const struct packet_frame *frame,
                           const struct access_request *request)
{
    struct bytes packet = {frame->body.data - frame->header_size, frame->size};
    struct login *login = login_new(conn, conn->loop->mailbox, packet, request);
    conn->state = CONN_LOGIN;
    conn->login = login;
    if (login_push(conn->loop->shared->logins, login))
        return;
    conn->login = NULL;
    login_free(login);
    conn_close(conn, CLOSE_LOGIN_BUSY);
}

static void log_in(struct conn *conn, const struct packet_frame *frame,
                   const struct packet_connect *connect, struct bytes id)
{
    struct access_request request = {.has_user = connect->has_user,
                                     .has_password = connect->has_password,
                                     .user = connect->user,
                                     .password = connect->password,
                                     .client = id,
                                     .from = conn->peer,
                                     .loopback = address_is_loopback(&conn->peer) && !conn->proxied,
                                     .certificate = conn->tls ? conn->tls->vendor : NULL};
    struct access_grant grant = {0};
    enum access_answer answer = access_begin(conn->loop->shared->access, &request, &grant);
    if (answer == ACCESS_WORK)
        wait_for_login(conn, frame, &request);
    else if (accept_answer(conn, answer))
        enter(conn, connect, id, &grant);
}

void conn_logged_in(struct conn *conn, struct login *login)
{
    struct packet_frame frame;
    struct packet_connect connect;
    const struct packet_limits *limits = &conn->loop->shared->limits;
    gw_assert(conn->state == CONN_LOGIN && conn->login == login);
    conn->login = NULL;
    if (login->busy) {
        conn_close(conn, CLOSE_LOGIN_BUSY);
    } else if (accept_answer(conn, login->answer)) {
        /* It was read before: it cannot fail now. */
        gw_assert(packet_frame_read(login->packet, 0, limits->packet_bytes_max, &frame) == 0);
        gw_assert(packet_connect_read(&frame, limits, &connect) == 0);
        enter(conn, &connect, login->request.client, &login->grant);
        conn_flush(conn);
    }
    login_free(login);
}

void conn_connect(struct conn *conn, const struct packet_frame *frame)
{
    struct packet_connect connect;
    struct bytes id;
    int reason = packet_connect_read(frame, &conn->loop->shared->limits, &connect);
    conn->version = connect.version;
    conn->packet_max = connect.packet_max;
    conn->clean_start = connect.clean_start;
    if (reason == 0 && connect.has_auth_method) /* [MQTT-4.12.0-1] */
        conn_close(conn, CLOSE_AUTH_METHOD);
    else if (reason)
        fail(conn, reason);
    else if (choose_id(conn, &connect, &id))
        log_in(conn, frame, &connect, id);
}

/* ---- the session ---- */

static void add_record(struct conn *conn, enum record_kind kind)
{
    struct session *session = conn->session;
    struct session_record record = {.kind = kind,
                                    .vendor = session_vendor(session),
                                    .client = session_client(session),
                                    .expiry_s = conn->session_expiry_s};
    chunk_add_session(conn->loop->filling->chunk, &record);
}

/* A will that waited for its delay: dropped when the client came back to its session, published when
 * the session is over (3.1.3.2.2, [MQTT-3.1.3-9]). */
static void settle_old_will(struct conn *conn, bool present)
{
    struct loop *loop = conn->loop;
    struct will *will = session_take_will(loop->shared->sessions, conn->session);
    enum publish_rejected why;
    if (will && !present && conn_topic_allowed(loop, &will->grant, will_topic(will), &why)) {
        struct message message = will_message(will, session_client(conn->session));
        chunk_add_message(loop->filling->chunk, &message);
        stat_add(&loop->stats.wills, 1);
    }
    will_free(will);
}

void conn_session_granted(struct conn *conn)
{
    struct session *session = conn->session;
    bool over = conn->clean_start || session_expired(session, clock_wall_ms());
    bool present = session->recorded && !over;
    bool record = session->recorded || conn->session_expiry_s > 0;
    conn->owner = true;
    if (record && !loop_open_chunk(conn->loop)) {
        conn_hold(conn, HOLD_JOURNAL);
        return;
    }
    if (session->recorded) /* only those can have left a will */
        settle_old_will(conn, present);
    if (!present) {
        id_set_fini(&session->received);
        if (session->recorded)
            add_record(conn, RECORD_SESSION_ENDED);
    }
    session->recorded = present || conn->session_expiry_s > 0;
    if (session->recorded)
        add_record(conn, RECORD_SESSION_MADE);
    session->expiry_s = conn->session_expiry_s;
    conn->session_present = present;
    conn->opened = true;
    conn->state = CONN_OPENING;
    if (record)
        conn_owe(conn, 0, PACKET_CONNACK, 0, 0);
    else
        conn_connack(conn);
    loop_submit_full(conn->loop); /* an old will may have been large */
}

void conn_connack(struct conn *conn)
{
    const struct listener_options *options = conn->loop->shared->options;
    struct buffer *reply = &conn->loop->reply;
    struct packet_connack connack = {
        .version = conn->version,
        .session_present = conn->session_present,
        .receive_max = (uint16_t)options->receive_max,
        .topic_alias_max = (uint16_t)options->topic_alias_max,
        .packet_max = (uint32_t)options->max_packet_bytes,
        .has_session_expiry = conn->expiry_told,
        .session_expiry_s = conn->session_expiry_s,
        .has_keep_alive = conn->keep_alive_told,
        .keep_alive_s = conn->keep_alive_s,
        .assigned_client_id = conn->assigned_id ? session_client(conn->session) : (struct bytes){0},
    };
    size_t before = reply->size;
    size_t size = packet_connack_write(reply, &connack);
    if (conn->packet_max && size > conn->packet_max) { /* [MQTT-3.1.2-24] */
        reply->size = before;
        conn->version = 0; /* so that nothing is said at all */
        conn_close(conn, CLOSE_CLIENT_PACKET_MAX);
        return;
    }
    conn->state = CONN_OPEN;
    conn->connected = true;
    conn->heard_ms = conn->loop->now_ms;
    stat_add(&conn->loop->stats.connected[conn->version], 1);
    if (!conn->reading || conn->tail.size) /* it waited, and packets may have come */
        loop_retry_later(conn->loop, conn);
}
