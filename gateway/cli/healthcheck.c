/* SPDX-License-Identifier: Apache-2.0
 *
 * `tidegate healthcheck`: what a container's HEALTHCHECK and a probe run. One question, one line, an
 * exit code; it finds the gateway beside it without options.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/beside.h"
#include "cli/cli.h"
#include "cli/http.h"

struct healthcheck_options {
    char *admin, *config;
    int64_t timeout_ms;
    bool ready, live;
};

#define AT(member) offsetof(struct healthcheck_options, member)
static const struct option healthcheck_rows[] = {
    {.name = "admin",
     .type = OPTION_ADDRESS,
     .offset = AT(admin),
     .help = "Of the gateway; default what the configuration says, else " BESIDE_ADMIN "."},
    {.name = "config",
     .type = OPTION_PATH,
     .offset = AT(config),
     .help = "Its configuration file; default " BESIDE_CONFIG " where that is there."},
    {.name = "ready",
     .type = OPTION_BOOL,
     .offset = AT(ready),
     .def = "false",
     .help = "Can it make messages durable? This is the default."},
    {.name = "live",
     .type = OPTION_BOOL,
     .offset = AT(live),
     .def = "false",
     .help = "Do its loops turn? If not, only a new process helps."},
    {.name = "timeout",
     .type = OPTION_DURATION,
     .offset = AT(timeout_ms),
     .def = "2s",
     .min = 1,
     .max = 600000,
     .help = "No answer for so long is a no."},
    {0},
};
#undef AT

static const struct cli_command healthcheck_command = {
    .name = "healthcheck",
    .arguments = "",
    .summary = "Ask a running gateway whether it is well: exit code 0 or 1, and one line.",
    .rows = healthcheck_rows,
    .more =
        "While a gateway recovers its journal at start nobody answers, which is a no: a probe for\n"
        "the start asks this until it is a yes, and only then do others begin.\n",
};

/* ---- verb ---- */

static int ask(const struct healthcheck_options *options)
{
    const char *path = options->live ? "/healthz" : "/readyz";
    const char *yes = options->live ? "live" : "ready";
    char *admin = beside_find(options->admin, options->config, false);
    struct http *http = http_new(admin);
    struct buffer body = {0};
    struct err err;
    int rc = http_get(http, path, options->timeout_ms, &body, &err);
    while (body.size && body.data[body.size - 1] == '\n')
        body.size--;
    if (rc == 0)
        printf("%s: %s\n", admin, yes);
    else if (rc == GW_EINVAL && body.size)
        printf("%s: not %s: %.*s\n", admin, yes, (int)body.size, (const char *)body.data);
    else
        printf("%s: not %s: %s\n", admin, yes, err.text);
    buffer_fini(&body);
    http_free(http);
    free(admin);
    return rc ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}

static int healthcheck(const struct healthcheck_options *options)
{
    if (options->ready && options->live)
        return cli_fail("healthcheck", EXIT_CODE_USAGE, "--ready or --live, not both");
    if (options->config && access(options->config, R_OK) != 0)
        return cli_fail("healthcheck", EXIT_CODE_USAGE, "%s cannot be read", options->config);
    return cli_finish(ask(options));
}

int verb_healthcheck(int argc, char **argv)
{
    struct healthcheck_options options = {0};
    struct cli_arguments arguments;
    int code = cli_parse(&healthcheck_command, argc, argv, &options, &arguments);
    if (code == CLI_GO)
        code = healthcheck(&options);
    option_fini(healthcheck_rows, &options);
    return code;
}
