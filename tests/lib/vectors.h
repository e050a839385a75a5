/* SPDX-License-Identifier: Apache-2.0
 *
 * Test vectors: files of JSON lines under tests/vectors, one case a line. A reader for our own
 * files, strict enough to notice a broken one, and without a library, so that the JSON codec is not
 * tested with itself. Any failure to read fails the test that asked.
 */
#ifndef TIDEGATE_TESTS_VECTORS_H
#define TIDEGATE_TESTS_VECTORS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"

enum vector_kind {
    VECTOR_NULL,
    VECTOR_BOOL,
    VECTOR_NUMBER,
    VECTOR_STRING,
    VECTOR_ARRAY,
    VECTOR_OBJECT,
};

struct vector {
    enum vector_kind kind;
    const char *key;  /* when it is a member of an object */
    const char *text; /* a number as written, a string unescaped, "true" or "false" */
    size_t size;      /* of text */
    struct vector *first, *next;
    size_t count; /* of items or members */
};

#define VECTOR_EACH(child, node)                                                                   \
    for (const struct vector *child = (node)->first; child; child = child->next)

struct vectors {
    struct vector *cases; /* an array */
    struct arena *arena;
};

/* `path` below tests/vectors. Blank lines are passed over. */
void vectors_load(struct vectors *vectors, const char *path);
void vectors_fini(struct vectors *vectors);

/* The member, or null when it is absent (or null). */
const struct vector *vector_get(const struct vector *object, const char *key);
/* Its text, or `absent`. */
const char *vector_text(const struct vector *object, const char *key, const char *absent);
/* Hexadecimal digits as bytes, in the memory of `vectors`; white space is passed over. */
struct bytes vector_hex(struct vectors *vectors, const char *digits);

#endif
