/* SPDX-License-Identifier: Apache-2.0
 *
 * What an answer means for the block. The texts are those of real servers, 18.16 and 26.7.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "sinks/clickhouse/bisect.h"
#include "sinks/clickhouse/errors.h"

static struct ch_verdict insert_verdict(int status, int header_code, const char *body)
{
    struct ch_verdict verdict;
    struct http_answer answer = {.end = HTTP_ANSWERED,
                                 .status = status,
                                 .exception_code = header_code,
                                 .body = bytes_text(body),
                                 .why = ""};
    ch_judge_insert(&answer, "ch1:8123", &verdict);
    return verdict;
}

static struct ch_verdict end_verdict(enum http_end end)
{
    struct ch_verdict verdict;
    struct http_answer answer = {.end = end, .why = "it broke"};
    ch_judge_insert(&answer, "ch1:8123", &verdict);
    return verdict;
}

/* ---- stored or not ---- */

static void only_200_with_nothing_else_is_stored(void **state)
{
    (void)state;
    assert_int_equal(insert_verdict(200, 0, "").outcome, CH_STORED);
    assert_int_equal(insert_verdict(204, 0, "").outcome, CH_RETRY);
    assert_int_equal(insert_verdict(200, 0, "<html>sign in</html>").outcome, CH_RETRY);
    assert_int_equal(insert_verdict(200, 241, "").outcome, CH_RETRY);
    assert_int_equal(insert_verdict(200, -1, "").outcome, CH_RETRY);
    for (int end = HTTP_UNREACHABLE; end <= HTTP_BROKEN; end++)
        assert_int_equal(end_verdict((enum http_end)end).outcome, CH_RETRY);
}

static void an_exception_after_200_is_a_failure(void **state)
{
    (void)state;
    struct ch_verdict verdict = insert_verdict(
        200, 0,
        "Code: 241, e.displayText() = DB::Exception: Memory limit (total) exceeded, e.what() = x");
    assert_int_equal(verdict.outcome, CH_RETRY);
    assert_int_equal(verdict.reason, SINK_REASON_BUSY);
    assert_int_equal(verdict.code, 241);
    verdict = insert_verdict(200, 0,
                             "__exception__\r\nabcdefgh\r\nCode: 159. DB::Exception: Timeout "
                             "exceeded\r\n");
    assert_int_equal(verdict.reason, SINK_REASON_TIMEOUT);
}

static void a_query_is_answered_by_200_without_an_exception(void **state)
{
    (void)state;
    struct ch_verdict verdict;
    struct http_answer answer = {
        .end = HTTP_ANSWERED, .status = 200, .body = bytes_text("18.16.1\t12\n")};
    ch_judge_query(&answer, "h", &verdict);
    assert_int_equal(verdict.outcome, CH_STORED);
    answer.body_cut = true;
    ch_judge_query(&answer, "h", &verdict);
    assert_int_equal(verdict.outcome, CH_RETRY);
    answer.body_cut = false;
    answer.body = bytes_text("vendor\tString\nCode: 241. DB::Exception: Memory");
    ch_judge_query(&answer, "h", &verdict);
    assert_int_equal(verdict.outcome, CH_RETRY);
}

/* ---- which reason ---- */

static void codes_have_their_reasons(void **state)
{
    (void)state;
    static const struct {
        int status, code;
        enum ch_outcome outcome;
        enum sink_reason reason;
        bool elsewhere;
    } rows[] = {
        {500, 252, CH_RETRY, SINK_REASON_BUSY, false},
        {500, 202, CH_RETRY, SINK_REASON_BUSY, true},
        {500, 241, CH_RETRY, SINK_REASON_BUSY, true},
        {500, 159, CH_RETRY, SINK_REASON_TIMEOUT, true},
        {500, 319, CH_RETRY, SINK_REASON_UNKNOWN, false},
        {500, 242, CH_RETRY, SINK_REASON_UNAVAILABLE, true},
        {500, 225, CH_RETRY, SINK_REASON_UNAVAILABLE, true},
        {500, 243, CH_RETRY, SINK_REASON_UNAVAILABLE, true},
        {500, 285, CH_RETRY, SINK_REASON_UNAVAILABLE, true},
        {500, 999, CH_RETRY, SINK_REASON_UNAVAILABLE, true},
        {500, 40, CH_RETRY, SINK_REASON_OTHER, true},
        {404, 60, CH_RETRY, SINK_REASON_SCHEMA, false},
        {404, 81, CH_RETRY, SINK_REASON_SCHEMA, false},
        {500, 16, CH_RETRY, SINK_REASON_SCHEMA, false},
        {404, 47, CH_RETRY, SINK_REASON_SCHEMA, false},
        {401, 193, CH_RETRY, SINK_REASON_DENIED, false},
        {401, 192, CH_RETRY, SINK_REASON_DENIED, false},
        {403, 516, CH_RETRY, SINK_REASON_DENIED, false},
        {500, 497, CH_RETRY, SINK_REASON_DENIED, false},
        {500, 27, CH_CONTENT, SINK_REASON_SCHEMA, false},
        {500, 53, CH_CONTENT, SINK_REASON_SCHEMA, false},
        {500, 69, CH_CONTENT, SINK_REASON_SCHEMA, false},
        {400, 117, CH_CONTENT, SINK_REASON_SCHEMA, false},
        {400, 469, CH_CONTENT, SINK_REASON_SCHEMA, false},
        {500, 4711, CH_RETRY, SINK_REASON_OTHER, true},
    };
    for (size_t i = 0; i < array_count(rows); i++)
        for (int in_header = 0; in_header < 2; in_header++) {
            char body[100];
            snprintf(body, sizeof body, "Code: %d, e.displayText() = DB::Exception: x",
                     rows[i].code);
            struct ch_verdict verdict = in_header
                                            ? insert_verdict(rows[i].status, rows[i].code, "text")
                                            : insert_verdict(rows[i].status, 0, body);
            assert_int_equal(verdict.code, rows[i].code);
            assert_int_equal(verdict.outcome, rows[i].outcome);
            assert_int_equal(verdict.reason, rows[i].reason);
            assert_int_equal(verdict.elsewhere, rows[i].elsewhere);
        }
}

/* The same code for what passes and for what stays. */
static void too_many_partitions_are_a_matter_of_the_table(void **state)
{
    (void)state;
    struct ch_verdict verdict = insert_verdict(
        500, 252, "Code: 252. DB::Exception: Too many parts (300). Merges are processing slower");
    assert_int_equal(verdict.reason, SINK_REASON_BUSY);
    verdict = insert_verdict(500, 252,
                             "Code: 252. DB::Exception: Too many partitions for single INSERT "
                             "block (more than 100). The limit is controlled by "
                             "'max_partitions_per_insert_block' setting");
    assert_int_equal(verdict.outcome, CH_RETRY);
    assert_int_equal(verdict.reason, SINK_REASON_SCHEMA);
    assert_false(verdict.elsewhere);
}

static void answers_without_a_code_go_by_their_status(void **state)
{
    (void)state;
    assert_int_equal(insert_verdict(503, 0, "").reason, SINK_REASON_UNAVAILABLE);
    assert_int_equal(insert_verdict(429, 0, "slow down").reason, SINK_REASON_BUSY);
    assert_int_equal(insert_verdict(504, 0, "").reason, SINK_REASON_UNKNOWN);
    assert_int_equal(insert_verdict(401, 0, "").reason, SINK_REASON_DENIED);
    assert_int_equal(insert_verdict(301, 0, "").reason, SINK_REASON_OPERATOR);
    assert_int_equal(insert_verdict(413, 0, "").reason, SINK_REASON_OPERATOR);
    assert_non_null(strstr(insert_verdict(413, 0, "").why, "block_rows"));
    assert_non_null(strstr(insert_verdict(307, 0, "").why, "redirect"));
    assert_true(insert_verdict(503, 0, "").elsewhere);
}

static void broken_connections_are_told_apart(void **state)
{
    (void)state;
    assert_int_equal(end_verdict(HTTP_UNREACHABLE).reason, SINK_REASON_UNREACHABLE);
    assert_int_equal(end_verdict(HTTP_TIMED_OUT).reason, SINK_REASON_TIMEOUT);
    assert_int_equal(end_verdict(HTTP_BROKEN).reason, SINK_REASON_UNKNOWN);
    assert_true(end_verdict(HTTP_REFUSED).reason >= SINK_REASON_OPERATOR);
    assert_true(end_verdict(HTTP_BROKEN).lost);
    assert_true(end_verdict(HTTP_BROKEN).elsewhere);
}

static void the_sentence_names_host_and_is_fit_for_a_log(void **state)
{
    (void)state;
    char body[5000];
    memset(body, '\x1b', sizeof body);
    memcpy(body, "Code: 252, \r", 12);
    body[sizeof body - 1] = '\0';
    struct ch_verdict verdict = insert_verdict(500, 0, body);
    assert_int_equal(verdict.code, 252);
    assert_memory_equal(verdict.why, "ch1:8123: TOO_MANY_PARTS: Code: 252", 34);
    for (const char *at = verdict.why; *at; at++)
        assert_true(*at >= 0x20 && *at < 0x7f);
}

static void numbers_behind_code_are_bounded(void **state)
{
    (void)state;
    assert_int_equal(ch_code_of_text(bytes_text("Code: 60, e")), 60);
    assert_int_equal(ch_code_of_text(bytes_text("x Code: 60")), 60);
    assert_int_equal(ch_code_of_text(bytes_text("Code: ")), 0);
    assert_int_equal(ch_code_of_text(bytes_text("")), 0);
    assert_true(ch_code_of_text(bytes_text("Code: 99999999999999999999")) > 0);
}

/* ---- halving ---- */

/* Runs it against a table that refuses the rows of `bad`; returns requests. */
static uint32_t run_bisect(struct bisect *bisect, uint32_t rows, const bool *bad, uint32_t *stored)
{
    struct row_range piece;
    uint32_t requests = 0;
    bisect_init(bisect, (struct row_range){0, rows});
    while (bisect_next(bisect, &piece)) {
        bool fails = false;
        requests++;
        for (uint32_t i = 0; i < piece.count; i++)
            fails |= bad[piece.first + i];
        if (fails)
            bisect_failed(bisect);
        else
            bisect_stored(bisect);
        for (uint32_t i = 0; i < piece.count && !fails; i++)
            stored[piece.first + i]++;
    }
    return requests;
}

static void every_bad_row_is_found_and_every_other_stored_once(void **state)
{
    (void)state;
    enum { ROWS = 3001 };
    static bool bad[ROWS];
    static uint32_t stored[ROWS];
    static const uint32_t steps[] = {100, 777, 2999, ROWS};
    for (size_t s = 0; s < array_count(steps); s++)
        for (uint32_t first = 0; first < ROWS; first += 499) {
            struct bisect bisect;
            uint32_t expected = 0;
            memset(bad, 0, sizeof bad);
            memset(stored, 0, sizeof stored);
            for (uint32_t i = first; i < ROWS; i += steps[s]) {
                bad[i] = true;
                expected++;
            }
            uint32_t requests = run_bisect(&bisect, ROWS, bad, stored);
            assert_int_equal(bisect.found_count, expected);
            assert_false(bisect.overflow);
            assert_true(requests <= expected * 26);
            for (uint32_t i = 0; i < ROWS; i++)
                assert_int_equal(stored[i], bad[i] ? 0 : 1);
            for (uint32_t i = 0; i < expected; i++)
                assert_int_equal(bisect.found[i], first + i * steps[s]);
        }
}

static void a_table_that_takes_nothing_ends_the_search(void **state)
{
    (void)state;
    static bool bad[100000];
    static uint32_t stored[100000];
    struct bisect bisect;
    memset(bad, true, sizeof bad);
    uint32_t requests = run_bisect(&bisect, 100000, bad, stored);
    assert_true(bisect.overflow);
    assert_true(requests < 1000);
    assert_int_equal(bisect.found_count, BISECT_FOUND_MAX);
}

static void one_row_that_failed_is_found_at_once(void **state)
{
    (void)state;
    struct bisect bisect;
    struct row_range piece;
    bisect_init(&bisect, (struct row_range){7, 1});
    assert_false(bisect_next(&bisect, &piece));
    assert_int_equal(bisect.found_count, 1);
    assert_int_equal(bisect.found[0], 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_200_with_nothing_else_is_stored),
        cmocka_unit_test(an_exception_after_200_is_a_failure),
        cmocka_unit_test(a_query_is_answered_by_200_without_an_exception),
        cmocka_unit_test(codes_have_their_reasons),
        cmocka_unit_test(too_many_partitions_are_a_matter_of_the_table),
        cmocka_unit_test(answers_without_a_code_go_by_their_status),
        cmocka_unit_test(broken_connections_are_told_apart),
        cmocka_unit_test(the_sentence_names_host_and_is_fit_for_a_log),
        cmocka_unit_test(numbers_behind_code_are_bounded),
        cmocka_unit_test(every_bad_row_is_found_and_every_other_stored_once),
        cmocka_unit_test(a_table_that_takes_nothing_ends_the_search),
        cmocka_unit_test(one_row_that_failed_is_found_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
