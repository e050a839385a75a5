/* SPDX-License-Identifier: Apache-2.0
 *
 * A JSON text (RFC 8259) as a flat list of nodes, checked to its last byte.
 *
 * simdjson's On-Demand interface reads it; this shim walks all of it, so that UTF-8, escapes,
 * number grammar, literals and trailing bytes are all checked before a codec looks at anything, and
 * keeps what a mapping needs: exact number text, keys unescaped, duplicate keys known. No
 * exception leaves it. Any thread: what is returned lives in scratch memory of the thread until
 * the next call on it, so a document is used up before another is read.
 */
#ifndef TIDEGATE_CODECS_JSON_DOCUMENT_H
#define TIDEGATE_CODECS_JSON_DOCUMENT_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
#include <cstddef>
extern "C" {
struct bytes { /* as in base/bytes.h, which is C */
    const uint8_t *data;
    size_t size;
};
#else
#include "base/bytes.h"
#endif

enum json_kind {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
};

/* Nodes stand in the order of the text: the children of a node follow it at once, and node + span
 * is what comes after its last one. */
struct json_node {
    struct bytes key;  /* in an object, unescaped; empty elsewhere */
    struct bytes text; /* a string unescaped, a number as written; empty for the others */
    uint32_t span;     /* nodes in this subtree, itself included */
    uint32_t count;    /* children */
    uint8_t kind;      /* enum json_kind */
    bool again;        /* its key stood in the same object before */
};

struct json_limits {
    uint32_t depth_max; /* of nested arrays and objects, at most 64 */
    uint32_t nodes_max;
};

struct json_refusal {
    const char *reason; /* static, [a-z0-9_] */
    const char *text;   /* static */
    size_t offset;      /* byte of the payload */
};

/* The root, which is an object or an array; null with `refusal` filled. A byte order mark before
 * the text is skipped. `*duplicate` is the first node whose key stood before, or null. */
const struct json_node *json_document_parse(struct bytes payload, const struct json_limits *limits,
                                            const struct json_node **duplicate,
                                            struct json_refusal *refusal);

#ifdef __cplusplus
}
#endif

#define JSON_EACH(child, node)                                                                     \
    for (const struct json_node *child = (node) + 1, *child##_end = (node) + (node)->span;         \
         child != child##_end; child += child->span)

#endif
