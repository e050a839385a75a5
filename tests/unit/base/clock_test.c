/* SPDX-License-Identifier: Apache-2.0
 *
 * Civil dates and RFC 3339.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"

static void days_and_civil_dates_are_inverse(void **state)
{
    (void)state;
    int64_t first = clock_days_from_civil(-400, 1, 1);
    int64_t last = clock_days_from_civil(2800, 1, 1);
    int year = -401;
    for (int64_t days = first; days < last; days++) {
        int month, day;
        clock_civil_from_days(days, &year, &month, &day);
        assert_true(month >= 1 && month <= 12 && day >= 1 && day <= 31);
        assert_int_equal(clock_days_from_civil(year, month, day), days);
    }
    assert_int_equal(year, 2799);
    assert_int_equal(clock_days_from_civil(1970, 1, 1), 0);
    assert_int_equal(clock_days_from_civil(2000, 3, 1), 11017);
}

static void fields_out_of_range_are_refused(void **state)
{
    (void)state;
    static const int bad[][7] = {
        {2026, 0, 1, 0, 0, 0, 0},    {2026, 13, 1, 0, 0, 0, 0}, {2026, 1, 0, 0, 0, 0, 0},
        {2026, 4, 31, 0, 0, 0, 0},   {2026, 2, 29, 0, 0, 0, 0}, {1900, 2, 29, 0, 0, 0, 0},
        {2026, 1, 1, 24, 0, 0, 0},   {2026, 1, 1, 0, 60, 0, 0}, {2026, 1, 1, 0, 0, 61, 0},
        {2026, 1, 1, 0, 0, 0, 1000}, {10000, 1, 1, 0, 0, 0, 0}, {2026, 1, 1, -1, 0, 0, 0},
    };
    int64_t ms;
    for (size_t i = 0; i < array_count(bad); i++)
        assert_false(clock_civil_ms(bad[i][0], bad[i][1], bad[i][2], bad[i][3], bad[i][4],
                                    bad[i][5], bad[i][6], &ms));
    assert_true(clock_civil_ms(2000, 2, 29, 23, 59, 60, 0, &ms));
    assert_int_equal(ms, 951868799999);
}

static void rfc3339_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
        bool zoned;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0, true},
        {"2026-11-21T08:00:00+08:00", 1795219200000, true},
        {"2026-11-21 00:00:00", 1795219200000, false},
        {"2026-11-21t00:00:00.5z", 1795219200500, true},
        {"2026-11-21T00:00:00,1239", 1795219200123, false},
        {"2026-11-20T20:30:00-0330", 1795219200000, true},
        {"2026-11-21T08:00:00+08", 1795219200000, true},
        {"1969-12-31T23:59:59.999Z", -1, true},
    };
    for (size_t i = 0; i < array_count(cases); i++) {
        int64_t ms = 0;
        bool zoned = !cases[i].zoned;
        assert_true(clock_parse_rfc3339(bytes_text(cases[i].text), &ms, &zoned));
        assert_int_equal(ms, cases[i].ms);
        assert_int_equal(zoned, cases[i].zoned);
    }
}

static void what_is_no_rfc3339_is_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "2026-11-21",
        "2026-11-21T08:00",
        "2026-11-21T08:00:00.",
        "2026-11-21T08:00:00ZZ",
        "2026-11-21T08:00:00 Z",
        "2026-11-21T08:00:00+8",
        "2026-11-21T08:00:00+24:00",
        "2026-11-21T08:00:00+08:60",
        "2026-13-21T08:00:00Z",
        "2026-11-31T08:00:00Z",
        " 2026-11-21T08:00:00Z",
        "26-11-21T08:00:00Z",
        "2026/11/21T08:00:00Z",
    };
    for (size_t i = 0; i < array_count(cases); i++) {
        int64_t ms;
        bool zoned;
        if (clock_parse_rfc3339(bytes_text(cases[i]), &ms, &zoned))
            print_error("\"%s\" was taken\n", cases[i]);
        assert_false(clock_parse_rfc3339(bytes_text(cases[i]), &ms, &zoned));
    }
}

static void format_and_parse_are_inverse(void **state)
{
    (void)state;
    char text[CLOCK_TEXT_SIZE];
    for (int64_t ms = -62135596800000; ms < 253402300799999; ms += 7777777777777) {
        int64_t back = 0;
        bool zoned = false;
        clock_format_ms(ms, text);
        assert_int_equal(strlen(text), CLOCK_TEXT_SIZE - 1);
        assert_true(clock_parse_rfc3339(bytes_text(text), &back, &zoned));
        assert_int_equal(back, ms);
        assert_true(zoned);
    }
}

static void format_clamps_to_four_digits_of_year(void **state)
{
    (void)state;
    char text[CLOCK_TEXT_SIZE];
    assert_string_equal(clock_format_ms(INT64_MAX, text), "9999-12-31T23:59:59.999Z");
    assert_string_equal(clock_format_ms(INT64_MIN, text), "0000-01-01T00:00:00.000Z");
}

static void the_monotonic_clock_never_falls(void **state)
{
    (void)state;
    int64_t before = clock_monotonic_ns();
    for (int i = 0; i < 1000; i++) {
        int64_t now = clock_monotonic_ns();
        assert_true(now >= before);
        before = now;
    }
    assert_true(clock_wall_ms() > 1700000000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(days_and_civil_dates_are_inverse),
        cmocka_unit_test(fields_out_of_range_are_refused),
        cmocka_unit_test(rfc3339_is_read),
        cmocka_unit_test(what_is_no_rfc3339_is_refused),
        cmocka_unit_test(format_and_parse_are_inverse),
        cmocka_unit_test(format_clamps_to_four_digits_of_year),
        cmocka_unit_test(the_monotonic_clock_never_falls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
