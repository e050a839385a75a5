/* SPDX-License-Identifier: Apache-2.0
 *
 * The admin interface: a small HTTP server (libmicrohttpd) on loopback by default; beyond it only with
 * TLS and a token. It knows nothing of telemetry: a table says which path is answered by which
 * function, and what a caller needs for it. Handlers run on the server's own threads.
 */
#ifndef TIDEGATE_ADMIN_ADMIN_H
#define TIDEGATE_ADMIN_ADMIN_H

#include "base/address.h"
#include "base/audit_log.h"
#include "base/bytes.h"
#include "base/err.h"

struct admin_request; /* what a handler may ask about the request */
/* The query argument of that name, or null. Valid during the handler. */
const char *admin_argument(const struct admin_request *request, const char *name);
/* What was posted; valid during the handler. */
struct bytes admin_body(const struct admin_request *request);

/* The name of the caller's token, or "" without one; valid during the handler. */
const char *admin_who(const struct admin_request *request);
struct address admin_from(const struct admin_request *request);
/* May it hear more than yes or no? With a token, or from this machine. */
bool admin_trusted(const struct admin_request *request);

/* What a token must at least be good for, where tokens are asked for. */
enum admin_need {
    ADMIN_NEEDS_READ = 0,
    ADMIN_NEEDS_METRICS,
    ADMIN_NEEDS_OPERATE, /* every POST */
    ADMIN_NEEDS_NOTHING, /* no token; such a handler asks admin_trusted before it tells details */
};

struct admin_route {
    const char *path;         /* "/metrics"; exact match */
    const char *content_type; /* "application/json"; of errors of `post` "text/plain" */
    /* GET and HEAD. Append the body; return the HTTP status. Null: 405. */
    int (*handle)(void *arg, const struct admin_request *request, struct buffer *body);
    /* POST, which changes something: only JSON of at most 64 KiB, and nothing that a browser sends in
     * the name of a page (it tells its Origin). Null: 405. */
    int (*post)(void *arg, const struct admin_request *request, struct buffer *body);
    enum admin_need need; /* of GET and HEAD */
};

struct admin;
/* Section `admin` (rows.c). */
struct admin_options {
    char *listen;                      /* HOST:PORT, port 0 picks one */
    char *certificate_file, *key_file; /* PEM; null: plain HTTP */
    char *token_file;                  /* tokens.h; null: no token is asked for */
    bool insecure;                     /* plain HTTP beyond loopback */
};
/* Null when it may listen there, as far as its text tells; else a sentence with the way out. */
const char *admin_exposed(const struct admin_options *options);

/* The files; GW_EINVAL with a text. */
struct admin_secrets;
int admin_secrets_read(struct admin_secrets **out, const struct admin_options *options,
                       struct err *err);
void admin_secrets_free(struct admin_secrets *secrets); /* accepts null */

/* `routes` ends with a null path and outlives the server, as does `audit` (null: none). GW_EINVAL: it
 * would be in reach of others without TLS and a token. One admin interface a process has TLS. */
int admin_start(struct admin **out, const struct admin_options *options,
                const struct admin_route *routes, void *arg, struct audit_log *audit,
                struct err *err);
/* What cannot change while it runs: whether there is TLS, and, where others reach it, that there are
 * tokens. GW_EINVAL with a text. */
int admin_may_renew(const struct admin *admin, const struct admin_options *options,
                    struct err *err);
/* From now on these; takes them over. Main thread. */
void admin_renew(struct admin *admin, struct admin_secrets *secrets);
/* When our certificate ends; 0 without one. */
int64_t admin_certificate_ends_ms(struct admin *admin);
int admin_port(const struct admin *admin);
void admin_stop(struct admin *admin); /* waits for handlers; accepts null */

#endif
