/* SPDX-License-Identifier: Apache-2.0
 *
 * Parsing and help from option rows. A flag is a row of type BOOL and takes no value; every other
 * option is `--name VALUE` or `--name=VALUE`. `--` ends the options; `-` alone is an argument.
 */
#include "cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { HELP_INDENT = 30 };

static const struct option no_rows[] = {{0}};

static const struct option *rows_of(const struct cli_command *command)
{
    return command->rows ? command->rows : no_rows;
}

/* ---- asking a gateway ---- */

struct cli_ask cli_ask;

static const struct option ask_rows[] = {
    {.name = "admin-ca",
     .type = OPTION_PATH,
     .offset = offsetof(struct cli_ask, ca_file),
     .help =
         "With --admin https://HOST:PORT: PEM file of the authorities that vouch for it; without "
         "one those of this machine."},
    {.name = "token-file",
     .type = OPTION_PATH,
     .offset = offsetof(struct cli_ask, token_file),
     .help =
         "Where the gateway asks for a token: a file with it in its first line (as `token_file` "
         "of the gateway, or the token alone)."},
    {0},
};

const struct option *cli_ask_rows(const struct cli_command *command)
{
    bool asks = strcmp(command->name, "run") != 0 && option_find(rows_of(command), "admin");
    return asks ? ask_rows : no_rows;
}

/* --admin takes a URL, too. Returns HOST:PORT. */
static const char *without_scheme(const struct cli_command *command, const struct option *row,
                                  const char *value)
{
    if (cli_ask_rows(command) == no_rows || strcmp(row->name, "admin") != 0)
        return value;
    if (strncmp(value, "https://", 8) == 0) {
        cli_ask.tls = true;
        return value + 8;
    }
    return strncmp(value, "http://", 7) == 0 ? value + 7 : value;
}

/* ---- writing ---- */

int cli_fail(const char *verb, int code, const char *format, ...)
{
    va_list args;
    char text[1024];
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "tidegate %s: %s\n", verb, text);
    return code;
}

int cli_sink_flag_misplaced(const char *verb, const char *type, const char *file)
{
    return cli_fail(verb, EXIT_CODE_USAGE,
                    "--%s is for a run without a configuration file: put it into %s, as `tidegate "
                    "validate --embedded --%s ...` prints it",
                    type, file, type);
}

void cli_wrap(struct buffer *out, int indent, const char *text)
{
    int room = CLI_COLUMNS - indent;
    while (*text) {
        int size = (int)strlen(text);
        if (size > room) {
            size = room;
            while (size > room / 2 && text[size] != ' ')
                size--;
            while ((text[size] & 0xc0) == 0x80) /* not within a character of UTF-8 */
                size--;
        }
        buffer_printf(out, "%.*s", size, text);
        text += size;
        text += strspn(text, " ");
        if (*text)
            buffer_printf(out, "\n%*s", indent, "");
    }
}

bool cli_print(struct bytes text)
{
    if (text.size && fwrite(text.data, 1, text.size, stdout) != text.size)
        return false;
    return true;
}

int cli_finish(int code)
{
    /* EPIPE: `tidegate ... | head` got what it wanted. */
    if ((fflush(stdout) == 0 && !ferror(stdout)) || errno == EPIPE)
        return code;
    fprintf(stderr, "tidegate: standard output: %s\n", strerror(errno));
    return EXIT_CODE_FAILED;
}

/* ---- help ---- */

void cli_value_name(const struct option *row, struct buffer *out)
{
    static const char *const names[] = {
        [OPTION_INT] = "N",          [OPTION_SIZE] = "SIZE", [OPTION_DURATION] = "TIME",
        [OPTION_STRING] = "TEXT",    [OPTION_PATH] = "PATH", [OPTION_ADDRESS] = "HOST:PORT",
        [OPTION_MAP] = "NAME=VALUE",
    };
    if (row->type == OPTION_ENUM) {
        for (size_t i = 0; row->names[i]; i++)
            buffer_printf(out, "%s%s", i ? "|" : " ", row->names[i]);
    } else if (row->type != OPTION_BOOL) {
        buffer_printf(out, " %s", names[row->type]);
    }
}

static void row_help(const struct option *row, struct buffer *out)
{
    struct buffer left = {0}, right = {0};
    buffer_printf(&left, "  --%s", row->name);
    cli_value_name(row, &left);
    buffer_u8(&left, '\0');
    buffer_add_text(&right, row->help);
    if (row->def && row->type != OPTION_BOOL)
        buffer_printf(&right, " Default: %s.", row->def);
    buffer_u8(&right, '\0');
    if (left.size > HELP_INDENT - 1) /* too wide: a line of its own */
        buffer_printf(out, "%s\n%*s", (char *)left.data, HELP_INDENT, "");
    else
        buffer_printf(out, "%-*s", HELP_INDENT, (char *)left.data);
    cli_wrap(out, HELP_INDENT, (char *)right.data);
    buffer_u8(out, '\n');
    buffer_fini(&left);
    buffer_fini(&right);
}

static int help_print(const struct cli_command *command)
{
    struct buffer out = {0};
    buffer_printf(&out, "Usage: tidegate %s [options]%s%s\n\n%s\n\nOptions:\n", command->name,
                  command->arguments[0] ? " " : "", command->arguments, command->summary);
    for (const struct option *row = rows_of(command); row->name; row++)
        row_help(row, &out);
    for (const struct option *row = cli_ask_rows(command); row->name; row++)
        row_help(row, &out);
    buffer_printf(&out, "%-28s  %s\n", "  --help", "This text.");
    if (command->more)
        buffer_printf(&out, "\n%s", command->more);
    if (command->more_print)
        command->more_print(&out);
    cli_print(buffer_bytes(&out));
    buffer_fini(&out);
    return cli_finish(EXIT_CODE_OK);
}

/* ---- visiting ---- */

static cli_visitor *visitor_now;
static void *visitor_arg;

void cli_visit(cli_visitor *visitor, void *arg)
{
    visitor_now = visitor;
    visitor_arg = arg;
}

/* ---- parsing ---- */

static int unknown(const struct cli_command *command, const char *name)
{
    const char *nearest = option_nearest(rows_of(command), name);
    if (nearest)
        return cli_fail(command->name, EXIT_CODE_USAGE, "unknown option --%s: did you mean --%s?",
                        name, nearest);
    return cli_fail(command->name, EXIT_CODE_USAGE,
                    "unknown option --%s; `tidegate %s --help` lists them", name, command->name);
}

/* The option at argv[*index], `--name`, `--name=value` or `--name value`. */
static int option_take(const struct cli_command *command, int argc, char **argv, int *index,
                       void *target)
{
    const char *given = argv[*index] + 2;
    const char *equals = strchr(given, '=');
    char *name = bytes_strdup(bytes_of(given, equals ? (size_t)(equals - given) : strlen(given)));
    const struct option *row = option_find(rows_of(command), name);
    if (row == NULL && (row = option_find(cli_ask_rows(command), name)) != NULL)
        target = &cli_ask;
    const char *value = equals ? equals + 1 : NULL;
    struct err err;
    int code = CLI_GO;
    if (row == NULL) {
        code = unknown(command, name);
    } else {
        if (value == NULL && row->type == OPTION_BOOL)
            value = "true";
        else if (value == NULL && *index + 1 < argc)
            value = argv[++*index];
        if (value == NULL)
            code = cli_fail(command->name, EXIT_CODE_USAGE, "--%s needs a value", name);
        else if (option_set(row, target, without_scheme(command, row, value), &err))
            code = cli_fail(command->name, EXIT_CODE_USAGE, "--%s: %s", name, err.text);
    }
    free(name);
    return code;
}

static int argument_take(const struct cli_command *command, char *value,
                         struct cli_arguments *arguments)
{
    if (arguments->count == command->arguments_max ||
        arguments->count == (int)array_count(arguments->values))
        return cli_fail(command->name, EXIT_CODE_USAGE,
                        "unexpected argument `%s`; `tidegate %s --help` shows the usage", value,
                        command->name);
    arguments->values[arguments->count++] = value;
    return CLI_GO;
}

int cli_parse(const struct cli_command *command, int argc, char **argv, void *target,
              struct cli_arguments *arguments)
{
    bool options = true;
    int code = CLI_GO;
    if (visitor_now) {
        visitor_now(visitor_arg, command);
        return EXIT_CODE_OK;
    }
    *arguments = (struct cli_arguments){0};
    option_defaults(rows_of(command), target);
    for (int i = 1; i < argc && code == CLI_GO; i++) {
        bool dashes = strncmp(argv[i], "--", 2) == 0;
        if (options && (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0))
            return help_print(command);
        if (options && dashes && argv[i][2] == '\0')
            options = false;
        else if (options && dashes)
            code = option_take(command, argc, argv, &i, target);
        else if (options && argv[i][0] == '-' && argv[i][1])
            code = cli_fail(command->name, EXIT_CODE_USAGE,
                            "unknown option %s: options begin with two dashes", argv[i]);
        else
            code = argument_take(command, argv[i], arguments);
    }
    if (code == CLI_GO && arguments->count < command->arguments_min)
        code = cli_fail(command->name, EXIT_CODE_USAGE, "needs %s; see `tidegate %s --help`",
                        command->arguments, command->name);
    return code;
}

/* ---- actions ---- */

static int actions_help(const char *verb, const char *summary, const struct cli_action *actions)
{
    struct buffer out = {0};
    buffer_printf(&out, "Usage: tidegate %s ACTION [options]\n\n%s\n\nActions:\n", verb, summary);
    for (; actions->command; actions++)
        buffer_printf(&out, "  %-18s %s\n", actions->command->name, actions->command->summary);
    cli_print(buffer_bytes(&out));
    buffer_fini(&out);
    return cli_finish(EXIT_CODE_OK);
}

int cli_dispatch(const char *verb, const char *summary, const struct cli_action *actions, int argc,
                 char **argv)
{
    size_t prefix = strlen(verb) + 1;
    if (visitor_now) {
        for (const struct cli_action *action = actions; action->command; action++)
            visitor_now(visitor_arg, action->command);
        return EXIT_CODE_OK;
    }
    if (argc < 2) {
        actions_help(verb, summary, actions);
        return EXIT_CODE_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return actions_help(verb, summary, actions);
    for (const struct cli_action *action = actions; action->command; action++)
        if (strcmp(action->command->name + prefix, argv[1]) == 0)
            return action->run(action->command, argc - 1, argv + 1);
    return cli_fail(verb, EXIT_CODE_USAGE, "unknown action `%s`; `tidegate %s --help` lists them",
                    argv[1], verb);
}
