/* SPDX-License-Identifier: Apache-2.0
 *
 * Times of `tidegate replay`, as people write them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/replay_job.h"

enum { NOW = 1700000000 };
static const int64_t now_ms = INT64_C(1000) * NOW; /* 2023-11-14T22:13:20Z */

static int64_t time_of(const char *text, bool end)
{
    struct err err;
    int64_t ms = 0;
    if (replay_time_parse(text, end, now_ms, &ms, &err))
        fail_msg("%s: %s", text, err.text);
    return ms;
}

static void times_are_taken_as_people_write_them(void **state)
{
    (void)state;
    assert_int_equal(time_of("now", false), now_ms);
    assert_int_equal(time_of("-2h", false), now_ms - 7200000);
    assert_int_equal(time_of("-90s", true), now_ms - 90000);
    assert_int_equal(time_of("-7d", false), now_ms - INT64_C(7) * 86400000);
    assert_int_equal(time_of("2023-11-14T22:13:20Z", false), now_ms);
    assert_int_equal(time_of("2023-11-15T06:13:20.500+08:00", true), now_ms + 500);
}

static void a_day_is_whole(void **state)
{
    (void)state;
    int64_t begin = time_of("2023-11-14", false);
    assert_int_equal(begin, now_ms - now_ms % 86400000);
    assert_int_equal(time_of("2023-11-14", true), begin + 86400000);
}

static void what_is_no_time_is_told(void **state)
{
    static const char *const texts[] = {
        "",     "yesterday", "2h", "-2 parsecs", "2023-11-14T22:13:20", "2023-13-01", "2023-11-14x",
        "--2h", "20231114",  "-",  "1700000000",
    };
    (void)state;
    for (size_t i = 0; i < array_count(texts); i++) {
        struct err err = {{0}};
        int64_t ms;
        if (replay_time_parse(texts[i], false, now_ms, &ms, &err) != GW_EINVAL || !err.text[0])
            fail_msg("\"%s\" was taken", texts[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_taken_as_people_write_them),
        cmocka_unit_test(a_day_is_whole),
        cmocka_unit_test(what_is_no_time_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
