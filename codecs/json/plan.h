/* SPDX-License-Identifier: Apache-2.0
 *
 * A mapping as it is used: what mapping_read.c makes of the YAML and mapping.c decodes by. All
 * memory stands in the mapping's arena, except what json_mapping_free names. Read-only once made.
 */
#ifndef TIDEGATE_CODECS_JSON_PLAN_H
#define TIDEGATE_CODECS_JSON_PLAN_H

#include "codecs/codec.h"
#include "codecs/json/path.h"
#include "codecs/json/stamp.h"
#include "codecs/json/transfer.h"

struct json_texts {
    const struct bytes *items;
    size_t count;
};

/* A text from the payload (a path), or put together from {captures} and constants. */
struct json_text {
    struct json_path path;
    struct bytes template; /* with its braces; empty: the path counts */
};

struct json_time_rule {
    bool set;
    struct json_path path;
    struct json_stamp_format format;
    enum time_source source;
    bool required;
};

struct json_quality_rule {
    struct json_path path;
    struct json_texts texts[QUALITY_COUNT];
    enum quality otherwise;
};

/* What a text means as a number: on: 1. */
struct json_meaning {
    struct bytes text;
    struct decimal value;
};

/* A value and what becomes of it. */
struct json_field {
    struct json_path path; /* not set for the names of a pair rule */
    struct bytes name;     /* of a pair; empty for a field */
    struct bytes metric;
    struct bytes unit; /* empty: the value, scaled, is in the metric's canonical unit */
    struct json_path unit_path;
    bool required;
    bool skip; /* of a pair: left out on purpose */
    bool has_scale, has_offset;
    struct decimal scale, offset;
    const struct json_meaning *meanings;
    size_t meaning_count;
    struct json_texts invalid; /* values that say "no value" */
    struct json_time_rule time;
    struct json_quality_rule quality;
};

enum json_others { JSON_OTHERS_KEEP, JSON_OTHERS_IGNORE };

/* Name and value pairs: {"tag": "P1", "value": 3} or {"P1": 3}. */
struct json_pairs {
    struct json_path path;
    struct json_text name; /* neither: the key that the path's last * went through */
    struct json_path value;
    struct json_time_rule time;
    struct json_quality_rule quality;
    const struct json_field *names; /* sorted by name */
    size_t name_count;
    enum json_others others;
};

/* Bytes for another codec. */
struct json_payload {
    struct json_path path;
    enum json_transfer encoding;
    const struct codec *codec; /* null: none */
    void *config;              /* owned */
    bool required;
    bool prefer_envelope; /* its device stands above the one that the bytes name */
};

struct json_condition {
    struct json_path path;
    struct json_texts equals;
};

struct json_mapping {
    struct arena arena;
    struct json_path points;
    uint64_t points_max;
    bool takes_last;
    size_t slots; /* rooted paths */
    struct json_text device;
    struct json_time_rule time;
    struct json_quality_rule quality;
    struct json_field *fields;
    size_t field_count;
    struct json_pairs *pairs;
    size_t pair_count;
    struct json_payload payload;
    struct json_condition *ignore;
    size_t ignore_count;
};

/* mapping_read.c: fills a zeroed mapping. GW_EINVAL with all errors reported. */
int json_mapping_read(struct json_mapping *mapping, struct bytes yaml, const char *origin,
                      bool *empty, struct buffer *errors);

#endif
