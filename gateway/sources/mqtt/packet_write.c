/* SPDX-License-Identifier: Apache-2.0
 *
 * What a server says: CONNACK, SUBACK, UNSUBACK, PINGRESP, DISCONNECT in the form of each version.
 * PUBACK and its kin are in packet.h. Pure, any thread.
 */
#include "sources/mqtt/packet.h"

static size_t variable_store(uint8_t *at, size_t value)
{
    gw_assert(value < 268435456); /* 1.5.5 */
    return store_varint(at, value);
}

/* Type byte, length, body. */
static size_t add_packet(struct buffer *out, uint8_t first, struct bytes head, struct bytes body)
{
    uint8_t header[5] = {first};
    size_t size = 1 + variable_store(header + 1, head.size + body.size);
    buffer_add(out, header, size);
    buffer_add_bytes(out, head);
    buffer_add_bytes(out, body);
    return size + head.size + body.size;
}

/* The return codes of 3.1.1, table 3.1. */
static uint8_t return_code(uint8_t reason)
{
    switch (reason) {
    case 0: return 0;
    case REASON_UNSUPPORTED_VERSION: return 1;
    case REASON_CLIENT_ID: return 2;
    case REASON_BAD_CREDENTIALS: return 4;
    case REASON_NOT_AUTHORISED: return 5;
    default: return 3;
    }
}

/* A small list of properties, built in place. */
struct property_list {
    uint8_t bytes[48];
    size_t size;
};

static void add_number(struct property_list *list, enum property id, uint32_t value, size_t width)
{
    list->bytes[list->size++] = (uint8_t)id;
    for (size_t i = width; i-- > 0;)
        list->bytes[list->size++] = (uint8_t)(value >> (8 * i));
}

static size_t connack_v5_write(struct buffer *out, const struct packet_connack *connack)
{
    struct property_list list = {.size = 0};
    if (connack->reason == 0) {
        add_number(&list, PROPERTY_RECEIVE_MAX, connack->receive_max, 2);
        add_number(&list, PROPERTY_MAXIMUM_PACKET, connack->packet_max, 4);
        add_number(&list, PROPERTY_TOPIC_ALIAS_MAX, connack->topic_alias_max, 2);
        if (connack->has_session_expiry)
            add_number(&list, PROPERTY_SESSION_EXPIRY, connack->session_expiry_s, 4);
        if (connack->has_keep_alive)
            add_number(&list, PROPERTY_SERVER_KEEP_ALIVE, connack->keep_alive_s, 2);
        if (connack->assigned_client_id.size)
            add_number(&list, PROPERTY_ASSIGNED_CLIENT_ID,
                       (uint32_t)connack->assigned_client_id.size, 2);
    }
    uint8_t head[2 + 4 + sizeof list.bytes] = {connack->session_present, connack->reason};
    struct bytes id = connack->reason ? (struct bytes){0} : connack->assigned_client_id;
    size_t size = 2 + variable_store(head + 2, list.size + id.size);
    memcpy(head + size, list.bytes, list.size);
    return add_packet(out, PACKET_CONNACK << 4, bytes_of(head, size + list.size), id);
}

size_t packet_connack_write(struct buffer *out, const struct packet_connack *connack)
{
    /* [MQTT-3.2.2-6]: session present only with reason 0. */
    gw_assert(!connack->session_present || connack->reason == 0);
    if (connack->version == PACKET_V5)
        return connack_v5_write(out, connack);
    /* 3.1 has no session present: that byte is reserved. */
    bool present = connack->session_present && connack->version != PACKET_V31;
    uint8_t body[2] = {present, return_code(connack->reason)};
    return add_packet(out, PACKET_CONNACK << 4, bytes_of(body, 2), (struct bytes){0});
}

size_t packet_suback_write(struct buffer *out, enum packet_type type, uint8_t version,
                           uint16_t packet_id, struct bytes codes)
{
    uint8_t head[3] = {(uint8_t)(packet_id >> 8), (uint8_t)packet_id, 0};
    size_t size = version == PACKET_V5 ? 3 : 2; /* 5.0: an empty list of properties */
    if (type == PACKET_UNSUBACK && version != PACKET_V5)
        codes.size = 0;
    return add_packet(out, (uint8_t)(type << 4), bytes_of(head, size), codes);
}

size_t packet_disconnect_write(struct buffer *out, uint8_t reason)
{
    return add_packet(out, PACKET_DISCONNECT << 4, bytes_of(&reason, 1), (struct bytes){0});
}

size_t packet_pingresp_write(struct buffer *out)
{
    return add_packet(out, PACKET_PINGRESP << 4, (struct bytes){0}, (struct bytes){0});
}
