/* SPDX-License-Identifier: Apache-2.0
 *
 * `tidegate version`: the program, and the codecs and sinks that are in it.
 */
#include <stdio.h>

#include "cli/cli.h"
#include "codecs/codec.h"
#include "sinks/sink.h"

struct version_options {
    bool json;
};

static const struct option version_rows[] = {
    {.name = "json",
     .type = OPTION_BOOL,
     .offset = offsetof(struct version_options, json),
     .def = "false",
     .help = "One JSON object, with codecs, their versions, and sinks."},
    {0},
};

static const struct cli_command version_command = {
    .name = "version",
    .arguments = "",
    .summary = "Print the version.",
    .rows = version_rows,
};

static void json_print(void)
{
    printf("{\"version\":\"%s\",\"codecs\":{", TIDEGATE_VERSION);
    for (size_t i = 0; codec_at(i); i++)
        printf("%s\"%s\":%u", i ? "," : "", codec_at(i)->name, codec_at(i)->version);
    printf("},\"sinks\":[");
    for (size_t i = 0; sink_at(i); i++)
        printf("%s\"%s\"", i ? "," : "", sink_at(i)->name);
    printf("]}\n");
}

int verb_version(int argc, char **argv)
{
    struct version_options options = {0};
    struct cli_arguments arguments;
    int code = cli_parse(&version_command, argc, argv, &options, &arguments);
    if (code != CLI_GO)
        return code;
    if (options.json)
        json_print();
    else
        printf("tidegate %s\n", TIDEGATE_VERSION);
    return cli_finish(EXIT_CODE_OK);
}
