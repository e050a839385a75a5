/* SPDX-License-Identifier: Apache-2.0
 *
 * Replays over the admin interface: listing, beginning, stopping. Handlers of report_routes; the
 * admin server's threads.
 */
#ifndef TIDEGATE_REPLAY_ADMIN_H
#define TIDEGATE_REPLAY_ADMIN_H

#include "admin/admin.h"
#include "gateway.h"

/* GET /replay[?id=]: {"replays":[...]}, newest first. */
int replay_admin_list(void *arg, const struct admin_request *request, struct buffer *body);
/* GET /replay/examples?id=: lines of text. */
int replay_admin_examples(void *arg, const struct admin_request *request, struct buffer *body);
/* POST /replay: the request as a JSON object; {"id":...}. */
int replay_admin_begin(void *arg, const struct admin_request *request, struct buffer *body);
/* POST /replay/stop, resume, forget, each with ?id=: {"id":...}. */
int replay_admin_stop(void *arg, const struct admin_request *request, struct buffer *body);
int replay_admin_resume(void *arg, const struct admin_request *request, struct buffer *body);
int replay_admin_forget(void *arg, const struct admin_request *request, struct buffer *body);

/* Replays by state and their progress, as Prometheus text. */
void replay_admin_metrics(const struct gateway *gateway, struct buffer *out);
/* Member `replays` of the status object: those that run, with a comma before it. */
void replay_admin_status(const struct gateway *gateway, struct buffer *out);

#endif
