/* SPDX-License-Identifier: Apache-2.0
 *
 * A YAML document as a plain tree, and errors that point into it.
 *
 * libfyaml stays behind this file: configuration and mappings walk nodes and report what they do
 * not like; every error is collected, as
 *
 *     tidegate.yaml:12:5: unknown option "flush_aeg": did you mean "flush_age"?
 *         flush_aeg: 10s
 *         ^
 *
 * Duplicate keys, keys that are no scalars, anchors and aliases, and a second document are refused
 * (an alias can make a small file expand without bound). One thread for one `struct yaml`.
 */
#ifndef TIDEGATE_BASE_YAML_H
#define TIDEGATE_BASE_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/option.h"

enum yaml_kind { YAML_SCALAR, YAML_SEQUENCE, YAML_MAPPING };

/* Lives as long as its `struct yaml`. */
struct yaml_node {
    enum yaml_kind kind;
    int line, column;              /* from 1; the column counts characters */
    const char *text;              /* of a scalar, NUL-terminated; "" for the other kinds */
    size_t size;                   /* of text; it may hold NUL bytes itself */
    bool quoted;                   /* the scalar stands in quotes (or is a block): never null */
    const struct yaml_node *key;   /* the key's scalar when this is a value of a mapping */
    const struct yaml_node *first; /* the first item or value, in the order of the file */
    const struct yaml_node *next;  /* its sibling */
    size_t count;                  /* of items or values */
};

struct yaml {
    const char *origin; /* borrowed: names the file in errors */
    struct bytes text;  /* borrowed: for the lines in errors */
    struct buffer *errors;
    size_t error_count;
    const struct yaml_node *root; /* null for an empty document */
    struct arena arena;
};

/* Parse. `yaml` is the caller's memory, zeroed or not; `text`, `origin` and `errors` outlive it.
 * GW_EINVAL when anything was wrong, with the errors in `errors`; yaml_fini in any case. */
int yaml_parse(struct yaml *yaml, struct bytes text, const char *origin, struct buffer *errors);
void yaml_fini(struct yaml *yaml); /* accepts null and zeroed */

#define YAML_EACH(child, node)                                                                     \
    for (const struct yaml_node *child = (node)->first; child; child = child->next)

/* The value of that key, or null. */
const struct yaml_node *yaml_find(const struct yaml_node *mapping, const char *key);
/* True for null (no node at all), and for a plain scalar `~`, `null` or nothing. */
bool yaml_is_null(const struct yaml_node *node);

/* Adds one error with the line and a caret at the node (or at the start of the file when it is
 * null). Returns GW_EINVAL. After 100 errors the rest are only counted. */
int yaml_error(struct yaml *yaml, const struct yaml_node *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* True when the node is of that kind; otherwise an error: "`what` must be a mapping". */
bool yaml_expect(struct yaml *yaml, const struct yaml_node *node, enum yaml_kind kind,
                 const char *what);
/* An error for every key that is not in `names` (null-terminated), with the nearest that is.
 * `what` names the kind of thing: "option", "field". GW_EINVAL when there was one. */
int yaml_check_keys(struct yaml *yaml, const struct yaml_node *mapping, const char *const *names,
                    const char *what);
/* The error for one unknown key. `nearest` may be null. */
int yaml_unknown_key(struct yaml *yaml, const struct yaml_node *value, const char *what,
                     const char *nearest);
/* Set one member from its value; null (no node, too) leaves what is there. */
int yaml_set_option(struct yaml *yaml, const struct yaml_node *value, const struct option *row,
                    void *target);
/* Set members of `target` by option rows: each key of the mapping that a row names. Keys in `also`
 * (null-terminated, may be null) are left to the caller; every other key is an error. Null values
 * leave the default. GW_EINVAL when there was an error. */
int yaml_set_options(struct yaml *yaml, const struct yaml_node *mapping, const struct option *rows,
                     void *target, const char *const *also);

#endif
