/* SPDX-License-Identifier: Apache-2.0
 *
 * `tidegate deadletter retry`: dead letters decoded by what a running gateway knows now, after a route
 * or a mapping was mended, and sent to its sinks: a replay of a kind of its own (replay.h).
 */
#include "cli/deadletter_retry.h"

#include "base/clock.h"
#include "cli/replay_sinks.h"

struct retry_options {
    char *admin, *from, *to, *sink, *vendor, *reason, *topic;
    int64_t rate;
    bool all_sinks, dry_run, detach, json;
};

#define AT(member) offsetof(struct retry_options, member)
static const struct option retry_rows[] = {
    {.name = "sink",
     .type = OPTION_STRING,
     .offset = AT(sink),
     .help = "Who gets the readings, by its name in `tidegate status`."},
    {.name = "all-sinks",
     .type = OPTION_BOOL,
     .offset = AT(all_sinks),
     .def = "false",
     .help = "Every sink gets them."},
    {.name = "admin",
     .type = OPTION_ADDRESS,
     .offset = AT(admin),
     .def = "127.0.0.1:9464",
     .help = "Of the gateway."},
    CLI_ROW_VENDOR(struct retry_options),
    {.name = "reason",
     .type = OPTION_STRING,
     .offset = AT(reason),
     .help = "Only this reason, as `deadletter ls` shows it."},
    CLI_ROW_TOPIC(struct retry_options),
    {.name = "from",
     .type = OPTION_STRING,
     .offset = AT(from),
     .help = "Received at this time or later. Default: all that is kept."},
    {.name = "to",
     .type = OPTION_STRING,
     .offset = AT(to),
     .help = "Received before this time. Default: now."},
    CLI_ROW_RATE(struct retry_options),
    {.name = "dry-run",
     .type = OPTION_BOOL,
     .offset = AT(dry_run),
     .def = "false",
     .help = "Tell what would become of them; send nothing."},
    {.name = "detach",
     .type = OPTION_BOOL,
     .offset = AT(detach),
     .def = "false",
     .help = "Print the id of each replay and leave: the gateway does it alone."},
    {.name = "json",
     .type = OPTION_BOOL,
     .offset = AT(json),
     .def = "false",
     .help = "The JSON object as the gateway gives it."},
    {0},
};
#undef AT

const struct cli_command deadletter_retry_command = {
    .name = "deadletter retry",
    .arguments = "",
    .summary = "Decode dead letters again, after a mapping or a route was mended.",
    .rows = retry_rows,
    .more = "First reload the gateway (SIGHUP) with what was mended. Times as of `tidegate "
            "replay`. Readings\n"
            "that a sink refused are sent again to that sink. What still gives no reading is told "
            "with its\n"
            "reason; letters stay in their log until it is old.\n",
};

static int ask_make(const struct retry_options *options, struct replay_ask *ask)
{
    const char *name = deadletter_retry_command.name;
    int64_t now_ms = clock_wall_ms();
    struct err err;
    int code = replay_sinks_check(name, options->sink, options->all_sinks, options->dry_run);
    if (code != CLI_GO)
        return code;
    *ask = (struct replay_ask){
        .source = "letters",
        .sink = options->sink,
        .vendor = options->vendor,
        .topic = options->topic,
        .reason = options->reason,
        .rate = options->rate,
        .dry_run = options->dry_run,
        .to_ms = now_ms,
    };
    if (options->from && replay_time_parse(options->from, false, now_ms, &ask->from_ms, &err))
        return cli_fail(name, EXIT_CODE_USAGE, "--from: %s", err.text);
    if (options->to && replay_time_parse(options->to, true, now_ms, &ask->to_ms, &err))
        return cli_fail(name, EXIT_CODE_USAGE, "--to: %s", err.text);
    if (ask->from_ms >= ask->to_ms)
        return cli_fail(name, EXIT_CODE_USAGE, "--from must lie before --to");
    return CLI_GO;
}

int deadletter_retry(const struct cli_command *command, int argc, char **argv)
{
    struct retry_options options = {0};
    struct cli_arguments arguments;
    struct replay_ask ask;
    int code = cli_parse(command, argc, argv, &options, &arguments);
    if (code == CLI_GO)
        code = ask_make(&options, &ask);
    if (code == CLI_GO) {
        const struct replay_sinks sinks = {
            .follow = {.verb = command->name, .admin = options.admin, .json = options.json},
            .all = options.all_sinks,
            .detach = options.detach,
        };
        code = replay_sinks_run(&sinks, &ask);
    }
    option_fini(command->rows, &options);
    return code;
}
