/* SPDX-License-Identifier: Apache-2.0
 *
 * tidegate(1): every verb with its options, from the tables that --help is made of.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/log_events.h"
#include "cli/cli.h"
#include "cli/manual.h"

static void synopsis(struct manual *manual)
{
    manual_section(manual, "SYNOPSIS");
    buffer_add_text(&manual->out, ".B tidegate\n.I VERB\n.RI [ options ]\n.br\n"
                                  ".B tidegate\n.I VERB\n.B \\-\\-help\n");
}

static void option_item(struct manual *manual, const struct option *row)
{
    struct buffer value = {0};
    char *name = mem_printf("--%s", row->name);
    cli_value_name(row, &value);
    buffer_u8(&value, '\0');
    manual_item(manual, name, (const char *)value.data);
    manual_text(manual, manual_say(manual, row->help));
    if (row->def && row->type != OPTION_BOOL) {
        buffer_u8(&manual->out, ' ');
        manual_text(manual, manual_say(manual, "Default:"));
        buffer_u8(&manual->out, ' ');
        manual_text(manual, row->def);
        buffer_u8(&manual->out, '.');
    }
    buffer_u8(&manual->out, '\n');
    free(name);
    buffer_fini(&value);
}

static void command(void *arg, const struct cli_command *command)
{
    struct manual *manual = arg;
    char *title = mem_printf("tidegate %s%s%s%s", command->name, command->rows ? " [options]" : "",
                             command->arguments[0] ? " " : "", command->arguments);
    manual_subsection(manual, title);
    free(title);
    manual_paragraph(manual, command->summary);
    for (const struct option *row = command->rows; row && row->name; row++)
        option_item(manual, row);
    for (const struct option *row = cli_ask_rows(command); row->name; row++)
        option_item(manual, row);
    if (command->more)
        manual_paragraphs(manual, command->more);
    if (command->more_print) {
        struct buffer more = {0};
        command->more_print(&more);
        manual_verbatim(manual, buffer_bytes(&more));
        buffer_fini(&more);
    }
}

static void exit_status(struct manual *manual)
{
    static const struct {
        const char *code, *meaning;
    } codes[] = {
        {"0", "All went well."},
        {"1", "It failed; standard error tells why."},
        {"2", "The command line is wrong."},
        {"65", "Data is damaged, or a payload cannot be decoded."},
        {"69", "The gateway, or another program over the network, does not answer."},
        {"78", "The configuration is wrong; nothing was started."},
    };
    manual_section(manual, "EXIT STATUS");
    for (size_t i = 0; i < array_count(codes); i++) {
        manual_item(manual, codes[i].code, NULL);
        manual_text(manual, manual_say(manual, codes[i].meaning));
        buffer_u8(&manual->out, '\n');
    }
}

static const char *levels(unsigned set, char out[40])
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    size_t size = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < array_count(names); i++)
        if (set & 1U << i)
            size += (size_t)snprintf(out + size, 40 - size, "%s%s", size ? ", " : " ", names[i]);
    return out;
}

static void events(struct manual *manual)
{
    char set[40];
    manual_section(manual, "LOG EVENTS");
    manual_paragraph(manual,
                     "What the program writes to standard error is an event and facts. Each "
                     "event, the level at which it may come, what it says and what to do:");
    for (const struct log_event_row *row = log_events; row->name; row++) {
        manual_item(manual, row->name, levels(row->levels, set));
        manual_text(manual, manual_say(manual, row->sentence));
        if (row->action) {
            buffer_u8(&manual->out, ' ');
            manual_text(manual, manual_say(manual, row->action));
        }
        buffer_u8(&manual->out, '\n');
    }
}

static void signals(struct manual *manual)
{
    static const struct {
        const char *name, *meaning;
    } signals[] = {
        {"SIGTERM, SIGINT",
         "`tidegate run` ends in order, within ten seconds: what is acknowledged "
         "is on disk and goes on at the next start."},
        {"SIGHUP", "`tidegate run` reads configuration, mappings and passwords again: all of it, "
                   "or, with an error in the log, nothing."},
    };
    manual_section(manual, "SIGNALS");
    for (size_t i = 0; i < array_count(signals); i++) {
        manual_item(manual, signals[i].name, NULL);
        manual_text(manual, manual_say(manual, signals[i].meaning));
        buffer_u8(&manual->out, '\n');
    }
}

void manual_program(struct manual *manual)
{
    manual_head(manual, "TIDEGATE", "1");
    manual_section(manual, "NAME");
    buffer_add_text(&manual->out, "tidegate \\- ");
    manual_text(manual, manual_say(manual, "telemetry gateway for water meters"));
    buffer_u8(&manual->out, '\n');
    synopsis(manual);
    manual_section(manual, "DESCRIPTION");
    manual_paragraph(manual, "Tidegate takes what meter vendors publish over MQTT, makes it "
                             "durable, says what it means, and passes it on to Kafka, ClickHouse "
                             "and Parquet files, holding it while they are down. A message is "
                             "acknowledged only once it is on disk.");
    manual_section(manual, "COMMANDS");
    cli_each_command(command, manual);
    exit_status(manual);
    signals(manual);
    events(manual);
    manual_section(manual, "SEE ALSO");
    buffer_add_text(&manual->out, ".BR tidegate.yaml (5)\n");
}
