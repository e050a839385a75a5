/* SPDX-License-Identifier: Apache-2.0
 *
 * Bearer tokens of the admin interface (RFC 6750): a file of them, so that an old and a new one are
 * good at the same time. Only their digests are kept in memory. Pure but for the reading.
 */
#ifndef TIDEGATE_ADMIN_TOKENS_H
#define TIDEGATE_ADMIN_TOKENS_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/disk.h"
#include "base/err.h"

/* Each may do what those before it may. */
enum token_role {
    TOKEN_METRICS, /* /metrics */
    TOKEN_READ,    /* and everything else that changes nothing, readings among it */
    TOKEN_OPERATE, /* and what changes something */
    TOKEN_ROLES,
};

enum { TOKEN_NAME_SIZE = 65, TOKENS_MAX = 256, TOKEN_BYTES_MIN = 24, TOKEN_BYTES_MAX = 512 };

struct token {
    char name[TOKEN_NAME_SIZE]; /* stands in the audit log */
    enum token_role role;
    uint8_t digest[32]; /* SHA-256 */
};

struct tokens {
    struct token *items;
    size_t count;
};

/* Lines `NAME ROLE TOKEN`, or a TOKEN alone, which is one of role operate; empty lines and those that begin with # are left out. GW_EINVAL with file
 * and line: nothing in it, a line that is none, a token that is short or there twice, or a file that
 * others than its owner and group may read. The text never holds a token. */
int tokens_read(struct tokens *tokens, const struct disk *disk, const char *path, struct err *err);
void tokens_fini(struct tokens *tokens);
/* Takes as long whichever it is, or none: null. */
const struct token *tokens_find(const struct tokens *tokens, struct bytes token);

#endif
