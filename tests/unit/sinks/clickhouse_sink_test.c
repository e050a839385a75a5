/* SPDX-License-Identifier: Apache-2.0
 *
 * The ClickHouse sink as a lane sees it: units to blocks, answers, replicas and shards, start and end,
 * before servers that fail on purpose.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "unit/sinks/clickhouse_rig.h"

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
