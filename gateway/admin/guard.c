/* SPDX-License-Identifier: Apache-2.0
 *
 * See guard.h. Without a token file everybody who reaches the port may do all: then it is on loopback
 * (admin.c refuses to start elsewhere). A token that is wrong is answered after a while, so that
 * nobody tries many by one connection; those that wait are bounded, so that they cannot take all
 * threads from those who have one.
 */
#include "admin/guard.h"

#include <microhttpd.h>
#include <stdatomic.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>

enum { DELAY_MS = 300, DELAYED_MAX = 16 };

void guard_init(struct guard *guard, struct admin_secrets *secrets, struct audit_log *audit)
{
    pthread_mutex_init(&guard->lock, NULL);
    guard->secrets = secrets;
    guard->audit = audit;
}

void guard_fini(struct guard *guard)
{
    admin_secrets_free(guard->secrets);
    pthread_mutex_destroy(&guard->lock);
}

/* RFC 6750, 2.1: the word, blanks, the token. Empty when it is something else. */
static struct bytes token_of(const char *authorization)
{
    static const char word[] = "Bearer";
    size_t size = sizeof word - 1;
    if (authorization == NULL || strncasecmp(authorization, word, size) != 0 ||
        authorization[size] != ' ')
        return (struct bytes){0};
    authorization += size;
    authorization += strspn(authorization, " ");
    return bytes_text(authorization);
}

/* Needs that no token is known for are nobody's. */
static bool role_suffices(enum token_role role, enum admin_need need)
{
    static const enum token_role wanted[] = {[ADMIN_NEEDS_READ] = TOKEN_READ,
                                             [ADMIN_NEEDS_METRICS] = TOKEN_METRICS,
                                             [ADMIN_NEEDS_OPERATE] = TOKEN_OPERATE,
                                             [ADMIN_NEEDS_NOTHING] = TOKEN_METRICS};
    return role >= wanted[need];
}

static unsigned refuse_slowly(struct guard *guard)
{
    unsigned status = MHD_HTTP_TOO_MANY_REQUESTS;
    if (atomic_fetch_add(&guard->delayed, 1) < DELAYED_MAX) {
        nanosleep(&(struct timespec){.tv_nsec = DELAY_MS * 1000000L}, NULL);
        status = MHD_HTTP_UNAUTHORIZED;
    }
    atomic_fetch_sub(&guard->delayed, 1);
    return status;
}

unsigned guard_ask(struct guard *guard, const char *authorization, enum admin_need need,
                   struct admin_caller *caller)
{
    struct bytes text = token_of(authorization);
    bool asked = false, known = false, suffices = false;
    pthread_mutex_lock(&guard->lock);
    const struct tokens *tokens = &guard->secrets->tokens;
    asked = tokens->count > 0;
    const struct token *token = asked && text.size ? tokens_find(tokens, text) : NULL;
    if (token) {
        known = true;
        suffices = role_suffices(token->role, need);
        memcpy(caller->name, token->name, sizeof caller->name);
    }
    pthread_mutex_unlock(&guard->lock);
    caller->trusted = known || address_is_loopback(&caller->from);
    if (!asked || need == ADMIN_NEEDS_NOTHING)
        return MHD_HTTP_OK;
    if (known)
        return suffices ? MHD_HTTP_OK : MHD_HTTP_FORBIDDEN;
    /* Who sent none guesses nothing. */
    return text.size ? refuse_slowly(guard) : MHD_HTTP_UNAUTHORIZED;
}

void guard_audit(struct guard *guard, const struct admin_caller *caller, const char *method,
                 const char *path, const char *query, unsigned status)
{
    char why[32];
    struct buffer object = {0};
    buffer_printf(&object, "%s %s%s%s", method, path, query ? "?id=" : "", query ? query : "");
    snprintf(why, sizeof why, "HTTP status %u", status);
    struct audit_entry entry = {
        .what = AUDIT_ADMIN,
        .result = status < 400   ? AUDIT_OK
                  : status < 500 ? AUDIT_REFUSED
                                 : AUDIT_FAILED,
        .who = bytes_text(caller->name),
        .from = caller->from,
        .object = buffer_bytes(&object),
        .why = why,
    };
    audit_log_add(guard->audit, &entry);
    buffer_fini(&object);
}
