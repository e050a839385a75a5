/* SPDX-License-Identifier: Apache-2.0
 *
 * CONNECT: the one packet of every protocol version, and the one that strangers send. Pure, any
 * thread.
 */
#include "sources/mqtt/packet.h"
#include "sources/mqtt/text.h"

enum connect_flag {
    FLAG_RESERVED = 0x01,
    FLAG_CLEAN = 0x02,
    FLAG_WILL = 0x04,
    FLAG_WILL_QOS = 0x18,
    FLAG_WILL_RETAIN = 0x20,
    FLAG_PASSWORD = 0x40,
    FLAG_USER = 0x80,
};

static int read_string(struct reader *in, struct bytes *out)
{
    *out = reader_bytes(in, reader_u16_be(in));
    return in->failed || !text_valid(*out) ? REASON_MALFORMED : 0;
}

/* Protocol name and level: 3.1.2.1, 3.1.2.2. */
static int read_protocol(struct reader *in, struct packet_connect *out)
{
    struct bytes name = reader_bytes(in, reader_u16_be(in));
    uint8_t level = reader_u8(in);
    if (in->failed)
        return REASON_NOT_MQTT;
    if (bytes_equal_text(name, "MQIsdp") && level == 3) {
        out->version = PACKET_V31;
        return 0;
    }
    if (!bytes_equal_text(name, "MQTT")) /* [MQTT-3.1.2-1] */
        return REASON_NOT_MQTT;
    /* [MQTT-3.1.2-2]. The top bit marks a bridge of mosquitto, which speaks the level below it. The
     * refusal is in the form of the nearest version that we know. */
    bool newer = (level & 0x7f) >= PACKET_V5;
    out->version = newer ? PACKET_V5 : PACKET_V311;
    return level == 4 || level == 5 ? 0 : REASON_UNSUPPORTED_VERSION;
}

static int check_flags(uint8_t flags, uint8_t version)
{
    if ((flags & FLAG_RESERVED) && version != PACKET_V31) /* [MQTT-3.1.2-3] */
        return REASON_MALFORMED;
    if (!(flags & FLAG_WILL) && (flags & (FLAG_WILL_QOS | FLAG_WILL_RETAIN)))
        return REASON_MALFORMED; /* [MQTT-3.1.2-11], [MQTT-3.1.2-13] */
    if ((flags & FLAG_WILL_QOS) == FLAG_WILL_QOS)
        return REASON_MALFORMED; /* [MQTT-3.1.2-12] */
    /* 3.1.1 [MQTT-3.1.2-22]; 5.0 allows a password alone. */
    if ((flags & FLAG_PASSWORD) && !(flags & FLAG_USER) && version != PACKET_V5)
        return REASON_MALFORMED;
    return 0;
}

static int read_properties(struct reader *in, const struct packet_limits *limits,
                           struct packet_connect *out)
{
    struct properties properties;
    struct bytes list;
    int reason =
        properties_read(in, PACKET_CONNECT, limits->user_properties_max, &properties, &list);
    if (reason)
        return reason;
    out->session_expiry_s = properties.session_expiry_s;
    out->packet_max = properties.maximum_packet;
    if (properties_have(&properties, PROPERTY_RECEIVE_MAX))
        out->receive_max = properties.receive_max;
    out->has_auth_method = properties_have(&properties, PROPERTY_AUTH_METHOD);
    return 0;
}

static int read_will(struct reader *in, const struct packet_limits *limits, uint8_t flags,
                     struct packet_connect *out)
{
    struct packet_will *will = &out->will;
    out->has_will = true;
    will->qos = (flags & FLAG_WILL_QOS) >> 3;
    will->retain = flags & FLAG_WILL_RETAIN;
    if (out->version == PACKET_V5) {
        struct properties properties;
        int reason = properties_read(in, PROPERTIES_OF_WILL, limits->user_properties_max,
                                     &properties, &will->properties);
        if (reason)
            return reason;
        will->has_delay = properties_have(&properties, PROPERTY_WILL_DELAY);
        will->delay_s = properties.will_delay_s;
        will->delay_at = properties.cut_at;
    }
    int reason = read_string(in, &will->topic);
    will->payload = reader_bytes(in, reader_u16_be(in));
    if (reason || in->failed)
        return REASON_MALFORMED;
    if (will->topic.size == 0) /* [MQTT-4.7.3-1] */
        return REASON_PROTOCOL_ERROR;
    struct topic_shape shape = topic_shape(will->topic);
    return shape.wildcard                            ? REASON_MALFORMED
           : shape.levels > limits->topic_levels_max ? REASON_TOPIC_INVALID
                                                     : 0;
}

/* [MQTT-3.1.3-1]: client id, will, user name, password, in that order. */
static int read_payload(struct reader *in, const struct packet_limits *limits, uint8_t flags,
                        struct packet_connect *out)
{
    int reason = read_string(in, &out->client_id);
    if (reason == 0 && (flags & FLAG_WILL))
        reason = read_will(in, limits, flags, out);
    if (reason == 0 && (flags & FLAG_USER))
        reason = read_string(in, &out->user);
    if (reason)
        return reason;
    out->has_user = flags & FLAG_USER;
    out->has_password = flags & FLAG_PASSWORD;
    if (out->has_password) /* binary data, NUL is legal [MQTT-3.1.3.6] */
        out->password = reader_bytes(in, reader_u16_be(in));
    return in->failed || reader_left(in) ? REASON_MALFORMED : 0;
}

int packet_connect_read(const struct packet_frame *frame, const struct packet_limits *limits,
                        struct packet_connect *out)
{
    *out = (struct packet_connect){.receive_max = 65535};
    struct reader in = reader_of(frame->body);
    int reason = read_protocol(&in, out);
    if (reason)
        return reason;
    uint8_t flags = reader_u8(&in);
    out->clean_start = flags & FLAG_CLEAN;
    out->keep_alive_s = reader_u16_be(&in);
    bool short_length = out->version != PACKET_V5 || frame->minimal; /* [MQTT-1.5.5-1] */
    reason = in.failed || !short_length ? REASON_MALFORMED : check_flags(flags, out->version);
    if (reason == 0 && out->version == PACKET_V5)
        reason = read_properties(&in, limits, out);
    return reason ? reason : read_payload(&in, limits, flags, out);
}
