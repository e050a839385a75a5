/* SPDX-License-Identifier: Apache-2.0
 *
 * `tidegate vendor add|passwd|bind|ls|disable|enable|rm`: the users of a vendor in its credential file.
 * A running gateway takes a change over with SIGHUP. Main thread.
 */
#include "cli/vendor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/note.h"
#include "model/batch_json.h"
#include "sources/access.h"
#include "sources/credential.h"

#define AT(member) offsetof(struct vendor_options, member)
#define ROW_CONFIG                                                                                 \
    {                                                                                              \
        .name = "config", .type = OPTION_PATH, .offset = AT(config),                               \
        .help = "The gateway's configuration: the file is the one that the vendor's `passwords` "  \
                "names."                                                                           \
    }
#define ROW_DATA                                                                                   \
    {                                                                                              \
        .name = "data", .type = OPTION_PATH, .offset = AT(data),                                   \
        .help = "Of a gateway without a configuration, its folder: the file is "                   \
                "DIR/vendors/VENDOR. Beside --config: where the audit log is, when that names no " \
                "`data`."                                                                          \
    }
#define ROW_PASSWORD_FILE                                                                          \
    {                                                                                              \
        .name = "password-file", .type = OPTION_PATH, .offset = AT(password_file),                 \
        .help = "The password is the first line of this file; otherwise it is asked for at the "   \
                "terminal."                                                                        \
    }
#define ROW_GENERATE                                                                               \
    {                                                                                              \
        .name = "generate", .type = OPTION_BOOL, .offset = AT(generate), .def = "false",           \
        .help = "Make up a password of 190 random bits and print it, once."                        \
    }
#define ROW_CLIENT                                                                                 \
    {                                                                                              \
        .name = "client", .type = OPTION_STRING, .offset = AT(client),                             \
        .help = "What the user's MQTT client ids must look like; `*` is any run of characters. "   \
                "Default: any."                                                                    \
    }
#define ROW_TOPICS                                                                                 \
    {                                                                                              \
        .name = "topics", .type = OPTION_STRING, .offset = AT(topics),                             \
        .help = "Topic filters with commas between: of the vendor's topics only these. Default: "  \
                "all of them."                                                                     \
    }
static const struct option place_rows[] = {ROW_CONFIG, ROW_DATA, {0}};
static const struct option list_rows[] = {
    ROW_CONFIG, ROW_DATA, CLI_ROW_JSON(struct vendor_options), {0}};
static const struct option password_rows[] = {
    ROW_CONFIG, ROW_DATA, ROW_PASSWORD_FILE, ROW_GENERATE, {0}};
static const struct option add_rows[] = {
    ROW_CONFIG, ROW_DATA, ROW_PASSWORD_FILE, ROW_GENERATE, ROW_CLIENT, ROW_TOPICS, {0}};
static const struct option bind_rows[] = {ROW_CONFIG, ROW_DATA, ROW_CLIENT, ROW_TOPICS, {0}};
#undef AT

static const char reload_help[] =
    "A running gateway takes the change over with SIGHUP (systemctl reload tidegate; podman kill\n"
    "--signal HUP). The user has the vendor's name when none is given. Run it as the user that\n"
    "owns the files, or as root: owner and mode of a file stay.\n";

static const struct cli_command commands[] = {
    {.name = "vendor add",
     .arguments = "VENDOR [USER]",
     .summary = "Add a user who may log in and publish for a vendor.",
     .rows = add_rows,
     .arguments_min = 1,
     .arguments_max = 2,
     .more = reload_help},
    {.name = "vendor passwd",
     .arguments = "VENDOR [USER]",
     .summary = "Give a user another password; connections with the old one end.",
     .rows = password_rows,
     .arguments_min = 1,
     .arguments_max = 2,
     .more = reload_help},
    {.name = "vendor bind",
     .arguments = "VENDOR [USER]",
     .summary = "Say anew which client ids and topics a user may have.",
     .rows = bind_rows,
     .arguments_min = 1,
     .arguments_max = 2,
     .more = reload_help},
    {.name = "vendor disable",
     .arguments = "VENDOR [USER]",
     .summary = "Let a user no longer log in; his connections end.",
     .rows = place_rows,
     .arguments_min = 1,
     .arguments_max = 2,
     .more = reload_help},
    {.name = "vendor enable",
     .arguments = "VENDOR [USER]",
     .summary = "Let a disabled user log in again.",
     .rows = place_rows,
     .arguments_min = 1,
     .arguments_max = 2,
     .more = reload_help},
    {.name = "vendor rm",
     .arguments = "VENDOR [USER]",
     .summary = "Remove a user.",
     .rows = place_rows,
     .arguments_min = 1,
     .arguments_max = 2,
     .more = reload_help},
    {.name = "vendor ls",
     .arguments = "[VENDOR]",
     .summary = "List vendors, their users, and what each is bound to.",
     .rows = list_rows,
     .arguments_max = 1},
};

struct verb {
    const struct cli_command *command;
    const struct vendor_options *options;
    struct vendor_files files;
    const char *vendor, *user;
    char *path; /* of the vendor's file */
};

/* ---- where ---- */

static int files_find(struct verb *verb)
{
    const struct vendor_options *options = verb->options;
    struct buffer errors = {0};
    struct err err;
    int code = CLI_GO;
    if (options->config == NULL && options->data == NULL)
        return cli_fail(verb->command->name, EXIT_CODE_USAGE, "needs --config FILE or --data DIR");
    if (options->config &&
        vendor_files_of_config(options->config, &disk_real, &verb->files, &errors)) {
        fwrite(errors.data, 1, errors.size, stderr);
        code = cli_fail(verb->command->name, EXIT_CODE_CONFIG, "%s has errors: nothing was done",
                        options->config);
    } else if (options->config == NULL &&
               vendor_files_of_data(options->data, &disk_real, &verb->files, &err)) {
        code = cli_fail(verb->command->name, EXIT_CODE_FAILED, "%s", err.text);
    }
    buffer_fini(&errors);
    return code;
}

static int vendor_find(struct verb *verb)
{
    const char *name = verb->command->name;
    const struct vendor_options *options = verb->options;
    const struct vendor_file *file = vendor_files_find(&verb->files, verb->vendor);
    if (!vendor_name_valid(verb->vendor))
        return cli_fail(name, EXIT_CODE_USAGE,
                        "a vendor's name is letters, digits, _ . -, begins with a letter or a "
                        "digit, and has at most 64");
    if (!credential_name_valid(bytes_text(verb->user)))
        return cli_fail(name, EXIT_CODE_USAGE,
                        "a user's name has 1 to %d bytes, no colon and no control characters",
                        CREDENTIAL_NAME_MAX);
    if (file && file->path)
        verb->path = mem_strdup(file->path);
    else if (options->config == NULL)
        verb->path = vendor_file_in(options->data, verb->vendor);
    else
        return cli_fail(name, EXIT_CODE_FAILED,
                        file ? "%s: vendor %s has no `passwords`: give it one, as `passwords: "
                               "passwords/%s`"
                             : "%s: there is no vendor %s: put it into `vendors`, with `passwords: "
                               "passwords/%s`",
                        options->config, verb->vendor, verb->vendor);
    return CLI_GO;
}

/* A user belongs to one vendor: the gateway would refuse all of it. Before a password is asked for. */
static int user_free(const struct verb *verb)
{
    struct err err;
    bool has = false;
    for (size_t i = 0; i < verb->files.count; i++) {
        const struct vendor_file *file = &verb->files.files[i];
        if (file->path == NULL)
            continue;
        if (credential_file_has(&disk_real, file->path, bytes_text(verb->user), &has, &err))
            return cli_fail(verb->command->name, EXIT_CODE_FAILED, "%s", err.text);
        if (has)
            return cli_fail(verb->command->name, EXIT_CODE_FAILED,
                            "vendor %s has a user of that name already (vendor passwd gives "
                            "another password), and a user belongs to one vendor",
                            file->vendor);
    }
    return CLI_GO;
}

/* The folder of a first file, as its parent is: owner and rights. */
static int folder_make(const struct verb *verb)
{
    struct stat info;
    char *slash = strrchr(verb->path, '/');
    char *folder = slash ? bytes_strdup(bytes_of(verb->path, (size_t)(slash - verb->path))) : NULL;
    int code = CLI_GO;
    if (folder && *folder && stat(folder, &info) != 0) {
        int rc = disk_make_dirs(&disk_real, folder);
        char *parent = mem_printf("%s/..", folder);
        if (rc == 0 && stat(parent, &info) == 0) {
            if (chown(folder, info.st_uid, info.st_gid) == 0)
                rc = chmod(folder, info.st_mode & 0750) == 0 ? 0 : -errno;
        }
        if (rc < 0)
            code = cli_fail(verb->command->name, EXIT_CODE_FAILED, "%s: %s", folder, strerror(-rc));
        free(parent);
    }
    free(folder);
    return code;
}

/* ---- the audit log ---- */

static void audit(const struct verb *verb)
{
    const struct vendor_options *options = verb->options;
    char *object = mem_printf("%s/%s", verb->vendor, verb->user);
    note_done(verb->files.audit, options->data ? options->data : verb->files.data, AUDIT_VENDOR,
              object, verb->command->name);
    free(object);
}

/* ---- what a user is bound to ---- */

static int topics_split(const struct verb *verb, char ***topics, size_t *count)
{
    char *text = verb->options->topics ? mem_strdup(verb->options->topics) : NULL;
    int code = CLI_GO;
    char *rest = text;
    for (char *topic; code == CLI_GO && rest && (topic = strsep(&rest, ","));) {
        if (!access_filter_valid(topic) || *count == CREDENTIAL_TOPICS_MAX) {
            code = cli_fail(verb->command->name, EXIT_CODE_USAGE,
                            "--topics: `%s` is no topic filter (+ and # stand alone between "
                            "slashes, # at the end), or there are more than %d",
                            topic, CREDENTIAL_TOPICS_MAX);
            break;
        }
        *topics = mem_realloc(*topics, (*count + 1) * sizeof **topics);
        (*topics)[(*count)++] = mem_strdup(topic);
    }
    free(text);
    return code;
}

static int bindings_take(const struct verb *verb, struct credential_edit *edit)
{
    char **topics = NULL;
    const char *client = verb->options->client;
    int code = topics_split(verb, &topics, &edit->topic_count);
    edit->topics = topics;
    edit->client = client;
    if (code == CLI_GO && client && !credential_pattern_valid(client))
        code = cli_fail(verb->command->name, EXIT_CODE_USAGE,
                        "--client: 1 to %d characters, none of them a control character",
                        CREDENTIAL_PATTERN_MAX);
    return code;
}

/* ---- changing ---- */

static int hash_make(const struct verb *verb, struct buffer *password, struct buffer *hash)
{
    const struct vendor_options *options = verb->options;
    struct err err;
    int code = CLI_GO;
    if (options->generate && options->password_file)
        return cli_fail(verb->command->name, EXIT_CODE_USAGE,
                        "--generate or --password-file, not both");
    if (options->generate)
        password_generate(password);
    else
        code = vendor_password(verb->command, options->password_file, password);
    if (code == CLI_GO &&
        password_make(buffer_bytes(password),
                      options->generate ? PASSWORD_GENERATED : PASSWORD_CHOSEN, hash, &err))
        code = cli_fail(verb->command->name, EXIT_CODE_USAGE, "%s", err.text);
    return code;
}

static int edit_apply(const struct verb *verb, const struct credential_edit *edit)
{
    struct err err;
    int rc = credential_file_edit(&disk_real, verb->path, edit, &err);
    if (rc)
        return cli_fail(verb->command->name, EXIT_CODE_FAILED, "%s", err.text);
    audit(verb);
    return CLI_GO;
}

static int change(const struct verb *verb, enum credential_change change)
{
    struct buffer password = {0}, hash = {0};
    struct credential_edit edit = {.change = change,
                                   .name = bytes_text(verb->user),
                                   .may_be_last = verb->options->config == NULL};
    bool hashes = change == CREDENTIAL_ADD || change == CREDENTIAL_HASH;
    int code = CLI_GO;
    if (change == CREDENTIAL_ADD)
        code = user_free(verb);
    if (code == CLI_GO && (change == CREDENTIAL_ADD || change == CREDENTIAL_BIND))
        code = bindings_take(verb, &edit);
    if (code == CLI_GO && hashes)
        code = hash_make(verb, &password, &hash);
    if (code == CLI_GO && change == CREDENTIAL_ADD)
        code = folder_make(verb);
    edit.hash = buffer_bytes(&hash);
    if (code == CLI_GO)
        code = edit_apply(verb, &edit);
    if (code == CLI_GO) {
        code = EXIT_CODE_OK;
        if (hashes && verb->options->generate)
            printf("%.*s\n", (int)password.size, (const char *)password.data);
        fprintf(stderr, "%s: done in %s; a running gateway takes it over with SIGHUP\n",
                verb->command->name, verb->path);
    }
    for (size_t i = 0; i < edit.topic_count; i++)
        free(edit.topics[i]);
    free((void *)(uintptr_t)edit.topics);
    vendor_password_fini(&password);
    buffer_fini(&hash);
    return code;
}

/* ---- listing ---- */

static const char *kind_name(const struct password *password)
{
    return password->kind == PASSWORD_SCRYPT ? "scrypt" : "pbkdf2";
}

static void user_json(const char *vendor, const struct credential *user, struct buffer *out)
{
    buffer_add_text(out, "{\"vendor\":");
    json_string(bytes_text(vendor), out);
    buffer_add_text(out, ",\"user\":");
    json_string(user->name, out);
    buffer_printf(out, ",\"hash\":\"%s\",\"disabled\":%s,\"client\":", kind_name(&user->password),
                  user->disabled ? "true" : "false");
    if (user->client)
        json_string(bytes_text(user->client), out);
    else
        buffer_add_text(out, "null");
    buffer_add_text(out, ",\"topics\":[");
    for (size_t i = 0; i < user->topic_count; i++) {
        buffer_add_text(out, i ? "," : "");
        json_string(bytes_text(user->topics[i]), out);
    }
    buffer_add_text(out, "]}\n");
}

static void user_line(const char *vendor, const struct credential *user, struct buffer *out)
{
    struct log_text text;
    buffer_printf(out, "%-20s ", vendor);
    buffer_printf(out, "%-24s %-8s %-7s ", log_escape(&text, user->name),
                  user->disabled ? "disabled" : "enabled", kind_name(&user->password));
    buffer_printf(out, "%-16s", user->client ? log_escape(&text, bytes_text(user->client)) : "any");
    for (size_t i = 0; i < user->topic_count; i++)
        buffer_printf(out, " %s", log_escape(&text, bytes_text(user->topics[i])));
    buffer_add_text(out, user->topic_count ? "\n" : " the vendor's\n");
}

static int file_list(const struct verb *verb, const struct vendor_file *file, struct buffer *out)
{
    struct buffer text = {0};
    struct err err;
    int rc = credential_file_read(&disk_real, file->path, &text, &err);
    struct bytes rest = buffer_bytes(&text), line;
    for (size_t number = 1; rc == 0 && credential_line(&rest, &line); number++) {
        struct credential user;
        rc = credential_parse(line, &user, &err);
        if (rc == 0)
            (verb->options->json ? user_json : user_line)(file->vendor, &user, out);
        else if (rc == GW_ENOENT)
            rc = 0;
        else
            err_wrap(&err, rc, "%s:%zu", file->path, number);
        credential_fini(&user);
    }
    vendor_password_fini(&text);
    return rc ? cli_fail(verb->command->name, EXIT_CODE_FAILED, "%s", err.text) : CLI_GO;
}

static int list(const struct verb *verb)
{
    struct buffer out = {0};
    int code = EXIT_CODE_OK;
    if (!verb->options->json)
        buffer_printf(&out, "%-20s %-24s %-8s %-7s %-16s %s\n", "VENDOR", "USER", "STATE", "HASH",
                      "CLIENT", "TOPICS");
    for (size_t i = 0; i < verb->files.count; i++) {
        const struct vendor_file *file = &verb->files.files[i];
        if (verb->vendor && strcmp(file->vendor, verb->vendor) != 0)
            continue;
        if (file->path && file_list(verb, file, &out) != CLI_GO)
            code = EXIT_CODE_FAILED;
    }
    cli_print(buffer_bytes(&out));
    buffer_fini(&out);
    return code;
}

/* ---- verb ---- */

static int run(const struct cli_command *command, int argc, char **argv)
{
    static const enum credential_change changes[] = {CREDENTIAL_ADD,    CREDENTIAL_HASH,
                                                     CREDENTIAL_BIND,   CREDENTIAL_DISABLE,
                                                     CREDENTIAL_ENABLE, CREDENTIAL_REMOVE};
    struct vendor_options options = {0};
    struct cli_arguments arguments;
    int code = cli_parse(command, argc, argv, &options, &arguments);
    size_t at = (size_t)(command - commands);
    if (code == CLI_GO) {
        struct verb verb = {.command = command,
                            .options = &options,
                            .vendor = arguments.count ? arguments.values[0] : NULL};
        verb.user = arguments.count > 1 ? arguments.values[1] : verb.vendor;
        code = files_find(&verb);
        if (code == CLI_GO && at < array_count(changes))
            code = vendor_find(&verb);
        if (code == CLI_GO)
            code = cli_finish(at < array_count(changes) ? change(&verb, changes[at]) : list(&verb));
        free(verb.path);
        vendor_files_fini(&verb.files);
    }
    option_fini(command->rows, &options);
    return code;
}

int verb_vendor(int argc, char **argv)
{
    struct cli_action actions[array_count(commands) + 1] = {{0}};
    for (size_t i = 0; i < array_count(commands); i++)
        actions[i] = (struct cli_action){&commands[i], run};
    return cli_dispatch("vendor", "Who may log in for which vendor.", actions, argc, argv);
}
