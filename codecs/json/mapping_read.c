/* SPDX-License-Identifier: Apache-2.0
 *
 * YAML to a mapping. Separate from mapping.c because it runs once, talks to an operator, and goes
 * on after an error to report the next one. Any thread.
 */
#include "base/nearest.h"
#include "base/yaml.h"
#include "codecs/json/plan.h"
#include "codecs/json/value.h"

#include <stdlib.h>

enum { POINTS_MAX_DEFAULT = 10000, METRIC_SIZE_MAX = 128 };

struct scope {
    struct yaml yaml;
    struct json_mapping *mapping;
};

/* ---- scalars ---- */

static struct bytes node_text(const struct yaml_node *node)
{
    return bytes_of(node->text, node->size);
}

static struct bytes keep(struct scope *scope, struct bytes text)
{
    return arena_copy(&scope->mapping->arena, text);
}

static const char *key_of(const struct yaml_node *node)
{
    return node->key ? node->key->text : "an item of this list";
}

static void read_text(struct scope *scope, const struct yaml_node *node, struct bytes *out)
{
    if (!yaml_is_null(node) && yaml_expect(&scope->yaml, node, YAML_SCALAR, key_of(node)))
        *out = keep(scope, node_text(node));
}

static void read_bool(struct scope *scope, const struct yaml_node *node, bool *out)
{
    if (yaml_is_null(node))
        return;
    if (node->kind != YAML_SCALAR || (strcmp(node->text, "true") && strcmp(node->text, "false")))
        yaml_error(&scope->yaml, node, "%s must be true or false", key_of(node));
    else
        *out = strcmp(node->text, "true") == 0;
}

static bool read_decimal(struct scope *scope, const struct yaml_node *node, struct decimal *out)
{
    if (yaml_is_null(node))
        return false;
    if (node->kind == YAML_SCALAR && decimal_parse(node_text(node), out))
        return true;
    yaml_error(&scope->yaml, node, "%s must be a number, such as 0.001 (at most 18 digits)",
               key_of(node));
    return false;
}

/* The index of a word among `names`, or -1 with an error. */
static int read_choice(struct scope *scope, const struct yaml_node *node, const char *const *names,
                       const char *allowed)
{
    if (node->kind == YAML_SCALAR)
        for (int i = 0; names[i]; i++)
            if (strcmp(names[i], node->text) == 0)
                return i;
    const char *nearest = node->kind == YAML_SCALAR ? nearest_name(names, node->text) : NULL;
    yaml_error(&scope->yaml, node, "%s must be %s%s%s%s", key_of(node), allowed,
               nearest ? ": did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
    return -1;
}

/* A scalar, or a list of them. */
static void read_texts(struct scope *scope, const struct yaml_node *node, struct json_texts *out)
{
    if (node == NULL)
        return;
    if (node->kind == YAML_MAPPING) {
        yaml_error(&scope->yaml, node, "%s must be a value or a list of values", key_of(node));
        return;
    }
    const struct yaml_node *first = node->kind == YAML_SEQUENCE ? node->first : node;
    size_t room = node->kind == YAML_SEQUENCE ? node->count : 1;
    struct bytes *items = arena_alloc(&scope->mapping->arena, room * sizeof *items);
    for (const struct yaml_node *item = first; item; item = node == item ? NULL : item->next)
        if (yaml_expect(&scope->yaml, item, YAML_SCALAR, "a value of this list"))
            items[out->count++] = keep(scope, node_text(item));
    out->items = items;
}

/* ---- paths ---- */

static void read_path(struct scope *scope, const struct yaml_node *node, bool many_allowed,
                      struct json_path *out)
{
    struct err err;
    if (yaml_is_null(node))
        return;
    if (!yaml_expect(&scope->yaml, node, YAML_SCALAR, key_of(node)))
        return;
    if (json_path_parse(out, node_text(node), &scope->mapping->arena, &err)) {
        yaml_error(&scope->yaml, node, "%s", err.text);
        return;
    }
    if (out->rooted)
        out->slot = scope->mapping->slots++;
    if (out->many && !many_allowed)
        yaml_error(&scope->yaml, node,
                   "%s reads one value, but [] and * match many: give the list to \"points\" or "
                   "to the \"path\" of \"pairs\"",
                   key_of(node));
}

static void need_path(struct scope *scope, const struct yaml_node *mapping,
                      const struct json_path *path)
{
    const struct yaml_node *node = yaml_find(mapping, "path");
    if (!path->set && yaml_is_null(node))
        yaml_error(&scope->yaml, mapping->key ? mapping->key : mapping,
                   "a \"path\" is needed here: where in the payload");
}

static void check_template(struct scope *scope, const struct yaml_node *node)
{
    for (const char *at = node->text; *at; at++) {
        const char *close = *at == '{' ? strpbrk(at + 1, "{}") : NULL;
        if (*at == '{' && (close == NULL || *close == '{' || close == at + 1)) {
            yaml_error(&scope->yaml, node,
                       "%s: \"{\" begins a name such as {device}, and \"}\" ends "
                       "it",
                       key_of(node));
            return;
        }
        at = close ? close : at;
    }
}

/* A path, or with braces a text put together from captures. */
static void read_text_rule(struct scope *scope, const struct yaml_node *node, struct json_text *out)
{
    if (yaml_is_null(node))
        return;
    if (!yaml_expect(&scope->yaml, node, YAML_SCALAR, key_of(node)))
        return;
    if (memchr(node->text, '{', node->size) == NULL) {
        read_path(scope, node, false, &out->path);
        return;
    }
    check_template(scope, node);
    out->template = keep(scope, node_text(node));
}

/* ---- time and quality ---- */

static const char *const time_keys[] = {"path", "format", "zone", "source", "required", NULL};

static void read_zone(struct scope *scope, const struct yaml_node *node, struct zone **out)
{
    struct err err;
    if (yaml_is_null(node) || !yaml_expect(&scope->yaml, node, YAML_SCALAR, "zone"))
        return;
    if (zone_new(node->text, out, &err))
        yaml_error(&scope->yaml, node, "%s", err.text);
}

static void read_time(struct scope *scope, const struct yaml_node *node, struct json_time_rule *out)
{
    static const char *const sources[] = {"device", "platform", NULL};
    struct err err;
    if (yaml_is_null(node))
        return;
    out->set = true;
    if (node->kind == YAML_SCALAR) {
        read_path(scope, node, false, &out->path);
        return;
    }
    if (!yaml_expect(&scope->yaml, node, YAML_MAPPING, "time"))
        return;
    yaml_check_keys(&scope->yaml, node, time_keys, "key of a time");
    read_path(scope, yaml_find(node, "path"), false, &out->path);
    need_path(scope, node, &out->path);
    const struct yaml_node *format = yaml_find(node, "format");
    if (!yaml_is_null(format) && yaml_expect(&scope->yaml, format, YAML_SCALAR, "format") &&
        json_stamp_format_parse(&out->format, format->text, &err))
        yaml_error(&scope->yaml, format, "format: %s", err.text);
    read_zone(scope, yaml_find(node, "zone"), &out->format.zone);
    read_bool(scope, yaml_find(node, "required"), &out->required);
    const struct yaml_node *source = yaml_find(node, "source");
    if (!yaml_is_null(source) && read_choice(scope, source, sources, "device or platform") == 1)
        out->source = TIME_PLATFORM;
}

static void read_quality(struct scope *scope, const struct yaml_node *node,
                         struct json_quality_rule *out)
{
    static const char *const keys[] = {"path", "good", "uncertain", "bad", "otherwise", NULL};
    static const char *const names[] = {"good", "uncertain", "bad", NULL};
    if (yaml_is_null(node) || !yaml_expect(&scope->yaml, node, YAML_MAPPING, "quality"))
        return;
    out->otherwise = QUALITY_UNCERTAIN;
    yaml_check_keys(&scope->yaml, node, keys, "key of a quality");
    read_path(scope, yaml_find(node, "path"), false, &out->path);
    need_path(scope, node, &out->path);
    for (int i = 0; i < QUALITY_COUNT; i++)
        read_texts(scope, yaml_find(node, names[i]), &out->texts[i]);
    const struct yaml_node *otherwise = yaml_find(node, "otherwise");
    int choice = -1;
    if (!yaml_is_null(otherwise))
        choice = read_choice(scope, otherwise, names, "good, uncertain or bad");
    if (choice >= 0)
        out->otherwise = (enum quality)choice;
}

/* ---- fields ---- */

static const char *const field_keys[] = {"path",    "unit",     "unit_path", "scale",
                                         "offset",  "values",   "invalid",   "time",
                                         "quality", "required", NULL};
static const char *const name_keys[] = {"metric", "unit",    "unit_path", "scale", "offset",
                                        "values", "invalid", "quality",   NULL};

static void read_metric(struct scope *scope, const struct yaml_node *node, struct bytes *out)
{
    if (node->kind != YAML_SCALAR || node->size == 0 || node->size > METRIC_SIZE_MAX)
        yaml_error(&scope->yaml, node, "a metric's name has 1 to %d characters", METRIC_SIZE_MAX);
    else
        *out = keep(scope, node_text(node));
}

static void read_meanings(struct scope *scope, const struct yaml_node *node,
                          struct json_field *field)
{
    if (yaml_is_null(node) || !yaml_expect(&scope->yaml, node, YAML_MAPPING, "values"))
        return;
    struct json_meaning *meanings =
        arena_alloc(&scope->mapping->arena, node->count * sizeof *meanings);
    YAML_EACH(value, node)
    {
        struct json_meaning *meaning = &meanings[field->meaning_count];
        if (yaml_is_null(value)) {
            yaml_error(&scope->yaml, value->key, "values: a number is needed behind each text");
        } else if (read_decimal(scope, value, &meaning->value)) {
            meaning->text = keep(scope, node_text(value->key));
            field->meaning_count++;
        }
    }
    field->meanings = meanings;
}

/* What fields and names have in common. */
static void read_treatment(struct scope *scope, const struct yaml_node *node,
                           struct json_field *field)
{
    read_text(scope, yaml_find(node, "unit"), &field->unit);
    read_path(scope, yaml_find(node, "unit_path"), false, &field->unit_path);
    const struct yaml_node *scale = yaml_find(node, "scale");
    field->has_scale = read_decimal(scope, scale, &field->scale);
    if (field->has_scale && field->scale.mantissa == 0)
        yaml_error(&scope->yaml, scale, "scale: 0 would make every value 0");
    field->has_offset = read_decimal(scope, yaml_find(node, "offset"), &field->offset);
    read_meanings(scope, yaml_find(node, "values"), field);
    read_texts(scope, yaml_find(node, "invalid"), &field->invalid);
    read_quality(scope, yaml_find(node, "quality"), &field->quality);
}

static void read_field(struct scope *scope, const struct yaml_node *node, struct json_field *field)
{
    read_metric(scope, node->key, &field->metric);
    if (node->kind == YAML_SCALAR) {
        read_path(scope, node, false, &field->path);
        if (!field->path.set)
            yaml_error(&scope->yaml, node, "a path is needed here: where in the payload");
        return;
    }
    if (!yaml_expect(&scope->yaml, node, YAML_MAPPING, "a field"))
        return;
    yaml_check_keys(&scope->yaml, node, field_keys, "key of a field");
    read_path(scope, yaml_find(node, "path"), false, &field->path);
    need_path(scope, node, &field->path);
    read_treatment(scope, node, field);
    read_time(scope, yaml_find(node, "time"), &field->time);
    read_bool(scope, yaml_find(node, "required"), &field->required);
}

static void read_fields(struct scope *scope, const struct yaml_node *node)
{
    struct json_mapping *mapping = scope->mapping;
    if (yaml_is_null(node) || !yaml_expect(&scope->yaml, node, YAML_MAPPING, "fields"))
        return;
    size_t size = node->count * sizeof *mapping->fields;
    mapping->fields = arena_alloc(&mapping->arena, size);
    memset(mapping->fields, 0, size);
    YAML_EACH(value, node)
    read_field(scope, value, &mapping->fields[mapping->field_count++]);
}

/* ---- pairs ---- */

static void read_name(struct scope *scope, const struct yaml_node *node, struct json_field *field)
{
    field->name = keep(scope, node_text(node->key));
    field->skip = yaml_is_null(node);
    if (field->skip)
        return;
    if (node->kind == YAML_SCALAR) {
        read_metric(scope, node, &field->metric);
        return;
    }
    if (!yaml_expect(&scope->yaml, node, YAML_MAPPING, "a name"))
        return;
    yaml_check_keys(&scope->yaml, node, name_keys, "key of a name");
    const struct yaml_node *metric = yaml_find(node, "metric");
    if (metric)
        read_metric(scope, metric, &field->metric);
    else
        field->metric = field->name;
    read_treatment(scope, node, field);
}

static int field_order(const void *a, const void *b)
{
    const struct json_field *left = a, *right = b;
    return bytes_compare(left->name, right->name);
}

static void read_names(struct scope *scope, const struct yaml_node *node, struct json_pairs *pairs)
{
    if (yaml_is_null(node) || !yaml_expect(&scope->yaml, node, YAML_MAPPING, "names"))
        return;
    size_t size = node->count * sizeof(struct json_field);
    struct json_field *names = arena_alloc(&scope->mapping->arena, size);
    if (size)
        memset(names, 0, size);
    YAML_EACH(value, node)
    read_name(scope, value, &names[pairs->name_count++]);
    if (pairs->name_count > 1)
        qsort(names, pairs->name_count, sizeof *names, field_order);
    pairs->names = names;
}

static void check_pairs(struct scope *scope, const struct yaml_node *node,
                        const struct json_pairs *pairs)
{
    const struct yaml_node *path = yaml_find(node, "path");
    bool named = pairs->name.path.set || pairs->name.template.size;
    bool over_keys = false;
    for (size_t i = 0; i < pairs->path.count; i++)
        over_keys = over_keys || pairs->path.steps[i].kind == JSON_STEP_KEYS;
    if (pairs->path.set && !named && !over_keys)
        yaml_error(&scope->yaml, path,
                   "pairs need a name: end the path in .* to use the keys, or say with \"name\" "
                   "where it stands");
}

static void read_pair_rule(struct scope *scope, const struct yaml_node *node,
                           struct json_pairs *pairs)
{
    static const char *const keys[] = {"path",    "name",  "value",  "time",
                                       "quality", "names", "others", NULL};
    static const char *const others[] = {"keep", "ignore", NULL};
    if (!yaml_expect(&scope->yaml, node, YAML_MAPPING, "pairs"))
        return;
    yaml_check_keys(&scope->yaml, node, keys, "key of pairs");
    read_path(scope, yaml_find(node, "path"), true, &pairs->path);
    need_path(scope, node, &pairs->path);
    read_text_rule(scope, yaml_find(node, "name"), &pairs->name);
    read_path(scope, yaml_find(node, "value"), false, &pairs->value);
    read_time(scope, yaml_find(node, "time"), &pairs->time);
    read_quality(scope, yaml_find(node, "quality"), &pairs->quality);
    read_names(scope, yaml_find(node, "names"), pairs);
    const struct yaml_node *other = yaml_find(node, "others");
    if (!yaml_is_null(other) && read_choice(scope, other, others, "keep or ignore") == 1)
        pairs->others = JSON_OTHERS_IGNORE;
    check_pairs(scope, node, pairs);
}

/* One rule, or a list of them. */
static void read_pairs(struct scope *scope, const struct yaml_node *node)
{
    struct json_mapping *mapping = scope->mapping;
    if (yaml_is_null(node))
        return;
    size_t size = (node->kind == YAML_SEQUENCE ? node->count : 1) * sizeof *mapping->pairs;
    mapping->pairs = arena_alloc(&mapping->arena, size);
    if (size)
        memset(mapping->pairs, 0, size);
    if (node->kind == YAML_SEQUENCE)
        YAML_EACH(item, node)
    read_pair_rule(scope, item, &mapping->pairs[mapping->pair_count++]);
    else read_pair_rule(scope, node, &mapping->pairs[mapping->pair_count++]);
}

/* ---- payload, ignore ---- */

/* The options as a text of their own, in double quotes: {"a": "b"} is YAML too. */
static void write_options(const struct yaml_node *options, struct buffer *out)
{
    YAML_EACH(option, options)
    {
        const struct bytes parts[2] = {node_text(option->key), node_text(option)};
        for (int i = 0; i < 2; i++) {
            buffer_u8(out, '"');
            for (size_t at = 0; at < parts[i].size; at++) {
                if (strchr("\"\\", parts[i].data[at]))
                    buffer_u8(out, '\\');
                buffer_u8(out, parts[i].data[at]);
            }
            buffer_add_text(out, i == 0 ? "\": " : "\"\n");
        }
    }
}

static void configure_codec(struct scope *scope, const struct codec *codec,
                            const struct yaml_node *node, const struct yaml_node *options,
                            struct json_payload *out)
{
    struct buffer text = {0}, errors = {0};
    if (!yaml_is_null(options) && yaml_expect(&scope->yaml, options, YAML_MAPPING, "options"))
        write_options(options, &text);
    if (codec->configure == NULL ||
        codec->configure(buffer_bytes(&text), "options", &out->config, &errors) == 0) {
        out->codec = codec;
    } else {
        const uint8_t *end = errors.size ? memchr(errors.data, '\n', errors.size) : NULL;
        yaml_error(&scope->yaml, options ? options : node, "%s: %.*s", codec->name,
                   end ? (int)(end - errors.data) : 0, (const char *)errors.data);
    }
    buffer_fini(&text);
    buffer_fini(&errors);
}

static void read_codec(struct scope *scope, const struct yaml_node *node,
                       const struct yaml_node *options, struct json_payload *out)
{
    const char *names[64] = {NULL};
    size_t count = 0;
    const struct codec *codec = NULL;
    for (size_t i = 0; count < array_count(names) - 1; i++) {
        const struct codec *other = codec_at(i);
        if (other == NULL)
            break;
        /* This codec would overwrite its own document; one that remembers needs a stream. */
        if (strcmp(other->name, "json") == 0 || other->stream_key)
            continue;
        names[count++] = other->name;
        if (strcmp(other->name, node->text) == 0)
            codec = other;
    }
    if (codec == NULL) {
        const char *nearest = nearest_name(names, node->text);
        yaml_error(&scope->yaml, node,
                   "codec: \"%s\" is none that reads bytes in an envelope%s%s%s", node->text,
                   nearest ? ": did you mean \"" : "", nearest ? nearest : "",
                   nearest ? "\"?" : "");
        return;
    }
    configure_codec(scope, codec, node, options, out);
}

static void read_payload(struct scope *scope, const struct yaml_node *node)
{
    static const char *const keys[] = {"path",   "encoding", "codec", "options",
                                       "prefer", "required", NULL};
    static const char *const preferences[] = {"payload", "envelope", NULL};
    static const char *const encodings[] = {"base64", "hex", "text", NULL};
    struct json_payload *payload = &scope->mapping->payload;
    if (yaml_is_null(node) || !yaml_expect(&scope->yaml, node, YAML_MAPPING, "payload"))
        return;
    payload->required = true;
    yaml_check_keys(&scope->yaml, node, keys, "key of a payload");
    read_path(scope, yaml_find(node, "path"), false, &payload->path);
    need_path(scope, node, &payload->path);
    read_bool(scope, yaml_find(node, "required"), &payload->required);
    const struct yaml_node *encoding = yaml_find(node, "encoding");
    const struct yaml_node *codec = yaml_find(node, "codec");
    if (yaml_is_null(encoding) || yaml_is_null(codec)) {
        yaml_error(&scope->yaml, node->key,
                   "payload needs an \"encoding\" (base64, hex or text) "
                   "and a \"codec\"");
        return;
    }
    int choice = read_choice(scope, encoding, encodings, "base64, hex or text");
    if (choice >= 0)
        payload->encoding = (enum json_transfer)choice;
    if (yaml_expect(&scope->yaml, codec, YAML_SCALAR, "codec"))
        read_codec(scope, codec, yaml_find(node, "options"), payload);
    const struct yaml_node *prefer = yaml_find(node, "prefer");
    if (!yaml_is_null(prefer))
        payload->prefer_envelope =
            read_choice(scope, prefer, preferences, "payload or envelope") == 1;
}

static void read_condition(struct scope *scope, const struct yaml_node *node,
                           struct json_condition *out)
{
    static const char *const keys[] = {"path", "equals", NULL};
    if (!yaml_expect(&scope->yaml, node, YAML_MAPPING, "an item of ignore"))
        return;
    yaml_check_keys(&scope->yaml, node, keys, "key of ignore");
    read_path(scope, yaml_find(node, "path"), false, &out->path);
    need_path(scope, node, &out->path);
    read_texts(scope, yaml_find(node, "equals"), &out->equals);
    if (out->equals.count == 0)
        yaml_error(&scope->yaml, node, "ignore needs \"equals\": the texts to be ignored");
}

static void read_ignore(struct scope *scope, const struct yaml_node *node)
{
    struct json_mapping *mapping = scope->mapping;
    if (yaml_is_null(node) || !yaml_expect(&scope->yaml, node, YAML_SEQUENCE, "ignore"))
        return;
    size_t size = node->count * sizeof *mapping->ignore;
    mapping->ignore = arena_alloc(&mapping->arena, size);
    if (size)
        memset(mapping->ignore, 0, size);
    YAML_EACH(item, node)
    read_condition(scope, item, &mapping->ignore[mapping->ignore_count++]);
}

/* ---- the whole ---- */

static const char *const mapping_keys[] = {"points",  "points_max",     "device", "time",
                                           "quality", "fields",         "pairs",  "payload",
                                           "ignore",  "duplicate_keys", NULL};

static void read_points_max(struct scope *scope, const struct yaml_node *node)
{
    struct decimal value;
    struct decimal one = {1, 0}, most = {1000000, 0};
    if (yaml_is_null(node) || !read_decimal(scope, node, &value))
        return;
    value = decimal_trim(value);
    if (value.exponent < 0 || decimal_compare(value, one) < 0 || decimal_compare(value, most) > 0) {
        yaml_error(&scope->yaml, node, "points_max must be a whole number from 1 to 1000000");
        return;
    }
    uint64_t number = (uint64_t)value.mantissa;
    for (int i = 0; i < value.exponent; i++)
        number *= 10;
    scope->mapping->points_max = number;
}

static void read_points(struct scope *scope, const struct yaml_node *node)
{
    struct err err;
    if (!yaml_is_null(node))
        read_path(scope, node, true, &scope->mapping->points);
    else
        json_path_parse(&scope->mapping->points, bytes_text("."), &scope->mapping->arena, &err);
}

static void read_mapping(struct scope *scope, const struct yaml_node *root)
{
    static const char *const duplicates[] = {"refuse", "last", NULL};
    struct json_mapping *mapping = scope->mapping;
    if (!yaml_expect(&scope->yaml, root, YAML_MAPPING, "a mapping file"))
        return;
    yaml_check_keys(&scope->yaml, root, mapping_keys, "key of a mapping");
    read_points(scope, yaml_find(root, "points"));
    read_points_max(scope, yaml_find(root, "points_max"));
    read_text_rule(scope, yaml_find(root, "device"), &mapping->device);
    read_time(scope, yaml_find(root, "time"), &mapping->time);
    read_quality(scope, yaml_find(root, "quality"), &mapping->quality);
    read_fields(scope, yaml_find(root, "fields"));
    read_pairs(scope, yaml_find(root, "pairs"));
    read_payload(scope, yaml_find(root, "payload"));
    read_ignore(scope, yaml_find(root, "ignore"));
    const struct yaml_node *duplicate = yaml_find(root, "duplicate_keys");
    if (!yaml_is_null(duplicate))
        mapping->takes_last = read_choice(scope, duplicate, duplicates, "refuse or last") == 1;
    if (scope->yaml.error_count == 0 && mapping->field_count == 0 && mapping->pair_count == 0 &&
        mapping->payload.codec == NULL)
        yaml_error(&scope->yaml, root,
                   "this mapping finds no values: add \"fields\", \"pairs\" or "
                   "\"payload\"");
}

int json_mapping_read(struct json_mapping *mapping, struct bytes yaml, const char *origin,
                      bool *empty, struct buffer *errors)
{
    struct scope scope = {.mapping = mapping};
    mapping->points_max = POINTS_MAX_DEFAULT;
    if (yaml_parse(&scope.yaml, yaml, origin, errors) == 0) {
        *empty = yaml_is_null(scope.yaml.root);
        if (!*empty)
            read_mapping(&scope, scope.yaml.root);
    }
    int result = scope.yaml.error_count ? GW_EINVAL : 0;
    yaml_fini(&scope.yaml);
    return result;
}
