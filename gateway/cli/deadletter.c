/* SPDX-License-Identifier: Apache-2.0
 *
 * `tidegate deadletter ls|show|retry`: messages that gave no reading, with the reason and their bytes.
 * `retry` has a file of its own.
 */
#include "deadletter.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/deadletter_retry.h"
#include "cli/folder.h"
#include "cli/payload.h"
#include "model/batch_json.h"

struct letter_options {
    char *data, *vendor, *reason;
    bool json;
    int64_t from, count;
};

#define AT(member) offsetof(struct letter_options, member)
static const struct option letter_rows[] = {
    CLI_ROW_DATA(struct letter_options),
    CLI_ROW_FROM(struct letter_options),
    CLI_ROW_COUNT(struct letter_options),
    CLI_ROW_VENDOR(struct letter_options),
    {.name = "reason", .type = OPTION_STRING, .offset = AT(reason), .help = "Only this reason."},
    CLI_ROW_JSON(struct letter_options),
    {0},
};
#undef AT

static const struct cli_command commands[] = {
    {.name = "deadletter ls",
     .arguments = "",
     .summary = "List dead letters: where each ended, why, and its topic.",
     .rows = letter_rows},
    {.name = "deadletter show",
     .arguments = "",
     .summary = "Print dead letters whole, with their bytes.",
     .rows = letter_rows},
};

struct letters {
    const struct letter_options *options;
    bool whole; /* show */
    int64_t shown;
    uint64_t damaged;
    bool done;
};

/* ---- printing ---- */

static void letter_json(const struct deadletter *letter, struct buffer *out)
{
    buffer_printf(out, "{\"stage\":\"%s\",\"reason\":", stage_name(letter->stage));
    json_string(letter->reason, out);
    buffer_add_text(out, ",\"detail\":");
    json_string(letter->detail, out);
    buffer_add_text(out, ",\"codec\":");
    json_string(letter->codec, out);
    buffer_printf(out, ",\"codec_version\":%u,", letter->codec_version);
    message_json(&letter->message, out);
    buffer_add_text(out, "}\n");
}

static void letter_line(const struct deadletter *letter, struct buffer *out)
{
    char time[CLOCK_TEXT_SIZE];
    struct log_text reason, topic, vendor, detail;
    buffer_printf(out, "%10" PRIu64 "  %s  %-9s  %-16s  %-12s  %s  (%s)\n", letter->message.seq,
                  clock_format_ms(letter->message.received_ms, time), stage_name(letter->stage),
                  log_escape(&reason, letter->reason), log_escape(&vendor, letter->message.vendor),
                  log_escape(&topic, letter->message.topic), log_escape(&detail, letter->detail));
}

static void letter_whole(const struct deadletter *letter, struct buffer *out)
{
    const struct message *message = &letter->message;
    char time[CLOCK_TEXT_SIZE];
    struct log_text text;
    buffer_printf(out, "seq       %" PRIu64 "\nreceived  %s\nstage     %s\n", message->seq,
                  clock_format_ms(message->received_ms, time), stage_name(letter->stage));
    buffer_printf(out, "reason    %s\n", log_escape(&text, letter->reason));
    buffer_printf(out, "detail    %s\n", log_escape(&text, letter->detail));
    if (letter->codec.size)
        buffer_printf(out, "codec     %s version %u\n", log_escape(&text, letter->codec),
                      letter->codec_version);
    buffer_printf(out, "vendor    %s\n", log_escape(&text, message->vendor));
    buffer_printf(out, "client    %s\n", log_escape(&text, message->client));
    buffer_printf(out, "topic     %s\n", log_escape(&text, message->topic));
    buffer_printf(out, "payload   ");
    payload_line(message->payload, 0, out);
    buffer_add_text(out, "\n\n");
}

/* ---- walking ---- */

static bool letter_wanted(const struct letter_options *options, const struct deadletter *letter)
{
    return letter->message.seq >= (uint64_t)options->from &&
           (!options->vendor || bytes_equal_text(letter->message.vendor, options->vendor)) &&
           (!options->reason || bytes_equal_text(letter->reason, options->reason));
}

static void letter_print(struct letters *letters, const struct deadletter *letter)
{
    struct buffer out = {0};
    if (letters->options->json)
        letter_json(letter, &out);
    else if (letters->whole)
        letter_whole(letter, &out);
    else
        letter_line(letter, &out);
    letters->shown++;
    letters->done = !cli_print(buffer_bytes(&out)) ||
                    (letters->options->count && letters->shown >= letters->options->count);
    buffer_fini(&out);
}

static int on_extent(void *arg, const struct extent *extent)
{
    struct letters *letters = arg;
    struct deadletter_reader reader;
    struct deadletter letter;
    int rc = 0;
    if (extent->kind != EXTENT_DEAD)
        return 0;
    deadletter_reader_init(&reader, extent);
    while (!letters->done && (rc = deadletter_reader_next(&reader, &letter)) == 1)
        if (letter_wanted(letters->options, &letter))
            letter_print(letters, &letter);
    return rc < 0 ? rc : 0;
}

/* One of the two logs, from `from` on in its own numbers. */
static int log_print(struct letters *letters, const struct folder_log *log, uint64_t from,
                     struct err *err)
{
    struct folder_walk walk = {
        .extent = on_extent, .arg = letters, .done = &letters->done, .gaps_normal = true};
    struct journal *journal;
    int rc = folder_open(letters->options->data, log, &journal, err);
    if (rc == 0) {
        rc = folder_each(journal, from, &walk, err);
        journal_close(journal);
    }
    letters->damaged += walk.damaged;
    return rc;
}

static int letters_print(const struct cli_command *command, struct letters *letters)
{
    struct err err;
    int rc = log_print(letters, &folder_logs[2], (uint64_t)letters->options->from, &err);
    /* What sinks refused came later, and is numbered by itself. */
    if (rc == 0 && !letters->done) {
        rc = log_print(letters, &folder_refused, 1, &err);
        rc = rc == GW_ENOENT ? 0 : rc;
    }
    if (rc)
        return cli_fail(command->name, EXIT_CODE_FAILED, "%s", err.text);
    return letters->damaged ? EXIT_CODE_DATA : EXIT_CODE_OK;
}

/* ---- verb ---- */

static int action_run(const struct cli_command *command, int argc, char **argv)
{
    struct letter_options options = {0};
    struct cli_arguments arguments;
    struct letters letters = {.options = &options, .whole = command == &commands[1]};
    int code = cli_parse(command, argc, argv, &options, &arguments);
    if (code == CLI_GO && options.data == NULL)
        code = cli_fail(command->name, EXIT_CODE_USAGE, "needs --data DIR");
    if (code == CLI_GO)
        code = cli_finish(letters_print(command, &letters));
    option_fini(command->rows, &options);
    return code;
}

int verb_deadletter(int argc, char **argv)
{
    static const struct cli_action actions[] = {{&commands[0], action_run},
                                                {&commands[1], action_run},
                                                {&deadletter_retry_command, deadletter_retry},
                                                {0}};
    return cli_dispatch("deadletter", "Messages that could not be decoded.", actions, argc, argv);
}
