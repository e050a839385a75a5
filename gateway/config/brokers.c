/* SPDX-License-Identifier: Apache-2.0
 *
 * Entries of the list `brokers`: MQTT brokers that vendors have already.
 */
#include <stdlib.h>

#include "config/load.h"

static void name_check(struct load *load, const struct yaml_node *node, const char *name)
{
    const struct config *config = load->config;
    if (name == NULL) {
        yaml_error(&load->yaml, node, "a broker needs a `name`");
        return;
    }
    if (!load_name_valid(name))
        yaml_error(&load->yaml, load_at(node, "name"),
                   "the name of a broker is made of letters, digits, _ . -, at most 64");
    for (size_t i = 0; i < config->broker_count; i++)
        if (config->brokers[i].name && strcmp(config->brokers[i].name, name) == 0)
            yaml_error(&load->yaml, load_at(node, "name"), "broker \"%s\" stands there twice",
                       name);
}

/* The rest of the URL behind a scheme that we have, or null. */
static const char *after_scheme(const char *url, bool *tls)
{
    *tls = strncmp(url, "mqtts://", 8) == 0;
    if (*tls)
        return url + 8;
    return strncmp(url, "mqtt://", 7) == 0 ? url + 7 : NULL;
}

static void url_check(struct load *load, const struct yaml_node *node, const char *urls)
{
    int schemes[2] = {0};
    char *list = mem_strdup(urls), *rest = NULL;
    char *address = NULL;
    const struct option row = {.name = "url", .type = OPTION_ADDRESS};
    for (char *url = strtok_r(list, ", ", &rest); url; url = strtok_r(NULL, ", ", &rest)) {
        bool tls;
        struct err err;
        const char *place = after_scheme(url, &tls);
        schemes[tls]++;
        if (place == NULL)
            yaml_error(&load->yaml, load_at(node, "url"),
                       "url: \"%s\" must begin with mqtt:// or mqtts://", url);
        else if (strchr(place, '@'))
            yaml_error(&load->yaml, load_at(node, "url"),
                       "`url` holds a name or password: they stand in `user` and `password_file`");
        else if (option_set(&row, &address, place, &err))
            yaml_error(&load->yaml, load_at(node, "url"), "url: %s", err.text);
    }
    if (schemes[0] && schemes[1])
        yaml_error(&load->yaml, load_at(node, "url"),
                   "url: mqtt and mqtts together: take two entries");
    if (schemes[0] + schemes[1] == 0)
        yaml_error(&load->yaml, node, "a broker needs a `url`, as mqtt://127.0.0.1:1883");
    free(address);
    free(list);
}

static void group_check(struct load *load, const struct yaml_node *node, const char *group)
{
    if (group && (*group == '\0' || strpbrk(group, "/+#")))
        yaml_error(&load->yaml, load_at(node, "group"),
                   "group: \"%s\" must be without / + # (MQTT 5.0, 4.8.2)", group);
}

static void both_or_none(struct load *load, const struct yaml_node *node,
                         const struct paho_options *broker)
{
    if ((broker->tls_certificate_file == NULL) != (broker->tls_key_file == NULL))
        yaml_error(&load->yaml, node, "tls_certificate_file and tls_key_file go together");
    if (broker->password_file && broker->user == NULL)
        yaml_error(&load->yaml, load_at(node, "password_file"), "a password needs a `user`");
}

int config_broker_read(struct load *load, const struct yaml_node *node)
{
    static const char *const also[] = {"topics", NULL};
    struct config *config = load->config;
    struct paho_options broker = {0};
    size_t before = load->yaml.error_count;
    option_defaults(paho_option_rows, &broker);
    yaml_set_options(&load->yaml, node, paho_option_rows, &broker, also);
    config_sink_files(load, node, paho_option_rows, &broker);
    name_check(load, node, broker.name);
    url_check(load, node, broker.url ? broker.url : "");
    group_check(load, node, broker.group);
    both_or_none(load, node, &broker);
    config_topics_read(load, yaml_find(node, "topics"), &broker.topics, &broker.topic_count);
    if (broker.topic_count == 0)
        yaml_error(&load->yaml, node, "a broker needs `topics`, for example [\"v1/#\"]");
    *(struct paho_options *)load_grow(&config->brokers, &config->broker_count, sizeof broker) =
        broker;
    return load->yaml.error_count > before ? GW_EINVAL : 0;
}

/* ---- when all entries are there ---- */

/* The level that begins at `*at`, which then is the one behind it, or null. */
static struct bytes level_cut(const char **at)
{
    const char *slash = strchr(*at, '/');
    struct bytes level = bytes_of(*at, slash ? (size_t)(slash - *at) : strlen(*at));
    *at = slash ? slash + 1 : NULL;
    return level;
}

/* Can a topic that the filter lets through take that route? Then *vendor is the text at {vendor}, null
 * where the filter leaves it open. Pure. */
static bool route_reached(const char *filter, const char *route, char **vendor)
{
    while (filter && route) {
        struct bytes given = level_cut(&filter), wanted = level_cut(&route);
        if (bytes_equal_text(given, "#") || bytes_equal_text(wanted, "#"))
            return true;
        bool open = bytes_equal_text(given, "+");
        bool placeholder = wanted.size && wanted.data[0] == '{';
        if (bytes_equal_text(wanted, "{vendor}") && !open) {
            free(*vendor);
            *vendor = bytes_strdup(given);
        }
        if (!open && !placeholder && !bytes_equal_text(wanted, "+") && !bytes_equal(given, wanted))
            return false;
    }
    /* "a/#" lets "a" through, too (MQTT 5.0, 4.7.1.2). */
    return (!filter && !route) || (filter && strcmp(filter, "#") == 0) ||
           (route && strcmp(route, "#") == 0);
}

/* Adds who may be named by that route; false: anybody. */
static bool vendor_narrow(const struct config_route *route, const char *filter, char **only)
{
    char *captured = NULL;
    bool reached = route_reached(filter, route->topic, &captured);
    const char *name = route->vendor ? route->vendor : captured;
    bool narrow = !reached || (name && load_name_valid(name) && (!*only || !strcmp(*only, name)));
    if (reached && narrow && *only == NULL)
        *only = mem_strdup(name);
    free(captured);
    return narrow;
}

/* The one vendor that messages of these topics can have, or null. */
static char *routed_vendor(const struct config *config, const struct paho_options *broker)
{
    char *only = NULL;
    for (size_t topic = 0; topic < broker->topic_count; topic++) {
        for (size_t i = 0; i < config->route_count; i++) {
            if (vendor_narrow(&config->routes[i], broker->topics[topic], &only))
                continue;
            free(only);
            return NULL;
        }
    }
    return only;
}

void config_brokers_finish(struct load *load, const struct yaml_node *list)
{
    struct config *config = load->config;
    if (list && list->kind == YAML_SEQUENCE)
        YAML_EACH(node, list)
        {
            const struct yaml_node *vendor = yaml_find(node, "vendor");
            if (vendor && vendor->kind == YAML_SCALAR)
                config_vendor_check(load, node, vendor->text);
        }
    for (size_t i = 0; i < config->broker_count; i++)
        config->brokers[i].routed_vendor = routed_vendor(config, &config->brokers[i]);
}
