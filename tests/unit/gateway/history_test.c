/* SPDX-License-Identifier: Apache-2.0
 *
 * What ends a log's history: the rule of retention, asked the other way round.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "history.h"

enum { HOUR = 3600 * 1000, MIB = 1 << 20 };

static const struct history_needs nobody = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, 0};

/* Segments of 64 MiB; the oldest holds what is below 100, the last of it an hour old; 7 hours are kept. */
static struct history_now usual(void)
{
    return (struct history_now){
        .oldest_end = 100,
        .oldest_max_ms = 9 * HOUR,
        .bytes = 128 * MIB,
        .segment_bytes = 64 * MIB,
        .keep_ms = 7 * HOUR,
        .keep_bytes = UINT64_C(1024) * MIB,
        .now_ms = 10 * HOUR,
    };
}

static void assert_limit(const struct history_now *now, const struct history_needs *needs,
                         const char *wanted)
{
    assert_string_equal(history_limit_name(history_judge(now, needs)), wanted);
}

static void a_small_log_lasts_as_long_as_keep(void **state)
{
    (void)state;
    struct history_now now = usual();
    assert_limit(&now, &nobody, "keep");
    const struct history_needs behind = {.sink = 5, .cursor = 7, .replay = 9, .decoder = 11};
    assert_limit(&now, &behind, "keep"); /* nothing would go anyway */
}

static void a_log_that_fills_its_size_is_limited_by_that(void **state)
{
    (void)state;
    struct history_now now = usual();
    now.bytes = now.keep_bytes - 1; /* the next segment is too much */
    assert_limit(&now, &nobody, "keep_size");
    now.bytes = 0;
    now.keep_ms = 0; /* age alone lets nothing go */
    assert_limit(&now, &nobody, "keep_size");
}

static void without_keep_only_what_is_needed_stays(void **state)
{
    (void)state;
    struct history_now now = usual();
    const struct history_needs sink = {
        .sink = 5, .cursor = UINT64_MAX, .replay = UINT64_MAX, .decoder = UINT64_MAX};
    now.keep_ms = 0;
    now.keep_bytes = 0;
    assert_limit(&now, &nobody, "none");
    assert_limit(&now, &sink, "sink");
}

static void what_is_too_old_and_still_there_is_held_by_who_needs_the_oldest(void **state)
{
    (void)state;
    struct history_now now = usual();
    struct history_needs needs = {.sink = 50, .cursor = 40, .replay = 30, .decoder = 20};
    now.oldest_max_ms = HOUR;
    assert_limit(&now, &needs, "decoder");
    needs.decoder = 100; /* the oldest segment ends there: it needs none of it */
    assert_limit(&now, &needs, "replay");
    needs.replay = UINT64_MAX;
    assert_limit(&now, &needs, "cursor");
    needs.cursor = UINT64_MAX;
    assert_limit(&now, &needs, "sink");
    needs.sink = 100;
    assert_limit(&now, &needs, "keep");
    needs.sink = 5;
    now.oldest_end = 0; /* the only segment never goes */
    assert_limit(&now, &needs, "keep");
}

static void short_room_takes_history_before_its_time(void **state)
{
    (void)state;
    struct history_now now = usual();
    struct history_needs needs = nobody;
    now.room_is_short = true;
    assert_limit(&now, &needs, "room");
    needs.sink = 99;
    assert_limit(&now, &needs, "sink");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_log_lasts_as_long_as_keep),
        cmocka_unit_test(a_log_that_fills_its_size_is_limited_by_that),
        cmocka_unit_test(without_keep_only_what_is_needed_stays),
        cmocka_unit_test(what_is_too_old_and_still_there_is_held_by_who_needs_the_oldest),
        cmocka_unit_test(short_room_takes_history_before_its_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
