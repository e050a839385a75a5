/* SPDX-License-Identifier: Apache-2.0
 *
 * `tidegate doctor`: what would keep a gateway from starting, or make it slow or unsafe, before it does.
 * One finding a line, with what to do; the order is from the machine outwards.
 */
#include "cli/doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json_text.h"
#include "base/log.h"
#include "cli/cli.h"

enum { ABOUT_COLUMNS = 16 };

struct doctor_options {
    char *config, *data, *admin;
    bool json;
};

#define AT(member) offsetof(struct doctor_options, member)
static const struct option doctor_rows[] = {
    {.name = "config",
     .type = OPTION_PATH,
     .offset = AT(config),
     .help = "The configuration that is to run, or runs; without it the built-in one."},
    {.name = "data",
     .type = OPTION_PATH,
     .offset = AT(data),
     .help =
         "The folder of `tidegate run`; wins over the configuration. It need not be there yet."},
    {.name = "admin",
     .type = OPTION_ADDRESS,
     .offset = AT(admin),
     .help = "Of the gateway that may run; wins over the configuration."},
    {.name = "json",
     .type = OPTION_BOOL,
     .offset = AT(json),
     .def = "false",
     .help = "The findings as one JSON object."},
    {0},
};
#undef AT

static const struct cli_command doctor_command = {
    .name = "doctor",
    .arguments = "",
    .summary = "Look for what keeps a gateway from working well, and say what to do.",
    .rows = doctor_rows,
    .more =
        "Measures the disk of the data folder (64 MiB, a few seconds, in a file without a name),\n"
        "looks at free space, open files, memory, clock, certificates and the configuration, and\n"
        "tries every sink and broker without changing anything there. It runs before the first\n"
        "start and beside a running gateway; run it as the gateway's user. Exit codes: 0 nothing\n"
        "is wrong, 1 at least one error.\n",
};

/* ---- telling ---- */

static const char *const level_names[] = {"ok", "warn", "error"};

static void finding_json(struct doctor *doctor, enum doctor_level level, const char *about,
                         const char *action, const char *text)
{
    struct buffer *out = &doctor->findings;
    buffer_printf(out, "%s{\"level\":\"%s\",\"about\":", out->size ? "," : "", level_names[level]);
    json_string(bytes_text(about), out);
    buffer_add_text(out, ",\"text\":");
    json_string(bytes_text(text), out);
    if (action) {
        buffer_add_text(out, ",\"action\":");
        json_string(bytes_text(action), out);
    }
    buffer_u8(out, '}');
}

static void finding_text(enum doctor_level level, const char *about, const char *action,
                         const char *text)
{
    struct buffer out = {0};
    int indent = 7 + ABOUT_COLUMNS;
    buffer_printf(&out, "%-5s  %-*s", level_names[level], ABOUT_COLUMNS, about);
    if (strlen(about) >= ABOUT_COLUMNS)
        buffer_printf(&out, "\n%*s", indent, "");
    cli_wrap(&out, indent, text);
    if (action) {
        buffer_printf(&out, "\n%*s-> ", indent, "");
        cli_wrap(&out, indent + 3, action);
    }
    buffer_u8(&out, '\n');
    cli_print(buffer_bytes(&out));
    fflush(stdout); /* what comes next may take seconds */
    buffer_fini(&out);
}

void doctor_tell(struct doctor *doctor, enum doctor_level level, const char *about,
                 const char *action, const char *format, ...)
{
    va_list args;
    char text[1024];
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    for (char *at = text; *at; at++) /* servers speak here, too */
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            *at = ' ';
    doctor->counts[level]++;
    if (doctor->json)
        finding_json(doctor, level, about, action, text);
    else
        finding_text(level, about, action, text);
}

static void summary_tell(struct doctor *doctor)
{
    uint64_t errors = doctor->counts[DOCTOR_ERROR], warnings = doctor->counts[DOCTOR_WARN];
    struct buffer out = {0};
    if (doctor->json) {
        buffer_add_text(&out, "{\"findings\":[");
        buffer_add_bytes(&out, buffer_bytes(&doctor->findings));
        buffer_printf(&out, "],\"errors\":%llu,\"warnings\":%llu}\n", (unsigned long long)errors,
                      (unsigned long long)warnings);
    } else {
        buffer_printf(&out, "errors %llu, warnings %llu\n", (unsigned long long)errors,
                      (unsigned long long)warnings);
    }
    cli_print(buffer_bytes(&out));
    buffer_fini(&out);
}

/* ---- the configuration ---- */

/* Each error is a line that does not begin with a blank; the excerpt behind it is for `validate`. */
static void errors_tell(struct doctor *doctor, struct buffer *errors)
{
    buffer_u8(errors, '\0');
    char *rest = NULL;
    for (char *line = strtok_r((char *)errors->data, "\n", &rest); line;
         line = strtok_r(NULL, "\n", &rest))
        if (line[0] != ' ')
            doctor_tell(doctor, DOCTOR_ERROR, "configuration",
                        "mend it: `tidegate validate --config FILE` shows the place", "%s", line);
}

static int config_take(const struct doctor_options *options, struct config **out,
                       struct buffer *errors)
{
    const struct config_places places = {.data = options->data, .admin = options->admin};
    if (options->config == NULL)
        return config_embedded(&places, out, errors);
    int rc = config_load(options->config, &disk_real, out, errors);
    if (rc == 0) {
        rc = config_override(*out, options->data, NULL, options->admin, errors);
        if (rc)
            config_free(*out);
    }
    return rc;
}

/* ---- verb ---- */

static void look(struct doctor *doctor)
{
    doctor_gateway(doctor);
    doctor_machine(doctor);
    if (doctor->data)
        doctor_disk(doctor);
    if (doctor->config) {
        doctor_config(doctor);
        doctor_certificates(doctor);
        doctor_reach(doctor);
    }
}

static int doctor_run(const struct doctor_options *options)
{
    struct doctor doctor = {.json = options->json, .data = options->data, .admin = options->admin};
    struct config *config = NULL;
    struct buffer errors = {0};
    log_set_level(LOG_ERROR); /* what the parts would log is told as findings */
    if (config_take(options, &config, &errors)) {
        config = NULL;
        errors_tell(&doctor, &errors);
    } else {
        doctor.config = config;
        doctor.data = config->data;
        doctor.admin = config->admin.listen;
        doctor_tell(&doctor, DOCTOR_OK, "configuration", NULL,
                    "%s: vendors %zu, routes %zu, sinks %zu",
                    options->config ? options->config : "built-in", config->vendor_count,
                    config->route_count, config->sink_count);
    }
    look(&doctor);
    summary_tell(&doctor);
    if (config)
        config_free(config);
    buffer_fini(&errors);
    buffer_fini(&doctor.findings);
    answer_fini(&doctor.status);
    return doctor.counts[DOCTOR_ERROR] ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}

int verb_doctor(int argc, char **argv)
{
    struct doctor_options options = {0};
    struct cli_arguments arguments;
    int code = cli_parse(&doctor_command, argc, argv, &options, &arguments);
    if (code == CLI_GO && options.config == NULL && options.data == NULL)
        code = cli_fail("doctor", EXIT_CODE_USAGE, "needs --config FILE or --data DIR");
    if (code == CLI_GO)
        code = cli_finish(doctor_run(&options));
    option_fini(doctor_rows, &options);
    return code;
}
