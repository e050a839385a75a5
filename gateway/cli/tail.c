/* SPDX-License-Identifier: Apache-2.0
 *
 * `tidegate tail`: asks GET /tail again and again. Its first line is {"next":N}, where to ask from
 * next; the others are readings, which are filtered here and printed as they came. Once it has heard
 * of a gateway it outlives a restart of it: it asks again from where it was.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/http.h"
#include "model/batch_json.h"

enum { WAIT_MS = 10000, ANSWER_MS = 30000, ROWS_MAX = 1000, AGAIN_MS = 500 };

struct tail_options {
    char *admin, *vendor, *device, *metric;
    int64_t from, count;
};

#define AT(member) offsetof(struct tail_options, member)
static const struct option tail_rows[] = {
    {.name = "admin",
     .type = OPTION_ADDRESS,
     .offset = AT(admin),
     .def = "127.0.0.1:9464",
     .help = "Of the gateway."},
    {.name = "from",
     .type = OPTION_INT,
     .offset = AT(from),
     .def = "0",
     .min = 0,
     .max = INT64_MAX,
     .help = "Begin at this sequence number; 0: with what comes from now on."},
    {.name = "count",
     .type = OPTION_INT,
     .offset = AT(count),
     .def = "0",
     .min = 0,
     .max = INT64_MAX,
     .help = "End after so many readings; 0: never."},
    {.name = "vendor", .type = OPTION_STRING, .offset = AT(vendor), .help = "Only this vendor."},
    {.name = "device", .type = OPTION_STRING, .offset = AT(device), .help = "Only this device."},
    {.name = "metric", .type = OPTION_STRING, .offset = AT(metric), .help = "Only this metric."},
    {0},
};
#undef AT

static const struct cli_command tail_command = {
    .name = "tail",
    .arguments = "",
    .summary = "Follow the readings of a running gateway, one JSON object a line.",
    .rows = tail_rows,
    .more = "Goes on by itself after a restart of the gateway; ends with 69 when none is there at "
            "first.\n",
};

struct tail {
    const struct tail_options *options;
    struct buffer needles[3]; /* "vendor":"acme" and so on, as the gateway writes them */
    int64_t printed;
    uint64_t next;
    bool heard; /* a gateway has answered */
    bool away;  /* and does not at present */
};

/* ---- filter ---- */

/* The columns come first and in a fixed order, and quotes inside strings are escaped, so the text
 * "key":"value" can only be that member. */
static void needle_make(struct buffer *needle, const char *key, const char *value)
{
    if (value == NULL)
        return;
    buffer_printf(needle, "\"%s\":", key);
    json_string(bytes_text(value), needle);
}

static bool row_wanted(const struct tail *tail, struct bytes row)
{
    for (size_t i = 0; i < array_count(tail->needles); i++) {
        const struct buffer *needle = &tail->needles[i];
        if (needle->size && memmem(row.data, row.size, needle->data, needle->size) == NULL)
            return false;
    }
    return true;
}

/* ---- following ---- */

static bool done(const struct tail *tail)
{
    return tail->options->count && tail->printed >= tail->options->count;
}

/* False when nobody reads what we print. */
static bool answer_print(struct tail *tail, struct bytes body)
{
    while (body.size && !done(tail)) {
        const uint8_t *feed = memchr(body.data, '\n', body.size);
        size_t size = feed ? (size_t)(feed - body.data) + 1 : body.size;
        struct bytes row = {body.data, size};
        body = bytes_of(body.data + size, body.size - size);
        if (!row_wanted(tail, row))
            continue;
        if (!cli_print(row))
            return false;
        tail->printed++;
    }
    return fflush(stdout) == 0;
}

/* Takes the first line off. */
static bool next_take(struct tail *tail, struct bytes *body)
{
    char line[64];
    const uint8_t *feed = body->size ? memchr(body->data, '\n', body->size) : NULL;
    size_t size = feed ? (size_t)(feed - body->data) : 0;
    if (size == 0 || size >= sizeof line)
        return false;
    memcpy(line, body->data, size);
    line[size] = '\0';
    *body = bytes_of(feed + 1, body->size - size - 1);
    return sscanf(line, "{\"next\":%" SCNu64 "}", &tail->next) == 1;
}

/* A gateway that answered before and does not now is being restarted, or drained. */
static void away(struct tail *tail, const char *why)
{
    struct timespec pause = {AGAIN_MS / 1000, AGAIN_MS % 1000 * 1000000};
    if (!tail->away)
        cli_fail("tail", 0, "%s; waiting for it", why);
    tail->away = true;
    nanosleep(&pause, NULL);
}

/* CLI_GO to ask again. */
static int ask(struct tail *tail, struct http *http, struct buffer *body)
{
    char path[128];
    struct err err;
    snprintf(path, sizeof path, "/tail?from=%" PRIu64 "&wait=%d&limit=%d", tail->next,
             tail->heard && !tail->away ? WAIT_MS : 0, ROWS_MAX);
    int rc = http_get(http, path, ANSWER_MS, body, &err);
    if (rc == GW_EIO && tail->heard) {
        away(tail, err.text);
        return CLI_GO;
    }
    if (rc)
        return cli_fail("tail", http_exit_code(rc), "%s", err.text);
    struct bytes rows = buffer_bytes(body);
    if (!next_take(tail, &rows))
        return cli_fail("tail", EXIT_CODE_FAILED, "the answer is not that of a gateway");
    if (tail->away)
        cli_fail("tail", 0, "it is back");
    tail->heard = true;
    tail->away = false;
    return answer_print(tail, rows) ? CLI_GO : EXIT_CODE_OK;
}

static int follow(struct tail *tail, struct http *http)
{
    struct buffer body = {0};
    int code = CLI_GO;
    while (code == CLI_GO && !done(tail))
        code = ask(tail, http, &body);
    buffer_fini(&body);
    return code == CLI_GO ? EXIT_CODE_OK : code;
}

int verb_tail(int argc, char **argv)
{
    struct tail_options options = {0};
    struct cli_arguments arguments;
    int code = cli_parse(&tail_command, argc, argv, &options, &arguments);
    if (code == CLI_GO) {
        struct tail tail = {.options = &options, .next = (uint64_t)options.from};
        needle_make(&tail.needles[0], "vendor", options.vendor);
        needle_make(&tail.needles[1], "device", options.device);
        needle_make(&tail.needles[2], "metric", options.metric);
        struct http *http = http_new(options.admin);
        code = cli_finish(follow(&tail, http));
        http_free(http);
        for (size_t i = 0; i < array_count(tail.needles); i++)
            buffer_fini(&tail.needles[i]);
    }
    option_fini(tail_rows, &options);
    return code;
}
