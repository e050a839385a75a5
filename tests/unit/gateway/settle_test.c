/* SPDX-License-Identifier: Apache-2.0
 *
 * Marks of what settles: never early, hardly late, in memory that does not grow.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "settle.h"

static void without_a_time_all_is_settled_at_once(void **state)
{
    (void)state;
    struct settle settle;
    settle_init(&settle, 0);
    for (uint64_t seq = 2; seq < 500; seq++) {
        settle_confirmed(&settle, seq, 1000);
        assert_int_equal(settle_reached(&settle, 1000), seq);
        assert_int_equal(settle_reached(&settle, 1000), 0);
    }
}

static void one_confirmation_settles_after_its_time(void **state)
{
    (void)state;
    struct settle settle;
    settle_init(&settle, 900000);
    settle_confirmed(&settle, 77, 5000);
    assert_int_equal(settle_reached(&settle, 904999), 0);
    assert_int_equal(settle_reached(&settle, 905000), 77);
    assert_int_equal(settle_reached(&settle, 999999), 0);
}

/* A hundred a second for an hour: what is said to be settled was confirmed long enough ago, and at
 * most a few parts longer. */
static void a_steady_stream_settles_never_early_and_hardly_late(void **state)
{
    (void)state;
    enum { AFTER_MS = 60000, STEP_MS = 10 };
    struct settle settle;
    settle_init(&settle, AFTER_MS);
    uint64_t settled = 0;
    for (int64_t now = 0; now < 3600000; now += STEP_MS) {
        uint64_t seq = (uint64_t)(now / STEP_MS) + 1; /* confirmed at (seq - 1) * STEP_MS */
        settle_confirmed(&settle, seq, now);
        uint64_t reached = settle_reached(&settle, now);
        if (reached) {
            assert_true(reached > settled);
            settled = reached;
            assert_true((int64_t)(reached - 1) * STEP_MS <= now - AFTER_MS);
        }
        if (now > 2 * AFTER_MS)
            assert_true((int64_t)(settled - 1) * STEP_MS >=
                        now - AFTER_MS - 3 * AFTER_MS / SETTLE_PARTS);
        assert_true(settle.count <= SETTLE_PARTS + 4);
    }
}

static void what_is_forgotten_never_settles(void **state)
{
    (void)state;
    struct settle settle;
    settle_init(&settle, 100);
    settle_confirmed(&settle, 5, 0);
    settle_confirmed(&settle, 9, 50);
    settle_forget(&settle);
    assert_int_equal(settle_reached(&settle, 1000), 0);
    settle_confirmed(&settle, 3, 1000);
    assert_int_equal(settle_reached(&settle, 1100), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_time_all_is_settled_at_once),
        cmocka_unit_test(one_confirmation_settles_after_its_time),
        cmocka_unit_test(a_steady_stream_settles_never_early_and_hardly_late),
        cmocka_unit_test(what_is_forgotten_never_settles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
