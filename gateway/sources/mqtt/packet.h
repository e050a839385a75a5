/* SPDX-License-Identifier: Apache-2.0
 *
 * MQTT 3.1, 3.1.1 and 5.0 on the wire, as a server sees it: bytes in, the view of one packet or a
 * reason code out; values in, bytes out. Pure: no allocation, no state, no clock, any thread.
 *
 * Views borrow from the bytes they were read from. Every reader returns PACKET_OK or one of the
 * reason codes of MQTT 5.0 (>= 0x80), which older protocols answer by closing. Clause numbers are
 * those of MQTT 5.0; where 3.1.1 differs it is named.
 */
#ifndef TIDEGATE_SOURCES_MQTT_PACKET_H
#define TIDEGATE_SOURCES_MQTT_PACKET_H

#include "base/bytes.h"
#include "sources/mqtt/properties.h"

enum packet_type {
    PACKET_CONNECT = 1,
    PACKET_CONNACK = 2,
    PACKET_PUBLISH = 3,
    PACKET_PUBACK = 4,
    PACKET_PUBREC = 5,
    PACKET_PUBREL = 6,
    PACKET_PUBCOMP = 7,
    PACKET_SUBSCRIBE = 8,
    PACKET_SUBACK = 9,
    PACKET_UNSUBSCRIBE = 10,
    PACKET_UNSUBACK = 11,
    PACKET_PINGREQ = 12,
    PACKET_PINGRESP = 13,
    PACKET_DISCONNECT = 14,
    PACKET_AUTH = 15,
};

/* MQTT 5.0, 2.4. */
enum mqtt_reason {
    PACKET_OK = 0,
    PACKET_MORE = 1, /* ours: the packet is not whole yet; never on the wire */
    REASON_DISCONNECT_WITH_WILL = 0x04,
    REASON_NO_SUBSCRIPTION = 0x11,
    REASON_UNSPECIFIED = 0x80,
    REASON_MALFORMED = 0x81,
    REASON_PROTOCOL_ERROR = 0x82,
    REASON_IMPLEMENTATION = 0x83,
    REASON_UNSUPPORTED_VERSION = 0x84,
    REASON_CLIENT_ID = 0x85,
    REASON_BAD_CREDENTIALS = 0x86,
    REASON_NOT_AUTHORISED = 0x87,
    REASON_UNAVAILABLE = 0x88,
    REASON_BUSY = 0x89,
    REASON_SHUTTING_DOWN = 0x8b,
    REASON_AUTH_METHOD = 0x8c,
    REASON_KEEP_ALIVE = 0x8d,
    REASON_TAKEN_OVER = 0x8e,
    REASON_TOPIC_INVALID = 0x90,
    REASON_ID_NOT_FOUND = 0x92,
    REASON_RECEIVE_MAX = 0x93,
    REASON_TOPIC_ALIAS = 0x94,
    REASON_TOO_LARGE = 0x95,
    REASON_RATE = 0x96,
    REASON_QUOTA = 0x97,
    REASON_ADMINISTRATIVE = 0x98,
    REASON_CONNECTION_RATE = 0x9f,
    REASON_USE_ANOTHER_SERVER = 0x9c,
    /* ours, never on the wire */
    REASON_NOT_MQTT = 0x100, /* the first bytes are no CONNECT, or name no protocol we know */
};

enum { PACKET_V31 = 3, PACKET_V311 = 4, PACKET_V5 = 5 };

/* Limits of ours on what a packet may hold. */
struct packet_limits {
    uint64_t packet_bytes_max;
    int64_t topic_levels_max;
    int64_t user_properties_max;
};

struct packet_frame {
    uint8_t type, flags;
    bool minimal;         /* the length has as few bytes as possible */
    uint32_t header_size; /* 0 while the header is not whole */
    uint32_t size;        /* of the whole packet */
    struct bytes body;
};
/* The packet at the start of `in`. PACKET_MORE: not whole; `size` is 0 while unknown. Type and flags
 * are judged from the first byte on, the length as soon as it is there [MQTT-2.1.3-1]. `version` 0:
 * before the CONNECT, only that may come [MQTT-3.1.0-1]. */
int packet_frame_read(struct bytes in, uint8_t version, uint64_t size_max,
                      struct packet_frame *out);

struct packet_will {
    struct bytes topic, payload, properties; /* properties without the will delay */
    uint32_t delay_s;
    uint32_t delay_at; /* where in the list the five bytes of the delay begin, when has_delay */
    uint8_t qos;
    bool retain, has_delay;
};

struct packet_connect {
    uint8_t version; /* 0 until the level is known */
    bool clean_start, has_will, has_user, has_password;
    uint16_t keep_alive_s;
    uint16_t receive_max;
    uint32_t session_expiry_s;
    uint32_t packet_max; /* the client's; 0: no limit */
    bool has_auth_method;
    struct bytes client_id, user, password;
    struct packet_will will;
};
/* When it fails, `version` tells in which form to answer, if at all. */
int packet_connect_read(const struct packet_frame *frame, const struct packet_limits *limits,
                        struct packet_connect *out);

struct packet_publish {
    struct bytes topic, payload, properties;
    uint32_t
        alias_at; /* where in `properties` the three bytes of the alias begin, when has_alias */
    uint16_t packet_id, alias;
    uint8_t qos;
    bool dup, retain, has_alias;
};
int packet_publish_read(const struct packet_frame *frame, uint8_t version,
                        const struct packet_limits *limits, struct packet_publish *out);

/* PUBACK, PUBREC, PUBREL, PUBCOMP. */
struct packet_ack {
    uint16_t packet_id;
    uint8_t reason;
};
int packet_ack_read(const struct packet_frame *frame, uint8_t version,
                    const struct packet_limits *limits, struct packet_ack *out);

/* SUBSCRIBE and UNSUBSCRIBE. All filters were checked. */
struct packet_filters {
    uint16_t packet_id;
    uint32_t count;
    struct bytes list; /* for packet_filter_next */
};
int packet_filters_read(const struct packet_frame *frame, uint8_t version,
                        const struct packet_limits *limits, struct packet_filters *out);
/* The next filter of a SUBSCRIBE and its options; false at the end. */
bool packet_filter_next(struct reader *list, struct bytes *filter, uint8_t *options);

struct packet_disconnect {
    uint8_t reason;
    bool has_session_expiry;
    uint32_t session_expiry_s;
};
int packet_disconnect_read(const struct packet_frame *frame, uint8_t version,
                           const struct packet_limits *limits, struct packet_disconnect *out);

/* PINGREQ, AUTH and the packets only a server sends [MQTT-3.12.1-1 and others]. */
int packet_other_read(const struct packet_frame *frame, uint8_t version);

/* ---- out ---- */

enum { PACKET_ACK_SIZE_MAX = 5, PACKET_CONNACK_FIXED_MAX = 64 };

struct packet_connack {
    uint8_t version;
    uint8_t reason; /* of MQTT 5.0; older versions get their own return code */
    bool session_present;
    /* MQTT 5.0 only, with reason 0 */
    uint16_t receive_max, topic_alias_max;
    uint32_t packet_max;
    bool has_session_expiry, has_keep_alive;
    uint32_t session_expiry_s;
    uint16_t keep_alive_s;
    struct bytes assigned_client_id; /* empty: none */
};
/* Each appends one packet and returns its size. */
size_t packet_connack_write(struct buffer *out, const struct packet_connack *connack);
/* SUBACK or UNSUBACK with `count` reason codes (an older UNSUBACK has none). */
size_t packet_suback_write(struct buffer *out, enum packet_type type, uint8_t version,
                           uint16_t packet_id, struct bytes codes);
size_t packet_disconnect_write(struct buffer *out, uint8_t reason);
size_t packet_pingresp_write(struct buffer *out);

/* PUBACK, PUBREC, PUBCOMP; at most PACKET_ACK_SIZE_MAX bytes at `at`. Here because each message needs
 * one. */
static inline size_t packet_ack_store(uint8_t *at, enum packet_type type, uint8_t version,
                                      uint16_t packet_id, uint8_t reason)
{
    bool with_reason = version == PACKET_V5 && reason != 0;
    at[0] = (uint8_t)(type << 4);
    at[1] = with_reason ? 3 : 2;
    at[2] = (uint8_t)(packet_id >> 8);
    at[3] = (uint8_t)packet_id;
    if (with_reason)
        at[4] = reason;
    return with_reason ? 5 : 4;
}

#endif
