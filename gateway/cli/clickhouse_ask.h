/* SPDX-License-Identifier: Apache-2.0
 *
 * Questions to a ClickHouse server over HTTP, answered while the caller waits (libcurl). Separate from the
 * sink's client, which never waits. Main thread.
 */
#ifndef TIDEGATE_CLI_CLICKHOUSE_ASK_H
#define TIDEGATE_CLI_CLICKHOUSE_ASK_H

#include "base/bytes.h"
#include "base/err.h"

struct clickhouse_login {
    const char *user, *password; /* null: the server's default */
    const char *ca_file;         /* null: the system's */
    int64_t connect_ms;
};

struct clickhouse_ask;
/* `base` as http://a1:8123. GW_EINVAL: a user or password that no header can carry. */
int clickhouse_ask_new(const char *base, const struct clickhouse_login *login,
                       struct clickhouse_ask **out, struct err *err);
void clickhouse_ask_free(struct clickhouse_ask *ask); /* accepts null */

/* The server answers with all of the result or with an error, never with a part. `part` hears it piece by
 * piece; other than 0 ends it. GW_EIO: not reachable, or cut; GW_EINVAL: the server's own sentence. */
int clickhouse_ask_stream(struct clickhouse_ask *ask, struct bytes query,
                          int (*part)(void *arg, struct bytes in), void *arg, struct err *err);
/* A short answer, appended. */
int clickhouse_ask_text(struct clickhouse_ask *ask, const char *query, struct buffer *out,
                        struct err *err);
/* A string literal, appended. */
void clickhouse_quote(struct bytes in, struct buffer *out);

#endif
