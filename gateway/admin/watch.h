/* SPDX-License-Identifier: Apache-2.0
 *
 * Deadlines of connections: libmicrohttpd ends a connection that is silent, but one that sends a byte
 * now and then could keep its place for ever. A thread of its own looks twice a second and shuts down
 * sockets that are past theirs.
 */
#ifndef TIDEGATE_ADMIN_WATCH_H
#define TIDEGATE_ADMIN_WATCH_H

#include <stdint.h>

#include "base/err.h"

struct watch;
struct watched; /* one connection */

int watch_start(struct watch **out, struct err *err);
void watch_stop(struct watch *watch); /* nothing may be watched any more; accepts null */

/* `fd` stays the caller's, and open until watch_remove. Any thread. */
struct watched *watch_add(struct watch *watch, int fd, int64_t timeout_ms);
void watch_remove(struct watch *watch, struct watched *watched);
/* From now on so long; 0: no deadline. */
void watch_set(struct watch *watch, struct watched *watched, int64_t timeout_ms);

#endif
