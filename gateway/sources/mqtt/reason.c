/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of reasons for closing. Read-only, any thread.
 */
#include "sources/mqtt/reason.h"

#include "sources/mqtt/packet.h"

/* 3.1.1 [MQTT-3.1.4-1] closes a malformed CONNECT without CONNACK; 5.0 may say why. */
const struct close_row close_rows[CLOSE_REASONS] = {
    [CLOSE_DISCONNECT] = {.word = "disconnect"},
    [CLOSE_DISCONNECT_WITH_WILL] = {.word = "disconnect_with_will"},
    [CLOSE_PEER_CLOSED] = {.word = "peer_closed"},
    [CLOSE_PEER_RESET] = {.word = "peer_reset"},
    [CLOSE_NOT_MQTT] = {.word = "not_mqtt"},
    [CLOSE_NOT_TLS] = {.word = "not_tls"},
    [CLOSE_TLS] = {.word = "tls", .linger = true},
    [CLOSE_PROXY] = {.word = "proxy"},
    [CLOSE_MALFORMED] = {.word = "malformed",
                         .code = REASON_MALFORMED,
                         .connack = REASON_MALFORMED,
                         .linger = true,
                         .log = true},
    [CLOSE_PROTOCOL_ERROR] = {.word = "protocol_error",
                              .code = REASON_PROTOCOL_ERROR,
                              .connack = REASON_PROTOCOL_ERROR,
                              .linger = true,
                              .log = true},
    [CLOSE_VERSION] = {.word = "version",
                       .connack = REASON_UNSUPPORTED_VERSION,
                       .connack_old = true,
                       .linger = true,
                       .log = true},
    [CLOSE_CLIENT_ID] = {.word = "client_id",
                         .connack = REASON_CLIENT_ID,
                         .connack_old = true,
                         .linger = true,
                         .log = true},
    [CLOSE_BAD_CREDENTIALS] = {.word = "bad_credentials",
                               .connack = REASON_BAD_CREDENTIALS,
                               .connack_old = true,
                               .linger = true,
                               .log = true},
    [CLOSE_NOT_AUTHORISED] = {.word = "not_authorised",
                              .code = REASON_NOT_AUTHORISED,
                              .connack = REASON_NOT_AUTHORISED,
                              .connack_old = true,
                              .linger = true,
                              .log = true},
    [CLOSE_AUTH_METHOD] = {.word = "auth_method",
                           .connack = REASON_AUTH_METHOD,
                           .linger = true,
                           .log = true},
    [CLOSE_LOCKED_OUT] = {.word = "locked_out",
                          .connack = REASON_CONNECTION_RATE,
                          .connack_old = true,
                          .linger = true,
                          .log = true},
    [CLOSE_LOGIN_BUSY] = {.word = "login_busy",
                          .connack = REASON_BUSY,
                          .connack_old = true,
                          .linger = true,
                          .log = true},
    [CLOSE_ADDRESS_MAX] = {.word = "address_max", .log = true},
    [CLOSE_UNNAMED_MAX] = {.word = "unnamed_max", .log = true},
    [CLOSE_VENDOR_MAX] = {.word = "vendor_max",
                          .connack = REASON_QUOTA,
                          .connack_old = true,
                          .linger = true,
                          .log = true},
    [CLOSE_TOPIC_INVALID] = {.word = "topic_invalid",
                             .code = REASON_TOPIC_INVALID,
                             .connack = REASON_TOPIC_INVALID,
                             .linger = true,
                             .log = true},
    [CLOSE_TOPIC_ALIAS] = {.word = "topic_alias",
                           .code = REASON_TOPIC_ALIAS,
                           .linger = true,
                           .log = true},
    [CLOSE_RECEIVE_MAX] = {.word = "receive_max",
                           .code = REASON_RECEIVE_MAX,
                           .linger = true,
                           .log = true},
    [CLOSE_TOO_LARGE] = {.word = "too_large",
                         .code = REASON_TOO_LARGE,
                         .connack = REASON_TOO_LARGE,
                         .linger = true,
                         .log = true},
    [CLOSE_QUOTA] = {.word = "quota",
                     .code = REASON_QUOTA,
                     .connack = REASON_QUOTA,
                     .connack_old = true,
                     .linger = true,
                     .log = true},
    [CLOSE_RATE] = {.word = "rate", .code = REASON_RATE, .linger = true, .log = true},
    [CLOSE_CLIENT_PACKET_MAX] = {.word = "client_packet_max", .log = true},
    [CLOSE_CONNECT_TIMEOUT] = {.word = "connect_timeout", .log = true},
    [CLOSE_PACKET_TIMEOUT] = {.word = "packet_timeout",
                              .code = REASON_MALFORMED,
                              .linger = true,
                              .log = true},
    [CLOSE_KEEP_ALIVE] = {.word = "keep_alive", .code = REASON_KEEP_ALIVE, .linger = true},
    [CLOSE_TAKEN_OVER] = {.word = "taken_over", .code = REASON_TAKEN_OVER, .linger = true},
    [CLOSE_HELD] = {.word = "held",
                    .code = REASON_QUOTA,
                    .connack = REASON_BUSY,
                    .connack_old = true,
                    .linger = true,
                    .log = true},
    [CLOSE_WRITE_QUEUE] = {.word = "write_queue", .log = true},
    [CLOSE_WITHDRAWN] = {.word = "withdrawn",
                         .code = REASON_ADMINISTRATIVE,
                         .linger = true,
                         .log = true},
    [CLOSE_SHUTDOWN] = {.word = "shutdown",
                        .code = REASON_SHUTTING_DOWN,
                        .connack = REASON_UNAVAILABLE,
                        .connack_old = true,
                        .linger = true},
    [CLOSE_LEAVING] = {.word = "leaving",
                       .code = REASON_USE_ANOTHER_SERVER,
                       .connack = REASON_UNAVAILABLE,
                       .connack_old = true,
                       .linger = true},
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
