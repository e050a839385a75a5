/* SPDX-License-Identifier: Apache-2.0
 *
 * See replay_sinks.h. A sink has one replay at a time, so several sinks are several replays; they go one
 * after the other, because each reads the same history and would slow the others down.
 */
#include "cli/replay_sinks.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/answer.h"
#include "cli/cli.h"

enum { SINKS_MAX = 64 };

struct names {
    char *names[SINKS_MAX];
    size_t count;
};

int replay_sinks_check(const char *verb, const char *sink, bool all, bool dry_run)
{
    if (sink && all)
        return cli_fail(verb, EXIT_CODE_USAGE, "--sink and --all-sinks exclude each other");
    if (!dry_run && sink == NULL && !all)
        return cli_fail(verb, EXIT_CODE_USAGE,
                        "needs --sink NAME (`tidegate status` lists them), --all-sinks, or "
                        "--dry-run");
    return CLI_GO;
}

static int names_ask(struct http *http, struct names *out, struct err *err)
{
    struct answer answer = {0};
    int rc = answer_get(http, &answer, err);
    const struct yaml_node *lanes = rc ? NULL : answer_member(answer.yaml.root, "lanes");
    if (lanes && lanes->kind == YAML_SEQUENCE)
        YAML_EACH(lane, lanes)
    if (out->count < SINKS_MAX)
        out->names[out->count++] = mem_strdup(answer_text(lane, "name"));
    answer_fini(&answer);
    if (rc == 0 && out->count == 0)
        rc = err_set(err, GW_ENOENT, "that gateway has no sink");
    return rc;
}

static void names_fini(struct names *names)
{
    while (names->count)
        free(names->names[--names->count]);
}

static int run_one(const struct replay_sinks *sinks, struct http *http,
                   const struct replay_ask *ask)
{
    char id[REPLAY_JOB_ID_SIZE];
    struct err err;
    int rc = replay_job_begin(http, ask, id, &err);
    if (rc)
        return cli_fail(sinks->follow.verb, http_exit_code(rc), "%s", err.text);
    if (sinks->detach) {
        printf("%s\n", id);
        return cli_finish(EXIT_CODE_OK);
    }
    int code = replay_job_follow(http, id, &sinks->follow);
    if (ask->dry_run) /* told; nobody needs it any more */
        replay_job_act(http, "forget", id, &err);
    return code;
}

static int run_all(const struct replay_sinks *sinks, struct http *http, struct replay_ask *ask)
{
    struct names names = {.count = 0};
    struct err err;
    int code = EXIT_CODE_OK;
    int rc = names_ask(http, &names, &err);
    if (rc)
        code = cli_fail(sinks->follow.verb, http_exit_code(rc), "%s", err.text);
    for (size_t i = 0; i < names.count && !replay_job_interrupted(); i++) {
        ask->sink = names.names[i];
        if (!sinks->follow.json && !sinks->detach)
            printf("%s: ", names.names[i]);
        fflush(stdout);
        int one = run_one(sinks, http, ask);
        code = code == EXIT_CODE_OK ? one : code;
    }
    names_fini(&names);
    return code;
}

int replay_sinks_run(const struct replay_sinks *sinks, struct replay_ask *ask)
{
    struct http *http = http_new(sinks->follow.admin);
    int code = sinks->all ? run_all(sinks, http, ask) : run_one(sinks, http, ask);
    http_free(http);
    return code;
}
