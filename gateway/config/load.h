/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this folder share while one configuration is read. Private to the folder. One
 * thread.
 */
#ifndef TIDEGATE_CONFIG_LOAD_H
#define TIDEGATE_CONFIG_LOAD_H

#include <xxhash.h>

#include "base/yaml.h"
#include "config/config.h"

/* Limits: a configuration is written by people, and a mistake (a disk image in place of a file) must
 * end in an error, not in the end of the memory. */
enum {
    CONFIG_FILE_BYTES_MAX = 4 << 20,
    CONFIG_LIST_MAX = 4096, /* vendors, routes, metrics, filters of a vendor */
    CONFIG_SINKS_MAX = 32,
    CONFIG_TOPIC_MAX = 1024,
};

struct load {
    struct yaml yaml;
    struct config *config;
    struct buffer *errors;
    const struct disk *disk;
    char *folder; /* of the file; null: the built-in text, which names no files */
    XXH3_state_t *digest;
    size_t failures; /* errors that the YAML reader did not count */
};

/* What config_load and config_embedded have in common (config.c). `path` null: the text names no
 * files, or they are seen from the working directory. */
int config_parse(struct bytes text, const char *path, const char *origin, const struct disk *disk,
                 struct config **out, struct buffer *errors);

/* embedded.c: who has a credential file below the data folder (null: nobody) is a vendor of the built-in
 * configuration; appends the list. */
int config_embedded_vendors(const char *data, struct buffer *out, struct buffer *errors);

/* ---- rows.c: every option ---- */

/* A section is a mapping whose rows describe a struct inside struct config. */
struct config_section {
    const char *name;
    const struct option *rows;
    size_t offset; /* of the struct that the rows describe */
    const char *help;
};
extern const struct config_section config_sections[]; /* ends with a null name */
extern const struct option config_top_rows[];         /* target: struct config */

/* A list is a sequence of mappings; rows describe one entry, `extra` the keys that no row can. */
struct config_list {
    const char *name;
    const struct option *rows;
    const struct config_extra *extra; /* ends with a null name */
    const char *help;
    size_t count_max;
    int (*entry)(struct load *load, const struct yaml_node *node);
};
extern const struct config_list config_lists[]; /* ends with a null name */

/* One entry as the file has it; read by the row tables, then moved into struct config. */
struct vendor_entry {
    char *name, *timezone, *passwords;
    int subscribe;
    struct config_quota quota;
};
struct metric_entry {
    char *name, *unit, *min, *max, *help;
    int kind;
    bool event;
};
struct route_entry {
    char *topic, *codec, *vendor, *timezone, *mapping;
};
struct sink_entry {
    char *name, *type, *start;
    int when_full;
};
extern const struct option config_vendor_rows[], config_metric_rows[], config_route_rows[],
    config_sink_rows[];

/* ---- entries ---- */

int config_vendor_read(struct load *load, const struct yaml_node *node);  /* vendors.c */
int config_metric_read(struct load *load, const struct yaml_node *node);  /* vocabulary.c */
int config_route_read(struct load *load, const struct yaml_node *node);   /* routes.c */
int config_sink_read(struct load *load, const struct yaml_node *node);    /* sinks.c */
int config_broker_read(struct load *load, const struct yaml_node *node);  /* brokers.c */
int config_capture_read(struct load *load, const struct yaml_node *node); /* captures.c */
/* sinks.c: the paths among a sink's own options that end in `_file`. */
void config_sink_files(struct load *load, const struct yaml_node *node, const struct option *rows,
                       void *options);

/* vendors.c: a list of topic filters, checked. */
void config_topics_read(struct load *load, const struct yaml_node *list, char ***topics,
                        size_t *count);
/* vendors.c: what can be told only when all entries are there: default topics, password files. */
void config_vendors_finish(struct load *load, const struct yaml_node *list);
/* routes.c: routes that can never match. */
void config_routes_finish(struct load *load, const struct yaml_node *list);
/* routes.c: a vendor that the list does not have is likely mistyped. */
void config_vendor_check(struct load *load, const struct yaml_node *node, const char *vendor);
/* brokers.c: whose messages its routes say they are. */
void config_brokers_finish(struct load *load, const struct yaml_node *list);
/* check.c: values that are fine alone and wrong together. */
void config_check(struct load *load);

/* ---- helpers (load.c) ---- */

/* The child's node, or the entry itself when the key is not there: where an error points. */
const struct yaml_node *load_at(const struct yaml_node *entry, const char *key);
/* An error unless the zone is one. */
void load_check_zone(struct load *load, const struct yaml_node *at, const char *zone);
/* The path as seen from the configuration's folder; the caller frees it. */
char *load_path(const struct load *load, const char *path);
/* The file, through symbolic links, at most CONFIG_FILE_BYTES_MAX: an error sentence, or 0. */
int load_file(const struct disk *disk, const char *path, struct buffer *out, struct err *err);
/* An error when others than its owner and group may read the file: it holds secrets. */
void load_check_private(struct load *load, const struct yaml_node *at, const char *path);
/* Put a text (null: none) or a number into the digest of what decoding means. */
void load_digest_text(struct load *load, const char *text);
void load_digest_bytes(struct load *load, struct bytes in);
void load_digest_number(struct load *load, int64_t number);
/* An array grows by one zeroed item; returns the item. */
void *load_grow(void *array_pointer, size_t *count, size_t item_size);
/* [A-Za-z0-9_.-], 1..64, begins with a letter or digit: names that become file names and labels. */
bool load_name_valid(const char *name);

#endif
