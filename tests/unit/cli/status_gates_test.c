/* SPDX-License-Identifier: Apache-2.0
 *
 * The gates as lines: what stands before each, from which numbers of the gateway; and what happens to them on a
 * small screen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cli/status_gates.h"

static const struct gates_style plain = {.columns = 100, .rows = 1000, .newline = "\n"};

/* The frame of these answers, `seconds` apart; `before` may be null. The caller frees it. */
static char *frame(const struct gates_style *style, const char *before, const char *now,
                   double seconds, const char *away)
{
    struct yaml first = {0}, second;
    struct buffer errors = {0}, out = {0};
    if (before)
        assert_int_equal(yaml_parse(&first, bytes_text(before), "before", &errors), 0);
    assert_int_equal(yaml_parse(&second, bytes_text(now), "now", &errors), 0);
    status_gates(style, before ? first.root : NULL, second.root, seconds, away, &out);
    char *text = bytes_strdup(buffer_bytes(&out));
    if (before)
        yaml_fini(&first);
    yaml_fini(&second);
    buffer_fini(&errors);
    buffer_fini(&out);
    return text;
}

static void assert_has(const char *text, const char *wanted)
{
    if (strstr(text, wanted) == NULL)
        fail_msg("wanted %s in:\n%s", wanted, text);
}

static void assert_shows(const char *now, const char *wanted)
{
    char *text = frame(&plain, NULL, now, 0, NULL);
    assert_has(text, wanted);
    free(text);
}

/* ---- the head ---- */

static void the_head_tells_ready_holding_or_no_answer(void **state)
{
    (void)state;
    assert_shows("{gateway: 00ff, ready: true, uptime_s: 75}",
                 "tidegate 00ff  ready, up 1 min 15 s");
    assert_shows("{gateway: 00ff, ready: false, journal_health: full}",
                 "HOLDING: the journal is full");
    char *text = frame(&plain, NULL, "{gateway: 00ff, ready: true}", 0, "refused");
    assert_has(text, "NO ANSWER: refused");
    assert_null(strstr(text, "  ready"));
    free(text);
}

/* ---- levels ---- */

/* A bar of 40 columns: 100 - 12 - 46, at most 40. */
static void a_level_is_a_part_of_its_bar(void **state)
{
    (void)state;
    assert_shows("{mqtt: {connections: 8, held_connections: 2}}",
                 "sockets     ##########..............................  8 open, 2 held\n");
    assert_shows("{mqtt: {connections: 0, held_connections: 0}}",
                 "sockets     ........................................  0 open, 0 held\n");
    /* Something is not nothing, and more than all is all. */
    assert_shows("{mqtt: {connections: 10000, held_connections: 1}}",
                 "sockets     #.......................................  ");
    assert_shows("{undecoded: 50, raw: {first_seq: 1, next_seq: 11}}",
                 "decode      ########################################  50 messages wait\n");
}

static void held_connections_tell_their_reasons_but_for_none(void **state)
{
    (void)state;
    assert_shows(
        "{mqtt: {connections: 12, held_connections: 12}, held: {rate: 2, quota: 0, journal: "
        "10, tail_bytes: 77}}",
        "12 open, 12 held (rate 2, journal 10)\n");
    assert_shows("{mqtt: {connections: 1, held_connections: 0}, held: {rate: 0, tail_bytes: 5}}",
                 "1 open, 0 held\n");
}

static void logs_tell_what_is_needed_and_how_long_there_is_room(void **state)
{
    (void)state;
    char *text =
        frame(&plain, NULL,
              "{raw: {needed_bytes: 1024, first_seq: 1, next_seq: 1}, reading_log: {needed_bytes: "
              "512}, limits: {log_bytes: 2048, memory_bytes: 4096}, stored: {waiting_bytes: 1024, "
              "commit_ms_p99: 4.5}, journal_seconds_left: 7200}",
              0, NULL);
    assert_has(text,
               "raw log     ####################....................  1.0 KiB of 2.0 KiB needed, "
               "room for 2 h 0 min\n");
    assert_has(text,
               "reading log ##########..............................  512 B of 2.0 KiB needed\n");
    assert_has(text,
               "uncommitted ##########..............................  1.0 KiB of 4.0 KiB, sync p99 "
               "4.5 ms\n");
    free(text);
    text = frame(&plain, NULL, "{journal_seconds_left: null}", 0, NULL);
    assert_null(strstr(text, "room for"));
    free(text);
}

static void lanes_tell_lag_and_trouble_in_the_order_of_the_gateway(void **state)
{
    (void)state;
    char *text =
        frame(&plain, NULL,
              "{reading_log: {first_seq: 1, next_seq: 101}, lanes: [{name: parquet, health: ok, "
              "lag_messages: 0}, {name: kafka, health: retrying, lag_messages: 50, lag_readings: "
              "200, lag_seconds: 61, why: no broker}]}",
              0, NULL);
    assert_has(text, "parquet     ........................................  ok, nothing waits\n");
    assert_has(
        text,
        "kafka       ####################....................  retrying, 200 readings wait, 1");
    assert_true(strstr(text, "parquet ") < strstr(text, "kafka "));
    free(text);
}

static void a_broker_is_a_gate_of_its_own(void **state)
{
    (void)state;
    assert_shows(
        "{brokers: [{name: head-end-of-north, worker: 2, mqtt: \"5.0\", waiting_bytes: 512, "
        "room_bytes: "
        "1024, held: quota}]}",
        "head-end-2  ####################....................  MQTT 5.0, 512 B of 1.0 KiB wait");
    assert_shows("{brokers: [{name: b, worker: 1, mqtt: \"\", why: refused}]}", "not connected, ");
}

/* ---- rates ---- */

static void rates_are_of_what_changed_between_two_answers(void **state)
{
    (void)state;
    static const char before[] =
        "{started: a, received: 100, readings: 400, stored: {message_bytes: 1000}}";
    static const char now[] =
        "{started: a, received: 300, readings: 1200, stored: {message_bytes: 5096}}";
    static const char anew[] =
        "{started: b, received: 3, readings: 12, stored: {message_bytes: 9}}";
    char *text = frame(&plain, before, now, 2, NULL);
    assert_has(text, "in 100 messages/s, 2.0 KiB/s   decoded 400 readings/s   in all 300\n");
    free(text);
    text = frame(&plain, NULL, now, 2, NULL);
    assert_has(text, "\nin all 300\n");
    free(text);
    text = frame(&plain, before, anew, 2, NULL); /* the gateway was restarted: no rate below 0 */
    assert_has(text, "\nin all 3\n");
    free(text);
}

static void vendors_stand_in_a_table_with_their_rates(void **state)
{
    (void)state;
    static const char before[] = "{started: a, vendors: [{name: acme, messages: 10}]}";
    static const char now[] = "{started: a, vendors: [{name: acme, connections: 3, held: 1, "
                              "messages: 30, bytes: 2048, needed_bytes: 1024, "
                              "dropped: 7}, {name: \"\", connections: 1, held: 0, messages: 5, "
                              "bytes: 1, needed_bytes: 0, dropped: 0}]}";
    char *text = frame(&plain, before, now, 2, NULL);
    assert_has(text,
               "acme                   3       1          10      2.0 KiB      1.0 KiB        7\n");
    assert_has(text,
               "(without login)        1       0                      1 B          0 B        0\n");
    free(text);
}

/* ---- small screens ---- */

static int lines_of(const char *text)
{
    int lines = 0;
    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

static const char crowded[] = "{gateway: 00ff, ready: true, lanes: [{name: a, health: ok}, {name: "
                              "b, health: ok}], vendors: [{name: v1}, "
                              "{name: v2}, {name: v3}, {name: v4}, {name: v5}, {name: v6}]}";

static void nothing_is_longer_or_wider_than_the_screen(void **state)
{
    (void)state;
    char *whole = frame(&plain, NULL, crowded, 0, NULL);
    for (int rows = 0; rows <= lines_of(whole) + 1; rows++)
        for (int columns = 1; columns < 90; columns += 11) {
            struct gates_style style = {.columns = columns, .rows = rows, .newline = "\n"};
            char *text = frame(&style, NULL, crowded, 0, NULL);
            assert_true(lines_of(text) <= rows);
            for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
                assert_true(strcspn(line, "\n") <= (size_t)columns);
            free(text);
        }
    free(whole);
}

static void vendors_that_have_no_room_are_counted(void **state)
{
    (void)state;
    char *whole = frame(&plain, NULL, crowded, 0, NULL);
    struct gates_style style = {.columns = 100, .rows = lines_of(whole) - 3, .newline = "\n"};
    char *text = frame(&style, NULL, crowded, 0, NULL);
    assert_has(text, "\nand 4 more\n");
    assert_has(text, "\nv2 ");
    assert_null(strstr(text, "\nv3 "));
    free(text);
    free(whole);
}

/* Colours take no column, a letter of three bytes takes one, and each line ends without colour. */
static void colours_and_blocks_cost_no_columns(void **state)
{
    (void)state;
    struct gates_style style = {
        .columns = 30, .rows = 100, .colour = true, .blocks = true, .newline = "\n"};
    char *text = frame(&style, NULL, "{mqtt: {connections: 2, held_connections: 1}}", 0, NULL);
    const char *line = strstr(text, "sockets");
    assert_non_null(line);
    int columns = 0;
    bool escape = false;
    for (const char *at = line; *at != '\n'; at++) {
        if (!escape && *at != 033 && ((uint8_t)*at & 0xc0) != 0x80)
            columns++;
        escape = *at == 033 || (escape && *at != 'm');
    }
    assert_int_equal(columns, 30);
    assert_has(line, "█");
    assert_memory_equal(line + strcspn(line, "\n") - 3, "\033[m", 3);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_head_tells_ready_holding_or_no_answer),
        cmocka_unit_test(a_level_is_a_part_of_its_bar),
        cmocka_unit_test(held_connections_tell_their_reasons_but_for_none),
        cmocka_unit_test(logs_tell_what_is_needed_and_how_long_there_is_room),
        cmocka_unit_test(lanes_tell_lag_and_trouble_in_the_order_of_the_gateway),
        cmocka_unit_test(a_broker_is_a_gate_of_its_own),
        cmocka_unit_test(rates_are_of_what_changed_between_two_answers),
        cmocka_unit_test(vendors_stand_in_a_table_with_their_rates),
        cmocka_unit_test(nothing_is_longer_or_wider_than_the_screen),
        cmocka_unit_test(vendors_that_have_no_room_are_counted),
        cmocka_unit_test(colours_and_blocks_cost_no_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
