/* SPDX-License-Identifier: Apache-2.0
 *
 * Counters of one loop. Its thread alone writes them, any thread reads (sources/stat.h).
 */
#ifndef TIDEGATE_SOURCES_MQTT_STATS_H
#define TIDEGATE_SOURCES_MQTT_STATS_H

#include <stdatomic.h>
#include <stdint.h>

#include "sources/hold.h"
#include "sources/mqtt/foreign.h"
#include "sources/mqtt/proxy.h"
#include "sources/mqtt/reason.h"
#include "sources/mqtt/tls_reason.h"
#include "sources/stat.h"

enum publish_rejected {
    REJECTED_ACL,
    REJECTED_RESERVED_TOPIC,
    REJECTED_PAYLOAD, /* larger than its vendor may send */
    REJECTED_LEVELS,  /* of the topic */
    REJECTED_KINDS,
};

struct stats {
    _Atomic uint64_t connections;      /* now */
    _Atomic uint64_t held[HOLD_KINDS]; /* now */
    _Atomic uint64_t tail_bytes;       /* kept of them */
    _Atomic uint64_t accepted, shed;
    _Atomic uint64_t connected[6]; /* CONNACK with success, by protocol level */
    _Atomic uint64_t closed[CLOSE_REASONS];
    _Atomic uint64_t bytes_received;
    _Atomic uint64_t messages[3]; /* by QoS, taken over into chunks */
    _Atomic uint64_t wills;
    _Atomic uint64_t duplicates; /* QoS 2, not stored a second time */
    _Atomic uint64_t rejected[REJECTED_KINDS];
    _Atomic uint64_t acks;             /* PUBACK, PUBREC, PUBCOMP sent */
    _Atomic uint64_t over_receive_max; /* PUBLISH beyond it, let pass */
    _Atomic uint64_t commits;
    _Atomic uint64_t ticks;   /* waits for more sockets to get ready */
    _Atomic uint64_t gathers; /* waits for more messages in a commit */
    _Atomic uint64_t sessions_dropped;
    _Atomic uint64_t tls_connections;   /* now, with the handshake behind them */
    _Atomic uint64_t tls_waiting;       /* now, for their turn in the handshake */
    _Atomic uint64_t tls_handshakes[2]; /* finished: full, resumed */
    _Atomic uint64_t tls_refused[TLS_REASONS];
    _Atomic uint64_t foreign[FOREIGN_KINDS], tls_foreign[FOREIGN_KINDS]; /* by port */
    _Atomic uint64_t proxy_refused[PROXY_REASONS];
};

#endif
