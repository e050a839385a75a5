/* SPDX-License-Identifier: Apache-2.0
 *
 * An HTTP server that does as it is told, for faults that a real one cannot be made to show: answers
 * that are cut, dripped, endless or no HTTP at all. One blocking thread for each connection; the test
 * gives a function that says what to do with each request.
 */
#ifndef TIDEGATE_TESTS_FAKE_HTTP_H
#define TIDEGATE_TESTS_FAKE_HTTP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/bytes.h"

struct fake_request {
    struct bytes head; /* request line and headers, as they came */
    char *target;      /* "/?query=...", percent-decoded */
    struct bytes body;
    uint32_t connection; /* its number, from 1 */
};

enum fake_end {
    FAKE_KEEP,  /* the connection goes on */
    FAKE_CLOSE, /* orderly */
    FAKE_RESET, /* RST */
};

struct fake_reply {
    struct buffer text; /* sent as it is; see fake_reply_http */
    uint32_t delay_ms;  /* before the first byte */
    uint32_t drip_ms;   /* between single bytes; 0: all at once */
    uint64_t endless;   /* so many further bytes */
    enum fake_end end;
};

struct fake_http {
    int fd, port;
    pthread_t thread;
    pthread_mutex_t lock;
    _Atomic bool stopping;
    _Atomic uint32_t connections; /* accepted so far */
    _Atomic uint32_t running;
    /* Called with `lock` held, from the connection's thread. */
    void (*reply)(struct fake_http *fake, const struct fake_request *request,
                  struct fake_reply *out);
    void *arg;          /* the test's */
    int reset_early;    /* so many of the next connections are reset when half of a body came */
    bool answers_early; /* a request is answered when half of its body came; the rest is not read */
};

/* On a free port of 127.0.0.1; fake->reply is set before. */
void fake_http_start(struct fake_http *fake);
void fake_http_stop(struct fake_http *fake);
/* A whole answer with Content-Length. `headers` are lines that end with \r\n, or null. */
void fake_reply_http(struct fake_reply *reply, int status, const char *headers, const char *body);

#endif
