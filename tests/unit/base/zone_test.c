/* SPDX-License-Identifier: Apache-2.0
 *
 * Time zones: fixed offsets, the system's files against libc, made-up files, hostile ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/zone.h"
#include "base/zone_rule.h"

static struct zone *zone_of(const char *name)
{
    struct zone *zone = NULL;
    struct err err = {0};
    if (zone_new(name, &zone, &err) != 0)
        print_error("%s\n", err.text);
    assert_non_null(zone);
    assert_string_equal(zone_name(zone), name);
    return zone;
}

static int64_t civil(const char *text)
{
    int64_t ms = 0;
    bool zoned = true;
    assert_true(clock_parse_rfc3339(bytes_text(text), &ms, &zoned));
    assert_false(zoned);
    return ms;
}

static void assert_utc(const struct zone *zone, const char *local, const char *wanted)
{
    char text[CLOCK_TEXT_SIZE];
    assert_string_equal(clock_format_ms(zone_to_utc(zone, civil(local)), text), wanted);
}

/* ---- fixed offsets ---- */

static void fixed_offsets_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int minutes;
    } cases[] = {
        {"UTC", 0},      {"Z", 0},       {"+08:00", 480},    {"+0800", 480},
        {"+08", 480},    {"UTC+8", 480}, {"UTC+08:00", 480}, {"-03:30", -210},
        {"UTC-5", -300}, {"+00:00", 0},  {"+23:59", 1439},
    };
    for (size_t i = 0; i < array_count(cases); i++) {
        struct zone *zone = zone_of(cases[i].name);
        assert_int_equal(zone_to_utc(zone, 1000000000123),
                         1000000000123 - cases[i].minutes * 60000);
        zone_free(zone);
    }
}

static void bad_names_are_refused_with_a_hint(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "+8",
        "+08:",
        "+24:00",
        "+08:60",
        "+08:00:00",
        "08:00",
        "UTC+",
        "UTC+123",
        "../etc/passwd",
        "Asia/../UTC",
        "/etc/localtime",
        "Asia Shanghai",
        "Asia/Nowhere",
        "Europe",
        "zone.tab",
        "GMT+8",
        "tzdata.zi",
    };
    for (size_t i = 0; i < array_count(cases); i++) {
        struct zone *zone = NULL;
        struct err err = {0};
        if (zone_new(cases[i], &zone, &err) == 0)
            print_error("\"%s\" was taken\n", cases[i]);
        assert_null(zone);
        assert_non_null(strstr(err.text, "time zone"));
    }
}

static void extreme_times_do_not_overflow(void **state)
{
    (void)state;
    struct zone *fixed = zone_of("+08:00");
    struct zone *named = zone_of("Europe/Berlin");
    static const int64_t times[] = {INT64_MIN, INT64_MIN / 2, 0, INT64_MAX / 2, INT64_MAX};
    for (size_t i = 0; i < array_count(times); i++) {
        zone_to_utc(fixed, times[i]);
        zone_to_utc(named, times[i]);
    }
    assert_int_equal(zone_to_utc(fixed, INT64_MIN), INT64_MIN);
    zone_free(fixed);
    zone_free(named);
}

/* ---- named zones ---- */

static void shanghai_is_eight_hours_ahead(void **state)
{
    (void)state;
    struct zone *zone = zone_of("Asia/Shanghai");
    assert_utc(zone, "2026-11-22T08:00:00", "2026-11-22T00:00:00.000Z");
    assert_utc(zone, "2150-07-01T08:00:00.250", "2150-07-01T00:00:00.250Z");
    /* Daylight time of 1986 to 1991. */
    assert_utc(zone, "1988-07-01T08:00:00", "1988-06-30T23:00:00.000Z");
    zone_free(zone);
}

static void a_time_that_exists_twice_is_the_first(void **state)
{
    (void)state;
    struct zone *zone = zone_of("Europe/Berlin");
    assert_utc(zone, "2026-10-25T01:59:59", "2026-10-24T23:59:59.000Z");
    assert_utc(zone, "2026-10-25T02:00:00", "2026-10-25T00:00:00.000Z");
    assert_utc(zone, "2026-10-25T02:59:59", "2026-10-25T00:59:59.000Z");
    assert_utc(zone, "2026-10-25T03:00:00", "2026-10-25T02:00:00.000Z");
    zone_free(zone);
}

static void a_time_that_does_not_exist_is_shifted_by_the_gap(void **state)
{
    (void)state;
    struct zone *zone = zone_of("Europe/Berlin");
    assert_utc(zone, "2026-03-29T01:59:59", "2026-03-29T00:59:59.000Z");
    assert_utc(zone, "2026-03-29T02:30:00", "2026-03-29T01:30:00.000Z");
    assert_utc(zone, "2026-03-29T03:00:00", "2026-03-29T01:00:00.000Z");
    zone_free(zone);
}

static void a_day_that_does_not_exist_is_shifted(void **state)
{
    (void)state;
    /* Samoa left out 30 December 2011. */
    struct zone *zone = zone_of("Pacific/Apia");
    assert_utc(zone, "2011-12-29T12:00:00", "2011-12-29T22:00:00.000Z");
    assert_utc(zone, "2011-12-30T12:00:00", "2011-12-30T22:00:00.000Z");
    assert_utc(zone, "2011-12-31T12:00:00", "2011-12-30T22:00:00.000Z");
    zone_free(zone);
}

/* libc reads the same files with other code. mktime's answer counts where it is its own inverse,
 * which leaves out the hours that exist twice or never. */
static void every_zone_agrees_with_libc(void **state)
{
    (void)state;
    static const char *const names[] = {
        "Asia/Shanghai",       "Europe/London",    "Europe/Dublin", "America/New_York",
        "America/Sao_Paulo",   "Asia/Tehran",      "Asia/Gaza",     "Africa/Casablanca",
        "Australia/Lord_Howe", "Pacific/Apia",     "America/Nuuk",  "Asia/Kolkata",
        "Asia/Kathmandu",      "Etc/GMT-8",        "Africa/Cairo",  "America/Santiago",
        "Pacific/Chatham",     "Antarctica/Troll",
    };
    for (size_t i = 0; i < array_count(names); i++) {
        struct zone *zone = zone_of(names[i]);
        setenv("TZ", names[i], 1);
        tzset();
        /* A prime step of 162 days samples all hours and seasons. */
        for (time_t at = -157766400; at < 4070908800; at += 14000003) {
            struct tm local;
            localtime_r(&at, &local);
            int64_t civil_ms = 0;
            assert_true(clock_civil_ms(local.tm_year + 1900, local.tm_mon + 1, local.tm_mday,
                                       local.tm_hour, local.tm_min, local.tm_sec, 0, &civil_ms));
            int64_t utc_s = zone_to_utc(zone, civil_ms) / 1000;
            if (utc_s != at && utc_s + 3 * 3600 < at)
                print_error("%s: %lld, libc %lld\n", names[i], (long long)utc_s, (long long)at);
            /* The second of two has the first's answer, up to three hours before. */
            assert_true(utc_s == at || (utc_s < at && utc_s + 3 * 3600 >= at));
            struct tm back;
            time_t first = utc_s;
            localtime_r(&first, &back);
            assert_int_equal(back.tm_hour, local.tm_hour);
            assert_int_equal(back.tm_min, local.tm_min);
        }
        zone_free(zone);
    }
    setenv("TZ", "UTC", 1);
    tzset();
}

/* ---- files ---- */

struct tzif {
    struct buffer bytes;
};

static void header(struct tzif *file, char version, uint32_t times, uint32_t types, uint32_t leaps)
{
    buffer_add_text(&file->bytes, "TZif");
    buffer_u8(&file->bytes, (uint8_t)version);
    buffer_add(&file->bytes, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 15);
    buffer_u32_be(&file->bytes, 0);
    buffer_u32_be(&file->bytes, 0);
    buffer_u32_be(&file->bytes, leaps);
    buffer_u32_be(&file->bytes, times);
    buffer_u32_be(&file->bytes, types);
    buffer_u32_be(&file->bytes, 4);
}

static void type(struct tzif *file, int32_t offset_s)
{
    buffer_u32_be(&file->bytes, (uint32_t)offset_s);
    buffer_add(&file->bytes, "\0\0", 2);
}

/* Two types, +1 h and +2 h, changing at 1000 s and 2000 s, and a footer. */
static struct tzif small_file(const char *footer)
{
    struct tzif file = {0};
    header(&file, '2', 0, 1, 0);
    type(&file, 0);
    buffer_add_text(&file.bytes, "ABC");
    buffer_u8(&file.bytes, 0);
    header(&file, '2', 2, 2, 0);
    for (uint32_t at = 1000; at <= 2000; at += 1000) {
        buffer_u32_be(&file.bytes, 0);
        buffer_u32_be(&file.bytes, at);
    }
    buffer_add(&file.bytes, "\1\0", 2);
    type(&file, 3600);
    type(&file, 7200);
    buffer_add_text(&file.bytes, "ABC");
    buffer_u8(&file.bytes, 0);
    buffer_u8(&file.bytes, '\n');
    buffer_add_text(&file.bytes, footer);
    buffer_u8(&file.bytes, '\n');
    return file;
}

static int load(const struct tzif *file, struct zone **zone)
{
    struct err err = {0};
    *zone = NULL;
    return zone_from_tzif("test", buffer_bytes(&file->bytes), zone, &err);
}

static void a_small_file_is_read(void **state)
{
    (void)state;
    struct tzif file = small_file("ABC-1");
    struct zone *zone;
    assert_int_equal(load(&file, &zone), 0);
    assert_int_equal(zone_to_utc(zone, 0), -3600000);
    assert_int_equal(zone_to_utc(zone, (1000 + 7200) * 1000), 1000000);
    assert_int_equal(zone_to_utc(zone, (1999 + 7200) * 1000), 1999000);
    assert_int_equal(zone_to_utc(zone, (2000 + 7200) * 1000), 2000000 + 3600000);
    zone_free(zone);
    buffer_fini(&file.bytes);
}

static void the_footer_rule_goes_on_behind_the_table(void **state)
{
    (void)state;
    struct tzif file = small_file("ABC-1DEF,M3.5.0,M10.5.0/3");
    struct zone *zone;
    assert_int_equal(load(&file, &zone), 0);
    assert_utc(zone, "2026-01-15T12:00:00", "2026-01-15T11:00:00.000Z");
    assert_utc(zone, "2026-07-15T12:00:00", "2026-07-15T10:00:00.000Z");
    assert_utc(zone, "2199-07-15T12:00:00", "2199-07-15T10:00:00.000Z");
    zone_free(zone);
    buffer_fini(&file.bytes);
}

static void every_truncated_file_is_refused(void **state)
{
    (void)state;
    struct tzif file = small_file("ABC-1");
    struct zone *zone;
    struct err err;
    for (size_t size = 0; size < file.bytes.size; size++) {
        uint8_t *copy = malloc(size + 1);
        memcpy(copy, file.bytes.data, size);
        assert_int_not_equal(zone_from_tzif("test", bytes_of(copy, size), &zone, &err), 0);
        free(copy);
    }
    buffer_fini(&file.bytes);
}

/* Whatever a byte becomes: refused, or a zone that answers. */
static void no_changed_byte_does_harm(void **state)
{
    (void)state;
    struct tzif file = small_file("ABC-1DEF,M3.5.0,M10.5.0/3");
    static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff, ',', '9'};
    for (size_t i = 0; i < file.bytes.size; i++) {
        uint8_t kept = file.bytes.data[i];
        for (size_t j = 0; j < sizeof values; j++) {
            struct zone *zone;
            file.bytes.data[i] = values[j];
            if (load(&file, &zone) == 0) {
                zone_to_utc(zone, 1500000);
                zone_to_utc(zone, 1795334400000);
            }
            zone_free(zone);
        }
        file.bytes.data[i] = kept;
    }
    buffer_fini(&file.bytes);
}

static void leap_second_files_are_refused(void **state)
{
    (void)state;
    struct tzif file = {0};
    struct zone *zone;
    header(&file, '\0', 0, 1, 1);
    type(&file, 0);
    buffer_add_text(&file.bytes, "ABC");
    buffer_u8(&file.bytes, 0);
    buffer_add(&file.bytes, "\0\0\0\0\0\0\0\1", 8);
    assert_int_equal(load(&file, &zone), GW_EINVAL);
    buffer_fini(&file.bytes);
}

static void a_version_one_file_is_read(void **state)
{
    (void)state;
    struct tzif file = {0};
    struct zone *zone;
    header(&file, '\0', 1, 2, 0);
    buffer_u32_be(&file.bytes, (uint32_t)-1000);
    buffer_u8(&file.bytes, 1);
    type(&file, 0);
    type(&file, -3600);
    buffer_add_text(&file.bytes, "ABC");
    buffer_u8(&file.bytes, 0);
    assert_int_equal(load(&file, &zone), 0);
    assert_int_equal(zone_to_utc(zone, -10000000), -10000000);
    assert_int_equal(zone_to_utc(zone, 0), 3600000);
    zone_free(zone);
    buffer_fini(&file.bytes);
}

/* ---- rules ---- */

static void rules_are_parsed_or_refused(void **state)
{
    (void)state;
    static const char *const good[] = {
        "CST-8",
        "<+0330>-3:30",
        "EST5EDT,M3.2.0,M11.1.0",
        "IST-2IDT,M3.4.4/26,M10.5.0",
        "<-02>2<-01>,M3.5.0/-1,M10.5.0/0",
        "XXX3EDT4,0/0,J365/23",
        "ABC0DEF,J60,300/167",
    };
    static const char *const bad[] = {
        "",
        "A1",
        "CST",
        "CST-25",
        "CST-8:60",
        "CST-8X",
        "EST5EDT",
        "EST5EDT,",
        "EST5EDT,M3.2.0",
        "EST5EDT,M13.2.0,M11.1.0",
        "EST5EDT,M3.6.0,M11.1.0",
        "EST5EDT,M3.2.7,M11.1.0",
        "EST5EDT,M3.2.0,M11.1.0 ",
        "EST5EDT,J0,J1",
        "EST5EDT,366,J1",
        "<+03-3",
        "EST5EDT,M3.2.0/168,M11.1.0",
        "EST99999999",
    };
    struct zone_rule rule;
    for (size_t i = 0; i < array_count(good); i++)
        assert_true(zone_rule_parse(bytes_text(good[i]), &rule));
    for (size_t i = 0; i < array_count(bad); i++) {
        if (zone_rule_parse(bytes_text(bad[i]), &rule))
            print_error("\"%s\" was taken\n", bad[i]);
        assert_false(zone_rule_parse(bytes_text(bad[i]), &rule));
    }
}

static void assert_change(const char *rule_text, int year, int index, const char *wanted)
{
    struct zone_rule rule;
    struct zone_change changes[2];
    char text[CLOCK_TEXT_SIZE];
    assert_true(zone_rule_parse(bytes_text(rule_text), &rule));
    zone_rule_changes(&rule, year, changes);
    assert_string_equal(clock_format_ms(changes[index].at_s * 1000, text), wanted);
}

static void days_of_change_are_found(void **state)
{
    (void)state;
    assert_change("EST5EDT,M3.2.0,M11.1.0", 2026, 0, "2026-03-08T07:00:00.000Z");
    assert_change("EST5EDT,M3.2.0,M11.1.0", 2026, 1, "2026-11-01T06:00:00.000Z");
    assert_change("ABC0DEF,J59/0,J60/0", 2024, 0, "2024-02-28T00:00:00.000Z");
    assert_change("ABC0DEF,J59/0,J60/0", 2024, 1, "2024-02-29T23:00:00.000Z");
    assert_change("ABC0DEF,59/0,60/0", 2024, 0, "2024-02-29T00:00:00.000Z");
    assert_change("ABC0DEF,M12.5.4,M2.5.4/0", 2026, 1, "2026-12-31T02:00:00.000Z");
    /* South of the equator daylight time ends first. */
    assert_change("<-04>4<-03>,M9.1.6/24,M4.1.6/24", 2026, 0, "2026-04-05T03:00:00.000Z");
    assert_change("<-04>4<-03>,M9.1.6/24,M4.1.6/24", 2026, 1, "2026-09-06T04:00:00.000Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fixed_offsets_are_read),
        cmocka_unit_test(bad_names_are_refused_with_a_hint),
        cmocka_unit_test(extreme_times_do_not_overflow),
        cmocka_unit_test(shanghai_is_eight_hours_ahead),
        cmocka_unit_test(a_time_that_exists_twice_is_the_first),
        cmocka_unit_test(a_time_that_does_not_exist_is_shifted_by_the_gap),
        cmocka_unit_test(a_day_that_does_not_exist_is_shifted),
        cmocka_unit_test(every_zone_agrees_with_libc),
        cmocka_unit_test(a_small_file_is_read),
        cmocka_unit_test(the_footer_rule_goes_on_behind_the_table),
        cmocka_unit_test(every_truncated_file_is_refused),
        cmocka_unit_test(no_changed_byte_does_harm),
        cmocka_unit_test(leap_second_files_are_refused),
        cmocka_unit_test(a_version_one_file_is_read),
        cmocka_unit_test(rules_are_parsed_or_refused),
        cmocka_unit_test(days_of_change_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
