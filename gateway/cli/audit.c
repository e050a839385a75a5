/* SPDX-License-Identifier: Apache-2.0
 *
 * `tidegate audit`: proves, message by message, that what came in equals what went out (invariant 9): from
 * the logs and cursors of a folder, also while a gateway runs on it, and from the stores themselves.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/auditing.h"
#include "cli/cli.h"
#include "sinks/clickhouse/clickhouse.h"
#include "sinks/kafka/kafka.h"
#include "sinks/parquet/parquet.h"

#define AT(member) offsetof(struct audit_options, member)
static const struct option audit_rows[] = {
    CLI_ROW_DATA(struct audit_options),
    {.name = "config",
     .type = OPTION_PATH,
     .offset = AT(config),
     .help = "Tells which sink writes where; without it the built-in configuration does."},
    CLI_ROW_KAFKA(struct audit_options, "Without --config: the brokers of `run --kafka`."),
    CLI_ROW_CLICKHOUSE(struct audit_options, "Without --config: the URL of `run --clickhouse`."),
    {.name = "clickhouse-user",
     .type = OPTION_STRING,
     .offset = AT(clickhouse_user),
     .help =
         "Who asks ClickHouse; needs SELECT on the table. Default: the sink's `user`, which as a "
         "rule may only insert."},
    {.name = "clickhouse-password-file",
     .type = OPTION_PATH,
     .offset = AT(clickhouse_password_file),
     .help = "File with the password of --clickhouse-user as its first line."},
    {.name = "logs-only",
     .type = OPTION_BOOL,
     .offset = AT(logs_only),
     .def = "false",
     .help = "Ask no store: what was received has been decoded, no more."},
    {.name = "days",
     .type = OPTION_INT,
     .offset = AT(days),
     .def = "0",
     .min = 0,
     .max = 4000,
     .help = "What was received on the last so many UTC days; 0: all that both logs hold."},
    {.name = "memory",
     .type = OPTION_SIZE,
     .offset = AT(memory_bytes),
     .def = "512MiB",
     .min = 64 << 10,
     .max = INT64_C(1) << 40,
     .help = "For the readings that are compared at once, about; what is more takes further passes "
             "over the stores."},
    CLI_ROW_JSON(struct audit_options),
    {0},
};
#undef AT

static const struct cli_command command = {
    .name = "audit",
    .arguments = "",
    .summary = "Prove that what was received was decoded and stored, by vendor and day.",
    .rows = audit_rows,
    .more =
        "Each message of the raw log must have one fate in the reading log: decoded, decoded and\n"
        "empty, dead letter; or it is lost to damage, or waits. Each reading that a sink "
        "confirmed\n"
        "must be in its store: Parquet files and the reading topic are read, ClickHouse is asked "
        "for\n"
        "sums of ranges and for the rows of those that differ. What is missing, or there without "
        "a\n"
        "message, is told by its sequence numbers, and the exit code is 65; 69 when a store cannot "
        "be\n"
        "asked. A gateway may run meanwhile: the folder is only read.\n"
        "\n"
        "No difference, but counted: `replaced`, where a later message with the same device, "
        "metric\n"
        "and time stands in its place, or the store refused it (a dead letter); `expired`, where "
        "the\n"
        "store keeps nothing that old; what is from before a sink with `start` began; with\n"
        "at_least_once, records that stand more than once. While a replay runs, its messages may\n"
        "differ.\n",
};

const struct config_sink *auditing_sink(const struct auditing *auditing, size_t cursor)
{
    for (size_t i = 0; i < auditing->config->sink_count; i++)
        if (strcmp(auditing->config->sinks[i].name, auditing->cursors.files[cursor].name) == 0)
            return &auditing->config->sinks[i];
    return NULL;
}

static int config_take(struct auditing *auditing, struct err *err)
{
    const struct audit_options *options = auditing->options;
    struct config_places places = {.kafka = options->kafka, .clickhouse = options->clickhouse};
    struct buffer errors = {0};
    int rc = options->config ? config_load(options->config, &disk_real, &auditing->config, &errors)
                             : config_embedded(&places, &auditing->config, &errors);
    if (errors.size)
        fwrite(errors.data, 1, errors.size, stderr);
    buffer_fini(&errors);
    if (rc)
        auditing->config = NULL;
    return rc ? err_set(err, GW_EINVAL, "%s has errors",
                        options->config ? options->config : "the configuration")
              : 0;
}

/* ---- stores ---- */

static const struct {
    const struct sink_type *type;
    int (*compare)(struct auditing *auditing, size_t cursor, struct err *err);
} stores[] = {
    {&sink_parquet, audit_parquet},
    {&sink_clickhouse, audit_clickhouse},
    {&sink_kafka, audit_kafka},
};

void auditing_store_begin(struct auditing *auditing, size_t cursor, const struct audit_rule *rule)
{
    audit_store_begin(auditing->audit, cursor, rule);
    if (auditing_sink(auditing, cursor)->start != START_EARLIEST)
        audit_store_began_later(auditing->audit);
}

/* A store that failed once is not asked for the next windows. */
static void store_compare(struct auditing *auditing, size_t cursor)
{
    const struct config_sink *sink = auditing_sink(auditing, cursor);
    struct err err = {{0}};
    char *why = auditing->unasked[cursor];
    for (size_t i = 0; sink && i < array_count(stores); i++)
        if (stores[i].type == sink->type && stores[i].compare(auditing, cursor, &err))
            snprintf(why, sizeof auditing->unasked[cursor], "%s", err.text);
    if (sink == NULL)
        snprintf(why, sizeof auditing->unasked[cursor],
                 "the configuration has no such sink: give --config FILE, --kafka or --clickhouse "
                 "as to `tidegate run`; `tidegate lane ls` tells cursors that nobody needs");
}

static int windows_read(struct auditing *auditing, struct err *err)
{
    uint64_t next = auditing->first_seq;
    int rc = 0;
    while (next < auditing->end_seq && rc == 0) {
        rc = audit_logs_read(auditing, next, err);
        for (size_t i = 0; rc == 0 && i < auditing->cursors.count; i++)
            if (!auditing->options->logs_only && auditing->unasked[i][0] == '\0')
                store_compare(auditing, i);
        next = audit_end(auditing->audit);
    }
    return rc;
}

/* ---- verb ---- */

static int exit_code(const struct auditing *auditing)
{
    size_t count;
    uint64_t more;
    audit_differences(auditing->audit, &count, &more);
    if (auditing->hidden)
        return cli_fail("audit", EXIT_CODE_DATA,
                        "%" PRIu64 " messages stand in damaged places of the reading log: of them "
                        "nothing can be proved; `tidegate journal verify` tells where",
                        auditing->hidden);
    if (count)
        return cli_fail("audit", EXIT_CODE_DATA, "what came in is not what went out; see above");
    for (size_t i = 0; i < auditing->cursors.count; i++)
        if (auditing->unasked[i][0])
            return cli_fail("audit", EXIT_CODE_UNAVAILABLE, "sink %s could not be asked: %s",
                            auditing->cursors.files[i].name, auditing->unasked[i]);
    return EXIT_CODE_OK;
}

static int audit_whole(const struct audit_options *options)
{
    struct auditing *auditing = mem_zalloc(sizeof *auditing);
    struct err err;
    int code;
    auditing->options = options;
    int rc = config_take(auditing, &err);
    if (rc == 0)
        rc = audit_logs_open(auditing, &err);
    if (rc == 0)
        rc = windows_read(auditing, &err);
    if (rc == 0) {
        audit_tell(auditing);
        code = exit_code(auditing);
    } else {
        code = cli_fail("audit",
                        rc == GW_EINVAL     ? EXIT_CODE_CONFIG
                        : rc == GW_ECORRUPT ? EXIT_CODE_DATA
                                            : EXIT_CODE_FAILED,
                        "%s", err.text);
    }
    audit_logs_close(auditing);
    config_free(auditing->config);
    free(auditing);
    return code;
}

int verb_audit(int argc, char **argv)
{
    struct audit_options options = {0};
    struct cli_arguments arguments;
    int code = cli_parse(&command, argc, argv, &options, &arguments);
    if (code == CLI_GO && options.data == NULL)
        code = cli_fail("audit", EXIT_CODE_USAGE, "needs --data DIR");
    if (code == CLI_GO && options.config && (options.kafka || options.clickhouse))
        code = cli_sink_flag_misplaced("audit", options.kafka ? "kafka" : "clickhouse",
                                       options.config);
    if (code == CLI_GO)
        code = cli_finish(audit_whole(&options));
    option_fini(audit_rows, &options);
    return code;
}
