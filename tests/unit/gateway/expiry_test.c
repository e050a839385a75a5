/* SPDX-License-Identifier: Apache-2.0
 *
 * When the log says that a certificate ends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "expiry.h"

#define HOUR INT64_C(3600000)
#define DAY  (24 * HOUR)
#define NOW  (20000 * DAY)

static void word_depends_on_time_left_and_time_told(void **state)
{
    (void)state;
    static const struct {
        int64_t left_ms, told_ago_ms; /* -1: never told */
        enum expiry_word word;
    } cases[] = {
        {31 * DAY, -1, EXPIRY_QUIET},
        {30 * DAY + 1, -1, EXPIRY_QUIET},
        {30 * DAY, -1, EXPIRY_SOON},
        {29 * DAY, 23 * HOUR, EXPIRY_QUIET},
        {29 * DAY, DAY, EXPIRY_SOON},
        {1, DAY - 1, EXPIRY_QUIET},
        {0, 1, EXPIRY_OVER},
        {-1, -1, EXPIRY_OVER},
        {-2 * HOUR, HOUR - 1, EXPIRY_QUIET},
        {-2 * HOUR, HOUR, EXPIRY_OVER},
        {29 * DAY, -5 * DAY, EXPIRY_SOON},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t told_ms = cases[i].told_ago_ms == -1 ? 0 : NOW - cases[i].told_ago_ms;
        if (expiry_word(NOW + cases[i].left_ms, NOW, told_ms) != cases[i].word)
            fail_msg("case %zu", i);
    }
    assert_int_equal(expiry_word(INT64_MAX, NOW, 0), EXPIRY_QUIET);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(word_depends_on_time_left_and_time_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
