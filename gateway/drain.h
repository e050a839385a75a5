/* SPDX-License-Identifier: Apache-2.0
 *
 * A gateway that goes for good: nothing more is taken in, all that was is decoded and stored by every
 * sink, then it ends. A restart only needs SIGTERM: what is not sent then goes on at the next start.
 *
 *     asked -> SOURCES: clients and brokers are let go -> SENDING: until nothing is left -> DONE
 *
 * `DIR/leaving` is written first. While it is there the gateway takes nothing in, also after a
 * restart: it sends what is left and ends with exit code 0.
 */
#ifndef TIDEGATE_DRAIN_H
#define TIDEGATE_DRAIN_H

#include <stdbool.h>

#include "admin/admin.h"
#include "gateway.h"

enum drain_state { DRAIN_NONE, DRAIN_SOURCES, DRAIN_SENDING, DRAIN_DONE };

/* The file below a data folder; owned. */
char *drain_path(const char *data);

/* Main thread. */

void drain_init(struct gateway *gateway);  /* looks for the file, before the parts are made */
void drain_start(struct gateway *gateway); /* the loop runs: goes on where a drain was broken off */
void drain_close(struct gateway *gateway);
/* All sources have closed. False: not for a drain. */
bool drain_sources_closed(struct gateway *gateway);

/* Any thread. */

/* Not true any more once it has begun. */
bool drain_begun(const struct gateway *gateway);
/* The member "drain" of the status. */
void drain_status(struct gateway *gateway, struct buffer *out);
/* POST and GET /drain. */
int drain_admin_begin(void *arg, const struct admin_request *request, struct buffer *body);
int drain_admin_show(void *arg, const struct admin_request *request, struct buffer *body);

#endif
