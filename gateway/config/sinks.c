/* SPDX-License-Identifier: Apache-2.0
 *
 * Entries of the list `sinks`: a type of the registry, and that type's own option rows beside it.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/nearest.h"
#include "config/load.h"

enum { NAMES_MAX = 64 };

/* The entry's own keys stand in one mapping with the type's options, whose reader leaves them alone. */
static void row_names(const struct option *rows, const char *names[NAMES_MAX + 1])
{
    size_t count = 0;
    for (; rows->name; rows++) {
        gw_assert(count < NAMES_MAX);
        names[count++] = rows->name;
    }
    names[count] = NULL;
}

static const struct sink_type *type_of(struct load *load, const struct yaml_node *node,
                                       const char *name)
{
    const char *names[NAMES_MAX + 1] = {NULL};
    struct buffer all = {0};
    if (name && sink_find(name))
        return sink_find(name);
    for (size_t i = 0; i < NAMES_MAX && sink_at(i); i++) {
        names[i] = sink_at(i)->name;
        buffer_printf(&all, "%s%s", i ? ", " : "", names[i]);
    }
    const char *nearest = name ? nearest_name(names, name) : NULL;
    buffer_u8(&all, '\0');
    if (name == NULL)
        yaml_error(&load->yaml, node, "a sink needs a `type`: %s", (char *)all.data);
    else if (nearest)
        yaml_error(&load->yaml, load_at(node, "type"), "unknown sink \"%s\": did you mean \"%s\"?",
                   name, nearest);
    else
        yaml_error(&load->yaml, load_at(node, "type"), "unknown sink \"%s\": there are %s", name,
                   (char *)all.data);
    buffer_fini(&all);
    return NULL;
}

static void name_check(struct load *load, const struct yaml_node *node, const char *name)
{
    const struct config *config = load->config;
    if (!load_name_valid(name))
        yaml_error(&load->yaml, load_at(node, "name"),
                   "the name of a sink is made of letters, digits, _ . -, at most 64");
    for (size_t i = 0; i < config->sink_count; i++)
        if (strcmp(config->sinks[i].name, name) == 0)
            yaml_error(&load->yaml, load_at(node, "name"),
                       "two sinks are named \"%s\": give this one a `name` of its own", name);
}

/* ---- the rows that every sink has ---- */

/* "2026-11-01" is its first moment in UTC; a time has to tell its zone, since people who write it
 * look at clocks in different ones. */
static bool time_parse(const char *text, int64_t *out_ms)
{
    bool zoned;
    if (strlen(text) == strlen("2026-11-01")) {
        char *moment = mem_printf("%sT00:00:00Z", text);
        bool good = clock_parse_rfc3339(bytes_text(moment), out_ms, &zoned);
        free(moment);
        return good;
    }
    return clock_parse_rfc3339(bytes_text(text), out_ms, &zoned) && zoned;
}

static void start_read(struct load *load, const struct yaml_node *node, const char *text,
                       struct config_sink *sink)
{
    if (strcmp(text, "earliest") == 0)
        sink->start = START_EARLIEST;
    else if (strcmp(text, "latest") == 0)
        sink->start = START_LATEST;
    else if (time_parse(text, &sink->start_ms))
        sink->start = START_TIME;
    else
        yaml_error(&load->yaml, load_at(node, "start"),
                   "start: \"%s\" must be earliest, latest, a time with its zone, such as "
                   "2026-11-01T08:00:00+08:00, or a day, such as 2026-11-01",
                   text);
}

/* Takes over the entry's strings. */
static void common_read(struct load *load, const struct yaml_node *node, struct config_sink *sink)
{
    struct sink_entry entry = {0};
    option_defaults(config_sink_rows, &entry);
    for (const struct option *row = config_sink_rows; row->name; row++)
        yaml_set_option(&load->yaml, yaml_find(node, row->name), row, &entry);
    sink->name = mem_strdup(entry.name ? entry.name : sink->type->name);
    sink->when_full = (enum config_when_full)entry.when_full;
    start_read(load, node, entry.start, sink);
    option_fini(config_sink_rows, &entry);
}

/* ---- the type's own rows ---- */

static bool ends_in(const char *name, const char *end)
{
    size_t size = strlen(name), end_size = strlen(end);
    return size >= end_size && strcmp(name + size - end_size, end) == 0;
}

/* Absolute, because what a sink finds relative is below the data folder (sink.h). */
static char *path_absolute(const struct load *load, const char *path)
{
    char *seen = load_path(load, path), *cwd = seen[0] == '/' ? NULL : getcwd(NULL, 0);
    char *whole = cwd ? mem_printf("%s/%s", cwd, seen) : mem_strdup(seen);
    free(cwd);
    free(seen);
    return whole;
}

/* Now, so that a mistake is told before a destination refuses us. */
static void file_check(struct load *load, const struct yaml_node *at, const char *path)
{
    struct buffer content = {0};
    struct err err;
    if (load_file(load->disk, path, &content, &err))
        yaml_error(&load->yaml, at, "%s: %s", path, err.text);
    /* What was read may be a password. */
    if (content.size)
        explicit_bzero(content.data, content.size);
    buffer_fini(&content);
}

/* Secrets stand in files, never in the configuration, and those files lie beside it: options that
 * end in `_file` are seen from its folder. Other paths of a sink are its own affair. */
void config_sink_files(struct load *load, const struct yaml_node *node, const struct option *rows,
                       void *options)
{
    for (; rows->name; rows++) {
        const struct yaml_node *value = yaml_find(node, rows->name);
        char **slot = (char **)(void *)((char *)options + rows->offset);
        if (rows->type != OPTION_PATH || !ends_in(rows->name, "_file") || yaml_is_null(value) ||
            *slot == NULL)
            continue;
        char *path = path_absolute(load, *slot);
        free(*slot);
        *slot = path;
        file_check(load, value, path);
        if (ends_in(rows->name, "password_file") || ends_in(rows->name, "key_file"))
            load_check_private(load, value, path);
    }
}

int config_sink_read(struct load *load, const struct yaml_node *node)
{
    struct config *config = load->config;
    const char *own[NAMES_MAX + 1];
    size_t before = load->yaml.error_count;
    const struct yaml_node *kind = yaml_find(node, "type");
    if (!yaml_is_null(kind) && !yaml_expect(&load->yaml, kind, YAML_SCALAR, "type"))
        return GW_EINVAL;
    const struct sink_type *type = type_of(load, node, yaml_is_null(kind) ? NULL : kind->text);
    if (type == NULL)
        return GW_EINVAL;
    row_names(config_sink_rows, own);
    for (size_t i = 0; own[i]; i++)
        gw_assert(option_find(type->options, own[i]) == NULL);
    struct config_sink sink = {.type = type, .options = mem_zalloc(type->options_size + 1)};
    common_read(load, node, &sink);
    option_defaults(type->options, sink.options);
    yaml_set_options(&load->yaml, node, type->options, sink.options, own);
    config_sink_files(load, node, type->options, sink.options);
    name_check(load, node, sink.name);
    struct err err;
    if (load->yaml.error_count == before && type->check && type->check(sink.options, &err))
        yaml_error(&load->yaml, node, "%s", err.text);
    *(struct config_sink *)load_grow(&config->sinks, &config->sink_count, sizeof sink) = sink;
    return load->yaml.error_count > before ? GW_EINVAL : 0;
}
