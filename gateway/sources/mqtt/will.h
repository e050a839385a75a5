/* SPDX-License-Identifier: Apache-2.0
 *
 * A will: the message that a client left with us for the case that it goes without goodbye. It
 * belongs to its connection, and after that, while its delay runs, to the session (MQTT 5.0, 3.1.2.5
 * and 3.1.3.2.2). Owned by whoever holds the pointer.
 */
#ifndef TIDEGATE_SOURCES_MQTT_WILL_H
#define TIDEGATE_SOURCES_MQTT_WILL_H

#include "journal/rawlog.h"
#include "sources/access.h"
#include "sources/mqtt/packet.h"

struct session;

struct will {
    struct will *previous, *next; /* in the table's list while the delay runs */
    struct session *session;
    struct access_grant grant;
    uint32_t delay_s;
    int64_t due_ms; /* monotonic, while the delay runs */
    uint8_t flags, protocol;
    uint32_t topic_size, payload_size, properties_size;
    uint8_t data[]; /* topic, payload, properties */
};

struct will *will_new(const struct packet_connect *connect, const struct access_grant *grant);
void will_free(struct will *will); /* accepts null */
/* As a message of `client`; borrows from the will. */
struct message will_message(const struct will *will, struct bytes client);
struct bytes will_topic(const struct will *will);

#endif
