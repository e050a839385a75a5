/* SPDX-License-Identifier: Apache-2.0
 *
 * Entries of the list `routes`: topic pattern, codec, and the codec's own options from a file or from
 * the entry itself, which the codec reads and judges.
 */
#include <stdlib.h>

#include "base/nearest.h"
#include "config/excerpt.h"
#include "config/load.h"
#include "route.h"

enum { CODECS_MAX = 256 };

/* ---- topic ---- */

static bool capture_name_valid(struct bytes name)
{
    if (name.size == 0 || name.size > 32)
        return false;
    for (size_t i = 0; i < name.size; i++)
        if (memchr("abcdefghijklmnopqrstuvwxyz_0123456789", name.data[i], 37) == NULL)
            return false;
    return true;
}

struct pattern {
    struct bytes captures[ROUTE_CAPTURES_MAX];
    size_t capture_count;
};

/* One level; the sentence says what is wrong with it, or null. */
static const char *level_check(struct pattern *pattern, struct bytes level, bool last)
{
    if (bytes_equal_text(level, "+") || (bytes_equal_text(level, "#") && last))
        return NULL;
    bool capture = level.size >= 2 && level.data[0] == '{' && level.data[level.size - 1] == '}';
    if (!capture) {
        for (size_t i = 0; i < level.size; i++)
            if (memchr("+#{}", level.data[i], 4))
                return "+, # and {name} stand alone between slashes, and # only at the end";
        return NULL;
    }
    struct bytes name = {level.data + 1, level.size - 2};
    if (!capture_name_valid(name))
        return "the name in {} is made of small letters, digits and _";
    for (size_t i = 0; i < pattern->capture_count; i++)
        if (bytes_equal(pattern->captures[i], name))
            return "the same {name} stands there twice";
    if (pattern->capture_count == ROUTE_CAPTURES_MAX)
        return "more than eight {name} levels";
    pattern->captures[pattern->capture_count++] = name;
    return NULL;
}

static void topic_check(struct load *load, const struct yaml_node *node, const char *topic)
{
    struct pattern pattern = {0};
    if (topic == NULL) {
        yaml_error(&load->yaml, node, "a route needs a `topic`");
        return;
    }
    if (topic[0] == '\0' || strlen(topic) > CONFIG_TOPIC_MAX) {
        yaml_error(&load->yaml, load_at(node, "topic"), "a topic has 1 to %d bytes",
                   CONFIG_TOPIC_MAX);
        return;
    }
    for (const char *at = topic; at;) {
        const char *slash = strchr(at, '/');
        struct bytes level = {(const uint8_t *)at, slash ? (size_t)(slash - at) : strlen(at)};
        const char *wrong = level_check(&pattern, level, slash == NULL);
        if (wrong) {
            yaml_error(&load->yaml, load_at(node, "topic"), "topic `%s`: %s", topic, wrong);
            return;
        }
        at = slash ? slash + 1 : NULL;
    }
}

/* ---- codec ---- */

static const struct codec *codec_of(struct load *load, const struct yaml_node *node,
                                    const char *name)
{
    const char *names[CODECS_MAX + 1] = {NULL};
    struct buffer all = {0};
    const struct codec *codec = name ? codec_find(bytes_text(name)) : NULL;
    if (codec)
        return codec;
    for (size_t i = 0; i < CODECS_MAX && codec_at(i); i++) {
        names[i] = codec_at(i)->name;
        buffer_printf(&all, "%s%s", i ? ", " : "", names[i]);
    }
    buffer_u8(&all, '\0');
    const char *nearest = name ? nearest_name(names, name) : NULL;
    if (name == NULL)
        yaml_error(&load->yaml, node, "a route needs a `codec`: %s", (char *)all.data);
    else if (nearest)
        yaml_error(&load->yaml, load_at(node, "codec"),
                   "unknown codec \"%s\": did you mean \"%s\"?", name, nearest);
    else
        yaml_error(&load->yaml, load_at(node, "codec"), "unknown codec \"%s\": there are %s", name,
                   (char *)all.data);
    buffer_fini(&all);
    return NULL;
}

static void *configure(struct load *load, const struct codec *codec, struct bytes text,
                       const char *origin)
{
    void *config = NULL;
    size_t before = load->errors->size;
    load_digest_bytes(load, text);
    if (codec->configure == NULL && text.size == 0)
        return NULL;
    if (codec->configure == NULL) {
        load->failures++;
        buffer_printf(load->errors, "%s: the codec %s has no options\n", origin, codec->name);
        return NULL;
    }
    int rc = codec->configure(text, origin, &config, load->errors);
    if (rc) {
        load->failures++;
        if (load->errors->size == before)
            buffer_printf(load->errors, "%s: codec %s: %s\n", origin, codec->name, err_name(rc));
        return NULL;
    }
    return config;
}

static void *mapping_read(struct load *load, const struct yaml_node *node, const char *mapping,
                          const struct codec *codec)
{
    struct buffer text = {0};
    struct err err;
    void *config = NULL;
    char *path = load_path(load, mapping);
    if (load_file(load->disk, path, &text, &err))
        yaml_error(&load->yaml, load_at(node, "mapping"), "%s: %s", path, err.text);
    else
        config = configure(load, codec, buffer_bytes(&text), path);
    buffer_fini(&text);
    free(path);
    return config;
}

static void *options_read(struct load *load, const struct yaml_node *options,
                          const struct codec *codec)
{
    struct buffer text = {0};
    void *config = NULL;
    if (yaml_expect(&load->yaml, options, YAML_MAPPING, "options")) {
        excerpt_cut(&load->yaml, options, &text);
        config = configure(load, codec, buffer_bytes(&text), load->yaml.origin);
    }
    buffer_fini(&text);
    return config;
}

static void *codec_config(struct load *load, const struct yaml_node *node, const char *mapping,
                          const struct codec *codec)
{
    const struct yaml_node *options = yaml_find(node, "options");
    load_digest_text(load, codec->name);
    load_digest_number(load, codec->version);
    if (mapping && !yaml_is_null(options))
        yaml_error(&load->yaml, options, "`mapping` and `options` are the same thing: keep one");
    if (mapping)
        return mapping_read(load, node, mapping, codec);
    if (!yaml_is_null(options))
        return options_read(load, options, codec);
    return configure(load, codec, bytes_text(""), codec->name);
}

/* ---- entry ---- */

void config_vendor_check(struct load *load, const struct yaml_node *node, const char *vendor)
{
    const struct config *config = load->config;
    const char *nearest = NULL;
    size_t distance = SIZE_MAX;
    if (vendor == NULL)
        return;
    for (size_t i = 0; i < config->vendor_count; i++) {
        size_t this_distance = nearest_distance(config->vendors[i].name, vendor);
        if (this_distance == 0)
            return;
        if (this_distance < distance) {
            distance = this_distance;
            nearest = config->vendors[i].name;
        }
    }
    if (nearest && nearest_plausible(vendor, distance))
        yaml_error(&load->yaml, load_at(node, "vendor"),
                   "unknown vendor \"%s\": did you mean \"%s\"?", vendor, nearest);
    else if (!load_name_valid(vendor))
        yaml_error(&load->yaml, load_at(node, "vendor"),
                   "the name of a vendor is made of letters, digits, _ . -, at most 64");
    else if (config->vendor_count > 0) /* without a list there is nothing to mistype */
        yaml_error(&load->yaml, load_at(node, "vendor"),
                   "unknown vendor \"%s\": add `- name: %s` to `vendors`", vendor, vendor);
}

int config_route_read(struct load *load, const struct yaml_node *node)
{
    static const char *const also[] = {"options", NULL};
    struct route_entry entry = {0};
    size_t before = load->yaml.error_count;
    option_defaults(config_route_rows, &entry);
    yaml_set_options(&load->yaml, node, config_route_rows, &entry, also);
    topic_check(load, node, entry.topic);
    config_vendor_check(load, node, entry.vendor);
    load_check_zone(load, load_at(node, "timezone"), entry.timezone);
    load_digest_text(load, entry.topic);
    load_digest_text(load, entry.vendor);
    load_digest_text(load, entry.timezone);
    struct config *config = load->config;
    struct config_route *route = load_grow(&config->routes, &config->route_count, sizeof *route);
    route->codec_type = codec_of(load, node, entry.codec);
    if (route->codec_type)
        route->codec_config = codec_config(load, node, entry.mapping, route->codec_type);
    route->topic = entry.topic ? entry.topic : mem_strdup("");
    route->codec = entry.codec ? entry.codec : mem_strdup("");
    route->vendor = entry.vendor;
    route->timezone = entry.timezone;
    free(entry.mapping);
    return load->yaml.error_count > before ? GW_EINVAL : 0;
}

/* ---- when all entries are there ---- */

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* The first match wins, so a second route of one topic and vendor would never be asked. */
static void twin_check(struct load *load, const struct yaml_node *node, size_t index)
{
    const struct config_route *route = &load->config->routes[index];
    for (size_t i = 0; i < index; i++) {
        const struct config_route *other = &load->config->routes[i];
        if (same_text(other->topic, route->topic) && same_text(other->vendor, route->vendor)) {
            yaml_error(&load->yaml, load_at(node, "topic"),
                       "topic `%s` stands there twice: the first route would take every message",
                       route->topic);
            return;
        }
    }
}

static void owner_check(struct load *load, const struct yaml_node *node, size_t index)
{
    const struct config *config = load->config;
    const struct config_route *route = &config->routes[index];
    bool logins = false;
    for (size_t i = 0; i < config->vendor_count; i++)
        logins = logins || config->vendors[i].passwords;
    if (route->vendor == NULL && strstr(route->topic, "{vendor}") == NULL && !logins)
        yaml_error(
            &load->yaml, node,
            "nothing says whose readings these are: add `vendor: NAME`, put {vendor} into the "
            "topic, or give a vendor `passwords`");
}

void config_routes_finish(struct load *load, const struct yaml_node *list)
{
    size_t index = 0;
    if (yaml_is_null(list) || (list->kind == YAML_SEQUENCE && list->count == 0)) {
        yaml_error(&load->yaml, list ? list : load->yaml.root,
                   "no `routes`: every message would become a dead letter; `tidegate validate "
                   "--embedded` shows some");
        return;
    }
    if (load->yaml.error_count || list->kind != YAML_SEQUENCE)
        return; /* with errors, entries and routes may not go in step */
    YAML_EACH(node, list)
    {
        twin_check(load, node, index);
        owner_check(load, node, index++);
    }
}
