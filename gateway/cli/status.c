/* SPDX-License-Identifier: Apache-2.0
 *
 * `tidegate status`: GET /status as it is, as a summary, or as tables. The tables follow the shape of
 * the JSON (values, objects, lists of objects), so what the gateway adds later is shown without a change
 * here.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cli/answer.h"
#include "cli/cli.h"
#include "cli/status_summary.h"
#include "cli/status_watch.h"

enum { COLUMNS_MAX = 32 };

struct status_options {
    char *admin;
    int64_t over_ms;
    bool details, json, watch;
};

#define AT(member) offsetof(struct status_options, member)
static const struct option status_rows[] = {
    {.name = "admin",
     .type = OPTION_ADDRESS,
     .offset = AT(admin),
     .def = "127.0.0.1:9464",
     .help = "Of the gateway."},
    {.name = "over",
     .type = OPTION_DURATION,
     .offset = AT(over_ms),
     .def = "1s",
     .min = 0,
     .max = 3600000,
     .help = "Rates are counted over so long; 0s: none."},
    {.name = "details",
     .type = OPTION_BOOL,
     .offset = AT(details),
     .def = "false",
     .help = "Everything the gateway tells, as tables."},
    {.name = "json",
     .type = OPTION_BOOL,
     .offset = AT(json),
     .def = "false",
     .help = "The JSON object as the gateway gives it."},
    {.name = "watch",
     .type = OPTION_BOOL,
     .offset = AT(watch),
     .def = "false",
     .help =
         "A live screen of the gates, until q or Ctrl-C, renewed as often as --over says; into a "
         "file or pipe the same as text."},
    {0},
};
#undef AT

static const struct cli_command status_command = {
    .name = "status",
    .arguments = "",
    .summary = "Show what a running gateway does.",
    .rows = status_rows,
};

/* ---- tables ---- */

/* A value as people read it: sizes with a unit. Valid until the next call. */
static const char *value_text(const struct yaml_node *value)
{
    static char text[SIZE_TEXT_SIZE];
    const char *key = value->key ? value->key->text : "";
    const char *found = strstr(key, "bytes");
    char *end;
    double size = strtod(value->text, &end);
    if (found == NULL || found[5] != '\0' || value->size == 0 || *end)
        return value->text;
    return size_text(size, text);
}

static void values_print(const struct yaml_node *mapping, const char *indent)
{
    YAML_EACH(value, mapping)
    if (value->kind == YAML_SCALAR)
        printf("%s%-20s %s\n", indent, value->key->text, value_text(value));
}

/* The text of a cell; entries need not have every column. */
static const char *cell_text(const struct yaml_node *entry, const char *column)
{
    const struct yaml_node *value = yaml_find(entry, column);
    return value ? value_text(value) : "";
}

static size_t column_width(const struct yaml_node *list, const char *column)
{
    size_t width = strlen(column);
    YAML_EACH(entry, list)
    {
        size_t size = strlen(cell_text(entry, column));
        width = size > width ? size : width;
    }
    return width;
}

/* A list of objects: the first one gives the columns. */
static void table_print(const struct yaml_node *list)
{
    size_t widths[COLUMNS_MAX], columns = 0, column = 0;
    if (list->first == NULL || list->first->kind != YAML_MAPPING) {
        printf("  none\n");
        return;
    }
    if (list->first->count > COLUMNS_MAX)
        return;
    YAML_EACH(head, list->first)
    {
        widths[columns] = column_width(list, head->key->text);
        printf("  %-*s", (int)widths[columns++], head->key->text);
    }
    YAML_EACH(entry, list)
    {
        printf("\n");
        column = 0;
        YAML_EACH(head, list->first)
        printf("  %-*s", (int)widths[column++], cell_text(entry, head->key->text));
    }
    printf("\n");
}

static void tables_print(const struct yaml_node *root)
{
    values_print(root, "");
    YAML_EACH(section, root)
    {
        if (section->kind == YAML_SCALAR)
            continue;
        printf("\n%s\n", section->key->text);
        if (section->kind == YAML_MAPPING)
            values_print(section, "  ");
        else
            table_print(section);
    }
}

/* ---- verb ---- */

static int answer_take(struct http *http, struct answer *answer)
{
    struct err err;
    int rc = answer_get(http, answer, &err);
    return rc ? cli_fail("status", http_exit_code(rc), "%s", err.text) : CLI_GO;
}

/* Two answers, some time apart: what changed gives the rates. */
static int summary_print(const struct status_options *options, struct http *http,
                         const struct answer *before)
{
    struct answer now = {0};
    struct timespec pause = {options->over_ms / 1000, options->over_ms % 1000 * 1000000};
    struct buffer out = {0};
    int code = CLI_GO;
    if (options->over_ms) {
        nanosleep(&pause, NULL);
        code = answer_take(http, &now);
        if (code == CLI_GO)
            status_summary(before->yaml.root, now.yaml.root,
                           (double)(now.at_ms - before->at_ms) / 1000, &out);
    } else {
        status_summary(NULL, before->yaml.root, 0, &out);
    }
    cli_print(buffer_bytes(&out));
    buffer_fini(&out);
    answer_fini(&now);
    return code;
}

static int status_print(const struct status_options *options, struct http *http)
{
    struct answer answer = {0};
    int code = answer_take(http, &answer);
    if (code == CLI_GO && options->json)
        cli_print(buffer_bytes(&answer.body));
    else if (code == CLI_GO && options->details)
        tables_print(answer.yaml.root);
    else if (code == CLI_GO)
        code = summary_print(options, http, &answer);
    answer_fini(&answer);
    return code == CLI_GO ? cli_finish(EXIT_CODE_OK) : code;
}

int verb_status(int argc, char **argv)
{
    struct status_options options = {0};
    struct cli_arguments arguments;
    int code = cli_parse(&status_command, argc, argv, &options, &arguments);
    if (code == CLI_GO) {
        struct http *http = http_new(options.admin);
        code = options.watch ? status_watch(http, options.over_ms ? options.over_ms : 1000)
                             : status_print(&options, http);
        http_free(http);
    }
    option_fini(status_rows, &options);
    return code;
}
