/* SPDX-License-Identifier: Apache-2.0
 *
 * The property lists of MQTT 5.0 (2.2.2): which may stand where, how often, and with what value.
 * Pure, any thread.
 */
#ifndef TIDEGATE_SOURCES_MQTT_PROPERTIES_H
#define TIDEGATE_SOURCES_MQTT_PROPERTIES_H

#include "base/bytes.h"

/* Identifiers of 2.2.2.2. */
enum property {
    PROPERTY_PAYLOAD_FORMAT = 0x01,
    PROPERTY_MESSAGE_EXPIRY = 0x02,
    PROPERTY_CONTENT_TYPE = 0x03,
    PROPERTY_RESPONSE_TOPIC = 0x08,
    PROPERTY_CORRELATION_DATA = 0x09,
    PROPERTY_SUBSCRIPTION_ID = 0x0b,
    PROPERTY_SESSION_EXPIRY = 0x11,
    PROPERTY_ASSIGNED_CLIENT_ID = 0x12,
    PROPERTY_SERVER_KEEP_ALIVE = 0x13,
    PROPERTY_AUTH_METHOD = 0x15,
    PROPERTY_AUTH_DATA = 0x16,
    PROPERTY_REQUEST_PROBLEM = 0x17,
    PROPERTY_WILL_DELAY = 0x18,
    PROPERTY_REQUEST_RESPONSE = 0x19,
    PROPERTY_RESPONSE_INFO = 0x1a,
    PROPERTY_SERVER_REFERENCE = 0x1c,
    PROPERTY_REASON_STRING = 0x1f,
    PROPERTY_RECEIVE_MAX = 0x21,
    PROPERTY_TOPIC_ALIAS_MAX = 0x22,
    PROPERTY_TOPIC_ALIAS = 0x23,
    PROPERTY_MAXIMUM_QOS = 0x24,
    PROPERTY_RETAIN_AVAILABLE = 0x25,
    PROPERTY_USER = 0x26,
    PROPERTY_MAXIMUM_PACKET = 0x27,
    PROPERTY_WILDCARD_AVAILABLE = 0x28,
    PROPERTY_SUBSCRIPTION_ID_AVAILABLE = 0x29,
    PROPERTY_SHARED_AVAILABLE = 0x2a,
};

/* Where a list stands: bits of enum packet_type, and the will's as bit 0. */
enum { PROPERTIES_OF_WILL = 0 };

/* Values of the properties a server acts on; the others are only checked. Zeroed by the reader. */
struct properties {
    uint64_t seen; /* bit: identifier */
    uint32_t session_expiry_s, maximum_packet, will_delay_s;
    uint16_t receive_max, topic_alias;
    uint32_t cut_at; /* where in the list the topic alias or the will delay is: not stored */
};

static inline bool properties_have(const struct properties *properties, enum property id)
{
    return properties->seen >> id & 1;
}

/* Reads one list, length included, from `in`. *list gets its bytes without the length. `place` is a
 * packet type or PROPERTIES_OF_WILL. 0 or the reason code of MQTT 5.0. */
int properties_read(struct reader *in, int place, int64_t user_properties_max,
                    struct properties *out, struct bytes *list);

/* A variable byte integer of 1.5.5: at most four bytes, as few as possible [MQTT-1.5.5-1]. Fails the
 * reader otherwise. */
uint32_t variable_integer(struct reader *in);

#endif
