/* SPDX-License-Identifier: Apache-2.0
 *
 * The listener's own struct, for listener.c and metrics.c.
 */
#ifndef TIDEGATE_SOURCES_MQTT_LISTENER_INTERNAL_H
#define TIDEGATE_SOURCES_MQTT_LISTENER_INTERNAL_H

#include <netdb.h>

#include "sources/mqtt/loop.h"

enum { LOOPS_MAX = 64 };

struct listener {
    struct source source; /* first */
    struct shared shared;
    struct loop **loops;
    unsigned loop_count;
    _Atomic int port, tls_port; /* 0: none; any thread, also before start is over */
    void (*closed)(void *arg);
    void *closed_arg;
};

/* listener_options.c: as getaddrinfo, of HOST:PORT. */
int listener_resolve(const char *address, bool numeric_only, struct addrinfo **out);
/* Plain MQTT goes beyond this machine only where the operator says so. */
int listener_plain_check(const struct listener_options *options, const struct sockaddr *to,
                         struct err *err);

void listener_metrics(struct source *source, struct buffer *out);

#endif
