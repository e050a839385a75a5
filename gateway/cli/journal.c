/* SPDX-License-Identifier: Apache-2.0
 *
 * `tidegate journal ls|verify|show`: what stands on disk, read without a running gateway or beside
 * one. `new-identity` sets it aside; `export` is journal_export.c's.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/folder.h"
#include "cli/journal_export.h"
#include "cli/note.h"
#include "cli/payload.h"
#include "journal/rawlog.h"
#include "model/batch.h"
#include "model/batch_json.h"
#include "renew.h"

enum { LINE_PAYLOAD_MAX = 200 };

static const char *const log_names[] = {"raw", "readings", NULL};

struct journal_verb_options {
    char *data;
    bool json;
    int log;
    int64_t from, count;
};

#define AT(member) offsetof(struct journal_verb_options, member)
static const struct option list_rows[] = {
    CLI_ROW_DATA(struct journal_verb_options), CLI_ROW_JSON(struct journal_verb_options), {0}};
static const struct option show_rows[] = {
    CLI_ROW_DATA(struct journal_verb_options),
    CLI_ROW_JSON(struct journal_verb_options),
    {.name = "log",
     .type = OPTION_ENUM,
     .offset = AT(log),
     .def = "raw",
     .names = log_names,
     .help = "Messages as they came, or readings as they were decoded."},
    CLI_ROW_FROM(struct journal_verb_options),
    CLI_ROW_COUNT(struct journal_verb_options),
    {0},
};
#undef AT

/* ---- ls ---- */

struct listing {
    const char *log;
    bool json;
};

static const char *segment_state(const struct journal_segment_info *info)
{
    return info->damaged ? "damaged" : info->sealed ? "sealed" : "open";
}

static void on_segment(void *arg, const struct journal_segment_info *info)
{
    const struct listing *listing = arg;
    char from[CLOCK_TEXT_SIZE] = "-", to[CLOCK_TEXT_SIZE] = "-";
    if (info->received_max_ms) {
        clock_format_ms(info->received_min_ms, from);
        clock_format_ms(info->received_max_ms, to);
    }
    if (listing->json)
        printf("{\"log\":\"%s\",\"segment\":\"%s\",\"first_seq\":%" PRIu64 ",\"next_seq\":%" PRIu64
               ",\"extents\":%" PRIu64 ",\"bytes_used\":%" PRIu64 ",\"bytes_allocated\":%" PRIu64
               ",\"received_min\":\"%s\",\"received_max\":\"%s\",\"state\":\"%s\"}\n",
               listing->log, info->name, info->first_seq, info->next_seq, info->extents,
               info->bytes_used, info->bytes_allocated, from, to, segment_state(info));
    else
        printf("%-9s %-24s %12" PRIu64 " %12" PRIu64 " %8" PRIu64 " %12" PRIu64
               "  %-24s  %-24s  %s\n",
               listing->log, info->name, info->first_seq, info->next_seq, info->extents,
               info->bytes_used, from, to, segment_state(info));
}

static int ls(const struct cli_command *command, const struct journal_verb_options *options)
{
    struct err err;
    for (size_t i = 0; i < array_count(folder_logs); i++) {
        struct journal *journal;
        struct listing listing = {folder_logs[i].name, options->json};
        if (folder_open(options->data, &folder_logs[i], &journal, &err))
            return cli_fail(command->name, EXIT_CODE_FAILED, "%s", err.text);
        if (i == 0 && !options->json)
            printf("%-9s %-24s %12s %12s %8s %12s  %-24s  %-24s  %s\n", "log", "segment", "first",
                   "next", "extents", "bytes", "received from", "to", "state");
        journal_segments(journal, on_segment, &listing);
        journal_close(journal);
    }
    return EXIT_CODE_OK;
}

/* ---- verify ---- */

static void on_line(void *arg, const char *text)
{
    const struct listing *listing = arg;
    struct buffer out = {0};
    if (listing->json) {
        buffer_printf(&out, "{\"log\":\"%s\",\"text\":", listing->log);
        json_string(bytes_text(text), &out);
        buffer_add_text(&out, "}\n");
    } else {
        buffer_printf(&out, "%-9s %s\n", listing->log, text);
    }
    cli_print(buffer_bytes(&out));
    buffer_fini(&out);
}

static int verify(const struct cli_command *command, const struct journal_verb_options *options)
{
    struct err err;
    int damaged = 0;
    for (size_t i = 0; i < array_count(folder_logs); i++) {
        struct journal *journal;
        struct listing listing = {folder_logs[i].name, options->json};
        int rc = folder_open(options->data, &folder_logs[i], &journal, &err);
        if (rc == 0) {
            rc = journal_verify(journal, on_line, &listing, &err);
            journal_close(journal);
        }
        if (rc < 0)
            return cli_fail(command->name, rc == GW_ECORRUPT ? EXIT_CODE_DATA : EXIT_CODE_FAILED,
                            "%s", err.text);
        damaged += rc;
    }
    if (damaged)
        return cli_fail(command->name, EXIT_CODE_DATA, "%d damaged places; the rest is whole",
                        damaged);
    if (!options->json)
        printf("all whole\n");
    return EXIT_CODE_OK;
}

/* ---- show ---- */

struct show {
    const struct journal_verb_options *options;
    int64_t shown;
    bool done;
    char gateway[IDENTITY_TEXT_SIZE];
};

static bool shown_one(struct show *show, struct bytes text)
{
    show->shown++;
    show->done = !cli_print(text) || (show->options->count && show->shown >= show->options->count);
    return !show->done;
}

static void message_line(const struct message *message, struct buffer *out)
{
    char text[CLOCK_TEXT_SIZE];
    struct log_text vendor, client, topic;
    buffer_printf(out, "%" PRIu64 " %s vendor=%s client=%s topic=%s qos=%d%s%s%s ", message->seq,
                  clock_format_ms(message->received_ms, text), log_escape(&vendor, message->vendor),
                  log_escape(&client, message->client), log_escape(&topic, message->topic),
                  message->flags & MESSAGE_QOS, message->flags & MESSAGE_RETAIN ? " retain" : "",
                  message->flags & MESSAGE_DUP ? " dup" : "",
                  message->flags & MESSAGE_WILL ? " will" : "");
    payload_line(message->payload, LINE_PAYLOAD_MAX, out);
    buffer_add_text(out, "\n");
}

static int show_records(void *arg, const struct extent *extent)
{
    struct show *show = arg;
    struct record_reader reader;
    enum record_kind kind;
    struct message message;
    struct session_record session;
    struct buffer out = {0};
    int rc = 0;
    if (extent->kind != EXTENT_RECORDS)
        return 0;
    record_reader_init(&reader, extent);
    while (!show->done && (rc = record_reader_next(&reader, &kind, &message, &session)) == 1) {
        if (kind != RECORD_MESSAGE || message.seq < (uint64_t)show->options->from)
            continue;
        buffer_clear(&out);
        if (show->options->json) {
            buffer_add_text(&out, "{");
            message_json(&message, &out);
            buffer_add_text(&out, "}\n");
        } else {
            message_line(&message, &out);
        }
        shown_one(show, buffer_bytes(&out));
    }
    buffer_fini(&out);
    return rc < 0 ? rc : 0;
}

static int show_readings(void *arg, const struct extent *extent)
{
    struct show *show = arg;
    struct batch *batch;
    struct err err;
    struct buffer out = {0};
    if (extent->kind != EXTENT_BATCH)
        return 0;
    int rc = batch_decode(extent->body, &batch, &err);
    if (rc)
        return rc;
    for (uint32_t row = 0; row < batch->count && !show->done; row++) {
        if (batch->seq[row] < (uint64_t)show->options->from)
            continue;
        buffer_clear(&out);
        batch_row_json(batch, row, show->gateway, &out);
        shown_one(show, buffer_bytes(&out));
    }
    buffer_fini(&out);
    batch_release(batch);
    return 0;
}

static int show(const struct cli_command *command, const struct journal_verb_options *options)
{
    struct journal *journal;
    struct err err;
    struct show show = {.options = options};
    struct folder_walk walk = {
        .extent = options->log == 0 ? show_records : show_readings,
        .arg = &show,
        .done = &show.done,
    };
    int rc = folder_open(options->data, &folder_logs[options->log], &journal, &err);
    if (rc == 0) {
        identity_format(journal_identity(journal), show.gateway);
        rc = folder_each(journal, (uint64_t)options->from, &walk, &err);
        journal_close(journal);
    }
    if (rc)
        return cli_fail(command->name, EXIT_CODE_FAILED, "%s", err.text);
    return walk.damaged ? EXIT_CODE_DATA : EXIT_CODE_OK;
}

/* ---- new-identity ---- */

static int new_identity(const struct cli_command *command,
                        const struct journal_verb_options *options)
{
    struct buffer where = {0};
    struct err err;
    int rc = data_renew(&disk_real, options->data, &where, &err);
    if (rc)
        return cli_fail(command->name, EXIT_CODE_FAILED, "%s", err.text);
    note_done(NULL, options->data, AUDIT_LANE, options->data, command->name);
    printf("The journal was set aside in %.*s; the next start makes a new one.\n", (int)where.size,
           (const char *)where.data);
    buffer_fini(&where);
    return EXIT_CODE_OK;
}

/* ---- verb ---- */

static int action_run(const struct cli_command *command, int argc, char **argv,
                      int (*run)(const struct cli_command *, const struct journal_verb_options *))
{
    struct journal_verb_options options = {0};
    struct cli_arguments arguments;
    int code = cli_parse(command, argc, argv, &options, &arguments);
    if (code == CLI_GO && options.data == NULL)
        code = cli_fail(command->name, EXIT_CODE_USAGE, "needs --data DIR");
    if (code == CLI_GO)
        code = cli_finish(run(command, &options));
    option_fini(command->rows, &options);
    return code;
}

static int run_ls(const struct cli_command *command, int argc, char **argv)
{
    return action_run(command, argc, argv, ls);
}

static int run_verify(const struct cli_command *command, int argc, char **argv)
{
    return action_run(command, argc, argv, verify);
}

static int run_show(const struct cli_command *command, int argc, char **argv)
{
    return action_run(command, argc, argv, show);
}

static int run_new_identity(const struct cli_command *command, int argc, char **argv)
{
    return action_run(command, argc, argv, new_identity);
}

static const struct cli_command commands[] = {
    {.name = "journal ls",
     .arguments = "",
     .summary = "List the segments of the three logs.",
     .rows = list_rows},
    {.name = "journal verify",
     .arguments = "",
     .summary = "Check every checksum of the three logs; exit code 65 when something is damaged.",
     .rows = list_rows},
    {.name = "journal show",
     .arguments = "",
     .summary = "Print messages or readings in the order they came.",
     .rows = show_rows},
    {.name = "journal new-identity",
     .arguments = "",
     .summary = "Set journal, cursors and state of a stopped gateway aside, so that the next start "
                "begins under a new identity: the way out when a destination is ahead.",
     .rows = list_rows},
};

int verb_journal(int argc, char **argv)
{
    static const struct cli_action actions[] = {
        {&commands[0], run_ls},           {&commands[1], run_verify},
        {&commands[2], run_show},         {&journal_export_command, journal_export},
        {&commands[3], run_new_identity}, {0}};
    return cli_dispatch("journal", "What the journals of a data folder hold.", actions, argc, argv);
}
