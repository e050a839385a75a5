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
/* What was posted; valid during the handler. */
struct bytes admin_body(const struct admin_request *request);

struct admin_route {
    const char *path;         /* "/metrics"; exact match */
    const char *content_type; /* "application/json"; of errors of `post` "text/plain" */
    /* GET and HEAD. Append the body; return the HTTP status. Null: 405. */
    int (*handle)(void *arg, const struct admin_request *request, struct buffer *body);
    /* POST, which changes something: only JSON of at most 64 KiB, and nothing that a browser sends in
     * the name of a page (it tells its Origin). Null: 405. */
    int (*post)(void *arg, const struct admin_request *request, struct buffer *body);
};

struct admin;
/* `routes` ends with a null path and outlives the server. listen: HOST:PORT, port 0 picks one. */
int admin_start(struct admin **out, const char *listen, const struct admin_route *routes, void *arg,
                struct err *err);
int admin_port(const struct admin *admin);
void admin_stop(struct admin *admin); /* waits for handlers; accepts null */

#endif
