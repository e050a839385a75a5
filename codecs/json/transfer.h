/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes written as text in a JSON string: hexadecimal and base64. Any thread.
 */
#ifndef TIDEGATE_CODECS_JSON_TRANSFER_H
#define TIDEGATE_CODECS_JSON_TRANSFER_H

#include "base/arena.h"

enum json_transfer {
    JSON_TRANSFER_BASE64, /* both alphabets of RFC 4648, padded or not */
    JSON_TRANSFER_HEX,    /* upper or lower case */
    JSON_TRANSFER_TEXT,   /* the bytes of the string as they are */
};

/* Blanks between are skipped. False with *offset at the byte that does not belong. */
bool json_transfer_decode(enum json_transfer encoding, struct bytes text, struct arena *arena,
                          struct bytes *out, size_t *offset);

#endif
