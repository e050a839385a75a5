/* SPDX-License-Identifier: Apache-2.0
 *
 * `tidegate completion`: a script for the shell that completes verbs, actions, options and, where they
 * are known, values. It is made from the tables, and needs nothing but bash.
 */
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"

static const struct cli_command completion_command = {
    .name = "completion",
    .arguments = "bash",
    .summary = "Print a script that completes verbs, options and values.",
    .arguments_min = 1,
    .arguments_max = 1,
    .more = "  source <(tidegate completion bash)\n",
};

static const char head[] =
    "# Completion of tidegate for bash, made by `tidegate completion bash`.\n"
    "_tidegate_words() {\n"
    "    case $1 in\n";
/* The words before the present one name the command: as many as the table knows. */
static const char tail[] =
    "    esac\n"
    "}\n"
    "_tidegate_files() {\n"
    "    mapfile -t COMPREPLY < <(compgen -f -- \"$1\")\n"
    "    compopt -o filenames 2>/dev/null || :\n"
    "}\n"
    "_tidegate() {\n"
    "    local word=${COMP_WORDS[COMP_CWORD]} last=${COMP_WORDS[COMP_CWORD-1]}\n"
    "    local name= words values i\n"
    "    COMPREPLY=()\n"
    "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
    "        [[ ${COMP_WORDS[i]} == -* ]] && break\n"
    "        [[ $(_tidegate_words \"${name:+$name }${COMP_WORDS[i]}\") ]] || break\n"
    "        name=${name:+$name }${COMP_WORDS[i]}\n"
    "    done\n"
    "    values=$(_tidegate_words \"$name $last\")\n"
    "    if [[ $last == --* && $values ]]; then\n"
    "        case $values in\n"
    "        FILE) _tidegate_files \"$word\" ;;\n"
    "        TEXT) ;;\n"
    "        *) mapfile -t COMPREPLY < <(compgen -W \"$values\" -- \"$word\") ;;\n"
    "        esac\n"
    "        return 0\n"
    "    fi\n"
    "    words=$(_tidegate_words \"$name\")\n"
    "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n"
    "    [[ $word == -* || ${#COMPREPLY[@]} != 0 ]] || _tidegate_files \"$word\"\n"
    "}\n"
    "complete -F _tidegate tidegate\n";

/* ---- the tables, as branches of `case` ---- */

struct script {
    struct buffer out;
    struct buffer verbs;   /* of the first word */
    struct buffer actions; /* of `verb` */
    char verb[32];
};

static void branch(struct script *script, const char *name, const char *words)
{
    buffer_printf(&script->out, "    \"%s\") echo \"%s\" ;;\n", name, words);
}

static void option_branch(struct script *script, const char *command, const struct option *row)
{
    struct buffer values = {0};
    if (row->type == OPTION_BOOL)
        return; /* takes none */
    if (row->type == OPTION_PATH)
        buffer_add_text(&values, "FILE");
    else if (row->type != OPTION_ENUM)
        buffer_add_text(&values, "TEXT");
    for (size_t i = 0; row->type == OPTION_ENUM && row->names[i]; i++)
        buffer_printf(&values, "%s%s", i ? " " : "", row->names[i]);
    buffer_printf(&script->out, "    \"%s --%s\") echo \"%.*s\" ;;\n", command, row->name,
                  (int)values.size, (char *)values.data);
    buffer_fini(&values);
}

/* Words of the verb: its actions, and the options that were kept for it. */
static void verb_end(struct script *script)
{
    if (script->verb[0] == '\0')
        return;
    buffer_u8(&script->actions, '\0');
    branch(script, script->verb, (const char *)script->actions.data);
    buffer_clear(&script->actions);
}

static void options_put(const struct cli_command *command, struct buffer *out)
{
    buffer_add_text(out, "--help");
    for (const struct option *row = command->rows; row && row->name; row++)
        buffer_printf(out, " --%s", row->name);
    for (const struct option *row = cli_ask_rows(command); row->name; row++)
        buffer_printf(out, " --%s", row->name);
}

static void on_command(void *arg, const struct cli_command *command)
{
    struct script *script = arg;
    const char *blank = strchr(command->name, ' ');
    size_t size = blank ? (size_t)(blank - command->name) : strlen(command->name);
    if (strlen(script->verb) != size || memcmp(script->verb, command->name, size) != 0) {
        verb_end(script);
        snprintf(script->verb, sizeof script->verb, "%.*s", (int)size, command->name);
        buffer_printf(&script->verbs, "%s ", script->verb);
    }
    struct buffer words = {0};
    options_put(command, &words);
    buffer_u8(&words, '\0');
    if (blank)
        branch(script, command->name, (const char *)words.data);
    buffer_printf(&script->actions, "%s ", blank ? blank + 1 : (const char *)words.data);
    buffer_fini(&words);
    for (const struct option *row = command->rows; row && row->name; row++)
        option_branch(script, command->name, row);
    for (const struct option *row = cli_ask_rows(command); row->name; row++)
        option_branch(script, command->name, row);
}

static int bash_print(void)
{
    struct script script = {0};
    buffer_add_text(&script.out, head);
    cli_each_command(on_command, &script);
    verb_end(&script);
    buffer_add_text(&script.verbs, "--help --version");
    buffer_u8(&script.verbs, '\0');
    branch(&script, "", (const char *)script.verbs.data);
    buffer_add_text(&script.out, tail);
    cli_print(buffer_bytes(&script.out));
    buffer_fini(&script.out);
    buffer_fini(&script.verbs);
    buffer_fini(&script.actions);
    return EXIT_CODE_OK;
}

int verb_completion(int argc, char **argv)
{
    struct cli_arguments arguments;
    char none;
    int code = cli_parse(&completion_command, argc, argv, &none, &arguments);
    if (code != CLI_GO)
        return code;
    if (strcmp(arguments.values[0], "bash") != 0)
        return cli_fail("completion", EXIT_CODE_USAGE, "there is one for bash, none for `%s`",
                        arguments.values[0]);
    return cli_finish(bash_print());
}
