/* SPDX-License-Identifier: Apache-2.0
 *
 * Three questions, one after the other; the first one that is not answered well ends it. One
 * thread.
 */
#include "sinks/clickhouse/probe.h"

#include <stdlib.h>

static const char hint[] = "`tidegate clickhouse ddl` prints the statements that make the table";

enum step { STEP_VERSION, STEP_DESCRIBE, STEP_ENGINE };

static void on_answer(struct http_request *request, const struct http_answer *answer);

static void ask(struct ch_probe *probe, enum step step)
{
    struct buffer query = {0}, url = {0};
    probe->step = step;
    if (step == STEP_VERSION)
        buffer_add_text(&query, "SELECT version(), uptime() FORMAT TabSeparated");
    else if (step == STEP_DESCRIBE)
        table_describe_query(probe->host->database, probe->table, &query);
    else
        table_engine_query(probe->host->database, probe->table, &query);
    buffer_printf(&url, "%s/?query=", probe->host->base);
    http_escape(&url, buffer_bytes(&query));
    buffer_u8(&url, '\0');
    probe->request = (struct http_request){.url = (const char *)url.data, .done = on_answer};
    http_send(probe->client, &probe->request);
    buffer_fini(&url);
    buffer_fini(&query);
}

static void finish(struct ch_probe *probe, int result)
{
    probe->result = result;
    probe->busy = false;
    probe->done(probe); /* last: it may begin again */
}

static void fail_by_verdict(struct ch_probe *probe, const struct ch_verdict *verdict)
{
    bool operator= verdict->reason >= SINK_REASON_OPERATOR;
    bool missing = verdict->reason == SINK_REASON_SCHEMA;
    probe->reason = verdict->reason;
    probe->lost = verdict->lost;
    err_set(&probe->err, 0, "%s%s%s", verdict->why, missing ? "; " : "", missing ? hint : "");
    finish(probe, operator? GW_EINVAL : GW_EIO);
}

/* "18.16.1\t123\n": version and seconds. */
static int read_version(struct ch_probe *probe, struct bytes body)
{
    struct bytes version = body;
    const uint8_t *tab = body.size ? memchr(body.data, '\t', body.size) : NULL;
    char seconds[24] = "";
    if (tab) {
        version.size = (size_t)(tab - body.data);
        size_t left = body.size - version.size - 1;
        memcpy(seconds, tab + 1, left < sizeof seconds ? left : sizeof seconds - 1);
    }
    if (tab == NULL || seconds[0] < '0' || seconds[0] > '9')
        return err_set(&probe->err, GW_EINVAL, "is no ClickHouse: it does not tell its version");
    probe->uptime_s = strtoll(seconds, NULL, 10);
    snprintf(probe->version, sizeof probe->version, "%.*s", (int)version.size,
             (const char *)version.data);
    return table_version_parse(version, &probe->shape, &probe->err);
}

static int read_answer(struct ch_probe *probe, struct bytes body)
{
    switch (probe->step) {
    case STEP_VERSION: return read_version(probe, body);
    case STEP_DESCRIBE: return table_describe_check(body, &probe->shape, &probe->err);
    default:
        probe->looked = true;
        return table_engine_check(body, &probe->shape, &probe->engine_seen, &probe->err);
    }
}

static bool enough(const struct ch_probe *probe)
{
    bool same = strcmp(probe->version, probe->host->version) == 0;
    return probe->step == STEP_ENGINE ||
           (probe->depth == CH_PROBE_UPTIME && probe->host->checked && same);
}

static void on_answer(struct http_request *request, const struct http_answer *answer)
{
    struct ch_probe *probe = container_of(request, struct ch_probe, request);
    struct ch_verdict verdict;
    ch_judge_query(answer, probe->host->name, &verdict);
    if (verdict.outcome != CH_STORED) {
        fail_by_verdict(probe, &verdict);
        return;
    }
    int result = read_answer(probe, answer->body);
    if (result < 0) {
        probe->reason = SINK_REASON_SCHEMA;
        finish(probe, err_wrap(&probe->err, GW_EINVAL, "%s", probe->host->name));
    } else if (enough(probe)) {
        finish(probe, 0);
    } else {
        ask(probe, (enum step)(probe->step + 1));
    }
}

void ch_probe_begin(struct ch_probe *probe, enum ch_probe_depth depth)
{
    gw_assert(!probe->busy);
    probe->busy = true;
    probe->depth = depth;
    probe->lost = probe->looked = probe->engine_seen = false;
    probe->uptime_s = -1;
    probe->err.text[0] = '\0';
    ask(probe, STEP_VERSION);
}
