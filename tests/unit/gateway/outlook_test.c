/* SPDX-License-Identifier: Apache-2.0
 *
 * How long the journal lasts: from samples alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "outlook.h"

#define MIB (UINT64_C(1) << 20)

/* Both logs grow by so much a second, sampled every two seconds. */
struct growth {
    uint64_t raw, readings;
};

static struct outlook_now begin(void)
{
    return (struct outlook_now){
        .at_ms = 5000,
        .logs = {{.written = 7 * MIB, .max = 1024 * MIB}, {.written = MIB, .max = 1024 * MIB}},
        .volume_room = 100000 * MIB,
    };
}

static void run(struct outlook *outlook, struct outlook_now *now, struct growth growth, int samples)
{
    for (int i = 0; i < samples; i++) {
        outlook_sample(outlook, now);
        now->at_ms += 2000;
        now->logs[0].written += 2 * growth.raw;
        now->logs[1].written += 2 * growth.readings;
    }
}

static void nothing_is_told_before_two_samples_or_without_growth(void **state)
{
    (void)state;
    struct outlook outlook = {.seconds_left = -1};
    struct outlook_now now = begin();
    run(&outlook, &now, (struct growth){MIB, MIB}, 1);
    assert_int_equal(outlook.seconds_left, -1);
    struct outlook still = {.seconds_left = -1};
    run(&still, &now, (struct growth){0, 0}, 40);
    assert_int_equal(still.seconds_left, -1);
}

static void the_log_that_is_full_first_counts(void **state)
{
    (void)state;
    struct outlook outlook = {0};
    struct outlook_now now = begin();
    now.logs[0].needed = 24 * MIB;
    run(&outlook, &now, (struct growth){2 * MIB, MIB}, 10);
    assert_int_equal(outlook.seconds_left, 500); /* 1000 MiB at 2 MiB/s; the other one 1024 */
    assert_int_equal(outlook.room, 1000 * MIB);
    assert_int_equal(outlook.rate, 2 * MIB);
    now.logs[1].needed = 974 * MIB;
    run(&outlook, &now, (struct growth){2 * MIB, MIB}, 1);
    assert_int_equal(outlook.seconds_left, 50);
    now.logs[1].needed = 2000 * MIB; /* beyond the limit, after it was lowered */
    run(&outlook, &now, (struct growth){2 * MIB, MIB}, 1);
    assert_int_equal(outlook.seconds_left, 0);
}

static void the_volume_is_filled_by_both_logs(void **state)
{
    (void)state;
    struct outlook outlook = {0};
    struct outlook_now now = begin();
    now.volume_room = 300 * MIB;
    run(&outlook, &now, (struct growth){2 * MIB, MIB}, 10);
    assert_int_equal(outlook.seconds_left, 100);
    assert_int_equal(outlook.rate, 3 * MIB);
    now.logs[0].max = now.logs[1].max = 0; /* no limits but the volume's */
    run(&outlook, &now, (struct growth){2 * MIB, MIB}, 1);
    assert_int_equal(outlook.seconds_left, 100);
}

static void only_the_last_minute_counts(void **state)
{
    (void)state;
    struct outlook outlook = {0};
    struct outlook_now now = begin();
    run(&outlook, &now, (struct growth){100 * MIB, 0}, 100);
    run(&outlook, &now, (struct growth){MIB, 0}, OUTLOOK_SAMPLES + 1);
    assert_int_equal(outlook.seconds_left, 1024);
    run(&outlook, &now, (struct growth){0, 0}, OUTLOOK_SAMPLES + 1);
    assert_int_equal(outlook.seconds_left, -1);
}

/* Senders are held, so nothing grows: that is no reason to be calm. */
static void a_full_log_has_no_time_left(void **state)
{
    (void)state;
    struct outlook outlook = {.seconds_left = -1};
    struct outlook_now now = begin();
    now.full = true;
    run(&outlook, &now, (struct growth){0, 0}, 1);
    assert_int_equal(outlook.seconds_left, 0);
    run(&outlook, &now, (struct growth){MIB, 0}, 3);
    assert_int_equal(outlook.seconds_left, 0);
    now.full = false;
    run(&outlook, &now, (struct growth){MIB, 0}, 1);
    assert_true(outlook.seconds_left > 0);
}

static void a_trickle_lasts_long_and_stays_a_number(void **state)
{
    (void)state;
    struct outlook outlook = {0};
    struct outlook_now now = begin();
    now.logs[0].max = now.logs[1].max = UINT64_C(1) << 50;
    now.volume_room = UINT64_MAX;
    run(&outlook, &now, (struct growth){1, 0}, 10);
    assert_int_equal(outlook.seconds_left, INT64_C(10) * 366 * 86400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_told_before_two_samples_or_without_growth),
        cmocka_unit_test(the_log_that_is_full_first_counts),
        cmocka_unit_test(the_volume_is_filled_by_both_logs),
        cmocka_unit_test(only_the_last_minute_counts),
        cmocka_unit_test(a_full_log_has_no_time_left),
        cmocka_unit_test(a_trickle_lasts_long_and_stays_a_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
