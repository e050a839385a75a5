/* SPDX-License-Identifier: Apache-2.0
 *
 * Paths into a document: `a.b[0].c`, `"key with . in it"`, `points[]`, `d[tag=P1].value`,
 * `params.*`, `{meter}[]` (README.md has the grammar). Read-only once parsed, any thread.
 */
#ifndef TIDEGATE_CODECS_JSON_PATH_H
#define TIDEGATE_CODECS_JSON_PATH_H

#include "base/arena.h"
#include "base/err.h"
#include "codecs/json/document.h"

enum json_step_kind {
    JSON_STEP_KEY,   /* .key */
    JSON_STEP_INDEX, /* [3] */
    JSON_STEP_WHERE, /* [key=text]: the first item whose member is that text */
    JSON_STEP_ITEMS, /* []: every item; what is no array is its own only item */
    JSON_STEP_KEYS,  /* .* or .{name}: every member */
};

struct json_step {
    enum json_step_kind kind;
    struct bytes key;    /* KEY, WHERE; of KEYS the name it gives the key, or empty */
    struct bytes equals; /* WHERE */
    uint32_t index;      /* INDEX */
};

enum { JSON_PATH_STEPS_MAX = 16, JSON_PATH_KEYS_MAX = 4 };

/* A zeroed path is not set: json_path_find gives null. */
struct json_path {
    const struct json_step *steps;
    size_t count;
    bool set;
    bool rooted; /* begins with $: from the root, elsewhere from the point */
    bool many;   /* may match more than one node */
    size_t slot; /* of a rooted path, set by the mapping: where its node is remembered */
};

/* Into memory of `arena`. GW_EINVAL with a text that names the place. */
int json_path_parse(struct json_path *path, struct bytes text, struct arena *arena,
                    struct err *err);
/* The node of a path that is not `many`, or null. */
const struct json_node *json_path_find(const struct json_path *path, const struct json_node *from);

/* A match, and the keys its KEYS steps went through. */
struct json_match {
    const struct json_node *node;
    const struct json_path *path;
    struct bytes keys[JSON_PATH_KEYS_MAX];
    size_t key_count;
};
/* Calls `on_match` for each in the order of the text, until it returns false. Returns false then. */
bool json_path_each(const struct json_path *path, const struct json_node *from,
                    bool (*on_match)(void *arg, const struct json_match *match), void *arg);
/* The key that the step `{name}` went through, or empty. An empty name asks for the last key. */
struct bytes json_match_key(const struct json_match *match, struct bytes name);

#endif
