/* SPDX-License-Identifier: Apache-2.0
 *
 * `tidegate manual`: the pages as roff, for `man -l`, and in another language with its sentences given.
 * The build runs it (CMakeLists.txt), so no page can be older than the program.
 */
#include "cli/manual.h"

#include <stdio.h>

#include "cli/cli.h"

struct manual_options {
    char *translation;
    bool missing;
};

#define AT(member) offsetof(struct manual_options, member)
static const struct option manual_rows[] = {
    {.name = "translation",
     .type = OPTION_PATH,
     .offset = AT(translation),
     .help = "A PO file with the sentences in another language; English without it."},
    {.name = "missing",
     .type = OPTION_BOOL,
     .offset = AT(missing),
     .def = "false",
     .help = "Print what that file lacks, as entries to be filled in, and what it has for nothing; "
             "then the exit code is 1."},
    {0},
};
#undef AT

static const struct cli_command manual_command = {
    .name = "manual",
    .arguments = "[1|5]",
    .summary = "Print tidegate(1), or tidegate.yaml(5), as roff.",
    .rows = manual_rows,
    .arguments_max = 1,
    .more = "  tidegate manual 5 | man -l -\n",
};

static int missing(struct manual *manual)
{
    struct buffer out = {0};
    manual_program(manual);
    manual_config(manual);
    size_t count = translation_check(manual->translation, &out);
    cli_print(buffer_bytes(&out));
    buffer_fini(&out);
    return count ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}

static int print(const struct manual_options *options, const char *section)
{
    struct manual manual = {0};
    struct err err;
    int code = EXIT_CODE_OK;
    bool file = strcmp(section, "5") == 0;
    if (!file && strcmp(section, "1") != 0)
        return cli_fail("manual", EXIT_CODE_USAGE, "there are sections 1 and 5, not `%s`", section);
    if (options->missing && options->translation == NULL)
        return cli_fail("manual", EXIT_CODE_USAGE, "--missing needs --translation FILE");
    if (options->translation && translation_load(options->translation, &manual.translation, &err))
        return cli_fail("manual", EXIT_CODE_FAILED, "%s", err.text);
    if (options->missing) {
        code = missing(&manual);
    } else {
        (file ? manual_config : manual_program)(&manual);
        cli_print(buffer_bytes(&manual.out));
    }
    buffer_fini(&manual.out);
    translation_free(manual.translation);
    return code;
}

int verb_manual(int argc, char **argv)
{
    struct manual_options options = {0};
    struct cli_arguments arguments;
    int code = cli_parse(&manual_command, argc, argv, &options, &arguments);
    if (code == CLI_GO)
        code = cli_finish(print(&options, arguments.count ? arguments.values[0] : "1"));
    option_fini(manual_rows, &options);
    return code;
}
