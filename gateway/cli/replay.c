/* SPDX-License-Identifier: Apache-2.0
 *
 * `tidegate replay`: send history again through a running gateway; `replay ls|stop|resume|forget` for
 * what was begun.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/replay_sinks.h"

struct replay_options {
    char *admin, *from, *to, *sink, *vendor, *device, *topic;
    int64_t rate;
    bool all_sinks, decode_again, dry_run, detach, json;
};

#define AT(member) offsetof(struct replay_options, member)
#define ROW_ADMIN                                                                                  \
    {                                                                                              \
        .name = "admin", .type = OPTION_ADDRESS, .offset = AT(admin), .def = "127.0.0.1:9464",     \
        .help = "Of the gateway."                                                                  \
    }
#define ROW_JSON                                                                                   \
    {                                                                                              \
        .name = "json", .type = OPTION_BOOL, .offset = AT(json), .def = "false",                   \
        .help = "The JSON object as the gateway gives it."                                         \
    }
static const struct option begin_rows[] = {
    {.name = "from",
     .type = OPTION_STRING,
     .offset = AT(from),
     .help = "Received at this time or later."},
    {.name = "to", .type = OPTION_STRING, .offset = AT(to), .help = "Received before this time."},
    {.name = "sink",
     .type = OPTION_STRING,
     .offset = AT(sink),
     .help = "Who gets it, by its name in `tidegate status`."},
    {.name = "all-sinks",
     .type = OPTION_BOOL,
     .offset = AT(all_sinks),
     .def = "false",
     .help = "Every sink gets it, one after the other."},
    ROW_ADMIN,
    CLI_ROW_VENDOR(struct replay_options),
    {.name = "device", .type = OPTION_STRING, .offset = AT(device), .help = "Only this device."},
    CLI_ROW_TOPIC(struct replay_options),
    CLI_ROW_RATE(struct replay_options),
    {.name = "decode-again",
     .type = OPTION_BOOL,
     .offset = AT(decode_again),
     .def = "false",
     .help = "Decode the messages as they arrived, by the gateway's codecs and mappings of now; "
             "without it, what was decoded then is sent."},
    {.name = "dry-run",
     .type = OPTION_BOOL,
     .offset = AT(dry_run),
     .def = "false",
     .help = "Count what would be sent and what would change, with examples; send nothing."},
    {.name = "detach",
     .type = OPTION_BOOL,
     .offset = AT(detach),
     .def = "false",
     .help = "Print the id of each replay and leave: the gateway does it alone."},
    ROW_JSON,
    {0},
};
static const struct option admin_rows[] = {ROW_ADMIN, {0}};
static const struct option list_rows[] = {ROW_ADMIN, ROW_JSON, {0}};
#undef AT

static const struct cli_command begin_command = {
    .name = "replay",
    .arguments = "[ls|stop|resume|forget]",
    .summary = "Send history once more to one sink or to all, beside live traffic.",
    .rows = begin_rows,
    .more =
        "Times are those of receiving: 2026-11-21T08:00:00+08:00, a day (2026-11-21, UTC; as "
        "--to,\n"
        "with all of it), now, or how long ago (-2h).\n"
        "\n"
        "The gateway does the work and remembers it in files, so that it goes on after a restart.\n"
        "This program shows how it goes; Ctrl-C stops the replay where it is. `tidegate replay "
        "ls`\n"
        "lists them, `stop ID`, `resume ID` and `forget ID` act on one. A sink has one at a time.\n"
        "\n"
        "Sent twice is stored once: ClickHouse and Parquet keep the newer of two readings of one\n"
        "device, metric and time; Kafka gets more records, with the header `tidegate-replay`. "
        "With\n"
        "--decode-again, readings that today's decoding no longer gives are taken back (flag\n"
        "`withdrawn`); a dry run tells what would change. Live positions stay as they are.\n",
};
static const struct cli_command commands[] = {
    {.name = "replay ls",
     .arguments = "",
     .summary = "List replays, newest first.",
     .rows = list_rows},
    {.name = "replay stop",
     .arguments = "ID",
     .summary = "Stop one where it is; `resume` goes on from there.",
     .rows = admin_rows,
     .arguments_min = 1,
     .arguments_max = 1},
    {.name = "replay resume",
     .arguments = "ID",
     .summary = "Go on with one that was stopped or failed.",
     .rows = admin_rows,
     .arguments_min = 1,
     .arguments_max = 1},
    {.name = "replay forget",
     .arguments = "ID",
     .summary = "Remove one that does not run from the list.",
     .rows = admin_rows,
     .arguments_min = 1,
     .arguments_max = 1},
};

/* ---- begin ---- */

static int ask_make(const struct replay_options *options, struct replay_ask *ask)
{
    const char *name = begin_command.name;
    int64_t now_ms = clock_wall_ms();
    struct err err;
    if (options->from == NULL || options->to == NULL)
        return cli_fail(name, EXIT_CODE_USAGE,
                        "needs --from and --to; see `tidegate replay --help`");
    int code = replay_sinks_check(name, options->sink, options->all_sinks, options->dry_run);
    if (code != CLI_GO)
        return code;
    *ask = (struct replay_ask){
        .source = options->decode_again ? "again" : "readings",
        .sink = options->sink,
        .vendor = options->vendor,
        .device = options->device,
        .topic = options->topic,
        .rate = options->rate,
        .dry_run = options->dry_run,
    };
    if (replay_time_parse(options->from, false, now_ms, &ask->from_ms, &err))
        return cli_fail(name, EXIT_CODE_USAGE, "--from: %s", err.text);
    if (replay_time_parse(options->to, true, now_ms, &ask->to_ms, &err))
        return cli_fail(name, EXIT_CODE_USAGE, "--to: %s", err.text);
    if (ask->from_ms >= ask->to_ms)
        return cli_fail(name, EXIT_CODE_USAGE, "--from must lie before --to");
    return CLI_GO;
}

static int run_begin(int argc, char **argv)
{
    struct replay_options options = {0};
    struct cli_arguments arguments;
    struct replay_ask ask;
    int code = cli_parse(&begin_command, argc, argv, &options, &arguments);
    if (code == CLI_GO)
        code = ask_make(&options, &ask);
    if (code == CLI_GO) {
        const struct replay_sinks sinks = {
            .follow = {.verb = begin_command.name, .admin = options.admin, .json = options.json},
            .all = options.all_sinks,
            .detach = options.detach,
        };
        code = replay_sinks_run(&sinks, &ask);
    }
    option_fini(begin_rows, &options);
    return code;
}

/* ---- what was begun ---- */

static int run_list(const struct cli_command *command, int argc, char **argv)
{
    struct replay_options options = {0};
    struct cli_arguments arguments;
    int code = cli_parse(command, argc, argv, &options, &arguments);
    if (code == CLI_GO) {
        struct http *http = http_new(options.admin);
        const struct replay_follow follow = {
            .verb = command->name, .admin = options.admin, .json = options.json};
        code = replay_job_list(http, &follow);
        http_free(http);
    }
    option_fini(command->rows, &options);
    return code;
}

static int run_act(const struct cli_command *command, int argc, char **argv)
{
    struct replay_options options = {0};
    struct cli_arguments arguments;
    struct err err;
    int code = cli_parse(command, argc, argv, &options, &arguments);
    if (code == CLI_GO) {
        struct http *http = http_new(options.admin);
        const char *action = strchr(command->name, ' ') + 1;
        int rc = replay_job_act(http, action, arguments.values[0], &err);
        code = rc ? cli_fail(command->name, http_exit_code(rc), "%s", err.text) : EXIT_CODE_OK;
        http_free(http);
    }
    option_fini(command->rows, &options);
    return code;
}

int verb_replay(int argc, char **argv)
{
    static const struct cli_action actions[] = {{&commands[0], run_list},
                                                {&commands[1], run_act},
                                                {&commands[2], run_act},
                                                {&commands[3], run_act},
                                                {0}};
    if (argc >= 2 && argv[1][0] != '-')
        return cli_dispatch("replay", begin_command.summary, actions, argc, argv);
    return run_begin(argc, argv);
}
