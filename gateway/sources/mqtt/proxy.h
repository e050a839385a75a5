/* SPDX-License-Identifier: Apache-2.0
 *
 * The header that a balancer puts before a connection's own bytes to say whose it is: PROXY protocol,
 * version 2 (haproxy, doc/proxy-protocol.txt, 2.2). Version 1 is text, and is not taken. Pure.
 */
#ifndef TIDEGATE_SOURCES_MQTT_PROXY_H
#define TIDEGATE_SOURCES_MQTT_PROXY_H

#include "base/address.h"
#include "base/bytes.h"

enum proxy_reason {
    PROXY_OK,
    PROXY_MORE,      /* good so far */
    PROXY_MISSING,   /* something else comes first */
    PROXY_VERSION_1, /* the text form */
    PROXY_VERSION,   /* neither 1 nor 2 */
    PROXY_COMMAND,   /* neither LOCAL nor PROXY */
    PROXY_FAMILY,    /* datagrams, or a family that the protocol has not */
    PROXY_LENGTH,    /* shorter than its addresses */
    PROXY_TLV,       /* an extension that goes beyond the end */
    PROXY_TOO_LARGE, /* beyond PROXY_BYTES_MAX */
    PROXY_REASONS,
};

enum { PROXY_BYTES_MAX = 4096 };

/* Words for logs and metrics, as the rows of a table; null where nothing is refused. */
#define PROXY_REASON_NAMES                                                                         \
    [PROXY_OK] = NULL, [PROXY_MORE] = NULL, [PROXY_MISSING] = "missing",                           \
    [PROXY_VERSION_1] = "version_1", [PROXY_VERSION] = "version", [PROXY_COMMAND] = "command",     \
    [PROXY_FAMILY] = "family", [PROXY_LENGTH] = "length", [PROXY_TLV] = "tlv",                     \
    [PROXY_TOO_LARGE] = "too_large"

enum proxy_kind {
    PROXY_LOCAL,   /* the balancer's own: a health check */
    PROXY_CLIENT,  /* of `peer` */
    PROXY_UNKNOWN, /* of somebody that it does not name */
};

struct proxy_header {
    enum proxy_kind kind;
    struct address peer; /* of PROXY_CLIENT */
    size_t size;         /* bytes of the header */
};

/* Judged byte by byte: what can no longer be a header is refused before the rest is there. *out is set
 * with PROXY_OK only. */
enum proxy_reason proxy_read(struct bytes in, struct proxy_header *out);

#endif
