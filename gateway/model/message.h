/* SPDX-License-Identifier: Apache-2.0
 *
 * A message: what arrived, before anybody looked inside.
 */
#ifndef TIDEGATE_MODEL_MESSAGE_H
#define TIDEGATE_MODEL_MESSAGE_H

#include <stdint.h>

#include "base/bytes.h"

/* `flags` of a message. The lowest two bits are the QoS. */
enum message_flag {
    MESSAGE_QOS = 0x03,
    MESSAGE_RETAIN = 0x04,
    MESSAGE_DUP = 0x08,
    MESSAGE_WILL = 0x10, /* published by us for a client that went away */
};

/* All bytes are borrowed from whoever hands the message out. */
struct message {
    uint64_t seq;            /* raw sequence number, from 1; 0 before the journal gave one */
    int64_t received_ms;     /* receive time, never falling within a journal */
    struct bytes vendor;     /* from the credential; empty: the route decides */
    struct bytes client;     /* MQTT client id */
    struct bytes topic;      /* after topic alias resolution */
    struct bytes payload;
    struct bytes properties; /* MQTT 5 property list of the PUBLISH as it came, without its length
                                and without topic alias; empty in older protocols */
    uint8_t flags;           /* enum message_flag */
    uint8_t protocol;        /* 3: MQTT 3.1, 4: 3.1.1, 5: 5.0 */
    uint16_t packet_id;      /* 0 for QoS 0 and wills */
};

#endif
