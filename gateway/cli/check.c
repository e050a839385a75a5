/* SPDX-License-Identifier: Apache-2.0
 *
 * `tidegate check`: may that vendor publish there, and by which rule. From the files alone: it asks no
 * gateway, and tells what one would do that reads them now. Main thread.
 */
#include <inttypes.h>
#include <stdio.h>

#include "cli/cli.h"
#include "config/config.h"
#include "reload.h"
#include "route.h"
#include "sources/access.h"

struct check_options {
    char *config, *data, *vendor, *user, *client, *topic;
};

#define AT(member) offsetof(struct check_options, member)
static const struct option check_rows[] = {
    {.name = "vendor", .type = OPTION_STRING, .offset = AT(vendor), .help = "Who publishes."},
    {.name = "user",
     .type = OPTION_STRING,
     .offset = AT(user),
     .help = "As which user; otherwise only the vendor's own rules are asked, as for a login by "
             "certificate."},
    {.name = "client",
     .type = OPTION_STRING,
     .offset = AT(client),
     .help = "With which MQTT client id."},
    {.name = "topic", .type = OPTION_STRING, .offset = AT(topic), .help = "Where."},
    {.name = "config",
     .type = OPTION_PATH,
     .offset = AT(config),
     .help = "The gateway's configuration."},
    {.name = "data",
     .type = OPTION_PATH,
     .offset = AT(data),
     .help = "Of a gateway without a configuration, its folder."},
    {0},
};
#undef AT

static const struct cli_command check_command = {
    .name = "check",
    .arguments = "",
    .summary = "Say whether a vendor may publish to a topic, and which rule says so.",
    .rows = check_rows,
    .more = "Exit codes: 0 allowed, 1 denied. Passwords, limits of rate and number, and what a\n"
            "running gateway has not reloaded are not asked.\n",
};

/* Allowed is not yet understood: without a route a message becomes a dead letter. */
static int route_tell(const struct config *config, const struct check_options *options,
                      struct buffer *out)
{
    struct router *router;
    struct route_match match;
    struct err err;
    if (router_new(config, &router, &err))
        return cli_fail("check", EXIT_CODE_CONFIG, "%s", err.text);
    struct message message = {.topic = bytes_text(options->topic),
                              .vendor = bytes_text(options->vendor)};
    if (router_match(router, &message, &match))
        buffer_printf(out, "route   %s of vendor %.*s\n", match.codec->name, (int)match.vendor.size,
                      (const char *)match.vendor.data);
    else
        buffer_add_text(out, "route   none: it would become a dead letter, no_route\n");
    router_free(router);
    return CLI_GO;
}

static int answer(const struct config *config, const struct check_options *options)
{
    struct access_question question = {options->vendor, options->user, options->client,
                                       options->topic};
    struct access *access = access_new();
    struct buffer out = {0};
    struct err err;
    bool may = false;
    int code = CLI_GO;
    if (reload_access(access, config, &err))
        code = cli_fail("check", EXIT_CODE_CONFIG, "%s", err.text);
    else
        may = access_explain(access, &question, &out);
    if (code == CLI_GO && may)
        code = route_tell(config, options, &out);
    if (code == CLI_GO) {
        buffer_add_text(&out, may ? "allowed\n" : "denied\n");
        cli_print(buffer_bytes(&out));
        code = may ? EXIT_CODE_OK : EXIT_CODE_FAILED;
    }
    buffer_fini(&out);
    access_free(access);
    return code;
}

static int check(const struct check_options *options)
{
    const struct config_places places = {.data = options->data};
    struct buffer errors = {0};
    struct config *config;
    if (options->vendor == NULL || options->topic == NULL ||
        (options->config == NULL) == (options->data == NULL))
        return cli_fail("check", EXIT_CODE_USAGE,
                        "needs --vendor V, --topic T, and one of --config FILE and --data DIR");
    int rc = options->config ? config_load(options->config, &disk_real, &config, &errors)
                             : config_embedded(&places, &config, &errors);
    if (errors.size)
        fwrite(errors.data, 1, errors.size, stderr);
    buffer_fini(&errors);
    if (rc)
        return cli_fail("check", EXIT_CODE_CONFIG, "the configuration has errors");
    int code = answer(config, options);
    config_free(config);
    return code;
}

int verb_check(int argc, char **argv)
{
    struct check_options options = {0};
    struct cli_arguments arguments;
    int code = cli_parse(&check_command, argc, argv, &options, &arguments);
    if (code == CLI_GO)
        code = cli_finish(check(&options));
    option_fini(check_rows, &options);
    return code;
}
