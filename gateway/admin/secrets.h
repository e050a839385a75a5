/* SPDX-License-Identifier: Apache-2.0
 *
 * What the admin interface keeps from files: its certificate, its key, its tokens. Read again on
 * SIGHUP as a whole.
 */
#ifndef TIDEGATE_ADMIN_SECRETS_H
#define TIDEGATE_ADMIN_SECRETS_H

#include <gnutls/abstract.h>

#include "admin/admin.h"
#include "admin/tokens.h"

enum { CHAIN_MAX = 8 };

struct admin_secrets {
    struct tokens tokens; /* none: no token is asked for */
    gnutls_pcert_st chain[CHAIN_MAX];
    unsigned chain_count; /* 0: no TLS */
    gnutls_privkey_t key;
    int64_t ends_ms;             /* of the certificate; 0 without */
    struct admin_secrets *older; /* what handshakes of before may still use; freed at the end */
};

#endif
