/* SPDX-License-Identifier: Apache-2.0
 *
 * `tidegate validate`: everything that `run` would check before it starts, and the reference.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log_events.h"
#include "cli/cli.h"
#include "config/config.h"
#include "model/batch_json.h"

struct validate_options {
    char *config, *kafka, *clickhouse, *broker;
    bool embedded, reference, events, json;
};

#define AT(member) offsetof(struct validate_options, member)
static const struct option validate_rows[] = {
    {.name = "config", .type = OPTION_PATH, .offset = AT(config), .help = "The file to check."},
    {.name = "embedded",
     .type = OPTION_BOOL,
     .offset = AT(embedded),
     .def = "false",
     .help = "Check and print what `run` does without a file."},
    CLI_ROW_KAFKA(struct validate_options, "With --embedded: what `run --kafka` would do."),
    CLI_ROW_CLICKHOUSE(struct validate_options, "With --embedded: `run --clickhouse`."),
    CLI_ROW_BROKER(struct validate_options, "With --embedded: `run --broker`."),
    {.name = "reference",
     .type = OPTION_BOOL,
     .offset = AT(reference),
     .def = "false",
     .help = "Print every option with its type, range, default and meaning."},
    {.name = "events",
     .type = OPTION_BOOL,
     .offset = AT(events),
     .def = "false",
     .help = "Print every event of the log with its level, meaning and what to do."},
    {.name = "json",
     .type = OPTION_BOOL,
     .offset = AT(json),
     .def = "false",
     .help = "The result as one JSON object."},
    {0},
};
#undef AT

static const struct cli_command validate_command = {
    .name = "validate",
    .arguments = "",
    .summary = "Check a configuration with its mappings and password files; nothing is started.",
    .rows = validate_rows,
    .more = "Exit codes: 0 nothing is wrong, 78 there are errors; all of them are told.\n",
};

/* ---- output ---- */

/* "file:line:column: text" as an object; what has no place is only text. */
static void error_json(struct bytes line, struct buffer *out)
{
    char *text = bytes_strdup(line);
    size_t file = 0;
    int lineno = 0, column = 0, used = 0;
    for (char *colon = strchr(text, ':'); colon; colon = strchr(colon + 1, ':')) {
        if (sscanf(colon, ":%d:%d: %n", &lineno, &column, &used) == 2 && used > 0) {
            file = (size_t)(colon - text);
            break;
        }
    }
    buffer_add_text(out, "{");
    if (used > 0) {
        buffer_add_text(out, "\"file\":");
        json_string(bytes_of(text, file), out);
        buffer_printf(out, ",\"line\":%d,\"column\":%d,", lineno, column);
    }
    buffer_add_text(out, "\"text\":");
    json_string(bytes_text(used > 0 ? text + file + (size_t)used : text), out);
    buffer_add_text(out, "}");
    free(text);
}

static void errors_json(struct bytes errors, struct buffer *out)
{
    bool first = true;
    const uint8_t *at = errors.data;
    const uint8_t *end = errors.data + errors.size;
    while (at < end) {
        const uint8_t *feed = memchr(at, '\n', (size_t)(end - at));
        struct bytes line = {at, (size_t)((feed ? feed : end) - at)};
        at = feed ? feed + 1 : end;
        if (line.size == 0 || line.data[0] == ' ')
            continue; /* the excerpt and its caret */
        buffer_add_text(out, first ? "" : ",");
        first = false;
        error_json(line, out);
    }
}

static void result_json(const char *name, const struct config *config, struct bytes errors)
{
    struct buffer out = {0};
    buffer_add_text(&out, "{\"file\":");
    json_string(bytes_text(name), &out);
    buffer_printf(&out, ",\"ok\":%s", config ? "true" : "false");
    if (config)
        buffer_printf(
            &out, ",\"vendors\":%zu,\"routes\":%zu,\"sinks\":%zu,\"digest\":\"%016" PRIx64 "\"",
            config->vendor_count, config->route_count, config->sink_count, config->digest);
    buffer_add_text(&out, ",\"errors\":[");
    errors_json(errors, &out);
    buffer_add_text(&out, "]}\n");
    cli_print(buffer_bytes(&out));
    buffer_fini(&out);
}

static void result_text(const char *name, const struct config *config, struct bytes errors)
{
    if (errors.size)
        fwrite(errors.data, 1, errors.size, stderr);
    if (config)
        printf("%s: ok: vendors %zu, routes %zu, sinks %zu, decode digest %016" PRIx64 "\n", name,
               config->vendor_count, config->route_count, config->sink_count, config->digest);
}

static void text_print(const struct config_places *places)
{
    struct buffer text = {0};
    config_embedded_text(places, &text);
    cli_print(buffer_bytes(&text));
    buffer_fini(&text);
}

/* ---- verb ---- */

static int check(const struct validate_options *options)
{
    struct config *config = NULL;
    struct buffer errors = {0};
    const char *name = options->config ? options->config : "built-in";
    const struct config_places places = {
        .kafka = options->kafka, .clickhouse = options->clickhouse, .broker = options->broker};
    int rc = options->config ? config_load(options->config, &disk_real, &config, &errors)
                             : config_embedded(&places, &config, &errors);
    if (options->json)
        result_json(name, rc ? NULL : config, buffer_bytes(&errors));
    else if (options->embedded && rc == 0)
        text_print(&places);
    else
        result_text(name, rc ? NULL : config, buffer_bytes(&errors));
    buffer_fini(&errors);
    if (rc == 0)
        config_free(config);
    return rc ? EXIT_CODE_CONFIG : EXIT_CODE_OK;
}

static int print_made(void (*make)(struct buffer *out))
{
    struct buffer out = {0};
    make(&out);
    cli_print(buffer_bytes(&out));
    buffer_fini(&out);
    return EXIT_CODE_OK;
}

static int validate(const struct validate_options *options)
{
    if (options->reference)
        return print_made(config_reference);
    if (options->events)
        return print_made(log_events_reference);
    if ((options->config != NULL) == options->embedded)
        return cli_fail("validate", EXIT_CODE_USAGE,
                        "needs one of --config FILE, --embedded, --reference, --events");
    if (options->config && (options->kafka || options->clickhouse))
        return cli_sink_flag_misplaced("validate", options->kafka ? "kafka" : "clickhouse",
                                       options->config);
    return check(options);
}

int verb_validate(int argc, char **argv)
{
    struct validate_options options = {0};
    struct cli_arguments arguments;
    int code = cli_parse(&validate_command, argc, argv, &options, &arguments);
    if (code == CLI_GO)
        code = cli_finish(validate(&options));
    option_fini(validate_rows, &options);
    return code;
}
