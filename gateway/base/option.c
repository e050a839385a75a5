/* SPDX-License-Identifier: Apache-2.0
 *
 * Option rows at work: defaults, parsing with messages that say what is allowed, and freeing. One
 * thread at a time for one struct.
 */
#include "base/option.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "base/nearest.h"

/* A unit behind a number, and how much one of it is. */
struct suffix {
    const char *name;
    uint64_t factor;
};

static const struct suffix sizes[] = {
    {"", 1},
    {"B", 1},
    {"KiB", UINT64_C(1) << 10},
    {"MiB", UINT64_C(1) << 20},
    {"GiB", UINT64_C(1) << 30},
    {"TiB", UINT64_C(1) << 40},
    {"kB", 1000},
    {"MB", 1000000},
    {"GB", 1000000000},
    {"TB", UINT64_C(1000000000000)},
    {NULL, 0},
};

static const struct suffix durations[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0},
};

static void *member(const struct option *row, void *target)
{
    return (char *)target + row->offset;
}

static bool is_text(enum option_type type)
{
    return type == OPTION_STRING || type == OPTION_PATH || type == OPTION_ADDRESS;
}

/* Digits and a suffix, blanks between them allowed. No sign, no fraction: what an operator writes
 * is what is set. */
static int parse_suffixed(const char *text, const struct suffix *suffixes, uint64_t *out)
{
    uint64_t number = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++)
        if (__builtin_mul_overflow(number, UINT64_C(10), &number) ||
            __builtin_add_overflow(number, (uint64_t)(*at - '0'), &number))
            return GW_EINVAL;
    if (at == text)
        return GW_EINVAL;
    while (*at == ' ')
        at++;
    for (; suffixes->name; suffixes++)
        if (strcmp(at, suffixes->name) == 0)
            return __builtin_mul_overflow(number, suffixes->factor, out) ? GW_EINVAL : 0;
    return GW_EINVAL;
}

int option_parse_size(const char *text, uint64_t *out)
{
    uint64_t value;
    if (parse_suffixed(text, sizes, &value))
        return GW_EINVAL;
    *out = value;
    return 0;
}

int option_parse_duration(const char *text, int64_t *out_ms)
{
    uint64_t value;
    if (strcmp(text, "0") == 0)
        value = 0; /* nothing is nothing in every unit */
    else if (parse_suffixed(text, durations, &value) || value > INT64_MAX)
        return GW_EINVAL;
    *out_ms = (int64_t)value;
    return 0;
}

/* ---- ranges, as text ---- */

/* In the largest unit that divides it, as an operator would write it. */
static void format_suffixed(uint64_t value, const struct suffix *suffixes, uint64_t step_min,
                            char *out, size_t size)
{
    const struct suffix *best = &suffixes[0];
    for (const struct suffix *at = suffixes; at->name; at++)
        if (value && at->factor > best->factor && at->factor % step_min == 0 &&
            value % at->factor == 0)
            best = at;
    snprintf(out, size, "%" PRIu64 "%s", value / best->factor, best->name);
}

static void format_bound(const struct option *row, int64_t value, char *out, size_t size)
{
    if (row->type == OPTION_SIZE && value >= 0)
        format_suffixed((uint64_t)value, sizes, 1024, out, size);
    else if (row->type == OPTION_DURATION && value >= 0)
        format_suffixed((uint64_t)value, durations, 1, out, size);
    else
        snprintf(out, size, "%" PRId64, value);
}

static int check_range(const struct option *row, int64_t value, const char *text, struct err *err)
{
    char least[32], most[32];
    if ((row->min == 0 && row->max == 0) || (value >= row->min && value <= row->max))
        return 0;
    format_bound(row, row->min, least, sizeof least);
    format_bound(row, row->max, most, sizeof most);
    if (row->max == INT64_MAX)
        return err_set(err, GW_EINVAL, "%s: %s is out of range: %s or more", row->name, text,
                       least);
    return err_set(err, GW_EINVAL, "%s: %s is out of range: %s to %s", row->name, text, least,
                   most);
}

/* ---- one parser a type ---- */

static int set_bool(const struct option *row, void *target, const char *text, struct err *err)
{
    bool value = strcmp(text, "true") == 0;
    if (!value && strcmp(text, "false") != 0)
        return err_set(err, GW_EINVAL, "%s: \"%s\" must be true or false", row->name, text);
    *(bool *)member(row, target) = value;
    return 0;
}

static int set_int(const struct option *row, void *target, const char *text, struct err *err)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || *end || end == text || text[0] == ' ' || text[0] == '+')
        return err_set(err, GW_EINVAL, "%s: \"%s\" must be a whole number", row->name, text);
    if (check_range(row, value, text, err))
        return GW_EINVAL;
    *(int64_t *)member(row, target) = value;
    return 0;
}

static int set_size(const struct option *row, void *target, const char *text, struct err *err)
{
    uint64_t value;
    if (option_parse_size(text, &value) || value > INT64_MAX)
        return err_set(err, GW_EINVAL,
                       "%s: \"%s\" must be a size such as 4096, 64KiB, 16MiB or 40GiB", row->name,
                       text);
    if (check_range(row, (int64_t)value, text, err))
        return GW_EINVAL;
    *(uint64_t *)member(row, target) = value;
    return 0;
}

static int set_duration(const struct option *row, void *target, const char *text, struct err *err)
{
    int64_t value;
    if (option_parse_duration(text, &value))
        return err_set(err, GW_EINVAL,
                       "%s: \"%s\" must be a time with its unit, such as 500ms, 10s, 5m, 26h or 7d",
                       row->name, text);
    if (check_range(row, value, text, err))
        return GW_EINVAL;
    *(int64_t *)member(row, target) = value;
    return 0;
}

static int set_enum(const struct option *row, void *target, const char *text, struct err *err)
{
    char allowed[256] = "";
    size_t used = 0;
    for (int i = 0; row->names[i]; i++) {
        if (strcmp(row->names[i], text) == 0) {
            *(int *)member(row, target) = i;
            return 0;
        }
        const char *between = i == 0 ? "" : row->names[i + 1] ? ", " : " or ";
        int size = snprintf(allowed + used, sizeof allowed - used, "%s%s", between, row->names[i]);
        used += size > 0 && used + (size_t)size < sizeof allowed ? (size_t)size : 0;
    }
    const char *nearest = nearest_name(row->names, text);
    return err_set(err, GW_EINVAL, "%s: \"%s\" must be %s%s%s%s", row->name, text, allowed,
                   nearest ? ": did you mean \"" : "", nearest ? nearest : "",
                   nearest ? "\"?" : "");
}

static bool port_is_valid(const char *text)
{
    char *end;
    if (text[0] < '0' || text[0] > '9' || strlen(text) > 5)
        return false;
    return strtol(text, &end, 10) <= 65535 && *end == '\0';
}

/* HOST:PORT, [IPv6]:PORT; the host may not be left out and a bare IPv6 address is ambiguous. */
static bool address_is_valid(const char *text)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text || !port_is_valid(colon + 1) || strpbrk(text, " \t/@"))
        return false;
    size_t host = (size_t)(colon - text);
    if (text[0] == '[')
        return host > 2 && colon[-1] == ']' && memchr(text, ':', host) != NULL;
    return memchr(text, ':', host) == NULL;
}

static int set_text(const struct option *row, void *target, const char *text, struct err *err)
{
    bool none =
        row->type == OPTION_ADDRESS && row->max == OPTION_ADDRESS_NONE && strcmp(text, "none") == 0;
    if (row->type == OPTION_ADDRESS && !none && !address_is_valid(text))
        return err_set(err, GW_EINVAL,
                       "%s: \"%s\" must be HOST:PORT, such as 0.0.0.0:1883 or [::1]:1883",
                       row->name, text);
    if (row->type == OPTION_PATH && text[0] == '\0')
        return err_set(err, GW_EINVAL, "%s: a path must not be empty", row->name);
    char **slot = member(row, target);
    char *copy = none ? NULL : mem_strdup(text);
    free(*slot);
    *slot = copy;
    return 0;
}

/* ---- maps ---- */

static char **map_slot(const struct option_map *map, const char *key)
{
    for (size_t i = 0; i < map->count; i++)
        if (strcmp(map->keys[i], key) == 0)
            return &map->values[i];
    return NULL;
}

const char *option_map_find(const struct option_map *map, const char *key)
{
    char **slot = map_slot(map, key);
    return slot ? *slot : NULL;
}

void option_map_set(struct option_map *map, const char *key, const char *value)
{
    char *copy = mem_strdup(value);
    char **slot = map_slot(map, key);
    if (slot == NULL) {
        map->keys = mem_realloc(map->keys, (map->count + 1) * sizeof *map->keys);
        map->values = mem_realloc(map->values, (map->count + 1) * sizeof *map->values);
        map->keys[map->count] = mem_strdup(key);
        slot = &map->values[map->count++];
        *slot = NULL;
    }
    free(*slot);
    *slot = copy;
}

static int set_map(const struct option *row, void *target, const char *text, struct err *err)
{
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text)
        return err_set(err, GW_EINVAL, "%s: \"%s\" must be NAME=VALUE", row->name, text);
    char *key = bytes_strdup(bytes_of(text, (size_t)(equals - text)));
    option_map_set(member(row, target), key, equals + 1);
    free(key);
    return 0;
}

static void map_fini(struct option_map *map)
{
    for (size_t i = 0; i < map->count; i++) {
        free(map->keys[i]);
        free(map->values[i]);
    }
    free(map->keys);
    free(map->values);
    *map = (struct option_map){0};
}

/* ---- the table ---- */

int option_set(const struct option *row, void *target, const char *text, struct err *err)
{
    switch (row->type) {
    case OPTION_BOOL: return set_bool(row, target, text, err);
    case OPTION_INT: return set_int(row, target, text, err);
    case OPTION_SIZE: return set_size(row, target, text, err);
    case OPTION_DURATION: return set_duration(row, target, text, err);
    case OPTION_ENUM: return set_enum(row, target, text, err);
    case OPTION_STRING:
    case OPTION_PATH:
    case OPTION_ADDRESS: return set_text(row, target, text, err);
    case OPTION_MAP: return set_map(row, target, text, err);
    }
    return err_set(err, GW_EINVAL, "%s: no such type", row->name);
}

void option_defaults(const struct option *rows, void *target)
{
    struct err err;
    for (; rows->name; rows++)
        if (rows->def) {
            /* A default outside its own range is a mistake in a table of ours. */
            int code = option_set(rows, target, rows->def, &err);
            gw_assert(code == 0);
        }
}

const struct option *option_find(const struct option *rows, const char *name)
{
    for (; rows->name; rows++)
        if (strcmp(rows->name, name) == 0)
            return rows;
    return NULL;
}

const char *option_nearest(const struct option *rows, const char *name)
{
    const char *best = NULL;
    size_t best_distance = SIZE_MAX;
    for (; rows->name; rows++) {
        size_t distance = nearest_score(rows->name, name);
        if (distance < best_distance) {
            best_distance = distance;
            best = rows->name;
        }
    }
    return best && nearest_plausible(name, best_distance) ? best : NULL;
}

void option_fini(const struct option *rows, void *target)
{
    for (; rows->name; rows++) {
        if (is_text(rows->type)) {
            char **slot = member(rows, target);
            free(*slot);
            *slot = NULL;
        } else if (rows->type == OPTION_MAP) {
            map_fini(member(rows, target));
        }
    }
}
