/* SPDX-License-Identifier: Apache-2.0
 *
 * The admin interface: a small HTTP server (libmicrohttpd) on loopback by default. It knows
 * nothing of telemetry: a table says which path is answered by which function. Handlers run on the
 * server's own threads, at most `admin_threads` at once.
 */
#ifndef TIDEGATE_ADMIN_ADMIN_H
#define TIDEGATE_ADMIN_ADMIN_H

#include "base/bytes.h"
#include "base/err.h"

struct admin_request; /* what a handler may ask about the request */
/* The query argument of that name, or null. Valid during the handler. */
const char *admin_argument(const struct admin_request *request, const char *name);

struct admin_route {
    const char *path;         /* "/metrics"; exact match; GET and HEAD only */
    const char *content_type; /* "application/json" */
    /* Append the body; return the HTTP status. */
    int (*handle)(void *arg, const struct admin_request *request, struct buffer *body);
};

struct admin;
/* `routes` ends with a null path and outlives the server. listen: HOST:PORT, port 0 picks one. */
int admin_start(struct admin **out, const char *listen, const struct admin_route *routes, void *arg,
                struct err *err);
int admin_port(const struct admin *admin);
void admin_stop(struct admin *admin); /* waits for handlers; accepts null */

#endif
