/* SPDX-License-Identifier: Apache-2.0
 *
 * See replay_job.h. The job runs in the gateway whether anybody looks or not; following it only asks
 * now and then.
 */
#include "cli/replay_job.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/option.h"
#include "cli/answer.h"
#include "cli/cli.h"
#include "model/batch_json.h"

enum { POST_MS = 30000, LOOK_MS = 500, LINE_MS = 5000, BAR_WIDTH = 30, DAY_MS = 86400000 };

/* ---- times ---- */

static bool day_parse(const char *text, int64_t *out)
{
    int year, month, day, size = 0;
    return sscanf(text, "%4d-%2d-%2d%n", &year, &month, &day, &size) == 3 && size == 10 &&
           text[10] == '\0' && clock_civil_ms(year, month, day, 0, 0, 0, 0, out);
}

int replay_time_parse(const char *text, bool end, int64_t now_ms, int64_t *out, struct err *err)
{
    bool zoned = false;
    int64_t ago_ms;
    if (strcmp(text, "now") == 0) {
        *out = now_ms;
        return 0;
    }
    if (text[0] == '-' && option_parse_duration(text + 1, &ago_ms) == 0) {
        *out = now_ms - ago_ms;
        return 0;
    }
    if (day_parse(text, out)) {
        *out += end ? DAY_MS : 0;
        return 0;
    }
    if (!clock_parse_rfc3339(bytes_text(text), out, &zoned))
        return err_set(err, GW_EINVAL,
                       "`%s` is no time: 2026-11-21T08:00:00+08:00, 2026-11-21 (UTC), now, or how "
                       "long ago, -2h",
                       text);
    if (!zoned)
        return err_set(err, GW_EINVAL, "`%s` needs a zone: Z for UTC, or like +08:00", text);
    return 0;
}

/* ---- asking ---- */

static void text_member(const char *name, const char *text, struct buffer *out)
{
    if (text == NULL)
        return;
    buffer_printf(out, ",\"%s\":", name);
    json_string(bytes_text(text), out);
}

static void ask_json(const struct replay_ask *ask, struct buffer *out)
{
    char from[CLOCK_TEXT_SIZE], to[CLOCK_TEXT_SIZE];
    buffer_printf(out, "{\"source\":\"%s\",\"from\":\"%s\",\"to\":\"%s\"", ask->source,
                  clock_format_ms(ask->from_ms, from), clock_format_ms(ask->to_ms, to));
    text_member("sink", ask->sink, out);
    text_member("vendor", ask->vendor, out);
    text_member("device", ask->device, out);
    text_member("topic", ask->topic, out);
    text_member("reason", ask->reason, out);
    buffer_printf(out, ",\"rate\":%" PRId64 ",\"dry_run\":%s}", ask->rate,
                  ask->dry_run ? "true" : "false");
}

static int id_take(struct bytes body, char id[REPLAY_JOB_ID_SIZE], struct err *err)
{
    struct buffer errors = {0};
    struct yaml yaml;
    int rc = yaml_parse(&yaml, body, "answer", &errors);
    snprintf(id, REPLAY_JOB_ID_SIZE, "%s", rc ? "" : answer_text(yaml.root, "id"));
    yaml_fini(&yaml);
    buffer_fini(&errors);
    return id[0] ? 0 : err_set(err, GW_EINVAL, "the answer is not that of a gateway");
}

int replay_job_begin(struct http *http, const struct replay_ask *ask, char id[REPLAY_JOB_ID_SIZE],
                     struct err *err)
{
    struct buffer json = {0}, body = {0};
    ask_json(ask, &json);
    int rc = http_post(http, "/replay", buffer_bytes(&json), POST_MS, &body, err);
    if (rc == 0)
        rc = id_take(buffer_bytes(&body), id, err);
    buffer_fini(&json);
    buffer_fini(&body);
    return rc;
}

/* An id of ours needs no escapes in a path; anything else names no replay. */
static bool id_is_plain(const char *id)
{
    size_t size = strlen(id);
    return size && size < REPLAY_JOB_ID_SIZE && strspn(id, "0123456789-") == size;
}

int replay_job_act(struct http *http, const char *action, const char *id, struct err *err)
{
    struct buffer body = {0};
    if (!id_is_plain(id))
        return err_set(err, GW_ENOENT, "`%s` is no replay; `tidegate replay ls` lists them", id);
    char *path = mem_printf("/replay/%s?id=%s", action, id);
    int rc = http_post(http, path, bytes_text("{}"), POST_MS, &body, err);
    free(path);
    buffer_fini(&body);
    return rc;
}

/* The job in the answer, or null. */
static const struct yaml_node *job_of(const struct answer *answer)
{
    const struct yaml_node *list = answer_member(answer->yaml.root, "replays");
    return list && list->kind == YAML_SEQUENCE ? list->first : NULL;
}

static int job_get(struct http *http, const char *id, struct answer *answer, struct err *err)
{
    char *path = mem_printf("/replay?id=%s", id);
    int rc = answer_get_path(http, path, answer, err);
    free(path);
    if (rc == 0 && job_of(answer) == NULL)
        rc = err_set(err, GW_ENOENT, "replay %s is gone", id);
    return rc;
}

/* ---- how it goes ---- */

static void duration_text(double seconds, char out[32])
{
    long s = (long)(seconds + 0.5);
    if (s >= 7200)
        snprintf(out, 32, "%ld h %02ld min", s / 3600, s / 60 % 60);
    else if (s >= 120)
        snprintf(out, 32, "%ld min", s / 60);
    else
        snprintf(out, 32, "%ld s", s);
}

static void progress_text(const struct yaml_node *job, struct buffer *out)
{
    char left[32];
    double seconds = answer_number(job, "seconds_left");
    buffer_printf(out, "%5.1f %%  %.0f readings  %.0f/s", 100 * answer_number(job, "share"),
                  answer_number(job, "readings"), answer_number(job, "readings_per_s"));
    if (!yaml_is_null(answer_member(job, "seconds_left"))) {
        duration_text(seconds, left);
        buffer_printf(out, "  %s left", left);
    }
    if (answer_text(job, "why")[0])
        buffer_printf(out, "  (%s)", answer_text(job, "why"));
}

static void bar_print(const struct yaml_node *job)
{
    struct buffer out = {0};
    int full = (int)(answer_number(job, "share") * BAR_WIDTH);
    buffer_add_text(&out, "\r\033[K[");
    for (int i = 0; i < BAR_WIDTH; i++)
        buffer_u8(&out, i < full ? '#' : '.');
    buffer_add_text(&out, "] ");
    progress_text(job, &out);
    fprintf(stderr, "%.*s", (int)out.size, (const char *)out.data);
    buffer_fini(&out);
}

static void line_print(const char *id, const struct yaml_node *job)
{
    struct buffer out = {0};
    progress_text(job, &out);
    fprintf(stderr, "replay %s  %.*s\n", id, (int)out.size, (const char *)out.data);
    buffer_fini(&out);
}

/* ---- how it ended ---- */

static void examples_print(struct http *http, const char *id)
{
    struct buffer body = {0};
    struct err err;
    char *path = mem_printf("/replay/examples?id=%s", id);
    if (http_get(http, path, POST_MS, &body, &err) == 0)
        cli_print(buffer_bytes(&body));
    free(path);
    buffer_fini(&body);
}

static void counts_print(const struct yaml_node *job)
{
    bool dry = strcmp(answer_text(job, "dry_run"), "true") == 0;
    bool plain = strcmp(answer_text(job, "source"), "readings") == 0;
    printf("%s %s readings of %s messages", dry ? "would send" : "sent",
           answer_text(job, "readings"), answer_text(job, "messages"));
    if (answer_number(job, "failed") > 0)
        printf("; %s messages still give no reading", answer_text(job, "failed"));
    printf("\n");
    /* Not with what this sink has: a replay to another sink may have been first. */
    if (!plain)
        printf("compared with what these messages gave when they were last decoded (live, or by a "
               "replay to any sink): %s readings %s, %s %s withdrawn\n",
               answer_text(job, "changed"), dry ? "would change" : "changed",
               answer_text(job, "withdrawn"), dry ? "would be" : "were");
}

static int end_print(struct http *http, const char *id, const struct yaml_node *job,
                     const struct replay_follow *follow)
{
    const char *state = answer_text(job, "state");
    counts_print(job);
    examples_print(http, id);
    if (strcmp(state, "stopped") == 0)
        return cli_fail(follow->verb, EXIT_CODE_FAILED,
                        "replay %s was stopped after %.1f %%; it goes on with: tidegate replay "
                        "resume %s --admin %s",
                        id, 100 * answer_number(job, "share"), id, follow->admin);
    if (strcmp(state, "failed") == 0)
        return cli_fail(follow->verb, EXIT_CODE_FAILED,
                        "replay %s failed: %s. When that is mended: tidegate replay resume %s "
                        "--admin %s",
                        id, answer_text(job, "why"), id, follow->admin);
    if (answer_number(job, "damaged") > 0)
        return cli_fail(follow->verb, EXIT_CODE_DATA,
                        "%s messages of the span were lost to damage on disk, and were passed "
                        "over: the gateway's log names them, and `tidegate journal verify`",
                        answer_text(job, "damaged"));
    return cli_finish(EXIT_CODE_OK);
}

static int end_json(const struct answer *answer, const struct yaml_node *job)
{
    bool done = strcmp(answer_text(job, "state"), "done") == 0;
    cli_print(buffer_bytes(&answer->body));
    if (done && answer_number(job, "damaged") > 0)
        return cli_finish(EXIT_CODE_DATA);
    return cli_finish(done ? EXIT_CODE_OK : EXIT_CODE_FAILED);
}

/* ---- following ---- */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    (void)number;
    if (interrupted++)
        _exit(EXIT_CODE_FAILED); /* the second time people mean it */
}

bool replay_job_interrupted(void)
{
    return interrupted != 0;
}

static void interrupts_catch(void)
{
    struct sigaction action = {.sa_handler = on_interrupt};
    interrupted = 0;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

struct following {
    const struct replay_follow *follow;
    bool bar;        /* on a terminal */
    bool told;       /* asked to stop */
    int64_t line_ms; /* monotonic: of the next line */
};

static void progress(struct following *following, const char *id, const struct yaml_node *job)
{
    int64_t now = clock_monotonic_ms();
    if (following->follow->json)
        return;
    if (following->bar) {
        bar_print(job);
    } else if (now >= following->line_ms) {
        line_print(id, job);
        following->line_ms = now + LINE_MS;
    }
}

static void stop_when_asked(struct http *http, struct following *following, const char *id)
{
    struct err err;
    if (!interrupted || following->told)
        return;
    following->told = true;
    fprintf(stderr, "%sstopping replay %s ...\n", following->bar ? "\n" : "", id);
    if (replay_job_act(http, "stop", id, &err))
        cli_fail(following->follow->verb, EXIT_CODE_FAILED, "%s", err.text);
}

/* True: it ended, and *code says how. */
static bool look(struct http *http, struct following *following, const char *id, int *code)
{
    struct answer answer = {0};
    struct err err;
    int rc = job_get(http, id, &answer, &err);
    const struct yaml_node *job = rc ? NULL : job_of(&answer);
    bool ends = rc || strcmp(answer_text(job, "state"), "running") != 0;
    if (!ends)
        progress(following, id, job);
    else if (following->bar && !following->told)
        fprintf(stderr, "\r\033[K");
    if (rc)
        *code = cli_fail(following->follow->verb, http_exit_code(rc),
                         "%s. A replay goes on by itself when its gateway starts again", err.text);
    else if (ends)
        *code = following->follow->json ? end_json(&answer, job)
                                        : end_print(http, id, job, following->follow);
    answer_fini(&answer);
    return ends;
}

int replay_job_follow(struct http *http, const char *id, const struct replay_follow *follow)
{
    struct following following = {.follow = follow,
                                  .bar = isatty(STDERR_FILENO) && !follow->json,
                                  .line_ms = clock_monotonic_ms() + LINE_MS};
    struct timespec pause = {LOOK_MS / 1000, LOOK_MS % 1000 * 1000000};
    struct timespec first = {0, 50 * 1000000}; /* small ones are over at once */
    int code = EXIT_CODE_OK;
    interrupts_catch();
    nanosleep(&first, NULL);
    while (!look(http, &following, id, &code)) {
        stop_when_asked(http, &following, id);
        nanosleep(following.told ? &first : &pause, NULL);
    }
    return code;
}

/* ---- listing ---- */

static void row_print(const struct yaml_node *job)
{
    char left[32] = "";
    if (!yaml_is_null(answer_member(job, "seconds_left")))
        duration_text(answer_number(job, "seconds_left"), left);
    printf("%-22s %-8s %-9s %-16s %5.1f %% %12s %11.0f  %-10s %s\n", answer_text(job, "id"),
           answer_text(job, "state"), answer_text(job, "source"),
           answer_text(job, "sink")[0] ? answer_text(job, "sink") : "-",
           100 * answer_number(job, "share"), answer_text(job, "readings"),
           answer_number(job, "readings_per_s"), left, answer_text(job, "why"));
}

int replay_job_list(struct http *http, const struct replay_follow *follow)
{
    struct answer answer = {0};
    struct err err;
    int rc = answer_get_path(http, "/replay", &answer, &err);
    if (rc == 0 && follow->json) {
        cli_print(buffer_bytes(&answer.body));
    } else if (rc == 0) {
        const struct yaml_node *list = answer_member(answer.yaml.root, "replays");
        printf("%-22s %-8s %-9s %-16s %7s %12s %11s  %-10s %s\n", "REPLAY", "state", "source",
               "sink", "done", "readings", "per second", "left", "");
        if (list && list->kind == YAML_SEQUENCE)
            YAML_EACH(job, list)
        row_print(job);
    }
    answer_fini(&answer);
    return rc ? cli_fail(follow->verb, http_exit_code(rc), "%s", err.text)
              : cli_finish(EXIT_CODE_OK);
}
