/* SPDX-License-Identifier: Apache-2.0
 *
 * `tidegate status`: GET /status as it is, or as tables. The tables follow the shape of the JSON
 * (values, objects, lists of objects), so what the gateway adds later is shown without a change here.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/yaml.h"
#include "cli/cli.h"
#include "cli/http.h"

enum { ANSWER_MS = 10000, COLUMNS_MAX = 32 };

struct status_options {
    char *admin;
    bool json;
};

#define AT(member) offsetof(struct status_options, member)
static const struct option status_rows[] = {
    {.name = "admin",
     .type = OPTION_ADDRESS,
     .offset = AT(admin),
     .def = "127.0.0.1:9464",
     .help = "Of the gateway."},
    {.name = "json",
     .type = OPTION_BOOL,
     .offset = AT(json),
     .def = "false",
     .help = "The JSON object as the gateway gives it."},
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
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    static char text[64];
    const char *key = value->key ? value->key->text : "";
    const char *found = strstr(key, "bytes");
    char *end;
    double size = strtod(value->text, &end);
    if (found == NULL || found[5] != '\0' || value->size == 0 || *end)
        return value->text;
    size_t unit = 0;
    while (size >= 1024 && unit + 1 < array_count(units)) {
        size /= 1024;
        unit++;
    }
    snprintf(text, sizeof text, unit ? "%.1f %s" : "%.0f %s", size, units[unit]);
    return text;
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

static int status_print(const struct status_options *options, struct bytes body)
{
    struct yaml yaml; /* JSON is YAML, and this reader is at hand */
    struct buffer errors = {0};
    int code = EXIT_CODE_OK;
    if (options->json) {
        cli_print(body);
        return code;
    }
    if (yaml_parse(&yaml, body, "status", &errors) || yaml.root == NULL ||
        yaml.root->kind != YAML_MAPPING)
        code = cli_fail("status", EXIT_CODE_FAILED, "the answer is not that of a gateway");
    else
        tables_print(yaml.root);
    yaml_fini(&yaml);
    buffer_fini(&errors);
    return code;
}

int verb_status(int argc, char **argv)
{
    struct status_options options = {0};
    struct cli_arguments arguments;
    int code = cli_parse(&status_command, argc, argv, &options, &arguments);
    if (code == CLI_GO) {
        struct http *http = http_new(options.admin);
        struct buffer body = {0};
        struct err err;
        int rc = http_get(http, "/status", ANSWER_MS, &body, &err);
        code = rc ? cli_fail("status", http_exit_code(rc), "%s", err.text)
                  : cli_finish(status_print(&options, buffer_bytes(&body)));
        buffer_fini(&body);
        http_free(http);
    }
    option_fini(status_rows, &options);
    return code;
}
