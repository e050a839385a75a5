/* SPDX-License-Identifier: Apache-2.0
 *
 * `tidegate drain`: asks a gateway that goes for good to let its clients go and to send everything it
 * has, and waits until nothing is left. The last line says what is.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/disk.h"
#include "cli/answer.h"
#include "cli/beside.h"
#include "cli/cli.h"
#include "drain.h"

enum { ASK_MS = 10000, LOOK_MS = 300, UNREACHABLE_MAX = 3 };

struct drain_options {
    char *admin, *config, *data;
    int64_t timeout_ms;
    bool if_leaving, undo;
};

#define AT(member) offsetof(struct drain_options, member)
static const struct option drain_rows[] = {
    {.name = "admin",
     .type = OPTION_ADDRESS,
     .offset = AT(admin),
     .help =
         "Of the gateway; default what the configuration says, with its certificate and the first "
         "of its tokens, else " BESIDE_ADMIN "."},
    {.name = "config",
     .type = OPTION_PATH,
     .offset = AT(config),
     .help = "Its configuration file; default " BESIDE_CONFIG " where that is there."},
    {.name = "timeout",
     .type = OPTION_DURATION,
     .offset = AT(timeout_ms),
     .def = "1h",
     .min = 1,
     .max = INT64_C(30) * 86400000,
     .help = "How long to wait; the gateway goes on draining after that."},
    {.name = "if-leaving",
     .type = OPTION_BOOL,
     .offset = AT(if_leaving),
     .def = "false",
     .help = "Begin nothing: wait for a drain that was begun, and do nothing where there is none."},
    {.name = "undo",
     .type = OPTION_BOOL,
     .offset = AT(undo),
     .def = "false",
     .help = "The gateway of --data is to stay: it takes messages in again at its next start."},
    CLI_ROW_DATA(struct drain_options),
    {0},
};
#undef AT

static const struct cli_command drain_command = {
    .name = "drain",
    .arguments = "",
    .summary =
        "Empty a gateway that goes for good: no more clients, everything to every sink, exit.",
    .rows = drain_rows,
    .more =
        "For a restart or a new version SIGTERM is enough: what is not sent then goes on at the\n"
        "next start. After `drain` the gateway ends with exit code 0, and started again it takes\n"
        "nothing in, until `tidegate drain --undo --data DIR`. Exit codes: 0 nothing is left, 1\n"
        "something is (it is told, and the gateway goes on sending it), 69 nobody answers.\n",
};

/* ---- what it says ---- */

/* Every sentence of the list, "; " between them. */
static void left_text(const struct yaml_node *left, struct buffer *out)
{
    if (left && left->kind == YAML_SEQUENCE)
        YAML_EACH(sentence, left)
        {
            buffer_add_text(out, out->size ? "; " : "");
            buffer_add_text(out, sentence->text);
        }
    buffer_u8(out, 0);
}

static int done_tell(const struct answer *answer)
{
    printf("nothing is left: %s messages were received, all are decoded and stored by every sink; "
           "%s dead letters stay in %s\n",
           answer_text(answer->yaml.root, "received"), answer_text(answer->yaml.root, "dead"),
           answer_text(answer->yaml.root, "data"));
    return EXIT_CODE_OK;
}

static int left_tell(const char *why, const struct buffer *left)
{
    printf("%s; left: %s\n", why, left->size > 1 ? (const char *)left->data : "not known");
    return EXIT_CODE_FAILED;
}

/* Only what changed, and where people look, not where programs do. */
static void progress_tell(const struct buffer *left, struct buffer *before)
{
    if (left->size == before->size && memcmp(left->data, before->data, left->size) == 0)
        return;
    fprintf(stderr, "draining: %s\n", left->size > 1 ? (const char *)left->data : "...");
    buffer_clear(before);
    buffer_add_bytes(before, buffer_bytes(left));
}

/* ---- waiting ---- */

static int wait_until_done(struct http *http, int64_t timeout_ms)
{
    struct timespec pause = {0, LOOK_MS * 1000000};
    struct buffer left = {0}, before = {0};
    int64_t until_ms = clock_monotonic_ms() + timeout_ms;
    int code = CLI_GO;
    for (int unreachable = 0; code == CLI_GO; nanosleep(&pause, NULL)) {
        struct answer answer = {0};
        struct err err;
        if (answer_get_path(http, "/drain", &answer, &err) == 0) {
            const char *state = answer_text(answer.yaml.root, "state");
            unreachable = 0;
            buffer_clear(&left);
            left_text(answer_member(answer.yaml.root, "left"), &left);
            progress_tell(&left, &before);
            if (strcmp(state, "done") == 0)
                code = done_tell(&answer);
        } else if (++unreachable == UNREACHABLE_MAX) {
            code = left_tell("the gateway ended before it was done", &left);
        }
        if (code == CLI_GO && clock_monotonic_ms() >= until_ms)
            code = left_tell("not done in time, the gateway goes on", &left);
        answer_fini(&answer);
    }
    buffer_fini(&left);
    buffer_fini(&before);
    return code;
}

static int begin(struct http *http)
{
    struct buffer body = {0};
    struct err err;
    int rc = http_post(http, "/drain", bytes_text("{}"), ASK_MS, &body, &err);
    buffer_fini(&body);
    return rc ? cli_fail("drain", http_exit_code(rc), "%s", err.text) : CLI_GO;
}

/* A probe of a scale-down or a restart: nothing to do unless somebody said that it leaves. */
static int begun(struct http *http)
{
    struct answer answer = {0};
    struct err err;
    int code = CLI_GO;
    if (answer_get_path(http, "/drain", &answer, &err))
        code = cli_fail("drain", EXIT_CODE_UNAVAILABLE, "%s", err.text);
    else if (strcmp(answer_text(answer.yaml.root, "state"), "none") == 0) {
        printf("no drain was begun: nothing to wait for\n");
        code = EXIT_CODE_OK;
    }
    answer_fini(&answer);
    return code;
}

static int drain(const struct drain_options *options)
{
    char *admin = beside_find(options->admin, options->config, true);
    struct http *http = http_new(admin);
    int code = options->if_leaving ? begun(http) : begin(http);
    if (code == CLI_GO)
        code = wait_until_done(http, options->timeout_ms);
    http_free(http);
    free(admin);
    return code;
}

/* ---- staying after all ---- */

static int undo(const struct drain_options *options)
{
    if (options->data == NULL)
        return cli_fail("drain", EXIT_CODE_USAGE, "--undo needs --data DIR");
    char *path = drain_path(options->data);
    int rc = disk_real.unlink(&disk_real, path);
    if (rc == 0)
        rc = disk_real.sync_dir(&disk_real, options->data);
    int code = rc == -ENOENT
                   ? cli_fail("drain", EXIT_CODE_FAILED, "%s is not there: nobody leaves", path)
               : rc < 0 ? cli_fail("drain", EXIT_CODE_FAILED, "%s: %s", path, strerror(-rc))
                        : EXIT_CODE_OK;
    if (code == EXIT_CODE_OK)
        printf("%s is removed: the next start takes messages in again\n", path);
    free(path);
    return code;
}

int verb_drain(int argc, char **argv)
{
    struct drain_options options = {0};
    struct cli_arguments arguments;
    int code = cli_parse(&drain_command, argc, argv, &options, &arguments);
    if (code == CLI_GO)
        code = cli_finish(options.undo ? undo(&options) : drain(&options));
    option_fini(drain_rows, &options);
    return code;
}
