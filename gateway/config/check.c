/* SPDX-License-Identifier: Apache-2.0
 *
 * Values that are fine alone and wrong together.
 */
#include "config/load.h"

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
    if (config->mqtt.max_packet_bytes > config->journal.segment_bytes / 4)
        yaml_error(&load->yaml, option_node(load, "journal", "segment_size"),
                   "a packet may be larger than a quarter of journal.segment_size: lower the limit "
                   "of mqtt, or make segments larger");
}

void config_check(struct load *load)
{
    journal_check(load);
    mqtt_check(load);
    if (load->config->sink_count == 0 && yaml_is_null(yaml_find(load->yaml.root, "sinks")))
        yaml_error(&load->yaml, load->yaml.root,
                   "no `sinks`: readings would go nowhere; add `- type: parquet` or, on purpose, "
                   "`- type: discard`");
    load_digest_number(load, load->config->decode.readings_max);
    load_digest_number(load, load->config->decode.late_days);
    load_digest_number(load, load->config->decode.ahead_ms);
}
