/* SPDX-License-Identifier: Apache-2.0
 *
 * libfyaml's events as a tree, and errors with line and caret. The event parser is used, not its
 * documents: it gives a position for every node, does not recurse, and resolves no alias. One
 * thread for one `struct yaml`.
 */
#include "base/yaml.h"

#include <libfyaml.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mask.h"
#include "base/nearest.h"

enum {
    DEPTH_MAX = 32,
    NODES_MAX = 1000000,
    ERRORS_MAX = 100,
    EXCERPT_MAX = 120, /* characters of a long line that an error shows */
};

/* An open mapping or sequence while the tree grows. */
struct level {
    struct yaml_node *node;
    struct yaml_node *last; /* child */
    struct yaml_node *key;  /* read, its value not yet */
};

struct builder {
    struct yaml *yaml;
    struct fy_parser *parser;
    struct level levels[DEPTH_MAX];
    int depth;
    size_t count;
    int documents;
};

/* ---- errors ---- */

/* The bytes of a line, without its end. */
static struct bytes line_text(struct bytes text, int line)
{
    const uint8_t *at = text.data, *end = text.data + text.size;
    for (int i = 1; i < line && at; i++) {
        at = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
        at = at ? at + 1 : NULL;
    }
    if (at == NULL || at >= end)
        return bytes_of("", 0);
    const uint8_t *stop = memchr(at, '\n', (size_t)(end - at));
    stop = stop ? stop : end;
    if (stop > at && stop[-1] == '\r')
        stop--;
    return bytes_of(at, (size_t)(stop - at));
}

/* Outside text goes to a terminal: nothing there may be a control character. */
static void add_printable(struct buffer *out, struct bytes in)
{
    for (size_t i = 0; i < in.size; i++)
        buffer_u8(out, in.data[i] == '\t'                        ? ' '
                       : in.data[i] < 0x20 || in.data[i] == 0x7f ? '?'
                                                                 : in.data[i]);
}

static bool is_continuation(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

/* The line, and a caret under its column; of a long line the part around the column. */
static void add_excerpt(struct buffer *out, struct bytes line, int column)
{
    size_t at = 0; /* byte of the column, which counts characters */
    for (int i = 1; i < column && at < line.size; i++)
        do {
            at++;
        } while (at < line.size && is_continuation(line.data[at]));
    size_t from = at > EXCERPT_MAX / 2 && line.size > EXCERPT_MAX ? at - EXCERPT_MAX / 2 : 0;
    while (from < at && is_continuation(line.data[from]))
        from++;
    size_t size = line.size - from < EXCERPT_MAX ? line.size - from : EXCERPT_MAX;
    while (from + size < line.size && size > 0 && is_continuation(line.data[from + size]))
        size--;
    buffer_add_text(out, "    ");
    add_printable(out, bytes_of(line.data + from, size));
    buffer_add_text(out, "\n    ");
    for (size_t i = from; i < at; i++)
        if (!is_continuation(line.data[i]))
            buffer_u8(out, ' ');
    buffer_add_text(out, "^\n");
}

static int verror_at(struct yaml *yaml, int line, int column, const char *format, va_list args)
    __attribute__((format(printf, 4, 0)));
static int verror_at(struct yaml *yaml, int line, int column, const char *format, va_list args)
{
    char text[512];
    if (yaml->error_count++ >= ERRORS_MAX) {
        if (yaml->error_count == ERRORS_MAX + 1)
            buffer_printf(yaml->errors, "%s: more errors follow; mend these first\n", yaml->origin);
        return GW_EINVAL;
    }
    vsnprintf(text, sizeof text, format, args);
    mask_secrets(text, strlen(text), false);
    buffer_printf(yaml->errors, "%s:%d:%d: ", yaml->origin, line, column);
    add_printable(yaml->errors, bytes_text(text));
    buffer_u8(yaml->errors, '\n');
    /* Somebody may have written a password where it does not belong: it goes no further. */
    struct bytes whole = line_text(yaml->text, line);
    char *shown = bytes_strdup(whole);
    mask_secrets(shown, whole.size, true);
    add_excerpt(yaml->errors, bytes_of(shown, whole.size), column);
    explicit_bzero(shown, whole.size);
    free(shown);
    return GW_EINVAL;
}

static int error_at(struct yaml *yaml, int line, int column, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static int error_at(struct yaml *yaml, int line, int column, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    verror_at(yaml, line, column, format, args);
    va_end(args);
    return GW_EINVAL;
}

int yaml_error(struct yaml *yaml, const struct yaml_node *node, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    verror_at(yaml, node ? node->line : 1, node ? node->column : 1, format, args);
    va_end(args);
    return GW_EINVAL;
}

/* ---- building ---- */

static struct yaml_node *node_new(struct builder *builder, struct fy_event *event,
                                  enum yaml_kind kind)
{
    const struct fy_mark *mark = fy_event_start_mark(event);
    struct yaml_node *node = arena_alloc(&builder->yaml->arena, sizeof *node);
    *node = (struct yaml_node){.kind = kind, .text = "", .line = 1, .column = 1};
    if (mark) {
        node->line = mark->line + 1;
        node->column = mark->column + 1;
    }
    builder->count++;
    return node;
}

/* Put a finished or just opened node where it belongs. False after an error. */
static bool node_attach(struct builder *builder, struct yaml_node *node)
{
    if (builder->depth == 0) {
        builder->yaml->root = node;
        return true;
    }
    struct level *level = &builder->levels[builder->depth - 1];
    if (level->node->kind == YAML_MAPPING && level->key == NULL) {
        if (node->kind != YAML_SCALAR) {
            yaml_error(builder->yaml, node, "a key must be a plain word, not a list or a mapping");
            return false;
        }
        level->key = node;
        return true;
    }
    node->key = level->key;
    level->key = NULL;
    if (level->last)
        level->last->next = node;
    else
        level->node->first = node;
    level->last = node;
    level->node->count++;
    return true;
}

static bool on_scalar(struct builder *builder, struct fy_event *event)
{
    struct yaml_node *node = node_new(builder, event, YAML_SCALAR);
    struct fy_token *token = fy_event_get_token(event);
    size_t size = 0;
    const char *text = token ? fy_token_get_text(token, &size) : NULL;
    char *copy = arena_alloc(&builder->yaml->arena, size + 1);
    if (text && size)
        memcpy(copy, text, size);
    copy[text ? size : 0] = '\0';
    node->text = copy;
    node->size = text ? size : 0;
    enum fy_scalar_style style = token ? fy_token_scalar_style(token) : FYSS_PLAIN;
    node->quoted = style != FYSS_PLAIN;
    if ((style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED) && node->column > 1)
        node->column--; /* the mark is behind the quote */
    return node_attach(builder, node);
}

static bool on_open(struct builder *builder, struct fy_event *event, enum yaml_kind kind)
{
    struct yaml_node *node = node_new(builder, event, kind);
    if (builder->depth == DEPTH_MAX) {
        yaml_error(builder->yaml, node, "nested deeper than %d levels", DEPTH_MAX);
        return false;
    }
    if (!node_attach(builder, node))
        return false;
    builder->levels[builder->depth++] = (struct level){.node = node};
    return true;
}

static int key_order(const void *a, const void *b)
{
    const struct yaml_node *const *left = a, *const *right = b;
    int order = bytes_compare(bytes_of((*left)->key->text, (*left)->key->size),
                              bytes_of((*right)->key->text, (*right)->key->size));
    if (order == 0)
        order = ((*left)->line > (*right)->line) - ((*left)->line < (*right)->line);
    return order ? order : (*left)->column - (*right)->column;
}

static void check_duplicates(struct yaml *yaml, const struct yaml_node *mapping)
{
    if (mapping->count < 2)
        return;
    const struct yaml_node **values = mem_alloc(mapping->count * sizeof(struct yaml_node *));
    size_t count = 0;
    YAML_EACH(value, mapping)
    values[count++] = value;
    qsort(values, count, sizeof(struct yaml_node *), key_order);
    for (size_t i = 1; i < count; i++) {
        const struct yaml_node *first = values[i - 1]->key, *again = values[i]->key;
        if (bytes_equal(bytes_of(first->text, first->size), bytes_of(again->text, again->size)))
            yaml_error(yaml, again,
                       "key \"%s\" stands here twice; the other is in line %d: "
                       "remove one",
                       again->text, first->line);
    }
    free(values);
}

/* False stops the parse: after an error here, or at the end. */
static bool on_event(struct builder *builder, struct fy_event *event)
{
    const struct fy_mark *mark = fy_event_start_mark(event);
    if (event->type != FYET_ALIAS && fy_event_get_anchor_token(event)) {
        error_at(builder->yaml, mark ? mark->line + 1 : 1, mark ? mark->column + 1 : 1,
                 "anchors (&name) are not read: remove it, and write out the values that use it");
        return false;
    }
    switch (event->type) {
    case FYET_DOCUMENT_START:
        if (builder->documents++ == 0)
            return true;
        error_at(builder->yaml, mark ? mark->line + 1 : 1, 1,
                 "a second document begins here; only one is read: remove the line \"---\"");
        return false;
    case FYET_SCALAR: return on_scalar(builder, event);
    case FYET_MAPPING_START: return on_open(builder, event, YAML_MAPPING);
    case FYET_SEQUENCE_START: return on_open(builder, event, YAML_SEQUENCE);
    case FYET_MAPPING_END:
        builder->depth--;
        check_duplicates(builder->yaml, builder->levels[builder->depth].node);
        return true;
    case FYET_SEQUENCE_END: builder->depth--; return true;
    case FYET_ALIAS:
        error_at(builder->yaml, mark ? mark->line + 1 : 1, mark ? mark->column + 1 : 1,
                 "aliases (*name) are not read: write the value out");
        return false;
    case FYET_NONE:
    case FYET_STREAM_START:
    case FYET_STREAM_END:
    case FYET_DOCUMENT_END: return true;
    }
    return true;
}

/* What libfyaml itself found wrong: syntax. */
static void take_diagnostics(struct yaml *yaml, struct fy_diag *diag)
{
    void *iterator = NULL;
    for (;;) {
        struct fy_diag_error *error = fy_diag_errors_iterate(diag, &iterator);
        if (error == NULL)
            break;
        int line = error->line > 0 ? error->line : 1;
        int column = error->column > 0 ? error->column : 1;
        error_at(yaml, line, column, "%s", error->msg ? error->msg : "not YAML");
    }
}

static void run(struct builder *builder)
{
    for (;;) {
        struct fy_event *event = fy_parser_parse(builder->parser);
        if (event == NULL)
            break;
        bool more = on_event(builder, event) && event->type != FYET_STREAM_END;
        if (more && builder->count > NODES_MAX) {
            yaml_error(builder->yaml, NULL, "more than %d values", NODES_MAX);
            more = false;
        }
        fy_parser_event_free(builder->parser, event);
        if (!more)
            break;
    }
}

/* A line that begins with % is a directive. Nobody needs one here, and libfyaml 0.7.12 never comes
 * back from one that it cannot read (found by the fuzz target of the configuration). */
static int refuse_directives(struct yaml *yaml)
{
    const uint8_t *at = yaml->text.data;
    const uint8_t *end = yaml->text.size ? at + yaml->text.size : at;
    if (yaml->text.size >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0)
        at += 3;
    for (int line = 1; at < end; line++) {
        if (*at == '%')
            return error_at(yaml, line, 1,
                            "a line that begins with %% is a directive of YAML, "
                            "which is not read: put the text in quotes");
        /* A lone CR ends a line for libfyaml too. */
        while (at < end && *at != '\n' && *at != '\r')
            at++;
        at += at + 1 < end && at[0] == '\r' && at[1] == '\n' ? 2 : 1;
    }
    return 0;
}

int yaml_parse(struct yaml *yaml, struct bytes text, const char *origin, struct buffer *errors)
{
    *yaml = (struct yaml){.origin = origin, .text = text, .errors = errors};
    if (refuse_directives(yaml))
        return GW_EINVAL;
    struct fy_diag_cfg diag_config;
    fy_diag_cfg_default(&diag_config);
    diag_config.fp = NULL;
    diag_config.colorize = false;
    struct fy_diag *diag = fy_diag_create(&diag_config);
    gw_assert(diag != NULL);
    fy_diag_set_collect_errors(diag, true);
    struct fy_parse_cfg config = {.flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG, .diag = diag};
    struct builder builder = {.yaml = yaml, .parser = fy_parser_create(&config)};
    gw_assert(builder.parser != NULL);
    if (text.size == 0)
        ;
    else if (fy_parser_set_string(builder.parser, (const char *)text.data, text.size))
        yaml_error(yaml, NULL, "cannot be read as YAML");
    else
        run(&builder);
    take_diagnostics(yaml, diag);
    if (yaml->error_count == 0 && fy_parser_get_stream_error(builder.parser))
        yaml_error(yaml, NULL, "not YAML");
    fy_parser_destroy(builder.parser);
    fy_diag_destroy(diag);
    if (yaml->error_count)
        yaml->root = NULL;
    return yaml->error_count ? GW_EINVAL : 0;
}

void yaml_fini(struct yaml *yaml)
{
    if (yaml == NULL)
        return;
    arena_fini(&yaml->arena);
    yaml->root = NULL;
}

/* ---- walking ---- */

const struct yaml_node *yaml_find(const struct yaml_node *mapping, const char *key)
{
    if (mapping == NULL || mapping->kind != YAML_MAPPING)
        return NULL;
    YAML_EACH(value, mapping)
    if (bytes_equal_text(bytes_of(value->key->text, value->key->size), key))
        return value;
    return NULL;
}

bool yaml_is_null(const struct yaml_node *node)
{
    if (node == NULL)
        return true;
    if (node->kind != YAML_SCALAR || node->quoted)
        return false;
    return node->size == 0 || strcmp(node->text, "~") == 0 || strcmp(node->text, "null") == 0;
}

bool yaml_expect(struct yaml *yaml, const struct yaml_node *node, enum yaml_kind kind,
                 const char *what)
{
    static const char *const names[] = {"a single value", "a list", "a mapping of keys to values"};
    if (node && node->kind == kind)
        return true;
    yaml_error(yaml, node, "%s must be %s", what, names[kind]);
    return false;
}

int yaml_unknown_key(struct yaml *yaml, const struct yaml_node *value, const char *what,
                     const char *nearest)
{
    if (nearest)
        return yaml_error(yaml, value->key, "unknown %s \"%s\": did you mean \"%s\"?", what,
                          value->key->text, nearest);
    return yaml_error(yaml, value->key, "unknown %s \"%s\"", what, value->key->text);
}

static bool is_among(const char *const *names, const char *name)
{
    for (; names && *names; names++)
        if (strcmp(*names, name) == 0)
            return true;
    return false;
}

int yaml_check_keys(struct yaml *yaml, const struct yaml_node *mapping, const char *const *names,
                    const char *what)
{
    int result = 0;
    YAML_EACH(value, mapping)
    if (!is_among(names, value->key->text))
        result = yaml_unknown_key(yaml, value, what, nearest_name(names, value->key->text));
    return result;
}

/* A mapping of names to single values; what they mean is for others to say. */
static int set_map(struct yaml *yaml, const struct yaml_node *mapping, const struct option *row,
                   void *target)
{
    int result = 0;
    struct option_map *map = (struct option_map *)(void *)((char *)target + row->offset);
    if (!yaml_expect(yaml, mapping, YAML_MAPPING, row->name))
        return GW_EINVAL;
    YAML_EACH(value, mapping)
    {
        const char *key = value->key->text;
        if (!yaml_expect(yaml, value, YAML_SCALAR, key))
            result = GW_EINVAL;
        else if (strlen(value->text) != value->size || strlen(key) != value->key->size)
            result = yaml_error(yaml, value, "%s holds a NUL character", row->name);
        else if (yaml_is_null(value))
            result = yaml_error(yaml, value, "%s has no value; an empty one is \"\"", key);
        else if (key[0] == '\0')
            result = yaml_error(yaml, value->key, "%s has a key without a name", row->name);
        else
            option_map_set(map, key, value->text);
    }
    return result;
}

int yaml_set_option(struct yaml *yaml, const struct yaml_node *value, const struct option *row,
                    void *target)
{
    struct err err;
    if (yaml_is_null(value))
        return 0;
    if (row->type == OPTION_MAP)
        return set_map(yaml, value, row, target);
    if (!yaml_expect(yaml, value, YAML_SCALAR, row->name))
        return GW_EINVAL;
    if (strlen(value->text) != value->size)
        return yaml_error(yaml, value, "%s holds a NUL character", row->name);
    if (option_set(row, target, value->text, &err))
        return yaml_error(yaml, value, "%s", err.text);
    return 0;
}

/* Nothing near it: a short list of what there is says more than the word alone. */
static int unknown_option(struct yaml *yaml, const struct yaml_node *value,
                          const struct option *rows, const char *const *also)
{
    const char *name = value->key->text;
    const char *nearest = option_nearest(rows, name);
    struct buffer known = {0};
    if (nearest == NULL && also)
        nearest = nearest_name(also, name);
    if (nearest)
        return yaml_unknown_key(yaml, value, "option", nearest);
    for (; rows->name; rows++)
        buffer_printf(&known, "%s%s", known.size ? ", " : "", rows->name);
    for (; also && *also; also++)
        buffer_printf(&known, "%s%s", known.size ? ", " : "", *also);
    int code = yaml_error(yaml, value->key, "unknown option \"%s\"; here are known: %.*s", name,
                          (int)known.size, known.size ? (const char *)known.data : "");
    buffer_fini(&known);
    return code;
}

int yaml_set_options(struct yaml *yaml, const struct yaml_node *mapping, const struct option *rows,
                     void *target, const char *const *also)
{
    int result = 0;
    if (yaml_is_null(mapping))
        return 0;
    if (!yaml_expect(yaml, mapping, YAML_MAPPING, mapping->key ? mapping->key->text : "the file"))
        return GW_EINVAL;
    YAML_EACH(value, mapping)
    {
        const char *name = value->key->text;
        const struct option *row = option_find(rows, name);
        if (is_among(also, name))
            continue;
        int code = row ? yaml_set_option(yaml, value, row, target)
                       : unknown_option(yaml, value, rows, also);
        result = code ? code : result;
    }
    return result;
}
