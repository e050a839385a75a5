/* SPDX-License-Identifier: Apache-2.0
 *
 * The MQTT of the floor programs: epoll, read, find packet ends, hand each PUBLISH over, one write of
 * answers a connection. No storage, no checks, no session. One thread; one listener a process.
 */
#ifndef TIDEGATE_BENCH_LISTENER_H
#define TIDEGATE_BENCH_LISTENER_H

#include "base/bytes.h"

/* Where a PUBLISH came from, so that it can be answered later. */
struct listener_origin {
    uint16_t fd;
    uint16_t id;     /* packet id */
    uint32_t serial; /* of the connection: descriptors are used again */
};

struct listener_publish {
    struct listener_origin origin;
    int qos;
    struct bytes topic;
    struct bytes payload; /* with the properties of MQTT 5 taken off */
};

struct listener {
    void (*on_publish)(struct listener *listener, const struct listener_publish *publish);
    /* Another descriptor to wait for, or -1; on_ready when it can be read. */
    int other;
    void (*on_ready)(struct listener *listener);
    int poll, socket;
};

/* PUBACK or PUBREC, by the quality of service; leaves with the next flush of its connection: at the
 * end of the read that is being served, or listener_flush. */
void listener_answer(struct listener *listener, struct listener_origin origin, int qos);
/* Send what was answered outside of on_publish. */
void listener_flush(struct listener *listener);
/* Listens on 127.0.0.1 and serves; returns only when it cannot listen. */
void listener_run(struct listener *listener, int port);

#endif
