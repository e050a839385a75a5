/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP requests on a libuv loop, by libcurl: many at once, connections kept alive, answers capped,
 * deadlines on everything. Knows nothing of ClickHouse but the name of its error header. Separate
 * from the hosts, which decide whom to ask, and from the errors, which say what an answer means.
 *
 * What it never does: follow a redirect, use a proxy of the environment, read .netrc, take a cookie,
 * send credentials to another host than the request's, accept a certificate it cannot verify.
 *
 * One thread: that of the loop.
 */
#ifndef TIDEGATE_SINKS_CLICKHOUSE_HTTP_H
#define TIDEGATE_SINKS_CLICKHOUSE_HTTP_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/bytes.h"
#include "base/err.h"

/* Bytes of an answer's headers, and of its body, that are read; then the connection is cut. */
enum { HTTP_ANSWER_MAX = 64 * 1024 };

struct http_options {
    const char *user;     /* null: none */
    const char *password; /* null: none */
    const char *ca_file;  /* null: the system's */
    int64_t connect_ms;   /* for connection and TLS handshake */
    /* A request that moves nearly nothing (below HTTP_SLOW_BYTES a second) for so long is given up,
     * and any request after ten times as long. Whole seconds, at least one. */
    int64_t stall_ms;
};
enum { HTTP_SLOW_BYTES = 100 };

struct http_client;
/* GW_EINVAL: a user or password that no header can carry, an unusable ca_file. Copies. */
int http_client_new(uv_loop_t *loop, const struct http_options *options, struct http_client **out,
                    struct err *err);
/* Another user or password, for requests that begin from now on. */
int http_client_login(struct http_client *client, const char *user, const char *password,
                      struct err *err);
/* Requests under way are dropped without a word; `closed` comes later, from the loop, and may free. */
void http_client_close(struct http_client *client, void (*closed)(void *arg), void *arg);
void http_client_free(struct http_client *client); /* after closed; accepts null */

/* How a request ended. */
enum http_end {
    HTTP_ANSWERED,    /* a whole answer: status and body */
    HTTP_UNREACHABLE, /* nothing was sent */
    HTTP_REFUSED,     /* TLS: we do not trust the server, or it does not trust us */
    HTTP_TIMED_OUT,   /* sent at least in part; no word */
    HTTP_BROKEN,      /* likewise: cut, or no HTTP */
};

/* Borrowed for the call of done(). */
struct http_answer {
    enum http_end end;
    int status;
    int exception_code; /* of the header X-ClickHouse-Exception-Code; 0: none */
    struct bytes body;  /* at most HTTP_ANSWER_MAX */
    bool body_cut;      /* there was more */
    const char *why;    /* unless answered: a sentence */
};

/* Caller's memory, and the caller's until done(). */
struct http_request {
    const char *url;   /* copied */
    struct bytes body; /* of a POST; borrowed until done(). Empty: a GET */
    void (*done)(struct http_request *request, const struct http_answer *answer);
    struct http_transfer *transfer; /* ours */
};

/* done() comes later, from the loop, exactly once, unless the client is closed before. */
void http_send(struct http_client *client, struct http_request *request);

/* Append `text` as the value of a URL parameter. */
void http_escape(struct buffer *out, struct bytes text);

#endif
