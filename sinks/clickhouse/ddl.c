/* SPDX-License-Identifier: Apache-2.0
 *
 * The statements that an operator runs: what the server can do decides types, codecs and keys. Pure.
 * Any thread.
 */
#include "sinks/clickhouse/ddl.h"

#include <inttypes.h>
#include <stdio.h>

struct ddl {
    const struct table_shape *shape;
    const struct ddl_options *options;
    struct buffer *out;
    char on_cluster[200]; /* " ON CLUSTER name", or "" */
};

static bool from(const struct ddl *ddl, uint32_t major, uint32_t minor)
{
    return ddl->shape->major > major || (ddl->shape->major == major && ddl->shape->minor >= minor);
}

static const char *source_suffix(const struct ddl *ddl)
{
    return ddl->options->cluster ? "_all" : "";
}

/* ---- columns ---- */

enum codec { CODEC_TEXT, CODEC_STEPS };

/* Chosen by measurement: Delta for what grows in steps, plain zstd for decimals (Gorilla is worse for
 * them than no codec). */
static const char *codec_text(const struct ddl *ddl, enum codec codec)
{
    if (!ddl->shape->codecs)
        return "";
    return codec == CODEC_STEPS ? " CODEC(Delta, ZSTD(1))" : " CODEC(ZSTD(1))";
}

static void add_column(const struct ddl *ddl, const char *name, const char *type, enum codec codec)
{
    buffer_printf(ddl->out, "    %s %s%s,\n", name, type, codec_text(ddl, codec));
}

/* Few different texts in a part. */
static void add_word(const struct ddl *ddl, const char *name)
{
    if (ddl->shape->low_cardinality)
        buffer_printf(ddl->out, "    %s LowCardinality(String),\n", name);
    else
        buffer_printf(ddl->out, "    %s String,\n", name);
}

static void add_time(const struct ddl *ddl, const char *name)
{
    if (ddl->shape->datetime64) {
        add_column(ddl, name, "DateTime64(3, 'UTC')", CODEC_STEPS);
        return;
    }
    add_column(ddl, name, "DateTime('UTC')", CODEC_STEPS);
    buffer_printf(ddl->out, "    %s_ms UInt16%s,\n", name, codec_text(ddl, CODEC_TEXT));
}

static void add_columns(const struct ddl *ddl)
{
    add_word(ddl, "vendor");
    add_column(ddl, "device", "String", CODEC_TEXT);
    add_word(ddl, "metric");
    add_time(ddl, "ts");
    add_column(ddl, "value", "Nullable(Float64)", CODEC_TEXT);
    add_word(ddl, "unit");
    add_column(ddl, "scale", "UInt8", CODEC_TEXT);
    add_word(ddl, "quality");
    add_word(ddl, "flags");
    add_word(ddl, "time_source");
    add_column(ddl, "seq", "UInt64", CODEC_STEPS);
    add_time(ddl, "received");
    add_word(ddl, "gateway");
    buffer_printf(ddl->out, "    version UInt64%s\n", codec_text(ddl, CODEC_STEPS));
}

/* ---- tables ---- */

static void add_engine(const struct ddl *ddl)
{
    const struct ddl_options *options = ddl->options;
    if (options->replicated)
        buffer_printf(ddl->out,
                      "ENGINE = ReplicatedReplacingMergeTree("
                      "'/clickhouse/tables/{shard}/%s/%s', '{replica}', version)\n",
                      options->database, options->table);
    else
        buffer_add_text(ddl->out, "ENGINE = ReplacingMergeTree(version)\n");
    buffer_printf(ddl->out,
                  "PARTITION BY toYYYYMMDD(ts)\nORDER BY (vendor, device, metric, ts%s)\n",
                  ddl->shape->datetime64 ? "" : ", ts_ms");
}

static void add_settings(const struct ddl *ddl)
{
    if (ddl->options->ttl_days)
        buffer_printf(ddl->out, "TTL toDateTime(ts) + INTERVAL %" PRId64 " DAY\n",
                      ddl->options->ttl_days);
    buffer_add_text(ddl->out, "SETTINGS index_granularity = 8192");
    /* A partition is a day, so whole parts grow old together. */
    if (ddl->options->ttl_days && from(ddl, 20, 1))
        buffer_add_text(ddl->out, ", ttl_only_drop_parts = 1");
    /* A block that is sent again right away is then not even stored again. */
    if (!ddl->options->replicated && ddl->shape->insert_deduplication_token)
        buffer_add_text(ddl->out, ", non_replicated_deduplication_window = 1000");
    buffer_add_text(ddl->out, ";\n");
}

static void add_database(const struct ddl *ddl)
{
    if (strcmp(ddl->options->database, "default") != 0)
        buffer_printf(ddl->out, "\nCREATE DATABASE IF NOT EXISTS %s%s;\n", ddl->options->database,
                      ddl->on_cluster);
}

static void add_table(const struct ddl *ddl)
{
    buffer_printf(ddl->out, "\nCREATE TABLE IF NOT EXISTS %s.%s%s\n(\n", ddl->options->database,
                  ddl->options->table, ddl->on_cluster);
    add_columns(ddl);
    buffer_add_text(ddl->out, ")\n");
    add_engine(ddl);
    add_settings(ddl);
}

/* Reads all shards. Its key is how the gateway chooses a shard; without xxHash64 there is none, and
 * the server then refuses rows that would land on the wrong one. */
static void add_distributed(const struct ddl *ddl)
{
    const struct ddl_options *options = ddl->options;
    if (!options->cluster)
        return;
    buffer_printf(ddl->out,
                  "\nCREATE TABLE IF NOT EXISTS %s.%s_all%s AS %s.%s\n"
                  "ENGINE = Distributed(%s, %s, %s%s);\n",
                  options->database, options->table, ddl->on_cluster, options->database,
                  options->table, options->cluster, options->database, options->table,
                  from(ddl, 20, 1) ? ", xxHash64(concat(vendor, '/', device))" : "");
}

/* ---- views ---- */

/* Each reading once, as it was decoded last. */
static void add_view_unique(const struct ddl *ddl)
{
    const struct ddl_options *options = ddl->options;
    bool ms = !ddl->shape->datetime64;
    buffer_printf(ddl->out,
                  "\nCREATE VIEW IF NOT EXISTS %s.%s_unique%s AS\n"
                  "SELECT vendor, device, metric, ts, %svalue, unit, scale, quality, flags,\n"
                  "    time_source, seq, received, %sgateway\n"
                  "FROM %s.%s%s FINAL\n"
                  "WHERE NOT has(splitByChar(',', toString(flags)), 'withdrawn')",
                  options->database, options->table, ddl->on_cluster, ms ? "ts_ms, " : "",
                  ms ? "received_ms, " : "", options->database, options->table, source_suffix(ddl));
    /* Rows of one key are in one partition. */
    if (from(ddl, 21, 1))
        buffer_add_text(ddl->out, "\nSETTINGS do_not_merge_across_partitions_select_final = 1");
    buffer_add_text(ddl->out, ";\n");
}

/* The newest reading of each metric of each device. In a tuple, because argMax passes over nulls. */
static void add_view_latest(const struct ddl *ddl)
{
    const struct ddl_options *options = ddl->options;
    bool ms = !ddl->shape->datetime64;
    buffer_printf(ddl->out,
                  "\nCREATE VIEW IF NOT EXISTS %s.%s_latest%s AS\n"
                  "SELECT vendor, device, metric, tupleElement(latest, 1) AS ts,%s\n"
                  "    tupleElement(latest, 2) AS value, tupleElement(latest, 3) AS unit,\n"
                  "    tupleElement(latest, 4) AS scale, tupleElement(latest, 5) AS quality,\n"
                  "    tupleElement(latest, 6) AS flags\n"
                  "FROM\n(\n"
                  "    SELECT vendor, device, metric,\n"
                  "        argMax(tuple(ts, value, unit, scale, quality, flags%s), %s) AS latest\n"
                  "    FROM %s.%s_unique\n"
                  "    GROUP BY vendor, device, metric\n"
                  ");\n",
                  options->database, options->table, ddl->on_cluster,
                  ms ? " tupleElement(latest, 7) AS ts_ms," : "", ms ? ", ts_ms" : "",
                  ms ? "toUInt64(ts) * 1000 + ts_ms" : "ts", options->database, options->table);
}

/* ---- words for people ---- */

static void add_head(const struct ddl *ddl)
{
    const struct ddl_options *options = ddl->options;
    buffer_printf(ddl->out,
                  "-- Tidegate: readings in ClickHouse %u.%u. Run once, as a user who may create\n"
                  "-- tables: tidegate clickhouse ddl ... | clickhouse-client --multiquery\n",
                  ddl->shape->major, ddl->shape->minor);
    if (options->cluster)
        buffer_printf(ddl->out,
                      "-- The gateway writes to %s.%s of each shard; %s.%s_all reads them all.\n",
                      options->database, options->table, options->database, options->table);
    if (!ddl->shape->datetime64)
        buffer_printf(
            ddl->out,
            "--\n-- Views of this version read the whole table whatever is asked of them. For a "
            "few devices:\n-- SELECT ... FROM %s.%s%s FINAL WHERE vendor = '...' AND device = "
            "'...'\n",
            options->database, options->table, source_suffix(ddl));
    if (from(ddl, 20, 5))
        buffer_printf(ddl->out,
                      "--\n-- The gateway's user needs no more than this:\n"
                      "--   CREATE USER tidegate%s IDENTIFIED BY '...';\n"
                      "--   GRANT%s INSERT, SHOW COLUMNS ON %s.%s TO tidegate;\n",
                      ddl->on_cluster, ddl->on_cluster, options->database, options->table);
    else
        buffer_printf(ddl->out,
                      "--\n-- This version has no GRANT: give the gateway a user of its own in "
                      "users.xml, with\n-- <allow_databases><database>%s</database>"
                      "</allow_databases>.\n",
                      options->database);
}

/* A name that needs no quotes in any version. */
static bool plain_name(const char *name)
{
    if (!name || !*name || (*name >= '0' && *name <= '9') || strlen(name) > 100)
        return false;
    return name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")] ==
           '\0';
}

static int check(const struct table_shape *shape, const struct ddl_options *options,
                 struct err *err)
{
    const char *const names[][2] = {{"database", options->database},
                                    {"table", options->table},
                                    {"cluster", options->cluster ? options->cluster : "none"}};
    for (size_t i = 0; i < array_count(names); i++)
        if (!plain_name(names[i][1]))
            return err_set(err, GW_EINVAL,
                           "`%.100s` cannot be the name of a %s here: letters, digits and _ only",
                           names[i][1] ? names[i][1] : "", names[i][0]);
    if (options->ttl_days < 0 || options->ttl_days > DDL_TTL_DAYS_MAX)
        return err_set(err, GW_EINVAL, "a TTL has at most %d days", DDL_TTL_DAYS_MAX);
    if (options->ttl_days && !shape->codecs)
        return err_set(err, GW_EINVAL,
                       "ClickHouse %u.%u has no TTL: drop old days with ALTER TABLE %s.%s DROP "
                       "PARTITION 20260131",
                       shape->major, shape->minor, options->database, options->table);
    return 0;
}

int ddl_write(const struct table_shape *shape, const struct ddl_options *options,
              struct buffer *out, struct err *err)
{
    struct ddl ddl = {.shape = shape, .options = options, .out = out};
    int status = check(shape, options, err);
    if (status < 0)
        return status;
    if (options->cluster)
        snprintf(ddl.on_cluster, sizeof ddl.on_cluster, " ON CLUSTER %s", options->cluster);
    add_head(&ddl);
    add_database(&ddl);
    add_table(&ddl);
    add_distributed(&ddl);
    add_view_unique(&ddl);
    add_view_latest(&ddl);
    return 0;
}
