/* SPDX-License-Identifier: Apache-2.0
 *
 * PUBLISH and PUBREL: the way of a message into the filling chunk. The first half of conn_publish is
 * the hot path of the program: no allocation, the payload is copied once, from the read buffer into
 * the chunk. Loop thread.
 */
#include <stdlib.h>

#include "sources/mqtt/conn.h"

/* ---- topic aliases (MQTT 5.0, 3.3.2.3.4) ---- */

struct alias_table {
    uint16_t size;
    struct buffer topics[]; /* alias 1 first */
};

void alias_table_free(struct alias_table *table)
{
    if (table == NULL)
        return;
    for (uint16_t i = 0; i < table->size; i++)
        buffer_fini(&table->topics[i]);
    free(table);
}

/* Sets or resolves the alias. 0 or a reason code. */
static int resolve_alias(struct conn *conn, struct packet_publish *publish)
{
    uint16_t max = (uint16_t)conn->loop->shared->options->topic_alias_max;
    if (publish->alias == 0 || publish->alias > max) /* [MQTT-3.3.2-8], [MQTT-3.3.2-9] */
        return REASON_TOPIC_ALIAS;
    if (conn->aliases == NULL) {
        conn->aliases = mem_zalloc(sizeof *conn->aliases + max * sizeof(struct buffer));
        conn->aliases->size = max;
    }
    struct buffer *topic = &conn->aliases->topics[publish->alias - 1];
    if (publish->topic.size == 0) {
        publish->topic = buffer_bytes(topic);
        return topic->size ? 0 : REASON_PROTOCOL_ERROR; /* 3.3.4: unknown */
    }
    if (!bytes_equal(buffer_bytes(topic), publish->topic)) {
        buffer_clear(topic);
        buffer_add_bytes(topic, publish->topic);
    }
    return 0;
}

/* The list as it came, without the three bytes of the alias, which means nothing to others. */
static struct bytes properties_to_keep(struct conn *conn, const struct packet_publish *publish)
{
    struct bytes in = publish->properties;
    if (!publish->has_alias)
        return in;
    struct buffer *out = &conn->loop->scratch;
    buffer_clear(out);
    buffer_add(out, in.data, publish->alias_at);
    size_t after = publish->alias_at + 3;
    buffer_add(out, in.data + after, in.size - after);
    return buffer_bytes(out);
}

/* ---- may it, can it ---- */

bool conn_topic_allowed(struct loop *loop, const struct access_grant *grant, struct bytes topic,
                        enum publish_rejected *why)
{
    if (topic.data[0] == '$') { /* 4.7.2: not for applications */
        *why = REJECTED_RESERVED_TOPIC;
        return false;
    }
    *why = REJECTED_ACL;
    return access_publish(loop->shared->access, &loop->access, grant, topic);
}

/* Of one connection the first, the second, the fourth...: the audit log counts what repeats, but asking
 * it for each of a flood would cost more than the refusal. */
static void audit_refusal(struct conn *conn, struct bytes topic, const char *why)
{
    if (conn->refused < UINT16_MAX)
        conn->refused++;
    if ((conn->refused & (conn->refused - 1)) == 0)
        conn_audit_refusal(conn, session_client(conn->session), topic, why);
}

/* What no waiting would mend. */
static bool may_store(struct conn *conn, const struct packet_publish *publish,
                      enum publish_rejected *why)
{
    const struct access_grant *grant = &conn->grant->grant;
    const struct access_quota *quota = &grant->quota;
    if (!conn_topic_allowed(conn->loop, grant, publish->topic, why))
        return false;
    *why = REJECTED_PAYLOAD;
    if (quota->payload_bytes && publish->payload.size > quota->payload_bytes)
        return false;
    *why = REJECTED_LEVELS;
    return access_levels_fit(quota, publish->topic);
}

/* A negative answer is for good: the sender drops the message (faults.md section 0; 4.4.0-2 in
 * MQTT 5.0). That is right here and never for what may pass. */
static void refuse(struct conn *conn, const struct packet_publish *publish,
                   enum publish_rejected why)
{
    static const struct {
        enum close_reason close;
        uint8_t code;
        const char *text;
    } rows[] = {
        [REJECTED_ACL] = {CLOSE_NOT_AUTHORISED, REASON_NOT_AUTHORISED, "outside its topics"},
        [REJECTED_RESERVED_TOPIC] = {CLOSE_NOT_AUTHORISED, REASON_NOT_AUTHORISED,
                                     "a topic of the server's own"},
        [REJECTED_PAYLOAD] = {CLOSE_TOO_LARGE, REASON_QUOTA, "payload above its vendor's limit"},
        [REJECTED_LEVELS] = {CLOSE_TOPIC_INVALID, REASON_TOPIC_INVALID,
                             "topic levels above its vendor's limit"},
    };
    stat_add(&conn->loop->stats.rejected[why], 1);
    audit_refusal(conn, publish->topic, rows[why].text);
    if (publish->qos == 0)
        return;
    if (conn->version != PACKET_V5) { /* 3.1.1 [MQTT-3.3.5-2] */
        conn_close(conn, rows[why].close);
        return;
    }
    if (conn->inflight < UINT16_MAX)
        conn->inflight++;
    conn_ack(conn, publish->qos == 1 ? PACKET_PUBACK : PACKET_PUBREC, publish->packet_id,
             rows[why].code);
}

/* Whether the message must wait, and for what. Tokens are taken only where it does not. */
static enum hold must_wait(struct conn *conn, const struct packet_publish *publish)
{
    struct loop *loop = conn->loop;
    const struct grant *grant = conn->grant;
    struct vendor_seat *seat = grant->seat;
    size_t size = publish->topic.size + publish->payload.size;
    enum hold why =
        vendor_holds(loop->shared->vendors, grant->vendor, seat, size, loop_now_ns(loop));
    if (why == HOLD_NONE && seat->listed && !seat->serving)
        why = HOLD_RATE; /* others of its vendor were first */
    if (why == HOLD_NONE && !loop_open_chunk(loop))
        why = HOLD_JOURNAL;
    return why;
}

/* By the vendor's policy, and never unless it says so. */
static bool drop(const struct conn *conn, const struct packet_publish *publish)
{
    if (publish->qos != 0 || !conn->grant->vendor->qos0_drop)
        return false;
    stat_add(&conn->grant->seat->dropped, 1);
    return true;
}

/* Receive Maximum: of MQTT 5.0 a promise of the client [MQTT-3.3.4-7]; older clients know of none, so
 * for them it is a reason to wait. 0, or a reason code, or PACKET_MORE to hold. */
static int check_quota(struct conn *conn, const struct packet_publish *publish, uint32_t size)
{
    const struct listener_options *options = conn->loop->shared->options;
    if (conn->unacked_bytes && conn->unacked_bytes + (uint64_t)size > options->held_bytes)
        return PACKET_MORE;
    /* Ids that were never released stay with the session over connections; they are bounded too. */
    if (publish->qos == 2 && conn->session->received.count >= options->receive_max)
        return REASON_RECEIVE_MAX;
    if (publish->qos == 0 || conn->inflight < options->receive_max)
        return 0;
    if (conn->version != PACKET_V5 && conn->pending)
        return PACKET_MORE;
    if (conn->version == PACKET_V5 && options->receive_max_strict)
        return REASON_RECEIVE_MAX;
    stat_add(&conn->loop->stats.over_receive_max, 1);
    return 0;
}

/* ---- in ---- */

static void store(struct conn *conn, const struct packet_publish *publish, uint32_t size)
{
    struct loop *loop = conn->loop;
    struct session *session = conn->session;
    struct chunk *chunk = loop->filling->chunk;
    struct message message = {
        .received_ms = loop->wall_ms,
        .vendor = session_vendor(session),
        .client = session_client(session),
        .topic = publish->topic,
        .payload = publish->payload,
        .properties = properties_to_keep(conn, publish),
        .flags = (uint8_t)(publish->qos | (publish->retain ? MESSAGE_RETAIN : 0) |
                           (publish->dup ? MESSAGE_DUP : 0)),
        .protocol = conn->version,
        .packet_id = publish->packet_id,
    };
    chunk_add_message(chunk, &message);
    stat_add(&loop->stats.messages[publish->qos], 1);
    conn->loop->published++;
    conn->loop->piled += publish->qos > 0 && conn->inflight > 0;
    vendor_take(conn->grant->vendor, conn->grant->seat, publish->topic.size + publish->payload.size,
                loop_now_ns(loop));
    if (publish->qos > 0 && conn->inflight < UINT16_MAX)
        conn->inflight++;
    if (publish->qos == 2) {
        id_set_add(&session->received, publish->packet_id);
        if (session->recorded) { /* a session that ends with its connection needs no record */
            struct session_record record = {.kind = RECORD_ID_RECEIVED,
                                            .vendor = message.vendor,
                                            .client = message.client,
                                            .packet_id = publish->packet_id};
            chunk_add_session(chunk, &record);
        }
    }
    static const enum packet_type answer[] = {0, PACKET_PUBACK, PACKET_PUBREC};
    conn_owe(conn, size, answer[publish->qos], publish->packet_id, 0);
}

/* [MQTT-4.3.3-10]: the same id before PUBREL is the same message. The PUBREC rides behind the commit
 * that may still hold it. */
static bool is_duplicate(struct conn *conn, const struct packet_publish *publish)
{
    if (publish->qos != 2 || !id_set_has(&conn->session->received, publish->packet_id))
        return false;
    stat_add(&conn->loop->stats.duplicates, 1);
    conn_ack(conn, PACKET_PUBREC, publish->packet_id, 0);
    return true;
}

bool conn_publish(struct conn *conn, const struct packet_frame *frame)
{
    struct loop *loop = conn->loop;
    struct packet_publish publish;
    int reason = packet_publish_read(frame, conn->version, &loop->shared->limits, &publish);
    if (reason == 0 && publish.has_alias)
        reason = resolve_alias(conn, &publish);
    if (reason == 0 && is_duplicate(conn, &publish))
        return true;
    if (reason == 0)
        reason = check_quota(conn, &publish, frame->size);
    if (reason > PACKET_MORE) {
        conn_close(conn, close_reason_of(reason));
        return true;
    }
    enum publish_rejected why;
    if (reason == 0 && !may_store(conn, &publish, &why)) {
        refuse(conn, &publish, why);
        return true;
    }
    enum hold wait = reason == PACKET_MORE ? HOLD_WINDOW : must_wait(conn, &publish);
    if (wait) {
        if (drop(conn, &publish))
            return true;
        conn_hold(conn, wait);
        return false;
    }
    store(conn, &publish, frame->size);
    loop_submit_full(loop);
    return true;
}

/* [MQTT-4.3.3-11], [MQTT-4.3.3-12]: the id is free again once that is durable. */
bool conn_pubrel(struct conn *conn, const struct packet_frame *frame)
{
    struct loop *loop = conn->loop;
    struct session *session = conn->session;
    struct packet_ack ack;
    int reason = packet_ack_read(frame, conn->version, &loop->shared->limits, &ack);
    if (reason) {
        conn_close(conn, close_reason_of(reason));
        return true;
    }
    bool known = id_set_has(&session->received, ack.packet_id);
    if (known && session->recorded) {
        if (!loop_open_chunk(loop)) {
            conn_hold(conn, HOLD_JOURNAL);
            return false;
        }
        struct session_record record = {.kind = RECORD_ID_RELEASED,
                                        .vendor = session_vendor(session),
                                        .client = session_client(session),
                                        .packet_id = ack.packet_id};
        chunk_add_session(loop->filling->chunk, &record);
        id_set_drop(&session->received, ack.packet_id);
        conn_owe(conn, frame->size, PACKET_PUBCOMP, ack.packet_id, 0);
        return true;
    }
    id_set_drop(&session->received, ack.packet_id);
    conn_ack(conn, PACKET_PUBCOMP, ack.packet_id, known ? 0 : REASON_ID_NOT_FOUND);
    return true;
}
