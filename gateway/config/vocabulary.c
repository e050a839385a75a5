/* SPDX-License-Identifier: Apache-2.0
 *
 * Entries of the list `metrics`: additions to the vocabulary.
 */
#include "config/load.h"

static bool bound_read(struct load *load, const struct yaml_node *node, const char *key,
                       const char *text, struct decimal *out)
{
    if (decimal_parse(bytes_text(text), out))
        return true;
    yaml_error(&load->yaml, load_at(node, key), "%s: `%s` is no decimal number", key, text);
    return false;
}

static void range_read(struct load *load, const struct yaml_node *node,
                       const struct metric_entry *entry, struct metric *metric)
{
    if (entry->min == NULL && entry->max == NULL)
        return;
    if (entry->min == NULL || entry->max == NULL) {
        yaml_error(&load->yaml, load_at(node, entry->min ? "min" : "max"),
                   "`min` and `max` go together: give both");
        return;
    }
    bool good = bound_read(load, node, "min", entry->min, &metric->min);
    good = bound_read(load, node, "max", entry->max, &metric->max) && good;
    if (good && decimal_compare(metric->min, metric->max) > 0)
        yaml_error(&load->yaml, load_at(node, "min"), "min %s is above max %s", entry->min,
                   entry->max);
    metric->has_range = good;
}

static void metric_digest(struct load *load, const struct metric_entry *entry)
{
    load_digest_text(load, entry->name);
    load_digest_text(load, entry->unit);
    load_digest_text(load, entry->min);
    load_digest_text(load, entry->max);
    load_digest_number(load, entry->kind);
    load_digest_number(load, entry->event);
}

int config_metric_read(struct load *load, const struct yaml_node *node)
{
    struct metric_entry entry = {0};
    struct err err;
    size_t before = load->yaml.error_count;
    option_defaults(config_metric_rows, &entry);
    yaml_set_options(&load->yaml, node, config_metric_rows, &entry, NULL);
    struct metric metric = {
        .name = entry.name,
        .unit = entry.unit,
        .kind = (enum metric_kind)entry.kind,
        .event = entry.event,
        .help = entry.help,
    };
    range_read(load, node, &entry, &metric);
    if (entry.name == NULL)
        yaml_error(&load->yaml, node, "a metric needs a `name`");
    else if (load->yaml.error_count == before &&
             vocabulary_add(load->config->vocabulary, &metric, &err))
        yaml_error(&load->yaml, load_at(node, "name"), "%s", err.text);
    metric_digest(load, &entry);
    option_fini(config_metric_rows, &entry);
    return load->yaml.error_count > before ? GW_EINVAL : 0;
}
