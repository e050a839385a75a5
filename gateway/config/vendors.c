/* SPDX-License-Identifier: Apache-2.0
 *
 * Entries of the list `vendors`, and their password files: each is read here once, to say at once
 * what is wrong with it, and again when the gateway takes the configuration over.
 */
#include <stdlib.h>

#include "config/load.h"

/* ---- one entry ---- */

static void name_check(struct load *load, const struct yaml_node *node, const char *name)
{
    const struct config *config = load->config;
    if (name == NULL) {
        yaml_error(&load->yaml, node, "a vendor needs a `name`");
        return;
    }
    if (!load_name_valid(name))
        yaml_error(
            &load->yaml, load_at(node, "name"),
            "the name of a vendor is made of letters, digits, _ . -, begins with a letter or "
            "a digit, and has at most 64");
    for (size_t i = 0; i < config->vendor_count; i++)
        if (config->vendors[i].name && strcmp(config->vendors[i].name, name) == 0)
            yaml_error(&load->yaml, load_at(node, "name"), "vendor \"%s\" stands there twice",
                       name);
}

void config_topics_read(struct load *load, const struct yaml_node *list, char ***topics,
                        size_t *count)
{
    if (yaml_is_null(list) || !yaml_expect(&load->yaml, list, YAML_SEQUENCE, "topics"))
        return;
    if (list->count > CONFIG_LIST_MAX) {
        yaml_error(&load->yaml, list, "%zu topics; at most %d", list->count, CONFIG_LIST_MAX);
        return;
    }
    YAML_EACH(item, list)
    {
        if (!yaml_expect(&load->yaml, item, YAML_SCALAR, "a topic"))
            continue;
        if (!access_filter_valid(item->text) || strlen(item->text) != item->size)
            yaml_error(&load->yaml, item,
                       "`%s` is no topic filter: + and # stand alone between slashes, # at the end",
                       item->text);
        char **topic = load_grow(topics, count, sizeof *topic);
        *topic = mem_strdup(item->text);
    }
}

/* The sections are read before the lists. */
static struct access_quota quota_default(const struct config_quota *own,
                                         const struct config_quota *all)
{
    return (struct access_quota){
        .rate = own->rate < 0 ? all->rate : own->rate,
        .burst = own->burst < 0 ? all->burst : own->burst,
        .byte_rate = own->byte_rate == UINT64_MAX ? all->byte_rate : own->byte_rate,
        .journal_share = own->journal_share < 0 ? all->journal_share : own->journal_share,
        .qos0_drop = (own->qos0 < 0 ? all->qos0 : own->qos0) == 1,
        .connections = own->connections < 0 ? all->connections : own->connections,
        .payload_bytes = own->payload_bytes == UINT64_MAX ? all->payload_bytes : own->payload_bytes,
        .topic_levels = own->topic_levels < 0 ? all->topic_levels : own->topic_levels,
    };
}

int config_vendor_read(struct load *load, const struct yaml_node *node)
{
    static const char *const also[] = {"topics", NULL};
    /* Below zero, and all ones: not said here (quota_default). */
    struct vendor_entry entry = {.quota = {-1, -1, UINT64_MAX, -1, -1, -1, UINT64_MAX, -1}};
    size_t before = load->yaml.error_count;
    option_defaults(config_vendor_rows, &entry);
    yaml_set_options(&load->yaml, node, config_vendor_rows, &entry, also);
    name_check(load, node, entry.name);
    load_check_zone(load, load_at(node, "timezone"), entry.timezone);
    load_digest_text(load, entry.name);
    load_digest_text(load, entry.timezone);
    struct config_vendor *vendor =
        load_grow(&load->config->vendors, &load->config->vendor_count, sizeof *vendor);
    vendor->name = entry.name ? entry.name : mem_strdup("");
    vendor->timezone = entry.timezone;
    vendor->subscribe_accept = entry.subscribe == 1;
    vendor->quota = quota_default(&entry.quota, &load->config->quota);
    if (entry.passwords) {
        vendor->passwords = load_path(load, entry.passwords);
        free(entry.passwords);
    }
    config_topics_read(load, yaml_find(node, "topics"), &vendor->topics, &vendor->topic_count);
    return load->yaml.error_count > before ? GW_EINVAL : 0;
}

/* ---- when all entries are there ---- */

/* A route's pattern as a filter: {vendor} is this vendor, every other {name} is +. */
static char *pattern_filter(const char *pattern, const char *vendor)
{
    struct buffer out = {0};
    for (const char *at = pattern; *at;) {
        const char *close = *at == '{' ? strchr(at, '}') : NULL;
        if (close == NULL) {
            buffer_u8(&out, (uint8_t)*at++);
            continue;
        }
        bool self = bytes_equal_text(bytes_of(at + 1, (size_t)(close - at) - 1), "vendor");
        buffer_add_text(&out, self ? vendor : "+");
        at = close + 1;
    }
    char *filter = bytes_strdup(buffer_bytes(&out));
    buffer_fini(&out);
    return filter;
}

static void topics_default(struct load *load, struct config_vendor *vendor)
{
    const struct config *config = load->config;
    for (size_t i = 0; i < config->route_count; i++) {
        const struct config_route *route = &config->routes[i];
        if (route->vendor && strcmp(route->vendor, vendor->name) != 0)
            continue;
        char **topic = load_grow(&vendor->topics, &vendor->topic_count, sizeof *topic);
        *topic = pattern_filter(route->topic, vendor->name);
    }
}

/* Hashes with few iterations are worth hiding, and whoever may write the file may log in. */
static int passwords_check(struct load *load, const struct yaml_node *at,
                           const struct config_vendor *vendors, size_t count)
{
    struct access_vendor *rules = mem_zalloc((count + 1) * sizeof *rules);
    for (size_t i = 0; i < count; i++) {
        rules[i].name = vendors[i].name;
        rules[i].passwords = vendors[i].passwords;
    }
    struct access *access = access_new();
    struct err err;
    int rc = access_load(access, load->disk,
                         &(struct access_rules){.vendors = rules, .vendor_count = count}, &err);
    if (rc)
        yaml_error(&load->yaml, at, "%s", err.text);
    access_free(access);
    free(rules);
    return rc;
}

/* With errors there are fewer vendors than entries, so they are found by their name. */
static struct config_vendor *vendor_of(const struct config *config, const struct yaml_node *node)
{
    const struct yaml_node *name = node->kind == YAML_MAPPING ? yaml_find(node, "name") : NULL;
    for (size_t i = 0; name && i < config->vendor_count; i++)
        if (config->vendors[i].name && strcmp(config->vendors[i].name, name->text) == 0)
            return &config->vendors[i];
    return NULL;
}

void config_vendors_finish(struct load *load, const struct yaml_node *list)
{
    struct config *config = load->config;
    bool whole = load->yaml.error_count == 0;
    if (list == NULL || list->kind != YAML_SEQUENCE)
        return;
    YAML_EACH(node, list)
    {
        struct config_vendor *vendor = vendor_of(config, node);
        if (vendor == NULL)
            continue;
        if (whole && yaml_find(node, "topics") == NULL)
            topics_default(load, vendor);
        if (vendor->passwords == NULL || yaml_find(node, "passwords") == NULL)
            continue;
        load_check_private(load, load_at(node, "passwords"), vendor->passwords);
        passwords_check(load, load_at(node, "passwords"), vendor, 1);
    }
    if (load->yaml.error_count == 0)
        passwords_check(load, list, config->vendors, config->vendor_count);
}
