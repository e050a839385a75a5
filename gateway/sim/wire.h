/* SPDX-License-Identifier: Apache-2.0
 *
 * The publisher's side of MQTT 3.1.1 and 5.0 as bytes: what the simulator and the load generator
 * send, and what a server answers. Pure; any thread. The listener has its own, stricter reader: two
 * independent readings of the standard check each other.
 */
#ifndef TIDEGATE_SIM_WIRE_H
#define TIDEGATE_SIM_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

enum wire_type {
    WIRE_CONNECT = 1,
    WIRE_CONNACK = 2,
    WIRE_PUBLISH = 3,
    WIRE_PUBACK = 4,
    WIRE_PUBREC = 5,
    WIRE_PUBREL = 6,
    WIRE_PUBCOMP = 7,
    WIRE_PINGREQ = 12,
    WIRE_PINGRESP = 13,
    WIRE_DISCONNECT = 14,
};

struct wire_connect {
    int version; /* 4: MQTT 3.1.1; 5: MQTT 5.0 */
    bool clean;  /* Clean Session, Clean Start; otherwise the session is asked for an hour */
    const char *client_id;
    const char *username; /* null: none */
    const char *password;
    uint16_t keep_alive_s;
};
void wire_connect(struct buffer *out, const struct wire_connect *connect);

struct wire_publish {
    int version;
    int qos;
    uint16_t id; /* unused at QoS 0 */
    bool retain;
    struct bytes topic;
    struct bytes payload;
};
void wire_publish(struct buffer *out, const struct wire_publish *publish);
/* Set DUP in a PUBLISH that is sent again [MQTT-3.3.1-1]. */
void wire_set_dup(struct buffer *publish);
void wire_pubrel(struct buffer *out, uint16_t id);
void wire_pingreq(struct buffer *out);
void wire_disconnect(struct buffer *out);

/* What a server sends to a publisher. */
struct wire_packet {
    enum wire_type type;
    uint16_t id;
    uint8_t reason; /* reason or return code; 0 is success */
    bool session_present;
    uint16_t receive_max; /* of CONNACK; 65535 when it says nothing */
    uint32_t packet_max;  /* of CONNACK; 0: it says nothing */
};
/* The first packet of `in`: its length, 0 when it is not whole yet, -1 when it is malformed. */
long wire_parse(struct bytes in, int version, struct wire_packet *out);

#endif
