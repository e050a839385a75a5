/* SPDX-License-Identifier: Apache-2.0
 *
 * What each packet of an open connection leads to, but for CONNECT and the flow of messages, which
 * have files of their own. Loop thread.
 */
#include "sources/mqtt/conn.h"

static void fail(struct conn *conn, int reason)
{
    conn_close(conn, close_reason_of(reason));
}

/* [MQTT-3.8.4-1], [MQTT-3.10.4-4]: an answer for each filter. Nothing is ever delivered, so a refusal
 * is the honest one; vendors whose devices loop on it may be granted what they ask. */
static void answer_filters(struct conn *conn, enum packet_type type,
                           const struct packet_filters *filters)
{
    struct loop *loop = conn->loop;
    struct buffer *codes = &loop->scratch;
    struct reader list = reader_of(filters->list);
    struct bytes filter;
    uint8_t options;
    buffer_clear(codes);
    bool v5 = conn->version == PACKET_V5;
    uint8_t refusal = v5 ? REASON_NOT_AUTHORISED : REASON_UNSPECIFIED;
    if (type == PACKET_UNSUBSCRIBE)
        for (uint32_t i = 0; i < filters->count; i++)
            buffer_u8(codes, REASON_NO_SUBSCRIPTION);
    else
        while (packet_filter_next(&list, &filter, &options))
            buffer_u8(codes, conn->grant->grant.subscribe_accept ? options & 3 : refusal);
    enum packet_type answer = type == PACKET_SUBSCRIBE ? PACKET_SUBACK : PACKET_UNSUBACK;
    size_t before = loop->reply.size;
    size_t size = packet_suback_write(&loop->reply, answer, conn->version, filters->packet_id,
                                      buffer_bytes(codes));
    if (conn->packet_max && size > conn->packet_max) { /* [MQTT-3.1.2-24] */
        loop->reply.size = before;
        conn_close(conn, CLOSE_CLIENT_PACKET_MAX);
    }
}

static void on_filters(struct conn *conn, const struct packet_frame *frame)
{
    struct packet_filters filters;
    int reason = packet_filters_read(frame, conn->version, &conn->loop->shared->limits, &filters);
    if (reason)
        fail(conn, reason);
    else
        answer_filters(conn, frame->type, &filters);
}

/* We send no PUBLISH, so these answer nothing: well-formed ones are passed over. */
static void on_unasked_ack(struct conn *conn, const struct packet_frame *frame)
{
    struct packet_ack ack;
    int reason = packet_ack_read(frame, conn->version, &conn->loop->shared->limits, &ack);
    if (reason)
        fail(conn, reason);
}

static void on_disconnect(struct conn *conn, const struct packet_frame *frame)
{
    struct packet_disconnect disconnect;
    int reason =
        packet_disconnect_read(frame, conn->version, &conn->loop->shared->limits, &disconnect);
    if (reason) {
        fail(conn, reason);
        return;
    }
    if (disconnect.has_session_expiry) {
        /* 3.14.2.2.2: what ends with the connection cannot be prolonged now. */
        if (conn->session_expiry_s == 0 && disconnect.session_expiry_s != 0) {
            conn_close(conn, CLOSE_PROTOCOL_ERROR);
            return;
        }
        uint32_t most = (uint32_t)conn->loop->shared->options->session_expiry_max_s;
        conn->session_expiry_s =
            disconnect.session_expiry_s < most ? disconnect.session_expiry_s : most;
    }
    conn_close(conn, disconnect.reason ? CLOSE_DISCONNECT_WITH_WILL : CLOSE_DISCONNECT);
}

static void on_other(struct conn *conn, const struct packet_frame *frame)
{
    int reason = packet_other_read(frame, conn->version);
    if (reason) {
        fail(conn, reason);
        return;
    }
    if (conn->pings < UINT16_MAX)
        conn->pings++;
    packet_pingresp_write(&conn->loop->reply);
}

bool conn_packet(struct conn *conn, const struct packet_frame *frame)
{
    if (conn->state == CONN_NEW) {
        conn_connect(conn, frame);
        return true;
    }
    switch (frame->type) {
    case PACKET_PUBLISH: return conn_publish(conn, frame);
    case PACKET_PUBREL: return conn_pubrel(conn, frame);
    case PACKET_PUBACK:
    case PACKET_PUBREC:
    case PACKET_PUBCOMP: on_unasked_ack(conn, frame); return true;
    case PACKET_SUBSCRIBE:
    case PACKET_UNSUBSCRIBE: on_filters(conn, frame); return true;
    case PACKET_DISCONNECT: on_disconnect(conn, frame); return true;
    default: on_other(conn, frame); return true;
    }
}
