/* SPDX-License-Identifier: Apache-2.0
 *
 * `tidegate clickhouse ddl`: the tables for the operator to make. The gateway itself never changes a
 * schema.
 */
#include "cli/cli.h"
#include "sinks/clickhouse/ddl.h"

enum { MS_PER_DAY = 86400000 };

struct ddl_arguments {
    char *server_version, *database, *table, *cluster;
    bool replicated;
    int64_t ttl_ms;
};

#define AT(member) offsetof(struct ddl_arguments, member)
static const struct option ddl_rows[] = {
    {.name = "server-version",
     .type = OPTION_STRING,
     .offset = AT(server_version),
     .def = "24.8",
     .help = "What `SELECT version()` answers; 18.16 and later."},
    {.name = "database",
     .type = OPTION_STRING,
     .offset = AT(database),
     .def = "default",
     .help = "The database of the table."},
    {.name = "table",
     .type = OPTION_STRING,
     .offset = AT(table),
     .def = "readings",
     .help = "The table that the gateway writes to."},
    {.name = "cluster",
     .type = OPTION_STRING,
     .offset = AT(cluster),
     .help = "Make the tables on every server of this cluster, and TABLE_all, which reads all."},
    {.name = "replicated",
     .type = OPTION_BOOL,
     .offset = AT(replicated),
     .def = "false",
     .help = "Replicated tables; the servers have a keeper and the macros {shard} and {replica}."},
    {.name = "ttl",
     .type = OPTION_DURATION,
     .offset = AT(ttl_ms),
     .def = "0s",
     .min = 0,
     .max = DDL_TTL_DAYS_MAX * (int64_t)MS_PER_DAY,
     .help = "Drop readings after so many whole days, such as 800d; 0s: never."},
    {0},
};
#undef AT

static const struct cli_command ddl_command = {
    .name = "clickhouse ddl",
    .arguments = "",
    .summary = "Print the tables and views for a ClickHouse server.",
    .rows = ddl_rows,
    .more = "Run what it prints once, as a user who may create tables:\n"
            "  tidegate clickhouse ddl --server-version 24.8 | clickhouse-client --multiquery\n"
            "The gateway needs INSERT and SHOW COLUMNS on the table, no more.\n",
};

static int ddl_print(const struct ddl_arguments *arguments)
{
    struct err err;
    struct table_shape shape;
    struct ddl_options options = {
        .database = arguments->database,
        .table = arguments->table,
        .cluster = arguments->cluster,
        .replicated = arguments->replicated,
        .ttl_days = arguments->ttl_ms / MS_PER_DAY,
    };
    if (arguments->ttl_ms % MS_PER_DAY)
        return cli_fail(ddl_command.name, EXIT_CODE_USAGE, "--ttl counts whole days, such as 800d");
    if (table_version_parse(bytes_text(arguments->server_version), &shape, &err) < 0)
        return cli_fail(ddl_command.name, EXIT_CODE_USAGE, "--server-version: %s", err.text);
    struct buffer out = {0};
    int code = EXIT_CODE_OK;
    if (ddl_write(&shape, &options, &out, &err) < 0)
        code = cli_fail(ddl_command.name, EXIT_CODE_USAGE, "%s", err.text);
    else
        cli_print(buffer_bytes(&out));
    buffer_fini(&out);
    return code == EXIT_CODE_OK ? cli_finish(code) : code;
}

static int action_ddl(const struct cli_command *command, int argc, char **argv)
{
    struct ddl_arguments options = {0};
    struct cli_arguments arguments;
    int code = cli_parse(command, argc, argv, &options, &arguments);
    if (code == CLI_GO)
        code = ddl_print(&options);
    option_fini(command->rows, &options);
    return code;
}

int verb_clickhouse(int argc, char **argv)
{
    static const struct cli_action actions[] = {{&ddl_command, action_ddl}, {0}};
    return cli_dispatch("clickhouse", "What a ClickHouse server needs for the sink.", actions, argc,
                        argv);
}
