/* SPDX-License-Identifier: Apache-2.0
 *
 * The listener's own struct, for listener.c and metrics.c.
 */
#ifndef TIDEGATE_SOURCES_MQTT_LISTENER_INTERNAL_H
#define TIDEGATE_SOURCES_MQTT_LISTENER_INTERNAL_H

#include "sources/mqtt/loop.h"

struct listener {
    struct source source; /* first */
    struct shared shared;
    struct loop **loops;
    unsigned loop_count;
    int port, tls_port; /* 0: none */
    void (*closed)(void *arg);
    void *closed_arg;
};

void listener_metrics(struct source *source, struct buffer *out);

#endif
