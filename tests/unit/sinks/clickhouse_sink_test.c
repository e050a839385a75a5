/* SPDX-License-Identifier: Apache-2.0
 *
 * The ClickHouse sink as a lane sees it, before servers that fail on purpose. The servers speak just
 * enough ClickHouse: they tell a version, an uptime and a table, and take blocks, of which they keep
 * the bytes. What real servers do is in tests/integration.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

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
static void look_inside(struct insert *insert)
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

static void take_insert(struct server *server, const struct fake_request *request,
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

static void reply(struct fake_http *http, const struct fake_request *request,
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

static struct server *server_new(void)
{
    struct server *server = mem_zalloc(sizeof *server);
    server->version = "18.16.1";
    server->table = table_18;
    server->started_ms = clock_monotonic_ms() - 100000000;
    server->http.reply = reply;
    fake_http_start(&server->http);
    return server;
}

static void server_free(struct server *server)
{
    if (server->http.fd >= 0)
        fake_http_stop(&server->http);
    for (uint32_t i = 0; i < server->count; i++) {
        buffer_fini(&server->inserts[i].body);
        free(server->inserts[i].target);
    }
    free(server);
}

static void server_down(struct server *server)
{
    fake_http_stop(&server->http);
    server->http.fd = -1;
}

static uint64_t rows_stored(const struct server *server)
{
    uint64_t rows = 0;
    for (uint32_t i = 0; i < server->count; i++)
        rows += server->inserts[i].stored ? server->inserts[i].rows : 0;
    return rows;
}

static bool same_body(const struct insert *a, const struct insert *b)
{
    return bytes_equal(buffer_bytes(&a->body), buffer_bytes(&b->body));
}

/* ---- the lane ---- */

static void lane_open(struct sink_lane *lane, const char *url)
{
    sink_lane_init(lane, &sink_clickhouse, &disk_real, "/nonexistent");
    struct clickhouse_options *options = lane->options;
    options->url = mem_strdup(url);
    options->connect_timeout_ms = 500;
    options->timeout_ms = 1000;
}

static char *url_of(const struct server *a, const char *between, const struct server *b)
{
    if (b == NULL)
        return mem_printf("http://127.0.0.1:%d/water", a->http.port);
    return mem_printf("http://127.0.0.1:%d/water%shttp://127.0.0.1:%d/water", a->http.port, between,
                      b->http.port);
}

static void lane_start(struct sink_lane *lane, const struct server *a, const char *between,
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

static uint64_t metric(struct sink_lane *lane, const char *name)
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
static struct unit *two_day_unit(void)
{
    return test_unit(1, 1000, 1000, MIDNIGHT - DAY_MS / 2, DAY_MS / 1000);
}

static int rewinds;

static void on_rewind(struct sink_host *host, const char *why)
{
    assert_true(why[0]);
    rewinds++;
    uv_stop(host->loop);
}

static void on_pause_over(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
    uv_stop(timer->loop);
}

/* Runs the loop for so long, or until the lane was sent back. */
static void run_loop(struct sink_lane *lane, uint64_t ms)
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

/* ---- blocks ---- */

static void a_unit_becomes_a_block_for_each_day(void **state)
{
    (void)state;
    struct server *server = server_new();
    struct sink_lane lane;
    struct unit *unit = two_day_unit();
    lane_start(&lane, server, NULL, NULL);
    assert_int_equal(sink_lane_put(&lane, unit), SINK_STORED);
    assert_int_equal(lane.answers[0].refusals, 0);
    sink_lane_fini(&lane);
    assert_int_equal(server->count, 2);
    assert_int_equal(rows_stored(server), 1000);
    for (uint32_t i = 0; i < 2; i++) {
        assert_non_null(strstr(server->inserts[i].target, "INSERT INTO"));
        assert_non_null(strstr(server->inserts[i].target, "FORMAT Native"));
        assert_non_null(strstr(server->inserts[i].target, "&decompress=1"));
        assert_non_null(strstr(server->inserts[i].target, "&wait_end_of_query=1"));
    }
    test_unit_free(unit);
    server_free(server);
}

static void a_unit_without_readings_is_stored(void **state)
{
    (void)state;
    struct server *server = server_new();
    struct sink_lane lane;
    struct unit *unit = test_unit(1, 100, 0, MIDNIGHT, 1000);
    lane_start(&lane, server, NULL, NULL);
    assert_int_equal(sink_lane_put(&lane, unit), SINK_STORED);
    sink_lane_fini(&lane);
    assert_int_equal(server->count, 0);
    test_unit_free(unit);
    server_free(server);
}

static void block_rows_bounds_a_block(void **state)
{
    (void)state;
    struct server *server = server_new();
    struct sink_lane lane;
    struct err err;
    struct unit *unit = test_unit(1, 1000, 1000, MIDNIGHT, 1000);
    char *url = url_of(server, NULL, NULL);
    lane_open(&lane, url);
    ((struct clickhouse_options *)lane.options)->block_rows = 100;
    assert_int_equal(sink_lane_start(&lane, 1, &err), 0);
    assert_int_equal(sink_lane_put(&lane, unit), SINK_STORED);
    sink_lane_fini(&lane);
    assert_int_equal(server->count, 10);
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(server->inserts[i].rows, 100);
    free(url);
    test_unit_free(unit);
    server_free(server);
}

static void act_slow(struct server *server, const struct insert *insert, struct fake_reply *out)
{
    (void)server;
    (void)insert;
    out->delay_ms = 30;
}

static void open_units_are_under_way_together(void **state)
{
    (void)state;
    struct server *server = server_new();
    struct sink_lane lane;
    struct unit *units[8];
    server->act = act_slow;
    lane_start(&lane, server, NULL, NULL);
    for (uint32_t i = 0; i < 8; i++) {
        units[i] = test_unit(i * 100 + 1, i * 100 + 100, 100, MIDNIGHT + i, 1000);
        sink_lane_write(&lane, units[i]);
    }
    assert_true(sink_lane_wait(&lane, 8));
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(lane.answers[i].answer, SINK_STORED);
    sink_lane_fini(&lane);
    assert_int_equal(rows_stored(server), 800);
    assert_int_equal(server->http.connections - 1,
                     3); /* as `connections` says; one asked at start */
    for (uint32_t i = 0; i < 8; i++)
        test_unit_free(units[i]);
    server_free(server);
}

static void the_same_unit_gives_the_same_bytes_after_a_restart(void **state)
{
    (void)state;
    struct server *server = server_new();
    struct unit *unit = test_unit(1, 1000, 1000, MIDNIGHT, 1000);
    for (uint32_t round = 0; round < 3; round++) {
        struct sink_lane lane;
        lane_start(&lane, server, NULL, NULL);
        assert_int_equal(sink_lane_put(&lane, unit), SINK_STORED);
        sink_lane_fini(&lane);
    }
    assert_int_equal(server->count, 3);
    assert_true(same_body(&server->inserts[0], &server->inserts[1]));
    assert_true(same_body(&server->inserts[0], &server->inserts[2]));
    assert_string_equal(server->inserts[0].target, server->inserts[2].target);
    test_unit_free(unit);
    server_free(server);
}

/* ---- again ---- */

static void act_too_many_parts(struct server *server, const struct insert *insert,
                               struct fake_reply *out)
{
    (void)insert;
    if (server->count == 2)
        fake_reply_http(out, 500, NULL,
                        "Code: 252, e.displayText() = DB::Exception: Too many parts (300)");
}

static void only_what_is_not_stored_is_sent_again(void **state)
{
    (void)state;
    struct server *server = server_new();
    struct sink_lane lane;
    struct unit *unit = two_day_unit();
    server->act = act_too_many_parts;
    lane_start(&lane, server, NULL, NULL);
    assert_int_equal(sink_lane_put(&lane, unit), SINK_RETRY);
    assert_int_equal(lane.answers[0].reason, SINK_REASON_BUSY);
    assert_non_null(strstr(lane.answers[0].why, "TOO_MANY_PARTS"));
    assert_int_equal(sink_lane_put(&lane, unit), SINK_STORED);
    assert_int_equal(server->count, 3);
    assert_true(same_body(&server->inserts[1], &server->inserts[2]));
    assert_int_equal(rows_stored(server), 1000);
    assert_int_equal(metric(&lane, "resent_blocks_total"), 1);
    sink_lane_fini(&lane);
    test_unit_free(unit);
    server_free(server);
}

static void act_first_fails(struct server *server, const struct insert *insert,
                            struct fake_reply *out)
{
    (void)insert;
    if (server->count > 1)
        return;
    switch (server->left) {
    case 0: out->end = FAKE_RESET; break;
    case 1: out->end = FAKE_CLOSE; break;
    case 2: fake_reply_http(out, 200, NULL, "Code: 241. DB::Exception: Memory limit"); break;
    case 3: fake_reply_http(out, 200, "X-ClickHouse-Exception-Code: 159\r\n", ""); break;
    case 4:
        fake_reply_http(out, 500, NULL, "Code: 319, e.displayText() = DB::Exception: Unknown");
        break;
    case 5: out->delay_ms = 15000; break;
    default:
        buffer_add_text(&out->text, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n");
        out->end = FAKE_CLOSE;
    }
}

static void an_unknown_outcome_is_retried_with_the_same_bytes(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind < 7; kind++) {
        struct server *server = server_new();
        struct sink_lane lane;
        struct unit *unit = test_unit(1, 100, 100, MIDNIGHT, 1000);
        server->act = act_first_fails;
        server->left = kind;
        lane_start(&lane, server, NULL, NULL);
        assert_int_equal(sink_lane_put(&lane, unit), SINK_RETRY);
        assert_true(lane.answers[0].reason < SINK_REASON_OPERATOR);
        assert_true(lane.answers[0].why[0]);
        assert_int_equal(sink_lane_put(&lane, unit), SINK_STORED);
        assert_int_equal(server->count, 2);
        assert_true(same_body(&server->inserts[0], &server->inserts[1]));
        assert_string_equal(server->inserts[0].target, server->inserts[1].target);
        sink_lane_fini(&lane);
        test_unit_free(unit);
        server_free(server);
    }
}

/* ---- replicas and shards ---- */

static void act_read_only(struct server *server, const struct insert *insert,
                          struct fake_reply *out)
{
    (void)server;
    (void)insert;
    fake_reply_http(out, 500, NULL,
                    "Code: 242, e.displayText() = DB::Exception: Table is in readonly mode");
}

static void another_replica_gets_the_same_bytes(void **state)
{
    (void)state;
    struct server *a = server_new(), *b = server_new();
    struct sink_lane lane;
    struct unit *unit = test_unit(1, 100, 100, MIDNIGHT, 1000);
    a->act = act_read_only;
    lane_start(&lane, a, ",", b);
    assert_int_equal(sink_lane_put(&lane, unit), SINK_STORED);
    assert_int_equal(a->count, 1);
    assert_int_equal(b->count, 1);
    assert_true(same_body(&a->inserts[0], &b->inserts[0]));
    assert_int_equal(metric(&lane, "failovers_total"), 1);
    sink_lane_fini(&lane);
    test_unit_free(unit);
    server_free(a);
    server_free(b);
}

static void when_no_replica_takes_it_the_lane_waits(void **state)
{
    (void)state;
    struct server *a = server_new(), *b = server_new();
    struct sink_lane lane;
    struct unit *unit = test_unit(1, 100, 100, MIDNIGHT, 1000);
    a->act = b->act = act_read_only;
    lane_start(&lane, a, ",", b);
    assert_int_equal(sink_lane_put(&lane, unit), SINK_RETRY);
    assert_int_equal(lane.answers[0].reason, SINK_REASON_UNAVAILABLE);
    assert_int_equal(a->count, 1);
    assert_int_equal(b->count, 1);
    b->act = NULL;
    assert_int_equal(sink_lane_put(&lane, unit), SINK_STORED);
    assert_int_equal(rows_stored(b), 100);
    sink_lane_fini(&lane);
    test_unit_free(unit);
    server_free(a);
    server_free(b);
}

static void a_replica_that_is_down_does_not_hinder_the_start(void **state)
{
    (void)state;
    struct server *a = server_new(), *b = server_new();
    struct sink_lane lane;
    struct unit *unit = test_unit(1, 100, 100, MIDNIGHT, 1000);
    server_down(a);
    lane_start(&lane, a, ",", b);
    assert_int_equal(sink_lane_put(&lane, unit), SINK_STORED);
    assert_int_equal(rows_stored(b), 100);
    assert_int_equal(metric(&lane, "up"), 0); /* of the first */
    sink_lane_fini(&lane);
    test_unit_free(unit);
    server_free(a);
    server_free(b);
}

static void a_shard_that_is_down_does_not_send_the_others_again(void **state)
{
    (void)state;
    struct server *a = server_new(), *b = server_new();
    struct sink_lane lane;
    struct unit *unit = test_unit(1, 1000, 1000, MIDNIGHT, 10);
    lane_start(&lane, a, ";", b);
    server_down(b);
    assert_int_equal(sink_lane_put(&lane, unit), SINK_RETRY);
    assert_int_equal(lane.answers[0].reason, SINK_REASON_UNREACHABLE);
    fake_http_start(&b->http);
    assert_int_equal(sink_lane_put(&lane, unit), SINK_STORED);
    sink_lane_fini(&lane);
    assert_int_equal(a->count, 1);
    assert_int_equal(b->count, 1);
    assert_true(rows_stored(a) > 100 && rows_stored(b) > 100);
    assert_int_equal(rows_stored(a) + rows_stored(b), 1000);
    test_unit_free(unit);
    server_free(a);
    server_free(b);
}

/* ---- rows that are not taken ---- */

static void act_poison(struct server *server, const struct insert *insert, struct fake_reply *out)
{
    (void)server;
    if (insert->poison)
        fake_reply_http(out, 500, NULL,
                        "Code: 27, e.displayText() = DB::Exception: Cannot parse input");
}

/* The devices of some rows get a name that the server does not take; their seq is row + 1. */
static struct unit *poisoned_unit(uint32_t first_row, uint32_t step, uint32_t *poisoned)
{
    struct batch_builder *builder = batch_builder_new();
    struct unit *unit = mem_zalloc(sizeof *unit);
    *poisoned = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        bool bad = i >= first_row && (i - first_row) % step == 0;
        char device[30];
        *poisoned += bad;
        snprintf(device, sizeof device, "%s%04u", bad ? "POISON" : "", i);
        struct batch_row row = {.vendor = bytes_text("acme"),
                                .device = bytes_text(device),
                                .metric = bytes_text("flow"),
                                .unit = bytes_text("m3/h"),
                                .ts_ms = MIDNIGHT + i,
                                .unscaled = i,
                                .has_value = true,
                                .seq = i + 1,
                                .received_ms = MIDNIGHT + i};
        batch_builder_add(builder, &row);
    }
    unit->batches = mem_alloc(sizeof *unit->batches);
    unit->batches[0] = batch_builder_finish(builder);
    unit->batch_count = 1;
    unit->first_seq = unit->batches[0]->first_seq = 1;
    unit->last_seq = unit->batches[0]->last_seq = 1000;
    unit->rows = 1000;
    batch_builder_free(builder);
    return unit;
}

static void poison_rows_are_found_and_the_rest_is_stored_once(void **state)
{
    (void)state;
    static const uint32_t steps[] = {1000, 500, 77};
    for (uint32_t i = 0; i < array_count(steps); i++) {
        struct server *server = server_new();
        struct sink_lane lane;
        uint32_t poisoned;
        struct unit *unit = poisoned_unit(423, steps[i], &poisoned);
        server->act = act_poison;
        lane_start(&lane, server, NULL, NULL);
        assert_int_equal(sink_lane_put(&lane, unit), SINK_STORED);
        assert_int_equal(lane.answers[0].refusals, poisoned);
        assert_string_equal(lane.answers[0].first_refusal.reason, "rejected");
        assert_non_null(strstr(lane.answers[0].first_refusal.detail, "Code: 27"));
        assert_int_equal(rows_stored(server), 1000 - poisoned);
        assert_int_equal(metric(&lane, "refused_rows_total"), poisoned);
        assert_int_equal(metric(&lane, "bisected_blocks_total"), 1);
        if (poisoned == 1)
            assert_int_equal(lane.answers[0].first_refusal.seq, 424);
        sink_lane_fini(&lane);
        test_unit_free(unit);
        server_free(server);
    }
}

/* Each piece is answered at its third time only: the client and the sink repeat it. */
static void act_poison_and_breaks(struct server *server, const struct insert *insert,
                                  struct fake_reply *out)
{
    uint32_t times = 0;
    for (uint32_t i = 0; i < server->count; i++)
        times += same_body(&server->inserts[i], insert);
    if (times < 3)
        out->end = FAKE_RESET;
    else
        act_poison(server, insert, out);
}

static void a_search_that_is_interrupted_goes_on(void **state)
{
    (void)state;
    struct server *server = server_new();
    struct sink_lane lane;
    uint32_t poisoned, attempts = 0;
    struct unit *unit = poisoned_unit(423, 1000, &poisoned);
    server->act = act_poison_and_breaks;
    lane_start(&lane, server, NULL, NULL);
    while (sink_lane_put(&lane, unit) == SINK_RETRY && attempts < 30)
        attempts++;
    assert_true(attempts > 1);
    assert_int_equal(lane.answers[attempts].answer, SINK_STORED);
    assert_int_equal(lane.answers[attempts].refusals, 1);
    assert_int_equal(rows_stored(server), 999);
    sink_lane_fini(&lane);
    test_unit_free(unit);
    server_free(server);
}

static void act_nothing_fits(struct server *server, const struct insert *insert,
                             struct fake_reply *out)
{
    (void)server;
    (void)insert;
    fake_reply_http(out, 500, NULL,
                    "Code: 53, e.displayText() = DB::Exception: while pushing to view");
}

static void a_table_that_takes_no_row_makes_no_dead_letters(void **state)
{
    (void)state;
    static const uint32_t rows[] = {1, 10, 1000};
    for (uint32_t i = 0; i < array_count(rows); i++) {
        struct server *server = server_new();
        struct sink_lane lane;
        struct unit *unit = test_unit(1, 1000, rows[i], MIDNIGHT, 10);
        server->act = act_nothing_fits;
        lane_start(&lane, server, NULL, NULL);
        assert_int_equal(sink_lane_put(&lane, unit), SINK_RETRY);
        assert_int_equal(lane.answers[0].reason, SINK_REASON_SCHEMA);
        assert_int_equal(metric(&lane, "refused_rows_total"), 0);
        server->act = NULL;
        assert_int_equal(sink_lane_put(&lane, unit), SINK_STORED);
        assert_int_equal(lane.answers[1].refusals, 0);
        assert_int_equal(rows_stored(server), rows[i]);
        assert_int_equal(server->inserts[server->count - 1].rows, rows[i]);
        assert_true(same_body(&server->inserts[0], &server->inserts[server->count - 1]));
        sink_lane_fini(&lane);
        test_unit_free(unit);
        server_free(server);
    }
}

/* Someone changes the table while we insert. */
static void act_table_is_gone(struct server *server, const struct insert *insert,
                              struct fake_reply *out)
{
    (void)insert;
    if (server->left == 0) {
        server->table = NULL;
        fake_reply_http(out, 404, NULL, "Code: 60, e.displayText() = DB::Exception: no table");
    } else {
        server->table = "vendor\tString\t\t\t\n";
        fake_reply_http(out, 500, NULL, "Code: 53, e.displayText() = DB::Exception: mismatch");
    }
}

static void a_table_that_was_changed_stops_the_sink_until_it_fits_again(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind < 2; kind++) {
        struct server *server = server_new();
        struct sink_lane lane;
        struct unit *unit = test_unit(1, 100, 100, MIDNIGHT, 10);
        server->act = act_table_is_gone;
        server->left = kind;
        lane_start(&lane, server, NULL, NULL);
        assert_int_equal(sink_lane_put(&lane, unit), SINK_RETRY);
        assert_int_equal(lane.answers[0].reason, SINK_REASON_SCHEMA);
        server->act = NULL;
        server->table = table_18;
        int64_t start = clock_monotonic_ms();
        while (sink_lane_put(&lane, unit) == SINK_RETRY) {
            assert_int_equal(lane.answers[lane.answer_count - 1].reason, SINK_REASON_SCHEMA);
            assert_non_null(strstr(lane.answers[1].why, "tidegate clickhouse ddl"));
            lane.answer_count = 1;
            assert_true(clock_monotonic_ms() - start < 15000);
            run_loop(&lane, 200); /* what the lane's backoff does */
        }
        assert_int_equal(rows_stored(server), 100);
        sink_lane_fini(&lane);
        test_unit_free(unit);
        server_free(server);
    }
}

/* ---- restarts of the server ---- */

/* Twice: after the first time, on a kept connection, the client goes on with a new one. */
static void act_reset(struct server *server, const struct insert *insert, struct fake_reply *out)
{
    (void)insert;
    if (server->left) {
        server->left--;
        out->end = FAKE_RESET;
    }
}

static void a_restarted_server_gets_what_it_may_have_lost(void **state)
{
    (void)state;
    struct server *server = server_new();
    struct sink_lane lane;
    struct unit *first = test_unit(1, 100, 100, MIDNIGHT, 10);
    struct unit *second = test_unit(101, 200, 100, MIDNIGHT, 10);
    struct unit *third = test_unit(201, 300, 100, MIDNIGHT, 10);
    server->act = act_reset;
    rewinds = 0;
    lane_start(&lane, server, NULL, NULL);
    lane.host.rewind = on_rewind;
    assert_int_equal(sink_lane_put(&lane, first), SINK_STORED);
    server->left = 2;
    server->started_ms = clock_monotonic_ms();
    assert_int_equal(sink_lane_put(&lane, second), SINK_RETRY);
    run_loop(&lane, 5000);
    assert_int_equal(rewinds, 1);
    /* The server's memory of blocks must not drop what it has confirmed and lost. */
    assert_int_equal(sink_lane_put(&lane, first), SINK_STORED);
    assert_int_equal(sink_lane_put(&lane, second), SINK_STORED);
    assert_int_equal(sink_lane_put(&lane, third), SINK_STORED);
    assert_int_equal(server->count, 6);
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(strstr(server->inserts[i].target, "insert_deduplicate=0") != NULL, i == 3);
    assert_true(same_body(&server->inserts[0], &server->inserts[3]));
    run_loop(&lane, 1500);
    assert_int_equal(rewinds, 1);
    sink_lane_fini(&lane);
    test_unit_free(first);
    test_unit_free(second);
    test_unit_free(third);
    server_free(server);
}

static void a_connection_that_broke_is_no_restart(void **state)
{
    (void)state;
    struct server *server = server_new();
    struct sink_lane lane;
    struct unit *first = test_unit(1, 100, 100, MIDNIGHT, 10);
    struct unit *second = test_unit(101, 200, 100, MIDNIGHT, 10);
    server->act = act_reset;
    rewinds = 0;
    lane_start(&lane, server, NULL, NULL);
    lane.host.rewind = on_rewind;
    assert_int_equal(sink_lane_put(&lane, first), SINK_STORED);
    server->left = 2;
    assert_int_equal(sink_lane_put(&lane, second), SINK_RETRY);
    uint32_t queries = server->queries;
    run_loop(&lane, 2500);
    assert_true(server->queries > queries); /* it was asked */
    assert_int_equal(rewinds, 0);
    sink_lane_fini(&lane);
    test_unit_free(first);
    test_unit_free(second);
    server_free(server);
}

static void a_server_that_stays_silent_after_confirming_sends_the_lane_back(void **state)
{
    (void)state;
    struct server *server = server_new();
    struct sink_lane lane;
    struct unit *first = test_unit(1, 100, 100, MIDNIGHT, 10);
    struct unit *second = test_unit(101, 200, 100, MIDNIGHT, 10);
    struct err err;
    char *url = url_of(server, NULL, NULL);
    rewinds = 0;
    lane_open(&lane, url);
    ((struct clickhouse_options *)lane.options)->settle_ms = 6000;
    assert_int_equal(sink_lane_start(&lane, 1, &err), 0);
    lane.host.rewind = on_rewind;
    assert_int_equal(sink_lane_put(&lane, first), SINK_STORED);
    server_down(server);
    assert_int_equal(sink_lane_put(&lane, second), SINK_RETRY);
    run_loop(&lane, 500);
    assert_int_equal(rewinds, 0);
    run_loop(&lane, 5000); /* a third of settle */
    assert_int_equal(rewinds, 1);
    run_loop(&lane, 1500);
    assert_int_equal(rewinds, 1);
    sink_lane_fini(&lane);
    free(url);
    test_unit_free(first);
    test_unit_free(second);
    server_free(server);
}

/* A sink of its own, as after a restart of the gateway that had confirmed up to 500. */
static int rewinds_of_a_new_process(const struct server *server, const char *data, bool is_up)
{
    struct sink_lane lane;
    struct err err;
    char *url = url_of(server, NULL, NULL);
    lane_open(&lane, url);
    lane.host.data_dir = data;
    lane.host.rewind = on_rewind;
    rewinds = 0;
    assert_int_equal(sink_lane_start(&lane, 501, &err), is_up ? 0 : GW_EIO);
    int seen = rewinds;
    if (!is_up) /* once is enough */
        assert_int_equal(sink_lane_start(&lane, 501, &err), GW_EIO);
    assert_int_equal(rewinds, seen);
    sink_lane_fini(&lane);
    free(url);
    return seen;
}

static void a_server_that_was_restarted_while_we_were_down_is_found_out(void **state)
{
    (void)state;
    struct server *server = server_new();
    struct temp_dir dir;
    temp_dir_make(&dir);
    assert_int_equal(rewinds_of_a_new_process(server, dir.path, true), 0);
    assert_int_equal(rewinds_of_a_new_process(server, dir.path, true), 0);
    server->started_ms = clock_monotonic_ms() - 60000;
    assert_int_equal(rewinds_of_a_new_process(server, dir.path, true), 1);
    assert_int_equal(rewinds_of_a_new_process(server, dir.path, true), 0);
    server_down(server);
    assert_int_equal(rewinds_of_a_new_process(server, dir.path, false), 1);
    temp_dir_remove(&dir);
    server_free(server);
}

static void a_young_server_that_nobody_remembers_is_not_trusted(void **state)
{
    (void)state;
    struct server *server = server_new();
    struct temp_dir dir;
    temp_dir_make(&dir);
    server_down(server);
    assert_int_equal(rewinds_of_a_new_process(server, dir.path, false), 0);
    fake_http_start(&server->http);
    server->started_ms = clock_monotonic_ms() - 60000;
    assert_int_equal(rewinds_of_a_new_process(server, dir.path, true), 1);
    assert_int_equal(rewinds_of_a_new_process(server, dir.path, true), 0);
    char *path = mem_printf("%s/clickhouse.servers", dir.path);
    disk_replace_file(&disk_real, path, bytes_text("garbage\n\nhttp://127.0.0.1:1/x 12\n\xff "));
    assert_int_equal(rewinds_of_a_new_process(server, dir.path, true), 1);
    free(path);
    temp_dir_remove(&dir);
    server_free(server);
}

/* ---- start ---- */

static int try_start(const char *url, const char *password_file, struct err *err)
{
    struct sink_lane lane;
    lane_open(&lane, url);
    struct clickhouse_options *options = lane.options;
    if (password_file) {
        options->user = mem_strdup("gw");
        options->password_file = mem_strdup(password_file);
    }
    int result = sink_lane_start(&lane, 1, err);
    sink_lane_fini(&lane);
    return result;
}

static void a_missing_table_names_the_way_out(void **state)
{
    (void)state;
    struct server *server = server_new();
    struct err err = {0};
    char *url = url_of(server, NULL, NULL);
    server->table = NULL;
    assert_int_equal(try_start(url, NULL, &err), GW_EINVAL);
    assert_non_null(strstr(err.text, "tidegate clickhouse ddl"));
    assert_non_null(strstr(err.text, "127.0.0.1"));
    server->table = "vendor\tString\t\t\t\n";
    assert_int_equal(try_start(url, NULL, &err), GW_EINVAL);
    assert_non_null(strstr(err.text, "tidegate clickhouse ddl"));
    free(url);
    server_free(server);
}

static void a_server_that_is_down_may_come_later(void **state)
{
    (void)state;
    struct server *server = server_new();
    struct err err = {0};
    char *url = url_of(server, NULL, NULL);
    struct sink_lane lane;
    server_down(server);
    lane_open(&lane, url);
    assert_int_equal(sink_lane_start(&lane, 1, &err), GW_EIO);
    assert_int_equal(sink_lane_start(&lane, 1, &err), GW_EIO);
    fake_http_start(&server->http);
    assert_int_equal(sink_lane_start(&lane, 1, &err), 0);
    sink_lane_fini(&lane);
    free(url);
    server_free(server);
}

static void reply_never(struct fake_http *http, const struct fake_request *request,
                        struct fake_reply *out)
{
    (void)http;
    (void)request;
    out->delay_ms = 20000;
}

static void start_takes_five_seconds_at_most(void **state)
{
    (void)state;
    struct server *server = server_new();
    struct err err = {0};
    struct sink_lane lane;
    char *url = url_of(server, NULL, NULL);
    server->http.reply = reply_never;
    lane_open(&lane, url);
    ((struct clickhouse_options *)lane.options)->timeout_ms = 60000;
    int64_t start = clock_monotonic_ms();
    assert_int_equal(sink_lane_start(&lane, 1, &err), GW_EIO);
    assert_true(clock_monotonic_ms() - start < 5000);
    sink_lane_fini(&lane);
    free(url);
    server_free(server);
}

static const char *expected_key;

static void reply_with_login(struct fake_http *http, const struct fake_request *request,
                             struct fake_reply *out)
{
    if (memmem(request->head.data, request->head.size, expected_key, strlen(expected_key)))
        reply(http, request, out);
    else
        fake_reply_http(out, 403, "X-ClickHouse-Exception-Code: 516\r\n",
                        "Code: 516. DB::Exception: gw: Authentication failed");
}

static void the_password_is_the_first_line_of_its_file(void **state)
{
    (void)state;
    struct server *server = server_new();
    struct err err = {0};
    struct temp_dir dir;
    temp_dir_make(&dir);
    char *url = url_of(server, NULL, NULL), *path = mem_printf("%s/password", dir.path);
    expected_key = "X-ClickHouse-Key: open sesame\r\n";
    server->http.reply = reply_with_login;
    assert_int_equal(try_start(url, path, &err), GW_EINVAL);
    assert_non_null(strstr(err.text, "password_file"));
    disk_replace_file(&disk_real, path, bytes_text("open sesame\nand a note\n"));
    assert_int_equal(try_start(url, path, &err), 0);
    disk_replace_file(&disk_real, path, bytes_text("wrong"));
    assert_int_equal(try_start(url, path, &err), GW_EINVAL);
    assert_null(strstr(err.text, "wrong"));
    assert_non_null(strstr(err.text, "AUTHENTICATION_FAILED"));
    free(url);
    free(path);
    temp_dir_remove(&dir);
    server_free(server);
}

static void a_password_that_was_changed_is_read_again(void **state)
{
    (void)state;
    struct server *server = server_new();
    struct sink_lane lane;
    struct err err = {0};
    struct temp_dir dir;
    struct unit *unit = test_unit(1, 100, 100, MIDNIGHT, 1000);
    temp_dir_make(&dir);
    char *url = url_of(server, NULL, NULL), *path = mem_printf("%s/password", dir.path);
    disk_replace_file(&disk_real, path, bytes_text("old"));
    expected_key = "X-ClickHouse-Key: old\r\n";
    server->http.reply = reply_with_login;
    lane_open(&lane, url);
    struct clickhouse_options *options = lane.options;
    options->user = mem_strdup("gw");
    options->password_file = mem_strdup(path);
    assert_int_equal(sink_lane_start(&lane, 1, &err), 0);
    pthread_mutex_lock(&server->http.lock);
    expected_key = "X-ClickHouse-Key: new\r\n";
    pthread_mutex_unlock(&server->http.lock);
    assert_int_equal(sink_lane_put(&lane, unit), SINK_RETRY);
    assert_int_equal(lane.answers[0].reason, SINK_REASON_DENIED);
    disk_replace_file(&disk_real, path, bytes_text("new\n"));
    int64_t start = clock_monotonic_ms();
    while (sink_lane_put(&lane, unit) == SINK_RETRY) {
        lane.answer_count = 1;
        assert_true(clock_monotonic_ms() - start < 15000);
        run_loop(&lane, 200);
    }
    assert_int_equal(rows_stored(server), 100);
    sink_lane_fini(&lane);
    free(url);
    free(path);
    test_unit_free(unit);
    temp_dir_remove(&dir);
    server_free(server);
}

static void options_that_cannot_work_are_refused(void **state)
{
    (void)state;
    struct err err = {0};
    struct sink_lane lane;
    static const char *const tables[] = {"", "a.b", "1a", "a b", "a`b"};
    for (size_t i = 0; i < array_count(tables); i++) {
        lane_open(&lane, "http://127.0.0.1:1/db");
        struct clickhouse_options *options = lane.options;
        free(options->table);
        options->table = mem_strdup(tables[i]);
        assert_int_equal(sink_lane_start(&lane, 1, &err), GW_EINVAL);
        assert_non_null(strstr(err.text, "`table`"));
        sink_lane_fini(&lane);
    }
    lane_open(&lane, "http://127.0.0.1:1/db");
    ((struct clickhouse_options *)lane.options)->password_file = mem_strdup("x");
    assert_int_equal(sink_lane_start(&lane, 1, &err), GW_EINVAL);
    sink_lane_fini(&lane);
}

/* ---- closing ---- */

static void act_never(struct server *server, const struct insert *insert, struct fake_reply *out)
{
    (void)server;
    (void)insert;
    out->delay_ms = 20000;
}

static void closing_gives_open_units_back(void **state)
{
    (void)state;
    for (uint32_t rounds = 0; rounds < 4; rounds++) {
        struct server *server = server_new();
        struct sink_lane lane;
        struct unit *units[4];
        server->act = act_never;
        lane_start(&lane, server, NULL, NULL);
        for (uint32_t i = 0; i < 4; i++) {
            units[i] = test_unit(i * 1000 + 1, i * 1000 + 1000, 20000, MIDNIGHT, 10);
            sink_lane_write(&lane, units[i]);
        }
        for (uint32_t i = 0; i < rounds; i++) /* encoding, sent, or both */
            uv_run(&lane.loop, UV_RUN_ONCE);
        sink_lane_fini(&lane);
        assert_int_equal(lane.answer_count, 4);
        for (uint32_t i = 0; i < 4; i++) {
            assert_int_equal(lane.answers[i].answer, SINK_CLOSED);
            test_unit_free(units[i]);
        }
        server_free(server);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_unit_becomes_a_block_for_each_day),
        cmocka_unit_test(a_unit_without_readings_is_stored),
        cmocka_unit_test(block_rows_bounds_a_block),
        cmocka_unit_test(open_units_are_under_way_together),
        cmocka_unit_test(the_same_unit_gives_the_same_bytes_after_a_restart),
        cmocka_unit_test(only_what_is_not_stored_is_sent_again),
        cmocka_unit_test(an_unknown_outcome_is_retried_with_the_same_bytes),
        cmocka_unit_test(another_replica_gets_the_same_bytes),
        cmocka_unit_test(when_no_replica_takes_it_the_lane_waits),
        cmocka_unit_test(a_replica_that_is_down_does_not_hinder_the_start),
        cmocka_unit_test(a_shard_that_is_down_does_not_send_the_others_again),
        cmocka_unit_test(poison_rows_are_found_and_the_rest_is_stored_once),
        cmocka_unit_test(a_search_that_is_interrupted_goes_on),
        cmocka_unit_test(a_table_that_takes_no_row_makes_no_dead_letters),
        cmocka_unit_test(a_table_that_was_changed_stops_the_sink_until_it_fits_again),
        cmocka_unit_test(a_restarted_server_gets_what_it_may_have_lost),
        cmocka_unit_test(a_connection_that_broke_is_no_restart),
        cmocka_unit_test(a_server_that_stays_silent_after_confirming_sends_the_lane_back),
        cmocka_unit_test(a_server_that_was_restarted_while_we_were_down_is_found_out),
        cmocka_unit_test(a_young_server_that_nobody_remembers_is_not_trusted),
        cmocka_unit_test(a_missing_table_names_the_way_out),
        cmocka_unit_test(a_server_that_is_down_may_come_later),
        cmocka_unit_test(start_takes_five_seconds_at_most),
        cmocka_unit_test(the_password_is_the_first_line_of_its_file),
        cmocka_unit_test(a_password_that_was_changed_is_read_again),
        cmocka_unit_test(options_that_cannot_work_are_refused),
        cmocka_unit_test(closing_gives_open_units_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
