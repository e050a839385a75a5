/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line: verbs, and options as rows (base/option.h), so that parsing, `--help` and the
 * nearest name for a mistake come from one table. Main thread.
 */
#ifndef TIDEGATE_CLI_CLI_H
#define TIDEGATE_CLI_CLI_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/option.h"

/* One verb, or one action of a verb ("journal ls"). */
struct cli_command {
    const char *name;
    const char *arguments;     /* as in the usage line: "[FILE|-]"; "" for none */
    const char *summary;       /* one line */
    const struct option *rows; /* --name of each; null: none but --help */
    int arguments_min, arguments_max;
    const char *more; /* paragraphs at the end of --help; may be null */
    /* Appended to --help behind `more`: what only the program knows, such as its codecs. May be
     * null. */
    void (*more_print)(struct buffer *out);
};

/* Rows that several verbs have, for a struct with a member of the same name (data, json, from,
 * count). */
#define CLI_ROW_DATA(type_)                                                                        \
    {                                                                                              \
        .name = "data", .type = OPTION_PATH, .offset = offsetof(type_, data),                      \
        .help = "The folder of `tidegate run`."                                                    \
    }
#define CLI_ROW_JSON(type_)                                                                        \
    {                                                                                              \
        .name = "json", .type = OPTION_BOOL, .offset = offsetof(type_, json), .def = "false",      \
        .help = "One JSON object a line."                                                          \
    }
#define CLI_ROW_FROM(type_)                                                                        \
    {                                                                                              \
        .name = "from", .type = OPTION_INT, .offset = offsetof(type_, from), .def = "1", .min = 1, \
        .max = INT64_MAX, .help = "Begin at this sequence number."                                 \
    }
#define CLI_ROW_COUNT(type_)                                                                       \
    {                                                                                              \
        .name = "count", .type = OPTION_INT, .offset = offsetof(type_, count), .def = "0",         \
        .min = 0, .max = INT64_MAX, .help = "At most so many; 0: all."                             \
    }
/* What messages, and how fast. */
#define CLI_ROW_VENDOR(type_)                                                                      \
    {                                                                                              \
        .name = "vendor", .type = OPTION_STRING, .offset = offsetof(type_, vendor),                \
        .help = "Only this vendor."                                                                \
    }
#define CLI_ROW_TOPIC(type_)                                                                       \
    {                                                                                              \
        .name = "topic", .type = OPTION_STRING, .offset = offsetof(type_, topic),                  \
        .help = "Only messages whose topic matches this MQTT filter."                              \
    }
#define CLI_ROW_RATE(type_)                                                                        \
    {                                                                                              \
        .name = "rate", .type = OPTION_INT, .offset = offsetof(type_, rate), .def = "0", .min = 0, \
        .max = INT64_C(1) << 40,                                                                   \
        .help = "Readings a second at most; 0: as fast as the sink takes them."                    \
    }
/* Sinks without a configuration file. */
#define CLI_ROW_KAFKA(type_, help_)                                                                \
    {                                                                                              \
        .name = "kafka", .type = OPTION_STRING, .offset = offsetof(type_, kafka), .help = help_    \
    }
#define CLI_ROW_CLICKHOUSE(type_, help_)                                                           \
    {                                                                                              \
        .name = "clickhouse", .type = OPTION_STRING, .offset = offsetof(type_, clickhouse),        \
        .help = help_                                                                              \
    }
#define CLI_ROW_BROKER(type_, help_)                                                               \
    {                                                                                              \
        .name = "broker", .type = OPTION_STRING, .offset = offsetof(type_, broker), .help = help_  \
    }

/* What every verb that asks a running gateway may be told beside --admin (rows that cli_parse adds to
 * its own); http.c goes by it. One for the process. */
struct cli_ask {
    char *ca_file, *token_file;
    bool tls;             /* --admin https://... */
    bool any_name;        /* its certificate is ca_file itself, whatever name it has */
    bool any_certificate; /* of our own machine, by a probe that hears only yes or no */
};
extern struct cli_ask cli_ask;
/* Those rows, for commands that have --admin; else none. For help, manual and completion. */
const struct option *cli_ask_rows(const struct cli_command *command);

/* What is left beside the options; points into argv. */
struct cli_arguments {
    char *values[4];
    int count;
};

/* Parses argv[1..] into `target` (zeroed before; the caller frees it with option_fini, also after a
 * failure). Returns CLI_GO, or the exit code to end with: --help was answered, or a mistake was
 * told. */
enum { CLI_GO = -1 };
int cli_parse(const struct cli_command *command, int argc, char **argv, void *target,
              struct cli_arguments *arguments);

/* A verb whose first argument is the action: runs it, or tells what there is. */
struct cli_action {
    const struct cli_command *command;
    int (*run)(const struct cli_command *command, int argc, char **argv);
};
int cli_dispatch(const char *verb, const char *summary, const struct cli_action *actions, int argc,
                 char **argv);

/* For those who tell of all commands (manual, completion): while a visitor is set, cli_parse and
 * cli_dispatch show it their commands and do nothing else; null ends that. */
typedef void cli_visitor(void *arg, const struct cli_command *command);
void cli_visit(cli_visitor *visitor, void *arg);
/* Every command of every verb, in the order of the table of verbs. */
void cli_each_command(cli_visitor *visitor, void *arg);
/* What stands for an option's value, with a blank before it: " HOST:PORT", " hold|park", or nothing. */
void cli_value_name(const struct option *row, struct buffer *out);

/* "tidegate VERB: sentence" on standard error; returns `code`. */
int cli_fail(const char *verb, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* `text` broken at blanks; lines behind the first begin with `indent` blanks and none gets longer
 * than CLI_COLUMNS. The first begins where the caller left off, in column `indent`. */
enum { CLI_COLUMNS = 98 };
void cli_wrap(struct buffer *out, int indent, const char *text);
/* --kafka or --clickhouse beside a configuration file: a usage error. */
int cli_sink_flag_misplaced(const char *verb, const char *type, const char *file);
/* Everything to standard output; false (and an error told once) when it cannot be written. A reader
 * that went away (head, less) is no error. */
bool cli_print(struct bytes text);
/* Flush and tell the last write error: the exit code of a verb that only prints. */
int cli_finish(int code);

/* ---- the verbs, one file each ---- */

int verb_run(int argc, char **argv);
int verb_validate(int argc, char **argv);
int verb_decode(int argc, char **argv);
int verb_tail(int argc, char **argv);
int verb_sim(int argc, char **argv);
int verb_status(int argc, char **argv);
int verb_drain(int argc, char **argv);
int verb_healthcheck(int argc, char **argv);
int verb_journal(int argc, char **argv);
int verb_deadletter(int argc, char **argv);
int verb_replay(int argc, char **argv);
int verb_devices(int argc, char **argv);
int verb_audit(int argc, char **argv);
int verb_clickhouse(int argc, char **argv);
int verb_lane(int argc, char **argv);
int verb_check(int argc, char **argv);
int verb_vendor(int argc, char **argv);
int verb_doctor(int argc, char **argv);
int verb_manual(int argc, char **argv);
int verb_completion(int argc, char **argv);
int verb_version(int argc, char **argv);

/* The program: finds the verb and runs it. */
int cli_main(int argc, char **argv);

#endif
