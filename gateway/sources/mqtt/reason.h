/* SPDX-License-Identifier: Apache-2.0
 *
 * Why a connection ended: one row each gives the word of logs and metrics and the code on the wire.
 */
#ifndef TIDEGATE_SOURCES_MQTT_REASON_H
#define TIDEGATE_SOURCES_MQTT_REASON_H

#include <stdbool.h>
#include <stdint.h>

enum close_reason {
    CLOSE_DISCONNECT, /* the client said goodbye */
    CLOSE_DISCONNECT_WITH_WILL,
    CLOSE_PEER_CLOSED,
    CLOSE_PEER_RESET,
    CLOSE_NOT_MQTT,
    CLOSE_NOT_TLS, /* another protocol on the TLS port */
    CLOSE_TLS,     /* the handshake, or what came later, was refused: struct stats says why */
    CLOSE_PROXY,   /* the header of a balancer was refused: struct stats says why */
    CLOSE_MALFORMED,
    CLOSE_PROTOCOL_ERROR,
    CLOSE_VERSION,
    CLOSE_CLIENT_ID,
    CLOSE_BAD_CREDENTIALS,
    CLOSE_NOT_AUTHORISED,
    CLOSE_AUTH_METHOD,
    CLOSE_LOCKED_OUT, /* too many wrong passwords before */
    CLOSE_LOGIN_BUSY, /* too many passwords wait to be checked */
    CLOSE_ADDRESS_MAX,
    CLOSE_UNNAMED_MAX, /* too many that have not logged in */
    CLOSE_VENDOR_MAX,
    CLOSE_TOPIC_INVALID,
    CLOSE_TOPIC_ALIAS,
    CLOSE_RECEIVE_MAX,
    CLOSE_TOO_LARGE,
    CLOSE_QUOTA,
    CLOSE_RATE,
    CLOSE_CLIENT_PACKET_MAX, /* it does not take what we must say */
    CLOSE_CONNECT_TIMEOUT,
    CLOSE_PACKET_TIMEOUT,
    CLOSE_KEEP_ALIVE,
    CLOSE_TAKEN_OVER,
    CLOSE_HELD,        /* could not be made durable within hold_max */
    CLOSE_WRITE_QUEUE, /* the peer does not read what we answer */
    CLOSE_WITHDRAWN,   /* its credentials went with a reload */
    CLOSE_SHUTDOWN,
    CLOSE_LEAVING, /* this gateway goes for good */
    CLOSE_REASONS,
};

struct close_row {
    const char *word;
    uint8_t code;     /* DISCONNECT of MQTT 5.0, 3.14.2.1; 0: none */
    uint8_t connack;  /* CONNACK of MQTT 5.0, 3.2.2.2, where it ends before that; 0: none */
    bool connack_old; /* older versions get a return code, too */
    bool linger;      /* let the peer read what we said before its unread bytes reset it */
    bool log;         /* worth a line */
};
extern const struct close_row close_rows[CLOSE_REASONS];

/* From a reason code of packet.h. */
enum close_reason close_reason_of(int reason);

#endif
