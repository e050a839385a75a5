/* SPDX-License-Identifier: Apache-2.0
 *
 * The property lists of MQTT 5.0. One row per property says type and places (table 2-4), so the
 * reader itself is short. Pure, any thread.
 */
#include "sources/mqtt/properties.h"

#include "sources/mqtt/packet.h"
#include "sources/mqtt/text.h"

enum property_type { ABSENT, BYTE, SHORT, LONG, VARIABLE, BINARY, STRING, PAIR };

struct property_row {
    enum property_type type;
    uint32_t places;
    uint32_t min, max; /* of BYTE, SHORT, LONG; max 0: the type's */
};

#define IN(place)  (1u << (place))
#define WILL       IN(PROPERTIES_OF_WILL)
#define CONNECT    IN(PACKET_CONNECT)
#define CONNACK    IN(PACKET_CONNACK)
#define PUBLISH    IN(PACKET_PUBLISH)
#define SUBSCRIBE  IN(PACKET_SUBSCRIBE)
#define DISCONNECT IN(PACKET_DISCONNECT)
#define AUTH       IN(PACKET_AUTH)
#define PUBLISH_ACKS                                                                               \
    (IN(PACKET_PUBACK) | IN(PACKET_PUBREC) | IN(PACKET_PUBREL) | IN(PACKET_PUBCOMP))
#define SUBSCRIBE_ACKS (IN(PACKET_SUBACK) | IN(PACKET_UNSUBACK))

static const struct property_row rows[64] = {
    [PROPERTY_PAYLOAD_FORMAT] = {BYTE, PUBLISH | WILL, 0, 1},
    [PROPERTY_MESSAGE_EXPIRY] = {LONG, PUBLISH | WILL, 0, 0},
    [PROPERTY_CONTENT_TYPE] = {STRING, PUBLISH | WILL, 0, 0},
    [PROPERTY_RESPONSE_TOPIC] = {STRING, PUBLISH | WILL, 0, 0},
    [PROPERTY_CORRELATION_DATA] = {BINARY, PUBLISH | WILL, 0, 0},
    [PROPERTY_SUBSCRIPTION_ID] = {VARIABLE, PUBLISH | SUBSCRIBE, 1, 0},
    [PROPERTY_SESSION_EXPIRY] = {LONG, CONNECT | CONNACK | DISCONNECT, 0, 0},
    [PROPERTY_ASSIGNED_CLIENT_ID] = {STRING, CONNACK, 0, 0},
    [PROPERTY_SERVER_KEEP_ALIVE] = {SHORT, CONNACK, 0, 0},
    [PROPERTY_AUTH_METHOD] = {STRING, CONNECT | CONNACK | AUTH, 0, 0},
    [PROPERTY_AUTH_DATA] = {BINARY, CONNECT | CONNACK | AUTH, 0, 0},
    [PROPERTY_REQUEST_PROBLEM] = {BYTE, CONNECT, 0, 1},
    [PROPERTY_WILL_DELAY] = {LONG, WILL, 0, 0},
    [PROPERTY_REQUEST_RESPONSE] = {BYTE, CONNECT, 0, 1},
    [PROPERTY_RESPONSE_INFO] = {STRING, CONNACK, 0, 0},
    [PROPERTY_SERVER_REFERENCE] = {STRING, CONNACK | DISCONNECT, 0, 0},
    [PROPERTY_REASON_STRING] = {STRING, CONNACK | PUBLISH_ACKS | SUBSCRIBE_ACKS | DISCONNECT | AUTH,
                                0, 0},
    [PROPERTY_RECEIVE_MAX] = {SHORT, CONNECT | CONNACK, 1, 0},
    [PROPERTY_TOPIC_ALIAS_MAX] = {SHORT, CONNECT | CONNACK, 0, 0},
    /* Zero is left to the caller: it has a reason code of its own [MQTT-3.3.2-8]. */
    [PROPERTY_TOPIC_ALIAS] = {SHORT, PUBLISH, 0, 0},
    [PROPERTY_MAXIMUM_QOS] = {BYTE, CONNACK, 0, 1},
    [PROPERTY_RETAIN_AVAILABLE] = {BYTE, CONNACK, 0, 1},
    [PROPERTY_USER] = {PAIR, 0xffffffff, 0, 0},
    [PROPERTY_MAXIMUM_PACKET] = {LONG, CONNECT | CONNACK, 1, 0},
    [PROPERTY_WILDCARD_AVAILABLE] = {BYTE, CONNACK, 0, 1},
    [PROPERTY_SUBSCRIPTION_ID_AVAILABLE] = {BYTE, CONNACK, 0, 1},
    [PROPERTY_SHARED_AVAILABLE] = {BYTE, CONNACK, 0, 1},
};

uint32_t variable_integer(struct reader *in)
{
    uint32_t value = 0;
    for (unsigned shift = 0; shift < 28; shift += 7) {
        uint8_t byte = reader_u8(in);
        value |= (uint32_t)(byte & 0x7f) << shift;
        if (byte & 0x80)
            continue;
        if (byte == 0 && shift > 0)
            in->failed = true; /* one byte less would do */
        return in->failed ? 0 : value;
    }
    in->failed = true;
    return 0;
}

static struct bytes string(struct reader *in)
{
    struct bytes out = reader_bytes(in, reader_u16_be(in));
    if (!text_valid(out))
        in->failed = true;
    return out;
}

/* [MQTT-3.3.2-14]: no wildcards; 4.7.3: a topic name has a character. */
static int check_response_topic(struct bytes topic)
{
    return topic.size == 0 || topic_shape(topic).wildcard ? REASON_PROTOCOL_ERROR : 0;
}

static void keep(struct properties *out, uint32_t id, uint32_t number, size_t at)
{
    switch (id) {
    case PROPERTY_SESSION_EXPIRY: out->session_expiry_s = number; break;
    case PROPERTY_MAXIMUM_PACKET: out->maximum_packet = number; break;
    case PROPERTY_RECEIVE_MAX: out->receive_max = (uint16_t)number; break;
    case PROPERTY_WILL_DELAY: out->will_delay_s = number; break;
    case PROPERTY_TOPIC_ALIAS: out->topic_alias = (uint16_t)number; break;
    default: return;
    }
    if (id == PROPERTY_TOPIC_ALIAS || id == PROPERTY_WILL_DELAY)
        out->cut_at = (uint32_t)at;
}

/* The value behind an identifier. 0 or a reason code; a short value fails the reader instead. */
static int read_value(struct reader *in, uint32_t id, struct properties *out, size_t at)
{
    const struct property_row *row = &rows[id];
    uint32_t number = 0;
    struct bytes text = {0};
    switch (row->type) {
    case BYTE: number = reader_u8(in); break;
    case SHORT: number = reader_u16_be(in); break;
    case LONG: number = reader_u32_be(in); break;
    case VARIABLE: number = variable_integer(in); break;
    case BINARY: reader_bytes(in, reader_u16_be(in)); return 0;
    case PAIR:
        string(in);
        string(in);
        return 0;
    case STRING: text = string(in); break;
    case ABSENT: return REASON_MALFORMED;
    }
    if (in->failed)
        return 0;
    if (id == PROPERTY_RESPONSE_TOPIC)
        return check_response_topic(text);
    if (number < row->min || (row->max && number > row->max))
        return REASON_PROTOCOL_ERROR;
    keep(out, id, number, at);
    return 0;
}

/* May it stand here, and is it the first of its kind? */
static int admit(uint32_t id, int place, struct properties *out, int64_t *users_left)
{
    /* 2.2.2.2: an identifier that is not valid for its packet type makes the packet malformed. */
    if (id >= array_count(rows) || rows[id].type == ABSENT || !(rows[id].places >> place & 1))
        return REASON_MALFORMED;
    if (id == PROPERTY_USER)
        return --*users_left < 0 ? REASON_QUOTA : 0;
    /* [MQTT-3.3.4-6]: only a server sends these in a PUBLISH. */
    if (id == PROPERTY_SUBSCRIPTION_ID && place == PACKET_PUBLISH)
        return REASON_PROTOCOL_ERROR;
    if (out->seen >> id & 1)
        return REASON_PROTOCOL_ERROR;
    out->seen |= 1ull << id;
    return 0;
}

int properties_read(struct reader *in, int place, int64_t user_properties_max,
                    struct properties *out, struct bytes *list)
{
    *out = (struct properties){0};
    *list = reader_bytes(in, variable_integer(in));
    if (in->failed)
        return REASON_MALFORMED;
    struct reader inner = reader_of(*list);
    while (reader_left(&inner)) {
        size_t at = (size_t)(inner.at - list->data);
        uint32_t id = variable_integer(&inner);
        int reason = inner.failed ? REASON_MALFORMED : admit(id, place, out, &user_properties_max);
        if (reason == 0)
            reason = read_value(&inner, id, out, at);
        if (reason == 0 && inner.failed)
            reason = REASON_MALFORMED;
        if (reason)
            return reason;
    }
    /* [MQTT-3.1.2.11.10]: data without a method is a protocol error. */
    if (properties_have(out, PROPERTY_AUTH_DATA) && !properties_have(out, PROPERTY_AUTH_METHOD))
        return REASON_PROTOCOL_ERROR;
    return 0;
}
