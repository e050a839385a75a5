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
