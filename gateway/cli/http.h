/* SPDX-License-Identifier: Apache-2.0
 *
 * Asking a running gateway over its admin interface (libcurl). Main thread.
 */
#ifndef TIDEGATE_CLI_HTTP_H
#define TIDEGATE_CLI_HTTP_H

#include "base/bytes.h"
#include "base/err.h"

struct http;
/* `admin` is HOST:PORT; TLS and token as cli_ask says. The connection is kept between questions. */
struct http *http_new(const char *admin);
void http_free(struct http *http); /* accepts null */
/* The body of GET `path` replaces what `body` holds. GW_EIO: not reachable, or no answer within
 * timeout_ms (the sentence names the next step); GW_EINVAL: another status than 200. */
int http_get(struct http *http, const char *path, int64_t timeout_ms, struct buffer *body,
             struct err *err);
/* POST `json`; what comes back replaces what `body` holds. GW_ENOENT, GW_EEXIST, GW_EINVAL with what
 * the gateway says: there is no such thing; something is in the way; anything else. GW_EIO as above. */
int http_post(struct http *http, const char *path, struct bytes json, int64_t timeout_ms,
              struct buffer *body, struct err *err);
/* HOST:PORT to ask one that listens on `listen`: what listens on all addresses is asked on loopback.
 * The caller frees it. */
char *http_reachable(const char *listen);
/* The exit code for an error of either. */
int http_exit_code(int rc);

#endif
