/* SPDX-License-Identifier: Apache-2.0
 *
 * Option rows: every type, its default, its range, and messages that say what is allowed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/nearest.h"
#include "base/option.h"

#include <stdbool.h>
#include <string.h>

struct sample {
    bool sync;
    int64_t count;
    uint64_t size;
    int64_t age_ms;
    int mode;
    char *name;
    char *path;
    char *listen;
    struct option_map extra;
};

static const char *const modes[] = {"hold", "park", "drop", NULL};

#define ROW(member) offsetof(struct sample, member)
static const struct option rows[] = {
    {"sync", OPTION_BOOL, ROW(sync), "true", 0, 0, NULL, "Whether to sync."},
    {"count", OPTION_INT, ROW(count), "3", -5, 10, NULL, "How many."},
    {"size", OPTION_SIZE, ROW(size), "64KiB", 4096, 1 << 30, NULL, "How large."},
    {"age", OPTION_DURATION, ROW(age_ms), "10s", 1, 86400000, NULL, "How old."},
    {"mode", OPTION_ENUM, ROW(mode), "park", 0, 0, modes, "What to do."},
    {"name", OPTION_STRING, ROW(name), NULL, 0, 0, NULL, "A name."},
    {"path", OPTION_PATH, ROW(path), "data", 0, 0, NULL, "A folder."},
    {"listen", OPTION_ADDRESS, ROW(listen), "127.0.0.1:1883", 0, 0, NULL, "Where to listen."},
    {"extra", OPTION_MAP, ROW(extra), NULL, 0, 0, NULL, "What only a library knows."},
    {0},
};

static struct sample fresh(void)
{
    struct sample sample = {0};
    option_defaults(rows, &sample);
    return sample;
}

static int set(struct sample *sample, const char *name, const char *text, struct err *err)
{
    const struct option *row = option_find(rows, name);
    assert_non_null(row);
    return option_set(row, sample, text, err);
}

static void defaults_fill_every_member(void **state)
{
    (void)state;
    struct sample sample = fresh();
    assert_true(sample.sync);
    assert_int_equal(sample.count, 3);
    assert_int_equal(sample.size, 65536);
    assert_int_equal(sample.age_ms, 10000);
    assert_int_equal(sample.mode, 1);
    assert_null(sample.name);
    assert_string_equal(sample.path, "data");
    assert_string_equal(sample.listen, "127.0.0.1:1883");
    option_fini(rows, &sample);
    assert_null(sample.path);
    option_fini(rows, &sample);
}

static void values_are_set_and_strings_replaced(void **state)
{
    (void)state;
    struct err err;
    struct sample sample = fresh();
    assert_int_equal(set(&sample, "sync", "false", &err), 0);
    assert_int_equal(set(&sample, "count", "-5", &err), 0);
    assert_int_equal(set(&sample, "size", "1GiB", &err), 0);
    assert_int_equal(set(&sample, "age", "24h", &err), 0);
    assert_int_equal(set(&sample, "mode", "hold", &err), 0);
    assert_int_equal(set(&sample, "name", "", &err), 0);
    assert_int_equal(set(&sample, "path", "../x y", &err), 0);
    assert_int_equal(set(&sample, "listen", "[::1]:0", &err), 0);
    assert_false(sample.sync);
    assert_int_equal(sample.count, -5);
    assert_int_equal(sample.size, 1 << 30);
    assert_int_equal(sample.age_ms, 86400000);
    assert_int_equal(sample.mode, 0);
    assert_string_equal(sample.name, "");
    assert_string_equal(sample.path, "../x y");
    assert_string_equal(sample.listen, "[::1]:0");
    option_fini(rows, &sample);
}

static void refusals_say_what_is_allowed(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *says;
    } cases[] = {
        {"sync", "yes", "sync: \"yes\" must be true or false"},
        {"sync", "", "true or false"},
        {"count", "3.5", "count: \"3.5\" must be a whole number"},
        {"count", "", "whole number"},
        {"count", " 3", "whole number"},
        {"count", "+3", "whole number"},
        {"count", "99999999999999999999", "whole number"},
        {"count", "11", "count: 11 is out of range: -5 to 10"},
        {"count", "-6", "-5 to 10"},
        {"size", "64K", "must be a size such as 4096, 64KiB"},
        {"size", "-1", "must be a size"},
        {"size", "1.5MiB", "must be a size"},
        {"size", "KiB", "must be a size"},
        {"size", "18446744073709551616", "must be a size"},
        {"size", "99999999999TiB", "must be a size"},
        {"size", "9223372036854775808", "must be a size"},
        {"size", "1", "size: 1 is out of range: 4KiB to 1GiB"},
        {"size", "2GiB", "4KiB to 1GiB"},
        {"age", "10", "must be a time with its unit"},
        {"age", "10 years", "must be a time with its unit"},
        {"age", "106751991168d", "must be a time with its unit"},
        {"age", "0", "age: 0 is out of range: 1ms to 1d"},
        {"age", "25h", "1ms to 1d"},
        {"mode", "prak", "mode: \"prak\" must be hold, park or drop: did you mean \"park\"?"},
        {"mode", "elephant", "mode: \"elephant\" must be hold, park or drop"},
        {"path", "", "must not be empty"},
        {"listen", "1883", "must be HOST:PORT"},
        {"listen", ":1883", "must be HOST:PORT"},
        {"listen", "host:", "must be HOST:PORT"},
        {"listen", "host:65536", "must be HOST:PORT"},
        {"listen", "host:-1", "must be HOST:PORT"},
        {"listen", "host:18x", "must be HOST:PORT"},
        {"listen", "::1:1883", "must be HOST:PORT"},
        {"listen", "[]:1883", "must be HOST:PORT"},
        {"listen", "[host]:1883", "must be HOST:PORT"},
        {"listen", "a host:1883", "must be HOST:PORT"},
    };
    struct sample sample = fresh();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = {""};
        if (set(&sample, cases[i].name, cases[i].text, &err) != GW_EINVAL ||
            strstr(err.text, cases[i].says) == NULL)
            fail_msg("%s \"%s\": \"%s\" does not say \"%s\"", cases[i].name, cases[i].text,
                     err.text, cases[i].says);
    }
    assert_int_equal(sample.count, 3);
    assert_int_equal(sample.size, 65536);
    assert_string_equal(sample.listen, "127.0.0.1:1883");
    option_fini(rows, &sample);
}

static void sizes_and_durations_have_units(void **state)
{
    (void)state;
    uint64_t size;
    int64_t ms;
    assert_int_equal(option_parse_size("0", &size), 0);
    assert_int_equal(size, 0);
    assert_int_equal(option_parse_size("40 GiB", &size), 0);
    assert_true(size == UINT64_C(40) << 30);
    assert_int_equal(option_parse_size("5kB", &size), 0);
    assert_int_equal(size, 5000);
    assert_int_equal(option_parse_size("7MB", &size), 0);
    assert_int_equal(size, 7000000);
    assert_int_equal(option_parse_size("2TiB", &size), 0);
    assert_true(size == UINT64_C(2) << 40);
    assert_int_equal(option_parse_duration("500ms", &ms), 0);
    assert_int_equal(ms, 500);
    assert_int_equal(option_parse_duration("5m", &ms), 0);
    assert_int_equal(ms, 300000);
    assert_int_equal(option_parse_duration("7d", &ms), 0);
    assert_int_equal(ms, 604800000);
    assert_int_equal(option_parse_duration("0", &ms), 0);
    assert_int_equal(ms, 0);
    assert_int_equal(option_parse_duration("1", &ms), GW_EINVAL);
    assert_int_equal(option_parse_duration("", &ms), GW_EINVAL);
}

static void nearest_finds_what_was_meant(void **state)
{
    (void)state;
    assert_string_equal(option_nearest(rows, "lisen"), "listen");
    assert_string_equal(option_nearest(rows, "cuont"), "count");
    assert_string_equal(option_nearest(rows, "siize"), "size");
    assert_null(option_nearest(rows, "elephant"));
    assert_null(option_nearest(rows, ""));
    assert_null(option_find(rows, "lisen"));
    assert_int_equal(nearest_distance("", "abc"), 3);
    assert_int_equal(nearest_distance("flush_aeg", "flush_age"), 1);
    assert_int_equal(nearest_distance("kitten", "sitting"), 3);
    static const char *const names[] = {"keep_alive_max", "keep_size", NULL};
    assert_string_equal(nearest_name(names, "keep_aliv"), "keep_alive_max");
    assert_null(nearest_name(names, "kee"));
    char large[100];
    memset(large, 'a', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    assert_true(nearest_distance(large, "a") == SIZE_MAX);
    assert_null(option_nearest(rows, large));
}

static void maps_keep_order_and_the_last_value_of_a_key(void **state)
{
    (void)state;
    struct err err;
    struct sample sample = fresh();
    assert_int_equal(sample.extra.count, 0);
    assert_null(option_map_find(&sample.extra, "b"));
    assert_int_equal(set(&sample, "extra", "b=1=2", &err), 0);
    assert_int_equal(set(&sample, "extra", "a=", &err), 0);
    assert_int_equal(set(&sample, "extra", "b=3", &err), 0);
    assert_int_equal(sample.extra.count, 2);
    assert_string_equal(sample.extra.keys[0], "b");
    assert_string_equal(sample.extra.values[0], "3");
    assert_string_equal(option_map_find(&sample.extra, "a"), "");
    assert_int_equal(set(&sample, "extra", "=3", &err), GW_EINVAL);
    assert_int_equal(set(&sample, "extra", "b", &err), GW_EINVAL);
    assert_string_equal(err.text, "extra: \"b\" must be NAME=VALUE");
    option_fini(rows, &sample);
    assert_int_equal(sample.extra.count, 0);
    option_fini(rows, &sample);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_fill_every_member),
        cmocka_unit_test(values_are_set_and_strings_replaced),
        cmocka_unit_test(refusals_say_what_is_allowed),
        cmocka_unit_test(sizes_and_durations_have_units),
        cmocka_unit_test(nearest_finds_what_was_meant),
        cmocka_unit_test(maps_keep_order_and_the_last_value_of_a_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
