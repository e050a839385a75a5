/* SPDX-License-Identifier: Apache-2.0
 *
 * Values that are fine alone and wrong together.
 */
#include "config/load.h"

#include <stdlib.h>

static const struct yaml_node *option_node(struct load *load, const char *section, const char *name)
{
    const struct yaml_node *node = yaml_find(load->yaml.root, section);
    return node ? load_at(node, name) : load->yaml.root;
}

static void journal_check(struct load *load)
{
    const struct config_journal *journal = &load->config->journal;
    if (journal->extent_bytes > journal->segment_bytes / 4)
        yaml_error(&load->yaml, option_node(load, "journal", "extent_size"),
                   "extent_size is more than a quarter of segment_size: make segments larger");
    if (journal->memory_bytes < 2 * journal->extent_bytes)
        yaml_error(&load->yaml, option_node(load, "journal", "memory"),
                   "memory is less than two extents (extent_size): one is written while the next "
                   "fills");
    if (journal->max_bytes < 4 * journal->segment_bytes)
        yaml_error(&load->yaml, option_node(load, "journal", "max_size"),
                   "max_size has no room for four segments (segment_size)");
    if (journal->keep_bytes > journal->max_bytes)
        yaml_error(&load->yaml, option_node(load, "journal", "keep_size"),
                   "keep_size is above max_size: history would fill the log and stop the intake");
}

static void mqtt_check(struct load *load)
{
    const struct config *config = load->config;
    struct network *exempt;
    size_t exempt_count;
    struct err err;
    if (networks_parse(config->mqtt.address_exempt, &exempt, &exempt_count, &err))
        yaml_error(&load->yaml, option_node(load, "mqtt", "address_exempt"), "address_exempt: %s",
                   err.text);
    free(exempt);
    if (listener_options_check(&config->mqtt, &err))
        yaml_error(&load->yaml, option_node(load, "mqtt", "listen"), "%s", err.text);
    if (config->mqtt.max_packet_bytes > config->journal.segment_bytes / 4)
        yaml_error(&load->yaml, option_node(load, "journal", "segment_size"),
                   "a packet may be larger than a quarter of journal.segment_size: lower the limit "
                   "of mqtt, or make segments larger");
}

/* Here, so that `validate` finds it, and a reload that would fail is refused as a whole. */
static void tls_check(struct load *load)
{
    struct listener_options *options = &load->config->mqtt;
    const struct yaml_node *node = yaml_find(load->yaml.root, "tls");
    struct tls_context *context = NULL;
    struct err err;
    if (options->tls.listen == NULL && (options->tls.certificate_file || options->tls.key_file))
        yaml_error(&load->yaml, node, "section tls needs `listen`, for example 0.0.0.0:8883");
    if (options->tls.listen == NULL)
        return;
    size_t before = load->yaml.error_count;
    config_sink_files(load, node, tls_option_rows, &options->tls);
    if (load->yaml.error_count == before &&
        tls_context_new(&options->tls, load->disk, NULL, &context, &err))
        yaml_error(&load->yaml, node, "%s", err.text);
    tls_context_release(context);
}

/* As for tls. Who reaches it is told by its address here, and by its socket at the start. */
static void admin_check(struct load *load)
{
    struct admin_options *options = &load->config->admin;
    const struct yaml_node *node = yaml_find(load->yaml.root, "admin");
    struct admin_secrets *secrets = NULL;
    struct err err;
    size_t before = load->yaml.error_count;
    config_sink_files(load, node, config_admin_rows, options);
    const char *exposed = admin_exposed(options);
    if (exposed)
        yaml_error(&load->yaml, option_node(load, "admin", "listen"), "%s", exposed);
    if (load->yaml.error_count == before && admin_secrets_read(&secrets, options, &err))
        yaml_error(&load->yaml, node ? node : load->yaml.root, "%s", err.text);
    admin_secrets_free(secrets);
}

/* Texts that name the same folder, as far as texts can tell. */
static bool same_folder(const char *a, const char *b)
{
    while (a[0] == '.' && a[1] == '/')
        a += 2;
    while (b[0] == '.' && b[1] == '/')
        b += 2;
    size_t a_size = strlen(a), b_size = strlen(b);
    while (a_size > 1 && a[a_size - 1] == '/')
        a_size--;
    while (b_size > 1 && b[b_size - 1] == '/')
        b_size--;
    return bytes_equal(bytes_of(a, a_size), bytes_of(b, b_size));
}

/* A folder that a sink writes is its own: two would clean up after each other. */
static const struct option *shared_folder(const struct config_sink *a, const struct config_sink *b)
{
    const struct option *row = a->type->options;
    for (; a->type == b->type && row->name; row++) {
        size_t size = strlen(row->name);
        bool is_file = size > 5 && strcmp(row->name + size - 5, "_file") == 0;
        const char *const *one = (const void *)((const char *)a->options + row->offset);
        const char *const *other = (const void *)((const char *)b->options + row->offset);
        if (row->type == OPTION_PATH && !is_file && *one && *other && same_folder(*one, *other))
            return row;
    }
    return NULL;
}

static void sinks_check(struct load *load)
{
    const struct config *config = load->config;
    for (size_t i = 0; i < config->sink_count; i++) {
        for (size_t j = 0; j < i; j++) {
            const struct option *row = shared_folder(&config->sinks[i], &config->sinks[j]);
            if (row)
                yaml_error(&load->yaml, yaml_find(load->yaml.root, "sinks"),
                           "sinks %s and %s have one `%s`: each needs a folder of its own",
                           config->sinks[j].name, config->sinks[i].name, row->name);
        }
    }
}

void config_check(struct load *load)
{
    journal_check(load);
    mqtt_check(load);
    tls_check(load);
    admin_check(load);
    sinks_check(load);
    if (load->config->sink_count == 0 && yaml_is_null(yaml_find(load->yaml.root, "sinks")))
        yaml_error(&load->yaml, load->yaml.root,
                   "no `sinks`: readings would go nowhere; add `- type: parquet` or, on purpose, "
                   "`- type: discard`");
    load_digest_number(load, load->config->decode.readings_max);
    load_digest_number(load, load->config->decode.late_days);
    load_digest_number(load, load->config->decode.ahead_ms);
}
