/* SPDX-License-Identifier: Apache-2.0
 *
 * What must not be lost, stored twice or thrown away: rows that a table does not take, tables that
 * change, and servers that forget what they confirmed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "unit/sinks/clickhouse_rig.h"

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

static bool is_again(const struct insert *insert)
{
    return strstr(insert->target, "insert_deduplicate=0") != NULL;
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
    /* The server's memory of blocks must not drop what it has lost, confirmed or only sent. */
    assert_int_equal(sink_lane_put(&lane, first), SINK_STORED);
    assert_int_equal(sink_lane_put(&lane, second), SINK_STORED);
    assert_int_equal(sink_lane_put(&lane, third), SINK_STORED);
    assert_int_equal(server->count, 6);
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(is_again(&server->inserts[i]), i == 3 || i == 4);
    assert_true(same_body(&server->inserts[0], &server->inserts[3]));
    run_loop(&lane, 1500);
    assert_int_equal(rewinds, 1);
    sink_lane_fini(&lane);
    test_unit_free(first);
    test_unit_free(second);
    test_unit_free(third);
    server_free(server);
}

/* Nothing was confirmed, so nothing has to be sent from before; but a replica that lost the block may
 * know its name from ZooKeeper. */
static void a_block_that_a_restart_took_is_no_duplicate(void **state)
{
    (void)state;
    struct server *server = server_new();
    struct sink_lane lane;
    struct unit *first = test_unit(1, 100, 100, MIDNIGHT, 10);
    server->act = act_reset;
    rewinds = 0;
    lane_start(&lane, server, NULL, NULL);
    lane.host.rewind = on_rewind;
    server->left = 2;
    assert_int_equal(sink_lane_put(&lane, first), SINK_RETRY);
    server->started_ms = clock_monotonic_ms();
    run_loop(&lane, 2500);
    assert_int_equal(rewinds, 0);
    assert_int_equal(sink_lane_put(&lane, first), SINK_STORED);
    assert_false(is_again(&server->inserts[0]));
    assert_true(is_again(&server->inserts[server->count - 1]));
    sink_lane_fini(&lane);
    test_unit_free(first);
    server_free(server);
}

static void a_restart_before_our_first_block_sends_the_lane_back(void **state)
{
    (void)state;
    struct server *server = server_new();
    struct sink_lane lane;
    struct unit *unit = test_unit(501, 600, 100, MIDNIGHT, 10);
    struct err err;
    char *url = url_of(server, NULL, NULL);
    lane_open(&lane, url);
    lane.host.rewind = on_rewind;
    rewinds = 0;
    server->act = act_reset;
    assert_int_equal(sink_lane_start(&lane, 501, &err), 0); /* confirmed to another process */
    server->started_ms = clock_monotonic_ms();
    server->left = 2;
    assert_int_equal(sink_lane_put(&lane, unit), SINK_RETRY);
    run_loop(&lane, 5000);
    assert_int_equal(rewinds, 1);
    sink_lane_fini(&lane);
    free(url);
    test_unit_free(unit);
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

/* What a new process sends: is it again, and how often did it send the lane back? */
static bool sends_again(const struct server *server, const char *data, uint64_t cursor,
                        uint64_t given_through, uint64_t first_seq)
{
    struct sink_lane lane;
    struct err err;
    struct unit *unit = test_unit(first_seq, first_seq + 99, 100, MIDNIGHT, 10);
    char *url = url_of(server, NULL, NULL);
    lane_open(&lane, url);
    lane.host.data_dir = data;
    lane.host.given_through = given_through;
    lane.host.rewind = on_rewind;
    rewinds = 0;
    assert_int_equal(sink_lane_start(&lane, cursor, &err), 0);
    assert_int_equal(sink_lane_put(&lane, unit), SINK_STORED);
    sink_lane_fini(&lane);
    free(url);
    test_unit_free(unit);
    return is_again(&server->inserts[server->count - 1]);
}

/* Units that were under way when both were killed, and a lane that was killed on its way back. */
static void what_a_process_before_sent_and_the_server_lost_is_no_duplicate(void **state)
{
    (void)state;
    struct server *server = server_new();
    struct temp_dir dir;
    temp_dir_make(&dir);
    assert_false(sends_again(server, dir.path, 501, 600, 501));
    assert_false(sends_again(server, dir.path, 601, 700, 601));
    server->started_ms = clock_monotonic_ms() - 60000;
    assert_true(sends_again(server, dir.path, 601, 700, 601));
    assert_int_equal(rewinds, 1);
    /* Killed, with its cursor at what has settled. */
    assert_true(sends_again(server, dir.path, 301, 300, 401));
    assert_int_equal(rewinds, 0);
    assert_true(sends_again(server, dir.path, 301, 300, 601));
    assert_false(sends_again(server, dir.path, 701, 700, 701));
    temp_dir_remove(&dir);
    server_free(server);
}

static void a_server_that_left_the_url_may_have_taken_readings_with_it(void **state)
{
    (void)state;
    struct server *server = server_new(), *other = server_new();
    struct temp_dir dir;
    temp_dir_make(&dir);
    assert_int_equal(rewinds_of_a_new_process(server, dir.path, true), 0);
    assert_int_equal(rewinds_of_a_new_process(other, dir.path, true), 1);
    assert_int_equal(rewinds_of_a_new_process(other, dir.path, true), 0);
    temp_dir_remove(&dir);
    server_free(other);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(poison_rows_are_found_and_the_rest_is_stored_once),
        cmocka_unit_test(a_search_that_is_interrupted_goes_on),
        cmocka_unit_test(a_table_that_takes_no_row_makes_no_dead_letters),
        cmocka_unit_test(a_table_that_was_changed_stops_the_sink_until_it_fits_again),
        cmocka_unit_test(a_restarted_server_gets_what_it_may_have_lost),
        cmocka_unit_test(a_block_that_a_restart_took_is_no_duplicate),
        cmocka_unit_test(a_restart_before_our_first_block_sends_the_lane_back),
        cmocka_unit_test(a_connection_that_broke_is_no_restart),
        cmocka_unit_test(a_server_that_stays_silent_after_confirming_sends_the_lane_back),
        cmocka_unit_test(a_server_that_was_restarted_while_we_were_down_is_found_out),
        cmocka_unit_test(what_a_process_before_sent_and_the_server_lost_is_no_duplicate),
        cmocka_unit_test(a_server_that_left_the_url_may_have_taken_readings_with_it),
        cmocka_unit_test(a_young_server_that_nobody_remembers_is_not_trusted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
