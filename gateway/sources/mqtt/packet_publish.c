/* SPDX-License-Identifier: Apache-2.0
 *
 * PUBLISH and the acknowledgements of it: what a busy connection sends. Pure, any thread.
 */
#include "sources/mqtt/packet.h"
#include "sources/mqtt/text.h"

static int check_topic(const struct packet_publish *publish, uint8_t version,
                       const struct packet_limits *limits)
{
    if (publish->topic.size == 0) /* 3.3.2.1: only with an alias; 3.1.1 [MQTT-4.7.3-1] */
        return version == PACKET_V5 && publish->has_alias ? 0 : REASON_PROTOCOL_ERROR;
    struct topic_shape shape = topic_shape(publish->topic);
    if (!shape.valid || shape.wildcard) /* [MQTT-1.5.4-1], [MQTT-3.3.2-2] */
        return REASON_MALFORMED;
    return shape.levels > limits->topic_levels_max ? REASON_TOPIC_INVALID : 0;
}

static int read_properties(struct reader *in, const struct packet_limits *limits,
                           struct packet_publish *out)
{
    if (reader_left(in) && *in->at == 0) { /* none: nearly always */
        in->at++;
        return 0;
    }
    struct properties properties;
    int reason = properties_read(in, PACKET_PUBLISH, limits->user_properties_max, &properties,
                                 &out->properties);
    if (reason)
        return reason;
    out->has_alias = properties_have(&properties, PROPERTY_TOPIC_ALIAS);
    out->alias = properties.topic_alias;
    out->alias_at = properties.cut_at;
    return 0;
}

int packet_publish_read(const struct packet_frame *frame, uint8_t version,
                        const struct packet_limits *limits, struct packet_publish *out)
{
    *out = (struct packet_publish){
        .qos = frame->flags >> 1 & 3, .dup = frame->flags & 8, .retain = frame->flags & 1};
    struct reader in = reader_of(frame->body);
    out->topic = reader_bytes(&in, reader_u16_be(&in));
    if (out->qos > 0)
        out->packet_id = reader_u16_be(&in);
    if (in.failed)
        return REASON_MALFORMED;
    if (out->qos > 0 && out->packet_id == 0) /* [MQTT-2.2.1-3] */
        return REASON_PROTOCOL_ERROR;
    int reason = version == PACKET_V5 ? read_properties(&in, limits, out) : 0;
    if (reason == 0)
        reason = check_topic(out, version, limits);
    out->payload = bytes_of(in.at, reader_left(&in));
    return reason;
}

/* The reason codes of tables 3-4 to 3-7: may a client send this one? */
static bool ack_reason_known(enum packet_type type, uint8_t reason)
{
    if (reason == 0)
        return true;
    if (type == PACKET_PUBREL || type == PACKET_PUBCOMP)
        return reason == REASON_ID_NOT_FOUND;
    static const uint8_t known[] = {0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99};
    return memchr(known, reason, sizeof known) != NULL;
}

int packet_ack_read(const struct packet_frame *frame, uint8_t version,
                    const struct packet_limits *limits, struct packet_ack *out)
{
    *out = (struct packet_ack){0};
    struct reader in = reader_of(frame->body);
    out->packet_id = reader_u16_be(&in);
    if (in.failed)
        return REASON_MALFORMED;
    if (out->packet_id == 0) /* [MQTT-2.2.1-3] */
        return REASON_PROTOCOL_ERROR;
    if (version == PACKET_V5 && reader_left(&in)) {
        out->reason = reader_u8(&in);
        struct properties properties;
        struct bytes list;
        int reason =
            reader_left(&in) /* 3.4.2.2.1: the list may be left out with its length */
                ? properties_read(&in, frame->type, limits->user_properties_max, &properties, &list)
                : 0;
        if (reason)
            return reason;
        if (!ack_reason_known(frame->type, out->reason)) /* [MQTT-3.4.2-1] and others */
            return REASON_PROTOCOL_ERROR;
    }
    return reader_left(&in) ? REASON_MALFORMED : PACKET_OK;
}
