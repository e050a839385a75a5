/* SPDX-License-Identifier: Apache-2.0
 *
 * Who may ask the admin interface what. Handlers' threads; the secrets may be exchanged meanwhile.
 */
#ifndef TIDEGATE_ADMIN_GUARD_H
#define TIDEGATE_ADMIN_GUARD_H

#include <pthread.h>

#include "admin/secrets.h"
#include "base/audit_log.h"

/* Who asks: what is remembered of a request for its handler and for the audit log. */
struct admin_caller {
    char name[TOKEN_NAME_SIZE]; /* of the token; "" without */
    struct address from;
    bool trusted; /* has a token, or comes from this machine where none is asked for */
};

struct guard {
    pthread_mutex_t lock;
    struct admin_secrets *secrets; /* under the lock; never null */
    struct audit_log *audit;
    _Atomic int delayed; /* answers to wrong tokens that wait now */
};

void guard_init(struct guard *guard, struct admin_secrets *secrets, struct audit_log *audit);
void guard_fini(struct guard *guard);
/* The HTTP status: 200 go on, 401 no token or a wrong one (told after a while), 403 a token whose role
 * is too small, 429 too many wrong ones at once. `authorization` is the header, or null. Fills `caller`
 * but for its address, which is there. */
unsigned guard_ask(struct guard *guard, const char *authorization, enum admin_need need,
                   struct admin_caller *caller);
/* What was asked, and its HTTP status, becomes an entry of the audit log. `query`: its ?id=, or null. */
void guard_audit(struct guard *guard, const struct admin_caller *caller, const char *method,
                 const char *path, const char *query, unsigned status);

#endif
