/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of reasons for closing. Read-only, any thread.
 */
#include "sources/mqtt/reason.h"

#include "sources/mqtt/packet.h"

const struct close_row close_rows[CLOSE_REASONS] = {
    /*                             word               code                        connack linger log */
    [CLOSE_DISCONNECT] = {"disconnect", 0, false, false, false},
    [CLOSE_DISCONNECT_WITH_WILL] = {"disconnect_with_will", 0, false, false, false},
    [CLOSE_PEER_CLOSED] = {"peer_closed", 0, false, false, false},
    [CLOSE_PEER_RESET] = {"peer_reset", 0, false, false, false},
    [CLOSE_NOT_MQTT] = {"not_mqtt", 0, false, false, true},
    /* 3.1.1 [MQTT-3.1.4-1] closes without CONNACK; 5.0 may say why. */
    [CLOSE_MALFORMED] = {"malformed", REASON_MALFORMED, false, true, true},
    [CLOSE_PROTOCOL_ERROR] = {"protocol_error", REASON_PROTOCOL_ERROR, false, true, true},
    [CLOSE_VERSION] = {"version", REASON_UNSUPPORTED_VERSION, true, true, true},
    [CLOSE_CLIENT_ID] = {"client_id", REASON_CLIENT_ID, true, true, true},
    [CLOSE_BAD_CREDENTIALS] = {"bad_credentials", REASON_BAD_CREDENTIALS, true, true, true},
    [CLOSE_NOT_AUTHORISED] = {"not_authorised", REASON_NOT_AUTHORISED, true, true, true},
    [CLOSE_AUTH_METHOD] = {"auth_method", REASON_AUTH_METHOD, false, true, true},
    [CLOSE_TOPIC_INVALID] = {"topic_invalid", REASON_TOPIC_INVALID, false, true, true},
    [CLOSE_TOPIC_ALIAS] = {"topic_alias", REASON_TOPIC_ALIAS, false, true, true},
    [CLOSE_RECEIVE_MAX] = {"receive_max", REASON_RECEIVE_MAX, false, true, true},
    [CLOSE_TOO_LARGE] = {"too_large", REASON_TOO_LARGE, false, true, true},
    [CLOSE_QUOTA] = {"quota", REASON_QUOTA, true, true, true},
    [CLOSE_RATE] = {"rate", REASON_RATE, false, true, true},
    [CLOSE_CLIENT_PACKET_MAX] = {"client_packet_max", 0, false, false, true},
    [CLOSE_CONNECT_TIMEOUT] = {"connect_timeout", 0, false, false, true},
    [CLOSE_PACKET_TIMEOUT] = {"packet_timeout", REASON_MALFORMED, false, true, true},
    [CLOSE_KEEP_ALIVE] = {"keep_alive", REASON_KEEP_ALIVE, false, true, false},
    [CLOSE_TAKEN_OVER] = {"taken_over", REASON_TAKEN_OVER, false, true, false},
    [CLOSE_HELD] = {"held", REASON_QUOTA, true, true, true},
    [CLOSE_WRITE_QUEUE] = {"write_queue", 0, false, false, true},
    [CLOSE_WITHDRAWN] = {"withdrawn", REASON_ADMINISTRATIVE, false, true, true},
    [CLOSE_SHUTDOWN] = {"shutdown", REASON_SHUTTING_DOWN, false, true, false},
};

enum close_reason close_reason_of(int reason)
{
    switch (reason) {
    case REASON_NOT_MQTT: return CLOSE_NOT_MQTT;
    case REASON_MALFORMED: return CLOSE_MALFORMED;
    case REASON_UNSUPPORTED_VERSION: return CLOSE_VERSION;
    case REASON_CLIENT_ID: return CLOSE_CLIENT_ID;
    case REASON_NOT_AUTHORISED: return CLOSE_NOT_AUTHORISED;
    case REASON_TOPIC_INVALID: return CLOSE_TOPIC_INVALID;
    case REASON_TOPIC_ALIAS: return CLOSE_TOPIC_ALIAS;
    case REASON_RECEIVE_MAX: return CLOSE_RECEIVE_MAX;
    case REASON_TOO_LARGE: return CLOSE_TOO_LARGE;
    case REASON_QUOTA: return CLOSE_QUOTA;
    case REASON_RATE: return CLOSE_RATE;
    default: return CLOSE_PROTOCOL_ERROR;
    }
}
