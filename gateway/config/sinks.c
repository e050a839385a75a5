/* SPDX-License-Identifier: Apache-2.0
 *
 * Entries of the list `sinks`: a type of the registry, and that type's own option rows beside it.
 */
#include <stdlib.h>

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

/* The scalar under that key, or null. */
static const char *scalar_text(struct load *load, const struct yaml_node *node, const char *key)
{
    const struct yaml_node *value = yaml_find(node, key);
    if (yaml_is_null(value) || !yaml_expect(&load->yaml, value, YAML_SCALAR, key))
        return NULL;
    return value->text;
}

int config_sink_read(struct load *load, const struct yaml_node *node)
{
    struct config *config = load->config;
    const char *own[NAMES_MAX + 1];
    size_t before = load->yaml.error_count;
    const struct sink_type *type = type_of(load, node, scalar_text(load, node, "type"));
    if (type == NULL)
        return GW_EINVAL;
    row_names(config_sink_rows, own);
    for (size_t i = 0; own[i]; i++)
        gw_assert(option_find(type->options, own[i]) == NULL);
    const char *name = scalar_text(load, node, "name");
    struct config_sink sink = {
        .name = mem_strdup(name ? name : type->name),
        .type = type,
        .options = mem_zalloc(type->options_size + 1),
    };
    option_defaults(type->options, sink.options);
    yaml_set_options(&load->yaml, node, type->options, sink.options, own);
    name_check(load, node, sink.name);
    *(struct config_sink *)load_grow(&config->sinks, &config->sink_count, sizeof sink) = sink;
    return load->yaml.error_count > before ? GW_EINVAL : 0;
}
