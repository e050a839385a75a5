/* SPDX-License-Identifier: Apache-2.0
 *
 * YAML text -> struct config, in steps: sections by their rows, lists entry by entry, then what only
 * the whole can tell. Nothing stops at the first error. Runs on the thread that starts or reloads the
 * gateway; the result is read-only.
 */
#include "config/config.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "base/nearest.h"
#include "config/load.h"

/* ---- steps ---- */

static void sections_read(struct load *load, const struct yaml_node *root)
{
    for (const struct config_section *section = config_sections; section->name; section++) {
        const struct yaml_node *node = yaml_find(root, section->name);
        char *target = (char *)load->config + section->offset;
        if (!yaml_is_null(node) && yaml_expect(&load->yaml, node, YAML_MAPPING, section->name))
            yaml_set_options(&load->yaml, node, section->rows, target, NULL);
    }
}

static void list_read(struct load *load, const struct config_list *list,
                      const struct yaml_node *node)
{
    if (yaml_is_null(node) || !yaml_expect(&load->yaml, node, YAML_SEQUENCE, list->name))
        return;
    if (node->count > list->count_max) {
        yaml_error(&load->yaml, node, "%s has %zu entries; at most %zu", list->name, node->count,
                   list->count_max);
        return;
    }
    YAML_EACH(entry, node)
    if (yaml_expect(&load->yaml, entry, YAML_MAPPING, "an entry"))
        list->entry(load, entry);
}

static void top_read(struct load *load, const struct yaml_node *root)
{
    const char *names[32];
    size_t count = 0;
    for (const struct config_section *section = config_sections; section->name; section++)
        names[count++] = section->name;
    for (const struct config_list *list = config_lists; list->name; list++)
        names[count++] = list->name;
    names[count] = NULL;
    gw_assert(count < array_count(names));
    yaml_set_options(&load->yaml, root, config_top_rows, load->config, names);
}

static void defaults_set(struct config *config)
{
    option_defaults(config_top_rows, config);
    for (const struct config_section *section = config_sections; section->name; section++)
        option_defaults(section->rows, (char *)config + section->offset);
    config->vocabulary = vocabulary_new();
}

static void document_read(struct load *load)
{
    const struct yaml_node *root = load->yaml.root;
    if (root == NULL || yaml_is_null(root)) {
        yaml_error(&load->yaml, NULL,
                   "the file is empty; `tidegate validate --embedded` prints one to begin with");
        return;
    }
    if (!yaml_expect(&load->yaml, root, YAML_MAPPING, "the configuration"))
        return;
    top_read(load, root);
    sections_read(load, root);
    load_check_zone(load, load_at(root, "timezone"), load->config->timezone);
    load_digest_text(load, load->config->timezone);
    for (const struct config_list *list = config_lists; list->name; list++)
        list_read(load, list, yaml_find(root, list->name));
    config_routes_finish(load, yaml_find(root, "routes"));
    config_vendors_finish(load, yaml_find(root, "vendors"));
    config_brokers_finish(load, yaml_find(root, "brokers"));
    config_check(load);
}

/* ---- one text ---- */

int config_parse(struct bytes text, const char *path, const char *origin, const struct disk *disk,
                 struct config **out, struct buffer *errors)
{
    struct load load = {.errors = errors, .disk = disk, .config = mem_zalloc(sizeof *load.config)};
    load.digest = XXH3_createState();
    gw_assert(load.digest != NULL);
    XXH3_64bits_reset(load.digest);
    defaults_set(load.config);
    if (path) {
        const char *slash = strrchr(path, '/');
        load.config->path = mem_strdup(path);
        load.folder =
            slash ? bytes_strdup(bytes_of(path, (size_t)(slash - path) + 1)) : mem_strdup("");
    }
    if (yaml_parse(&load.yaml, text, origin, errors) == 0)
        document_read(&load);
    bool failed = load.yaml.error_count > 0 || load.failures > 0;
    load.config->digest = XXH3_64bits_digest(load.digest);
    XXH3_freeState(load.digest);
    yaml_fini(&load.yaml);
    free(load.folder);
    if (failed) {
        config_free(load.config);
        return GW_EINVAL;
    }
    *out = load.config;
    return 0;
}

int config_load(const char *path, const struct disk *disk, struct config **out,
                struct buffer *errors)
{
    struct buffer text = {0};
    struct err err;
    int rc = load_file(disk, path, &text, &err);
    if (rc)
        buffer_printf(errors, "%s: %s\n", path, err.text);
    else
        rc = config_parse(buffer_bytes(&text), path, path, disk, out, errors);
    buffer_fini(&text);
    return rc;
}

/* ---- the embedded default ---- */

static int override_set(struct config *config, const char *section_name, const char *option,
                        const char *flag, const char *text, struct buffer *errors)
{
    const struct option *rows = config_top_rows;
    char *target = (char *)config;
    struct err err;
    for (const struct config_section *section = config_sections; section->name; section++) {
        if (section_name && strcmp(section->name, section_name) == 0) {
            rows = section->rows;
            target += section->offset;
        }
    }
    const struct option *row = option_find(rows, option);
    gw_assert(row != NULL);
    int rc = text ? option_set(row, target, text, &err) : 0;
    if (rc)
        buffer_printf(errors, "%s %s: %s\n", flag, text, err.text);
    return rc;
}

int config_override(struct config *config, const char *data, const char *listen, const char *admin,
                    struct buffer *errors)
{
    int bad_data = override_set(config, NULL, "data", "--data", data, errors);
    int bad_listen = override_set(config, "mqtt", "listen", "--listen", listen, errors);
    int bad_admin = override_set(config, "admin", "listen", "--admin", admin, errors);
    const char *exposed = admin && !bad_admin ? admin_exposed(&config->admin) : NULL;
    if (exposed)
        buffer_printf(errors, "--admin %s: %s\n", admin, exposed);
    return bad_data || bad_listen || bad_admin || exposed ? GW_EINVAL : 0;
}

int config_embedded(const struct config_places *places, struct config **out, struct buffer *errors)
{
    struct config *config;
    struct buffer text = {0};
    config_embedded_text(places, &text);
    int rc = config_embedded_vendors(places->data, &text, errors);
    if (rc == 0)
        rc = config_parse(buffer_bytes(&text), NULL, "built-in", &disk_real, &config, errors);
    buffer_fini(&text);
    if (rc == 0) {
        rc = config_override(config, places->data, places->listen, places->admin, errors);
        if (rc)
            config_free(config);
        else
            *out = config;
    }
    return rc;
}

/* ---- end ---- */

static void vendors_free(struct config *config)
{
    for (size_t i = 0; i < config->vendor_count; i++) {
        struct config_vendor *vendor = &config->vendors[i];
        for (size_t topic = 0; topic < vendor->topic_count; topic++)
            free(vendor->topics[topic]);
        free(vendor->topics);
        free(vendor->name);
        free(vendor->timezone);
        free(vendor->passwords);
    }
    free(config->vendors);
}

static void routes_free(struct config *config)
{
    for (size_t i = 0; i < config->route_count; i++) {
        struct config_route *route = &config->routes[i];
        if (route->codec_type && route->codec_type->config_free && route->codec_config)
            route->codec_type->config_free(route->codec_config);
        free(route->topic);
        free(route->codec);
        free(route->vendor);
        free(route->timezone);
    }
    free(config->routes);
}

static void sinks_free(struct config *config)
{
    for (size_t i = 0; i < config->sink_count; i++) {
        struct config_sink *sink = &config->sinks[i];
        if (sink->options) {
            option_fini(sink->type->options, sink->options);
            free(sink->options);
        }
        free(sink->name);
    }
    free(config->sinks);
}

static void brokers_free(struct config *config)
{
    for (size_t i = 0; i < config->broker_count; i++) {
        for (size_t topic = 0; topic < config->brokers[i].topic_count; topic++)
            free(config->brokers[i].topics[topic]);
        free(config->brokers[i].topics);
        free(config->brokers[i].routed_vendor);
        option_fini(paho_option_rows, &config->brokers[i]);
    }
    free(config->brokers);
}

static void captures_free(struct config *config)
{
    for (size_t i = 0; i < config->capture_count; i++)
        option_fini(capture_option_rows, &config->captures[i]);
    free(config->captures);
}

struct config *config_acquire(struct config *config)
{
    atomic_fetch_add(&config->shares, 1);
    return config;
}

void config_free(struct config *config)
{
    if (config == NULL || atomic_fetch_sub(&config->shares, 1) > 0)
        return;
    vendors_free(config);
    routes_free(config);
    sinks_free(config);
    brokers_free(config);
    captures_free(config);
    vocabulary_free(config->vocabulary);
    for (const struct config_section *section = config_sections; section->name; section++)
        option_fini(section->rows, (char *)config + section->offset);
    option_fini(config_top_rows, config);
    free(config->path);
    free(config);
}
