/* SPDX-License-Identifier: Apache-2.0
 *
 * Passwords are hashed here, off the loops: by a few threads, from a queue of a fixed length. A hash takes
 * tens of milliseconds and megabytes on purpose, so whoever sends many CONNECTs must find a queue that
 * is full and not a gateway that stands still.
 *
 * The queue has a row for each of LOGIN_ROWS groups of addresses, and rows are served in turn: one
 * address that floods waits behind itself. When the queue is full, the longest row gives way.
 */
#ifndef TIDEGATE_SOURCES_MQTT_LOGIN_H
#define TIDEGATE_SOURCES_MQTT_LOGIN_H

#include <stdatomic.h>

#include "sources/access.h"

struct conn;
struct mailbox;
struct login_pool;

enum { LOGIN_ROWS = 64 };

/* One CONNECT whose password waits to be checked. The loop makes it, the pool has it from login_push until
 * it comes back as a letter; whoever has it frees it. */
struct login {
    struct login *next; /* in its row */
    struct conn *conn;  /* the loop's; null: it is gone */
    struct mailbox *mailbox;
    _Atomic bool cancelled; /* not worth the work any more */
    bool busy;              /* the queue was full: no answer */
    enum access_answer answer;
    struct access_grant grant;
    struct access_request request; /* views of `data` */
    struct bytes packet;           /* the CONNECT whole, in `data` */
    uint8_t data[];
};

/* Copies the packet and what the request names. */
struct login *login_new(struct conn *conn, struct mailbox *mailbox, struct bytes packet,
                        const struct access_request *request);
void login_free(struct login *login); /* wipes the password; accepts null */

struct login_pool *login_pool_new(struct access *access, size_t waiting_max);
int login_pool_start(struct login_pool *pool, unsigned threads, struct err *err);
/* Ends the threads; what waits stays unanswered. */
void login_pool_stop(struct login_pool *pool);
void login_pool_free(struct login_pool *pool); /* after the loops; accepts null */
/* Takes the login over, or false: there is no room for it. Any loop. */
bool login_push(struct login_pool *pool, struct login *login);
size_t login_pool_waiting(struct login_pool *pool);
uint64_t login_pool_busy(struct login_pool *pool); /* found no room, or lost it */

#endif
