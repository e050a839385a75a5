/* SPDX-License-Identifier: Apache-2.0
 *
 * `tidegate status` in words: what a lane's numbers become.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cli/status_summary.h"

/* The lines of one answer, without rates; the caller frees them. */
static char *summary(const char *json)
{
    struct yaml yaml;
    struct buffer errors = {0}, out = {0};
    assert_int_equal(yaml_parse(&yaml, bytes_text(json), "status", &errors), 0);
    status_summary(NULL, yaml.root, 0, &out);
    char *text = bytes_strdup(buffer_bytes(&out));
    yaml_fini(&yaml);
    buffer_fini(&errors);
    buffer_fini(&out);
    for (const char *line = text; *line;) {
        size_t size = strcspn(line, "\n");
        if (size > 100)
            fail_msg("longer than 100: %.*s", (int)size, line);
        line += size + (line[size] == '\n');
    }
    return text;
}

static void assert_line(const char *json, const char *line)
{
    char *text = summary(json);
    if (strstr(text, line) == NULL)
        fail_msg("wanted %s in:\n%s", line, text);
    free(text);
}

static void a_lane_that_keeps_up_is_one_line(void **state)
{
    (void)state;
    char *text =
        summary("{ready: true, lanes: [{name: kafka, health: ok, when_full: hold, lag_messages: 0, "
                "lag_readings: 0, open_rows: 0, rows: 120, retries_by_reason: {timeout: 3}, "
                "parked_messages: 0, why: \"\"}], orphan_cursors: []}");
    assert_non_null(strstr(text, "\nsink      kafka ok, nothing waits, 120 stored\n"));
    assert_null(strstr(text, "timeout"));
    assert_null(strstr(text, "ALARM"));
    free(text);
}

static void a_lane_in_trouble_tells_lag_reasons_and_what_it_missed(void **state)
{
    (void)state;
    char *text = summary(
        "{lanes: [{name: ch, health: retrying, when_full: park, lag_messages: 40, lag_readings: "
        "200,"
        " lag_seconds: 3700, open_rows: 80, rows: 7, parked_messages: 90, parked_first_seq: 11,"
        " parked_last_seq: 100, retries_by_reason: {unreachable: 12, timeout: 3},"
        " why: connection refused}]}");
    assert_non_null(strstr(
        text, "sink      ch RETRYING, 200 readings wait for 1 h 1 min, 80 in flight, 7 stored;"
              " parks when full\n"
              "          why: connection refused\n"
              "          retries since start: unreachable 12, timeout 3\n"
              "          PARKED: it missed 90 messages from 11 to 100; `tidegate lane ls`\n"));
    free(text);
    assert_line("{lanes: [{name: ch, health: stopped}]}", "sink      ch STOPPED until you act");
}

static void history_tells_how_far_back_a_replay_can_go_and_why(void **state)
{
    (void)state;
    char *text = summary(
        "{raw: {oldest: \"2026-11-15T08:00:00.000Z\", history_seconds: 601200, bytes: 3221225472, "
        "limited_by: keep}, reading_log: {oldest: \"2026-11-15T08:00:00.000Z\", history_seconds: "
        "3600, bytes: 1024, limited_by: sink, held_by: kafka}, dead_letters: {oldest: null, "
        "history_seconds: 0, bytes: 0, limited_by: keep}}");
    assert_non_null(strstr(text, "history   messages of 6 days 23 h, 3.0 GiB; limited by keep\n"
                                 "          readings of 1 h 0 min, 1.0 KiB; held by sink kafka\n"));
    assert_null(strstr(text, "dead letters of"));
    free(text);
    assert_line("{raw: {oldest: x, history_seconds: 5, bytes: 0, limited_by: room}}",
                "SHORT OF ROOM");
}

static void what_went_another_way_is_told_when_there_is_some(void **state)
{
    (void)state;
    assert_line("{lanes: [{name: a, health: ok, refused_rows: 3, lost_messages: 4, rewinds: 1}]}",
                "          3 readings it will never take are dead letters\n"
                "          DAMAGE to the reading log kept 4 messages from it\n"
                "          sent again from what was safe there: 1 times\n");
    char *text = summary("{lanes: [{name: a, health: ok, refused_rows: 0, lost_messages: 0}]}");
    assert_null(strstr(text, "never take"));
    assert_null(strstr(text, "DAMAGE"));
    free(text);
}

static void a_long_reason_is_broken_at_blanks(void **state)
{
    (void)state;
    char *text = summary("{lanes: [{name: ch, health: retrying, why: \"sink clickhouse: "
                         "127.0.0.1:2: Failed to connect"
                         " to 127.0.0.1 port 2 after 0 ms: Couldn't connect to server\"}]}");
    assert_non_null(strstr(text,
                           "\n          why: sink clickhouse: 127.0.0.1:2: Failed to connect to "
                           "127.0.0.1 port 2 after 0 ms:\n               Couldn't connect to "
                           "server\n"));
    free(text);
    char word[400];
    memset(word, 'x', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    char *json = mem_printf("{lanes: [{name: ch, why: \"%s\"}]}", word);
    free(summary(json)); /* which checks the width */
    free(json);
}

static void a_cursor_without_a_sink_is_an_alarm(void **state)
{
    (void)state;
    assert_line("{orphan_cursors: [{name: old, held_bytes: 3221225472, why: \"\"}]}",
                "ALARM     cursor old has no sink and holds 3.0 GiB of the logs for it\n"
                "          configure the sink again, or: tidegate lane drop old --data DIR\n");
    assert_line("{orphan_cursors: [{name: old, held_bytes: 0, why: both slots are bad}]}",
                "ALARM     cursor old has no sink: both slots are bad\n");
}

static void the_outlook_is_a_time_never_or_more_than_a_month(void **state)
{
    (void)state;
    assert_line(
        "{journal_seconds_left: 12000}",
        "journal   has room for 3 h 20 min at the present rate, should no sink take anything");
    assert_line("{journal_seconds_left: 0}", "journal   has room for 0 s at");
    assert_line("{journal_seconds_left: 2592001}", "journal   has room for more than 30 days at");
    assert_line("{journal_seconds_left: 2592000}", "journal   has room for 30 days 0 h at");
    assert_line("{journal_seconds_left: null}", "journal   does not grow now\n");
}

static void a_replay_that_runs_is_told_with_what_it_waits_for(void **state)
{
    static const char json[] =
        "{replays: [{id: 20261122-081500-1, sink: parquet, share: 0.25, readings: 1000,"
        " readings_per_s: 500.0, seconds_left: 180, why: \"\"},"
        " {id: 20261122-081500-2, sink: kafka, share: 0, readings: 0, readings_per_s: 0,"
        " seconds_left: null, why: \"the sink takes nothing\"}]}";
    (void)state;
    assert_line(json, "replay    20261122-081500-1 to parquet: 25.0 %, 1000 readings, 500/s, ");
    assert_line(json, " left\n");
    assert_line(json, "replay    20261122-081500-2 to kafka: 0.0 %, 0 readings, 0/s\n"
                      "          why: the sink takes nothing\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lane_that_keeps_up_is_one_line),
        cmocka_unit_test(a_lane_in_trouble_tells_lag_reasons_and_what_it_missed),
        cmocka_unit_test(history_tells_how_far_back_a_replay_can_go_and_why),
        cmocka_unit_test(what_went_another_way_is_told_when_there_is_some),
        cmocka_unit_test(a_long_reason_is_broken_at_blanks),
        cmocka_unit_test(a_cursor_without_a_sink_is_an_alarm),
        cmocka_unit_test(the_outlook_is_a_time_never_or_more_than_a_month),
        cmocka_unit_test(a_replay_that_runs_is_told_with_what_it_waits_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
