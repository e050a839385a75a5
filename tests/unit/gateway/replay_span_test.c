/* SPDX-License-Identifier: Apache-2.0
 *
 * A span of time -> sequence numbers, over clocks that run as they like.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "lib/temp_dir.h"
#include "replay_pace.h"
#include "replay_span.h"
#include "seq_set.h"

enum { EXTENTS = 60, SEQS = 4, ROTATE_EVERY = 7 };

struct log {
    struct temp_dir dir;
    struct journal *journal;
    int64_t min_ms[EXTENTS], max_ms[EXTENTS]; /* of extent i, which begins at 1 + i * SEQS */
};

static void log_open(struct log *log)
{
    struct journal_recovery found;
    struct err err;
    struct journal_options options = {
        .disk = &disk_real, .dir = log->dir.path, .kind = JOURNAL_RAW, .segment_bytes = 1 << 20};
    assert_int_equal(journal_open(&log->journal, &options, &found, &err), 0);
}

static void log_add(struct log *log, int i, int64_t min_ms, int64_t max_ms)
{
    struct err err;
    struct extent extent = {
        .first_seq = 1 + (uint64_t)i * SEQS,
        .seq_count = SEQS,
        .kind = EXTENT_RECORDS,
        .received_min_ms = log->min_ms[i] = min_ms,
        .received_max_ms = log->max_ms[i] = max_ms,
        .body = bytes_text("something"),
    };
    assert_int_equal(journal_append(log->journal, &extent, &err), 0);
}

/* The bounds of what overlaps, by looking at all. */
static struct replay_span expected(const struct log *log, int64_t from_ms, int64_t to_ms)
{
    struct replay_span span = {0, 0};
    for (int i = 0; i < EXTENTS; i++) {
        if (!replay_overlaps(from_ms, to_ms, log->min_ms[i], log->max_ms[i]))
            continue;
        if (span.first_seq == 0)
            span.first_seq = 1 + (uint64_t)i * SEQS;
        span.last_seq = (uint64_t)(i + 1) * SEQS;
    }
    return span;
}

static void check(const struct log *log, int64_t from_ms, int64_t to_ms)
{
    static const _Atomic bool go_on = false;
    struct replay_span found, right = expected(log, from_ms, to_ms);
    struct err err;
    assert_int_equal(replay_span_find(log->journal, from_ms, to_ms, false, &go_on, &found, &err),
                     0);
    assert_int_equal(found.first_seq, right.first_seq);
    assert_int_equal(found.last_seq, right.last_seq);
}

static void log_end(struct log *log)
{
    journal_close(log->journal);
    temp_dir_remove(&log->dir);
}

static void clocks_may_jump_between_and_within_segments(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 5; seed++) {
        struct log log = {.journal = NULL};
        temp_dir_make(&log.dir);
        log_open(&log);
        srand(seed);
        int64_t now = 1000000;
        for (int i = 0; i < EXTENTS; i++) {
            if (i % ROTATE_EVERY == 0)
                journal_rotate(log.journal);
            now += rand() % 10 == 0 ? rand() % 400 - 300 : rand() % 20;
            log_add(&log, i, now, now + rand() % 5);
        }
        for (int i = 0; i < 200; i++) {
            int64_t from = 999000 + rand() % 3000;
            check(&log, from, from + 1 + rand() % 200);
        }
        journal_close(log.journal);
        log_open(&log); /* what is known after a restart is enough */
        for (int i = 0; i < 100; i++) {
            int64_t from = 999000 + rand() % 3000;
            check(&log, from, from + 1 + rand() % 200);
        }
        check(&log, INT64_MIN, INT64_MAX);
        check(&log, 1, 2);
        log_end(&log);
    }
}

static void the_bounds_of_the_span_are_half_open(void **state)
{
    (void)state;
    struct log log = {.journal = NULL};
    temp_dir_make(&log.dir);
    log_open(&log);
    for (int i = 0; i < EXTENTS; i++)
        log_add(&log, i, 1000 + 10 * i, 1000 + 10 * i);
    struct replay_span found;
    struct err err;
    static const _Atomic bool go_on = false, stop = true;
    assert_int_equal(replay_span_find(log.journal, 1010, 1030, false, &go_on, &found, &err), 0);
    assert_int_equal(found.first_seq, 1 + SEQS);
    assert_int_equal(found.last_seq, 3 * SEQS);
    assert_int_equal(replay_span_find(log.journal, 1010, 1030, false, &stop, &found, &err),
                     GW_ECLOSED);
    log_end(&log);
}

static void an_empty_log_holds_no_span(void **state)
{
    (void)state;
    struct log log = {.journal = NULL};
    temp_dir_make(&log.dir);
    log_open(&log);
    check(&log, 0, INT64_MAX);
    log_end(&log);
}

static void warming_up_begins_about_a_day_before(void **state)
{
    (void)state;
    struct log log = {.journal = NULL};
    temp_dir_make(&log.dir);
    log_open(&log);
    for (int i = 0; i < EXTENTS; i++) {
        if (i % 10 == 0)
            journal_rotate(log.journal);
        log_add(&log, i, 1000000 + 1000 * i, 1000000 + 1000 * i);
    }
    /* From message 161 (extent 40, a segment's first) 15 s back: extents 30 to 39 are less than
     * that away, 20 to 29 end 11 s away, 10 to 19 end 21 s away. */
    assert_int_equal(replay_span_before(log.journal, 161, 15000, UINT64_MAX), 1 + 20 * SEQS);
    assert_int_equal(replay_span_before(log.journal, 161, INT64_MAX / 4, UINT64_MAX), 1);
    assert_int_equal(replay_span_before(log.journal, 161, 15000, 1), 1 + 30 * SEQS);
    assert_int_equal(replay_span_before(log.journal, 1, 15000, UINT64_MAX), 1);
    /* In the middle of a segment: from its beginning at least. */
    assert_int_equal(replay_span_before(log.journal, 170, 0, 0), 161);
    log_end(&log);
}

static void a_bucket_holds_no_more_than_a_second(void **state)
{
    (void)state;
    struct replay_pace pace = {.rate = 1000};
    assert_int_equal(replay_pace_take(&pace, 500, 10000), 0); /* a debt of 500 */
    assert_int_equal(replay_pace_take(&pace, 500, 10000), 501);
    assert_int_equal(replay_pace_take(&pace, 500, 11000), 0);  /* 1000 came, none are left */
    assert_int_equal(replay_pace_take(&pace, 1500, 71000), 0); /* a minute later: that of 100 ms */
    assert_int_equal(replay_pace_take(&pace, 1, 71000), 1401);
    assert_int_equal(replay_pace_slice(&pace), 50);
    struct replay_pace none = {.rate = 0};
    assert_int_equal(replay_pace_take(&none, 1000000, 1), 0);
    assert_int_equal(replay_pace_slice(&none), 0);
    struct replay_pace slow = {.rate = 3};
    assert_int_equal(replay_pace_slice(&slow), 1);
}

static void speed_is_that_of_the_last_seconds(void **state)
{
    (void)state;
    struct replay_speed speed = {.count = 0};
    assert_true(replay_speed(&speed, 0, 1000) < 1);
    for (int i = 1; i <= 20; i++)
        replay_speed(&speed, (uint64_t)i * 100, 1000 + 1000 * i);
    double now = replay_speed(&speed, 2000, 21000);
    assert_true(now > 99 && now < 101);
    for (int i = 1; i <= 20; i++)
        now = replay_speed(&speed, 2000, 21000 + 1000 * i);
    assert_true(now < 1);
}

static void a_set_has_what_was_added_in_any_order(void **state)
{
    (void)state;
    struct seq_set set = {0};
    assert_false(seq_set_has(&set, 1));
    for (uint64_t i = 1000; i > 0; i--)
        seq_set_add(&set, i * 2 + 1000 * (i % 2));
    seq_set_seal(&set);
    for (uint64_t i = 1; i <= 1000; i++)
        assert_true(seq_set_has(&set, i * 2 + 1000 * (i % 2)));
    assert_false(seq_set_has(&set, 0));
    assert_false(seq_set_has(&set, 7));
    assert_false(seq_set_has(&set, 100000));
    seq_set_clear(&set);
    assert_false(seq_set_has(&set, 4));
    seq_set_fini(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clocks_may_jump_between_and_within_segments),
        cmocka_unit_test(the_bounds_of_the_span_are_half_open),
        cmocka_unit_test(an_empty_log_holds_no_span),
        cmocka_unit_test(warming_up_begins_about_a_day_before),
        cmocka_unit_test(a_bucket_holds_no_more_than_a_second),
        cmocka_unit_test(speed_is_that_of_the_last_seconds),
        cmocka_unit_test(a_set_has_what_was_added_in_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
