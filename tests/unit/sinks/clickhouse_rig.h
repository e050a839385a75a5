/* SPDX-License-Identifier: Apache-2.0
 *
 * Servers that speak just enough ClickHouse: they tell a version, an uptime and a table, and take
 * blocks, of which they keep the bytes; and the sink's lane before them. Included by one file of a test
 * program. What real servers do is in tests/integration.
 */
#ifndef TIDEGATE_TESTS_CLICKHOUSE_RIG_H
#define TIDEGATE_TESTS_CLICKHOUSE_RIG_H

#include "base/clock.h"
#include "lib/fake_http.h"
#include "lib/sink_lane.h"
#include "lib/temp_dir.h"
#include "sinks/clickhouse/clickhouse.h"
#include "sinks/clickhouse/frame.h"

enum { DAY_MS = 86400000, INSERTS_MAX = 2000 };
static const int64_t MIDNIGHT = 20413LL * DAY_MS; /* 2025-11-21 */

static const char table_18[] = "vendor\tString\t\t\t\n"
                               "device\tString\t\t\t\n"
                               "metric\tString\t\t\t\n"
                               "ts\tDateTime(\\'UTC\\')\t\t\t\n"
                               "ts_ms\tUInt16\t\t\t\n"
                               "value\tNullable(Float64)\t\t\t\n"
                               "unit\tString\t\t\t\n"
                               "scale\tUInt8\t\t\t\n"
                               "quality\tString\t\t\t\n"
                               "flags\tString\t\t\t\n"
                               "time_source\tString\t\t\t\n"
                               "seq\tUInt64\t\t\t\n"
                               "received\tDateTime(\\'UTC\\')\t\t\t\n"
                               "received_ms\tUInt16\t\t\t\n"
                               "gateway\tString\t\t\t\n"
                               "version\tUInt64\t\t\t\n";
static const char engine_18[] =
    "ReplacingMergeTree\tReplacingMergeTree(version) PARTITION BY toYYYYMMDD(ts) ORDER BY (vendor, "
    "device, metric, ts, ts_ms) SETTINGS index_granularity = 8192\ttoYYYYMMDD(ts)\tvendor, device, "
    "metric, ts, ts_ms\n";

/* ---- a server ---- */

struct insert {
    struct buffer body;
    char *target;
    uint64_t rows;
    bool stored, poison;
};

struct server {
    struct fake_http http;
    const char *version;
    const char *table; /* null: there is none */
    _Atomic int64_t started_ms;
    /* Says what becomes of an INSERT; null: stored. */
    void (*act)(struct server *server, const struct insert *insert, struct fake_reply *out);
    struct insert inserts[INSERTS_MAX];
    uint32_t count;
    _Atomic uint32_t queries;
    uint32_t left; /* for act */
};

/* Columns and rows begin the block. */
static inline void look_inside(struct insert *insert)
{
    struct buffer raw = {0};
    struct err err;
    assert_int_equal(frame_decode(buffer_bytes(&insert->body), &raw, &err), 0);
    struct reader reader = reader_of(buffer_bytes(&raw));
    reader_varint(&reader);
    insert->rows = reader_varint(&reader);
    insert->poison = memmem(raw.data, raw.size, "POISON", 6) != NULL;
    buffer_fini(&raw);
}

static inline void take_insert(struct server *server, const struct fake_request *request,
                               struct fake_reply *out)
{
    gw_assert(server->count < INSERTS_MAX);
    struct insert *insert = &server->inserts[server->count++];
    *insert = (struct insert){.target = mem_strdup(request->target)};
    buffer_add_bytes(&insert->body, request->body);
    look_inside(insert);
    if (server->act)
        server->act(server, insert, out);
    if (out->text.size == 0 && out->end == FAKE_KEEP) {
        insert->stored = true;
        fake_reply_http(out, 200, NULL, "");
    }
}

static inline void reply(struct fake_http *http, const struct fake_request *request,
                         struct fake_reply *out)
{
    struct server *server = container_of(http, struct server, http);
    char text[100];
    server->queries++;
    if (strstr(request->target, "INSERT INTO")) {
        take_insert(server, request, out);
    } else if (strstr(request->target, "version()")) {
        snprintf(text, sizeof text, "%s\t%ld\n", server->version,
                 (long)((clock_monotonic_ms() - server->started_ms) / 1000));
        fake_reply_http(out, 200, NULL, text);
    } else if (server->table == NULL) {
        fake_reply_http(out, 404, NULL, "Code: 60, e.displayText() = DB::Exception: no table");
    } else {
        fake_reply_http(out, 200, NULL,
                        strstr(request->target, "system.tables") ? engine_18 : server->table);
    }
}

static inline struct server *server_new(void)
{
    struct server *server = mem_zalloc(sizeof *server);
    server->version = "18.16.1";
    server->table = table_18;
    server->started_ms = clock_monotonic_ms() - 100000000;
    server->http.reply = reply;
    fake_http_start(&server->http);
    return server;
}

static inline void server_free(struct server *server)
{
    if (server->http.fd >= 0)
        fake_http_stop(&server->http);
    for (uint32_t i = 0; i < server->count; i++) {
        buffer_fini(&server->inserts[i].body);
        free(server->inserts[i].target);
    }
    free(server);
}

static inline void server_down(struct server *server)
{
    fake_http_stop(&server->http);
    server->http.fd = -1;
}

static inline uint64_t rows_stored(const struct server *server)
{
    uint64_t rows = 0;
    for (uint32_t i = 0; i < server->count; i++)
        rows += server->inserts[i].stored ? server->inserts[i].rows : 0;
    return rows;
}

static inline bool same_body(const struct insert *a, const struct insert *b)
{
    return bytes_equal(buffer_bytes(&a->body), buffer_bytes(&b->body));
}

/* ---- the lane ---- */

static inline void lane_open(struct sink_lane *lane, const char *url)
{
    sink_lane_init(lane, &sink_clickhouse, &disk_real, "/nonexistent");
    struct clickhouse_options *options = lane->options;
    options->url = mem_strdup(url);
    options->connect_timeout_ms = 500;
    options->timeout_ms = 1000;
}

static inline char *url_of(const struct server *a, const char *between, const struct server *b)
{
    if (b == NULL)
        return mem_printf("http://127.0.0.1:%d/water", a->http.port);
    return mem_printf("http://127.0.0.1:%d/water%shttp://127.0.0.1:%d/water", a->http.port, between,
                      b->http.port);
}

static inline void lane_start(struct sink_lane *lane, const struct server *a, const char *between,
                              const struct server *b)
{
    struct err err = {0};
    char *url = url_of(a, between, b);
    lane_open(lane, url);
    int result = sink_lane_start(lane, 1, &err);
    if (result < 0)
        print_error("%s\n", err.text);
    assert_int_equal(result, 0);
    free(url);
}

static inline uint64_t metric(struct sink_lane *lane, const char *name)
{
    struct buffer text = {0};
    char *key = mem_printf("\ntidegate_sink_clickhouse_%s{", name);
    sink_clickhouse.metrics(lane->sink, &text);
    buffer_u8(&text, '\0');
    const char *at = strstr((const char *)text.data, key);
    assert_non_null(at);
    uint64_t value = strtoull(strchr(at, '}') + 1, NULL, 10);
    free(key);
    buffer_fini(&text);
    return value;
}

/* Two days. */
static inline struct unit *two_day_unit(void)
{
    return test_unit(1, 1000, 1000, MIDNIGHT - DAY_MS / 2, DAY_MS / 1000);
}

static int rewinds;

static inline void on_rewind(struct sink_host *host, const char *why)
{
    assert_true(why[0]);
    rewinds++;
    uv_stop(host->loop);
}

static inline void on_pause_over(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
    uv_stop(timer->loop);
}

/* Runs the loop for so long, or until the lane was sent back. */
static inline void run_loop(struct sink_lane *lane, uint64_t ms)
{
    uv_timer_t timer;
    bool over = false;
    int before = rewinds;
    uv_timer_init(&lane->loop, &timer);
    timer.data = &over;
    uv_timer_start(&timer, on_pause_over, ms, 0);
    while (!over && rewinds == before)
        uv_run(&lane->loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&lane->loop, UV_RUN_NOWAIT);
}

#endif
