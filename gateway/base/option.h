/* SPDX-License-Identifier: Apache-2.0
 *
 * One row per option: the row is the parser, the default, the range, the help and the reference.
 *
 * A table of rows describes one plain struct; the configuration reader sets members through it,
 * `tidegate validate --reference` prints it, and a sink or codec brings its own table. Rows end
 * with a row whose name is null. Text given to option_set is copied into strings that the struct
 * owns; option_fini frees them. One thread at a time for one struct.
 */
#ifndef TIDEGATE_BASE_OPTION_H
#define TIDEGATE_BASE_OPTION_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum option_type {
    OPTION_BOOL,     /* bool: true, false */
    OPTION_INT,      /* int64_t, within min..max */
    OPTION_SIZE,     /* uint64_t bytes: 4096, 64KiB, 16MiB, 40GiB (also kB, MB, GB) */
    OPTION_DURATION, /* int64_t milliseconds: 500ms, 10s, 5m, 26h, 7d */
    OPTION_ENUM,     /* int: index into `names` */
    OPTION_STRING,   /* char *, owned; null when neither given nor a default */
    OPTION_PATH,     /* char *, owned; relative paths are kept as given */
    OPTION_ADDRESS,  /* char *, owned: HOST:PORT, checked; [::1]:1883 for IPv6 */
    OPTION_MAP,      /* struct option_map, owned: a mapping of names to texts */
};

/* Names that only somebody else knows (a library's own settings), in the order they were given. */
struct option_map {
    char **keys, **values; /* owned; of one key the last value that was given */
    size_t count;
};

struct option {
    const char *name; /* as in the file, for example "flush_age" */
    enum option_type type;
    size_t offset;            /* of the member in the struct */
    const char *def;          /* default, as text in the file's form; null: none */
    int64_t min, max;         /* for INT, SIZE, DURATION; both 0: no bounds but the type's. For
                                 ADDRESS max may be OPTION_ADDRESS_NONE */
    const char *const *names; /* for ENUM, null-terminated */
    const char *help;         /* one sentence */
};

/* `none` is an ADDRESS, too, and makes the member null. */
enum { OPTION_ADDRESS_NONE = 1 };

/* Set every member to its default. The struct's memory must be zeroed before. */
void option_defaults(const struct option *rows, void *target);
/* The row of that name, or null. */
const struct option *option_find(const struct option *rows, const char *name);
/* The nearest known name within a small edit distance, for "did you mean", or null. */
const char *option_nearest(const struct option *rows, const char *name);
/* Parse `text` into the member. GW_EINVAL with a text that says what is allowed. For a MAP it is
 * one `key=value`, which is added to what is there. */
int option_set(const struct option *row, void *target, const char *text, struct err *err);
/* Copy one pair into a member of type MAP; a key that is there gets the new value. */
void option_map_set(struct option_map *map, const char *key, const char *value);
/* The value of that key, or null. */
const char *option_map_find(const struct option_map *map, const char *key);
/* Free the strings. */
void option_fini(const struct option *rows, void *target);

/* The parsers alone, for other places that read sizes and times. */
int option_parse_size(const char *text, uint64_t *out);
int option_parse_duration(const char *text, int64_t *out_ms);

#endif
