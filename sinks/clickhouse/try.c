/* SPDX-License-Identifier: Apache-2.0
 *
 * The questions of a start, asked of every server without a sink, for `tidegate doctor`: separate from
 * watch.c, which remembers what it hears. Runs a loop of its own; one thread.
 */
#include <stdlib.h>

#include "sinks/clickhouse/state.h"

enum { TRY_MS_MAX = 8000 };

struct
try {
    uv_loop_t loop;
    uv_timer_t timer;
    struct http_client *client;
    struct ch_probe *probes;
    uint32_t left;
};

/* The loop ends when nothing is open. */
static void on_closed(void *arg)
{
    (void)arg;
}

static void try_end(struct try *try)
{
    uv_timer_stop(&try->timer);
    uv_close((uv_handle_t *)&try->timer, NULL);
    http_client_close(try->client, on_closed, NULL);
}

static void on_timer(uv_timer_t *timer)
{
    try_end(container_of(timer, struct try, timer));
}

static void on_done(struct ch_probe *probe)
{
    struct try *try = probe->arg;
    if (--try->left == 0)
        try_end(try);
}

static int try_run(struct try *try, struct ch_hosts *hosts, const char *table,
                   const struct http_options *http, struct err *err)
{
    gw_assert(uv_loop_init(&try->loop) == 0);
    int result = http_client_new(&try->loop, http, &try->client, err);
    if (result == 0) {
        uv_timer_init(&try->loop, &try->timer);
        uv_timer_start(&try->timer, on_timer, TRY_MS_MAX, 0);
        try->left = hosts->count;
        for (uint32_t i = 0; i < hosts->count; i++) {
            try->probes[i] = (struct ch_probe){.client = try->client,
                                               .host = &hosts->hosts[i],
                                               .table = table,
                                               .done = on_done,
                                               .arg = try};
            ch_probe_begin(&try->probes[i], CH_PROBE_TABLE);
        }
        uv_run(&try->loop, UV_RUN_DEFAULT);
        http_client_free(try->client);
    }
    gw_assert(uv_loop_close(&try->loop) == 0);
    return result;
}

static void answer_tell(const struct ch_probe *probe, sink_tell *tell, void *arg)
{
    char seen[80];
    struct sink_finding finding = {.what = probe->host->name, .seen = seen};
    snprintf(seen, sizeof seen, "version %s, and the table fits", probe->version);
    if (probe->busy) {
        finding.why = "no answer";
        finding.reason = SINK_REASON_TIMEOUT;
    } else if (probe->result) {
        size_t name = strlen(finding.what);
        finding.why =
            probe->err.text; /* usually begins with the host's name, which is told already */
        if (strncmp(finding.why, finding.what, name) == 0 && finding.why[name] == ':')
            finding.why += name + 2;
        finding.reason = probe->reason;
    }
    tell(arg, &finding);
}

void ch_try(const void *options, struct sink_host *host, sink_tell *tell, void *arg)
{
    const struct clickhouse_options *clickhouse = options;
    struct ch_hosts hosts = {0};
    struct buffer password = {0};
    struct err err;
    struct try try = {0};
    char *ca_file = ch_path(host, clickhouse->tls_ca_file);
    int result = ch_hosts_init(&hosts, clickhouse->url, &err);
    if (result == 0)
        result = ch_password_read(clickhouse, host, &password, &err);
    if (result == 0) {
        struct http_options http = {
            .user = clickhouse->user,
            .password = clickhouse->password_file ? (const char *)password.data : NULL,
            .ca_file = ca_file,
            .connect_ms = clickhouse->connect_timeout_ms,
            .stall_ms = clickhouse->timeout_ms,
        };
        try.probes = mem_zalloc(hosts.count * sizeof *try.probes);
        result = try_run(&try, &hosts, clickhouse->table, &http, &err);
    }
    if (result)
        tell(arg, &(struct sink_finding){
                      .what = clickhouse->url, .why = err.text, .reason = SINK_REASON_OPERATOR});
    for (uint32_t i = 0; result == 0 && i < hosts.count; i++)
        answer_tell(&try.probes[i], tell, arg);
    if (password.size)
        explicit_bzero(password.data, password.size);
    buffer_fini(&password);
    free(try.probes);
    free(ca_file);
    ch_hosts_fini(&hosts);
}
