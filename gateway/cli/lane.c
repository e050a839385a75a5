/* SPDX-License-Identifier: Apache-2.0
 *
 * `tidegate lane ls|drop`: where the sinks stand, and removing the cursor of a sink that will not
 * come back: until then it holds the logs (invariant 6).
 */
#include "cli/lane.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/answer.h"
#include "cli/folder.h"
#include "cli/note.h"
#include "cli/status_summary.h"
#include "config/config.h"

#define ADMIN_DEFAULT "127.0.0.1:9464"

#define AT(member) offsetof(struct lane_verb_options, member)
static const struct option list_rows[] = {
    CLI_ROW_DATA(struct lane_verb_options),
    {.name = "admin",
     .type = OPTION_ADDRESS,
     .offset = AT(admin),
     .help =
         "Of the running gateway, to ask which sinks it has; without --data all is asked there. "
         "Default: " ADMIN_DEFAULT ", when that one runs on --data."},
    {.name = "config",
     .type = OPTION_PATH,
     .offset = AT(config),
     .help = "The configuration that tells which sinks there are, in place of a running gateway."},
    CLI_ROW_JSON(struct lane_verb_options),
    {0},
};
static const struct option drop_rows[] = {
    CLI_ROW_DATA(struct lane_verb_options),
    {.name = "admin",
     .type = OPTION_ADDRESS,
     .offset = AT(admin),
     .help = "Of the gateway that runs on --data, when one does. Default: " ADMIN_DEFAULT "."},
    {.name = "config",
     .type = OPTION_PATH,
     .offset = AT(config),
     .help = "The configuration of the next start: a cursor of one of its sinks is not removed."},
    {.name = "yes",
     .type = OPTION_BOOL,
     .offset = AT(yes),
     .def = "false",
     .help = "Do not ask; needed where there is no terminal."},
    {0},
};
#undef AT

/* ---- which sinks there are ---- */

static void sinks_add(struct lane_sinks *sinks, const char *name)
{
    sinks->names = mem_realloc(sinks->names, (sinks->count + 1) * sizeof *sinks->names);
    sinks->names[sinks->count++] = mem_strdup(name);
}

void lane_sinks_fini(struct lane_sinks *sinks)
{
    for (size_t i = 0; i < sinks->count; i++)
        free(sinks->names[i]);
    free(sinks->names);
    *sinks = (struct lane_sinks){0};
}

bool lane_sinks_have(const struct lane_sinks *sinks, const char *name)
{
    for (size_t i = 0; i < sinks->count; i++)
        if (strcmp(sinks->names[i], name) == 0)
            return true;
    return false;
}

static int sinks_of_file(const struct cli_command *command, const char *path,
                         struct lane_sinks *out)
{
    struct buffer errors = {0};
    struct config *config;
    int rc = config_load(path, &disk_real, &config, &errors);
    if (errors.size)
        fwrite(errors.data, 1, errors.size, stderr);
    buffer_fini(&errors);
    if (rc)
        return cli_fail(command->name, EXIT_CODE_CONFIG, "%s has errors: nothing was done", path);
    for (size_t i = 0; i < config->sink_count; i++)
        sinks_add(out, config->sinks[i].name);
    out->known = true;
    config_free(config);
    return CLI_GO;
}

/* Another gateway's lanes say nothing about this folder: its identity tells them apart. */
static void sinks_of_answer(const struct answer *answer, struct identity identity,
                            struct lane_sinks *out)
{
    char text[IDENTITY_TEXT_SIZE];
    const struct yaml_node *lanes = answer_member(answer->yaml.root, "lanes");
    if (strcmp(answer_text(answer->yaml.root, "gateway"), identity_format(identity, text)) != 0 ||
        lanes == NULL || lanes->kind != YAML_SEQUENCE)
        return;
    YAML_EACH(lane, lanes)
    sinks_add(out, answer_text(lane, "name"));
    out->known = out->running = true;
}

static int sinks_of_gateway(const struct cli_command *command,
                            const struct lane_verb_options *options, struct identity identity,
                            struct lane_sinks *out)
{
    const char *admin = options->admin ? options->admin : ADMIN_DEFAULT;
    struct http *http = http_new(admin);
    struct answer answer = {0};
    struct err err;
    int code = CLI_GO;
    int rc = answer_get(http, &answer, &err);
    if (rc == 0)
        sinks_of_answer(&answer, identity, out);
    if (options->admin && rc)
        code = cli_fail(command->name, http_exit_code(rc), "%s", err.text);
    else if (options->admin && !out->known)
        code = cli_fail(command->name, EXIT_CODE_FAILED,
                        "the gateway at %s runs on another folder than %s", admin, options->data);
    answer_fini(&answer);
    http_free(http);
    return code;
}

int lane_sinks_learn(const struct cli_command *command, const struct lane_verb_options *options,
                     struct identity identity, struct lane_sinks *out)
{
    *out = (struct lane_sinks){0};
    if (options->config)
        return sinks_of_file(command, options->config, out);
    return sinks_of_gateway(command, options, identity, out);
}

int lane_cursors(const struct cli_command *command, const struct lane_verb_options *options,
                 struct cursor_list *out)
{
    struct err err;
    char *folder = mem_printf("%s/cursors", options->data);
    int rc = cursor_list_read(&disk_real, folder, out, &err);
    free(folder);
    return rc ? cli_fail(command->name, EXIT_CODE_FAILED, "%s", err.text) : CLI_GO;
}

/* ---- drop ---- */

static int name_unknown(const struct cli_command *command, const struct lane_verb_options *options,
                        const struct cursor_list *list, const char *name)
{
    struct buffer names = {0};
    for (size_t i = 0; i < list->count; i++)
        buffer_printf(&names, "%s%s", i ? ", " : "", list->files[i].name);
    buffer_add_text(&names, list->count ? "" : "none");
    int code =
        cli_fail(command->name, EXIT_CODE_FAILED, "no cursor %s in %s/cursors; there are: %.*s",
                 name, options->data, (int)names.size, (const char *)names.data);
    buffer_fini(&names);
    return code;
}

/* A running gateway has the last word about its sinks; without one the folder's lock is ours until
 * we are done, so that none starts meanwhile. */
static int may_drop(const struct cli_command *command, const struct lane_verb_options *options,
                    const char *name, struct identity identity, bool locked)
{
    struct lane_sinks sinks = {0};
    int code = CLI_GO;
    if (locked)
        code = sinks_of_gateway(command, options, identity, &sinks);
    if (code == CLI_GO && locked && !sinks.known)
        code = cli_fail(command->name, EXIT_CODE_FAILED,
                        "a gateway runs on %s and does not answer at " ADMIN_DEFAULT
                        ": tell its --admin HOST:PORT, or stop it first",
                        options->data);
    if (code == CLI_GO && options->config)
        code = sinks_of_file(command, options->config, &sinks);
    if (code == CLI_GO && lane_sinks_have(&sinks, name))
        code = cli_fail(command->name, EXIT_CODE_FAILED,
                        "the sink %s is %s: take it out of the configuration%s first", name,
                        locked ? "in use" : "configured", locked ? " and start again" : "");
    lane_sinks_fini(&sinks);
    return code;
}

static int ask(const struct cli_command *command, const struct lane_verb_options *options,
               const char *name)
{
    char line[128] = "";
    if (options->yes)
        return CLI_GO;
    if (!isatty(STDIN_FILENO))
        return cli_fail(command->name, EXIT_CODE_USAGE,
                        "this cannot be undone, and there is no terminal to ask at: say --yes");
    printf("The cursor cannot be brought back. Type the sink's name to remove it: ");
    fflush(stdout);
    if (fgets(line, sizeof line, stdin))
        line[strcspn(line, "\r\n")] = '\0';
    if (strcmp(line, name) != 0)
        return cli_fail(command->name, EXIT_CODE_FAILED, "that is not `%s`: nothing was removed",
                        name);
    return CLI_GO;
}

/* The ranges go first: a cursor without them is dropped again; they without a cursor would be taken
 * for those of a new sink. */
static int files_remove(const struct cursor_file *file, const char *folder, struct err *err)
{
    int rc = disk_real.unlink(&disk_real, file->missed_path);
    if (rc == 0 || rc == -ENOENT)
        rc = disk_real.unlink(&disk_real, file->path);
    if (rc == 0)
        rc = disk_real.sync_dir(&disk_real, folder);
    return rc < 0 ? err_set(err, GW_EIO, "%s: %s", file->path, strerror(-rc)) : 0;
}

static void told(const struct cursor_file *file, uint64_t held, bool locked)
{
    char size[SIZE_TEXT_SIZE];
    printf("The cursor of %s is removed", file->name);
    if (file->readable)
        printf("; it stood at message %" PRIu64, file->state.next_seq);
    printf(".\n");
    if (held)
        printf("It alone held %s of the logs: what is older than `journal.keep` goes %s.\n",
               size_text((double)held, size), locked ? "now" : "with the next start");
    if (file->missed_count)
        printf("Its %zu missed ranges (%" PRIu64 " messages) are no longer noted.\n",
               file->missed_count, cursor_file_missed(file));
    printf("A sink of that name would begin as a new one (`start`).\n");
}

static int drop_checked(const struct cli_command *command, const struct lane_verb_options *options,
                        const struct cursor_list *list, const struct cursor_file *file,
                        struct journal *const logs[2], bool locked)
{
    struct err err;
    char *folder = mem_printf("%s/cursors", options->data);
    uint64_t held = cursor_list_held(list, file, logs[0]) + cursor_list_held(list, file, logs[1]);
    int code = may_drop(command, options, file->name, journal_identity(logs[0]), locked);
    if (code == CLI_GO)
        code = ask(command, options, file->name);
    if (code == CLI_GO && files_remove(file, folder, &err))
        code = cli_fail(command->name, EXIT_CODE_FAILED, "%s", err.text);
    if (code == CLI_GO) {
        note_done(NULL, options->data, AUDIT_LANE, file->name, command->name);
        told(file, held, locked);
    }
    free(folder);
    return code == CLI_GO ? EXIT_CODE_OK : code;
}

static int drop(const struct cli_command *command, const struct lane_verb_options *options,
                const char *name)
{
    struct cursor_list list;
    struct journal *logs[2] = {NULL, NULL};
    struct err err;
    int lock = -1;
    int code = lane_cursors(command, options, &list);
    if (code != CLI_GO)
        return code;
    const struct cursor_file *file = cursor_list_find(&list, name);
    int rc = 0;
    if (file == NULL)
        code = name_unknown(command, options, &list, name);
    for (int i = 0; i < 2 && rc == 0 && code == CLI_GO; i++)
        rc = folder_open(options->data, &folder_logs[i], &logs[i], &err);
    if (code == CLI_GO && rc == 0) {
        rc = folder_lock(options->data, &lock, &err);
        if (rc == 0 || rc == GW_ELOCKED) {
            code = drop_checked(command, options, &list, file, logs, rc == GW_ELOCKED);
            rc = 0;
        }
    }
    if (rc)
        code = cli_fail(command->name, EXIT_CODE_FAILED, "%s", err.text);
    if (lock >= 0)
        disk_real.close(&disk_real, lock);
    journal_close(logs[0]);
    journal_close(logs[1]);
    cursor_list_fini(&list);
    return code;
}

/* ---- verb ---- */

static const struct cli_command commands[] = {
    {.name = "lane ls",
     .arguments = "",
     .summary = "List the cursors: where each sink stands, what it missed, which have no sink.",
     .rows = list_rows,
     .more =
         "next: the first message the destination has not confirmed. settled: the first that the\n"
         "logs keep for it. missed: messages given up for want of room (when_full: park).\n"},
    {.name = "lane drop",
     .arguments = "NAME",
     .summary = "Remove the cursor of a sink that is not configured any more.",
     .rows = drop_rows,
     .arguments_min = 1,
     .arguments_max = 1,
     .more =
         "A cursor holds the logs until its sink has them, also when nobody configures that sink\n"
         "any more. Removing it gives up what the sink has not got.\n"},
};

static int run_ls(const struct cli_command *command, int argc, char **argv)
{
    struct lane_verb_options options = {0};
    struct cli_arguments arguments;
    int code = cli_parse(command, argc, argv, &options, &arguments);
    if (code == CLI_GO)
        code = cli_finish(lane_ls(command, &options));
    option_fini(command->rows, &options);
    return code;
}

static int run_drop(const struct cli_command *command, int argc, char **argv)
{
    struct lane_verb_options options = {0};
    struct cli_arguments arguments;
    int code = cli_parse(command, argc, argv, &options, &arguments);
    if (code == CLI_GO && options.data == NULL)
        code = cli_fail(command->name, EXIT_CODE_USAGE, "needs --data DIR");
    if (code == CLI_GO)
        code = cli_finish(drop(command, &options, arguments.values[0]));
    option_fini(command->rows, &options);
    return code;
}

int verb_lane(int argc, char **argv)
{
    static const struct cli_action actions[] = {
        {&commands[0], run_ls}, {&commands[1], run_drop}, {0}};
    return cli_dispatch("lane", "Where the sinks stand, and cursors without a sink.", actions, argc,
                        argv);
}
