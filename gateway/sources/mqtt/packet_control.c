/* SPDX-License-Identifier: Apache-2.0
 *
 * The packets that carry no message: SUBSCRIBE, UNSUBSCRIBE, DISCONNECT, and those that are only
 * checked. Pure, any thread.
 */
#include "sources/mqtt/packet.h"
#include "sources/mqtt/text.h"

enum subscribe_option {
    OPTION_QOS = 0x03,
    OPTION_NO_LOCAL = 0x04,
    OPTION_RETAIN_HANDLING = 0x30,
    OPTION_RESERVED_V5 = 0xc0,
    OPTION_RESERVED_V311 = 0xfc,
};

static int check_options(uint8_t options, uint8_t version, bool shared)
{
    bool v5 = version == PACKET_V5;
    if (options & (v5 ? OPTION_RESERVED_V5 : OPTION_RESERVED_V311))
        return REASON_MALFORMED; /* [MQTT-3.8.3-5]; 3.1.1 [MQTT-3-8.3-4] */
    if ((options & OPTION_QOS) == 3)
        return REASON_PROTOCOL_ERROR; /* 3.8.3.1 */
    if ((options & OPTION_RETAIN_HANDLING) == OPTION_RETAIN_HANDLING)
        return REASON_PROTOCOL_ERROR;
    if (shared && (options & OPTION_NO_LOCAL)) /* [MQTT-3.8.3-4] */
        return REASON_PROTOCOL_ERROR;
    return 0;
}

static int read_filter(struct reader *in, enum packet_type type, uint8_t version)
{
    struct bytes filter = reader_bytes(in, reader_u16_be(in));
    uint8_t options = type == PACKET_SUBSCRIBE ? reader_u8(in) : 0;
    bool shared;
    if (in->failed || !text_valid(filter))
        return REASON_MALFORMED;
    if (filter.size == 0) /* [MQTT-4.7.3-1] */
        return REASON_PROTOCOL_ERROR;
    if (!filter_valid(filter, &shared)) /* [MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.8.2-1] */
        return REASON_MALFORMED;
    return check_options(options, version, shared && version == PACKET_V5);
}

int packet_filters_read(const struct packet_frame *frame, uint8_t version,
                        const struct packet_limits *limits, struct packet_filters *out)
{
    *out = (struct packet_filters){0};
    struct reader in = reader_of(frame->body);
    out->packet_id = reader_u16_be(&in);
    if (in.failed)
        return REASON_MALFORMED;
    if (out->packet_id == 0) /* [MQTT-2.2.1-3] */
        return REASON_PROTOCOL_ERROR;
    if (version == PACKET_V5) {
        struct properties properties;
        struct bytes list;
        int reason =
            properties_read(&in, frame->type, limits->user_properties_max, &properties, &list);
        if (reason)
            return reason;
    }
    out->list = bytes_of(in.at, reader_left(&in));
    for (; reader_left(&in); out->count++) {
        int reason = read_filter(&in, frame->type, version);
        if (reason)
            return reason;
    }
    /* [MQTT-3.8.3-2], [MQTT-3.10.3-2]: at least one. */
    return out->count ? PACKET_OK : REASON_PROTOCOL_ERROR;
}

bool packet_filter_next(struct reader *list, struct bytes *filter, uint8_t *options)
{
    if (reader_left(list) == 0)
        return false;
    *filter = reader_bytes(list, reader_u16_be(list));
    *options = reader_u8(list);
    return !list->failed;
}

/* Table 3-10. Codes that only a server sends are protocol errors, codes that are none malformed. */
static int check_disconnect_reason(uint8_t reason)
{
    static const uint8_t client[] = {0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90,
                                     0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99};
    static const uint8_t server[] = {0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x9a, 0x9b,
                                     0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2};
    if (memchr(client, reason, sizeof client))
        return 0;
    return memchr(server, reason, sizeof server) ? REASON_PROTOCOL_ERROR : REASON_MALFORMED;
}

int packet_disconnect_read(const struct packet_frame *frame, uint8_t version,
                           const struct packet_limits *limits, struct packet_disconnect *out)
{
    *out = (struct packet_disconnect){0};
    struct reader in = reader_of(frame->body);
    if (reader_left(&in) == 0)
        return PACKET_OK;
    if (version != PACKET_V5)
        return REASON_MALFORMED;
    out->reason = reader_u8(&in);
    if (reader_left(&in)) {
        struct properties properties;
        struct bytes list;
        int reason = properties_read(&in, PACKET_DISCONNECT, limits->user_properties_max,
                                     &properties, &list);
        if (reason)
            return reason;
        if (reader_left(&in))
            return REASON_MALFORMED;
        /* 3.14.2.2.4: a server reference is the server's to send. */
        if (properties_have(&properties, PROPERTY_SERVER_REFERENCE))
            return REASON_PROTOCOL_ERROR;
        out->has_session_expiry = properties_have(&properties, PROPERTY_SESSION_EXPIRY);
        out->session_expiry_s = properties.session_expiry_s;
    }
    return check_disconnect_reason(out->reason);
}

/* AUTH is never asked for, because no method is supported; its form is checked all the same, so that
 * a malformed one gets the code for that. 3.15.2.1. */
static int check_auth(const struct packet_frame *frame)
{
    struct reader in = reader_of(frame->body);
    if (reader_left(&in)) {
        uint8_t reason = reader_u8(&in);
        struct properties properties;
        struct bytes list;
        if (reason != 0x00 && reason != 0x18 && reason != 0x19)
            return REASON_MALFORMED;
        if (properties_read(&in, PACKET_AUTH, INT64_MAX, &properties, &list) == REASON_MALFORMED ||
            reader_left(&in))
            return REASON_MALFORMED;
    }
    return REASON_PROTOCOL_ERROR; /* [MQTT-4.12.0-7] */
}

int packet_other_read(const struct packet_frame *frame, uint8_t version)
{
    if (frame->type == PACKET_PINGREQ)
        return frame->body.size ? REASON_MALFORMED : PACKET_OK;
    if (frame->type == PACKET_AUTH && version == PACKET_V5)
        return check_auth(frame);
    return REASON_PROTOCOL_ERROR; /* a second CONNECT [MQTT-3.1.0-2], or a server's packet */
}
