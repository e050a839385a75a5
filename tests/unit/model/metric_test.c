/* SPDX-License-Identifier: Apache-2.0
 *
 * The vocabulary: the fixed table is sound, additions are checked, names are found.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "model/metric.h"
#include "model/unit.h"

static struct vocabulary *vocabulary;

static int set_up(void **state)
{
    (void)state;
    vocabulary = vocabulary_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    vocabulary_free(vocabulary);
    return 0;
}

static const char *found(const char *name)
{
    const struct metric *metric = vocabulary_find(vocabulary, bytes_text(name));
    return metric ? metric->name : "";
}

static const char *unit_of(const char *name)
{
    const struct metric *metric = vocabulary_find(vocabulary, bytes_text(name));
    assert_non_null(metric);
    return metric->unit;
}

static void every_entry_is_found_by_its_name(void **state)
{
    (void)state;
    size_t count = 0;
    for (const struct metric *metric; (metric = vocabulary_at(vocabulary, count)); count++)
        assert_ptr_equal(vocabulary_find(vocabulary, bytes_text(metric->name)), metric);
    assert_true(count >= 40);
    assert_null(vocabulary_at(vocabulary, count));
}

static void every_unit_is_canonical(void **state)
{
    (void)state;
    const struct metric *metric;
    for (size_t i = 0; (metric = vocabulary_at(vocabulary, i)); i++) {
        assert_true(bytes_equal_text(unit_canonical(bytes_text(metric->unit)), metric->unit));
        assert_true(strlen(metric->help) > 1);
        if (metric->has_range)
            assert_true(decimal_compare(metric->min, metric->max) < 0);
    }
}

/* Other programs rely on these pairs: they stand in every store. */
static void names_and_units_are_those_of_the_stores(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"volume.total", "m3"},
        {"volume.reverse", "m3"},
        {"volume.settlement", "m3"},
        {"flow", "m3/h"},
        {"pressure", "kPa"},
        {"level", "m"},
        {"temperature.water", "degC"},
        {"turbidity", "NTU"},
        {"chlorine.free", "mg/L"},
        {"ph", ""},
        {"conductivity", "uS/cm"},
        {"battery.voltage", "V"},
        {"valve.state", ""},
        {"alarm.leak", ""},
        {"signal.rssi", "dBm"},
        {"signal.snr", "dB"},
        {"orp", "mV"},
        {"energy.electric", "kWh"},
    };
    for (size_t i = 0; i < array_count(pairs); i++)
        assert_string_equal(unit_of(pairs[i][0]), pairs[i][1]);
}

static void valves_and_alarms_are_events(void **state)
{
    (void)state;
    assert_true(vocabulary_find(vocabulary, bytes_text("valve.state"))->event);
    assert_true(vocabulary_find(vocabulary, bytes_text("alarm.battery_low"))->event);
    assert_false(vocabulary_find(vocabulary, bytes_text("volume.total"))->event);
}

static void a_further_sensor_is_of_the_same_kind(void **state)
{
    (void)state;
    assert_string_equal(found("level.2"), "level");
    assert_string_equal(found("level.999"), "level");
    assert_string_equal(found("temperature.water.3"), "temperature.water");
    assert_string_equal(found("level.1"), "");
    assert_string_equal(found("level.0"), "");
    assert_string_equal(found("level.02"), "");
    assert_string_equal(found("level.1000"), "");
    assert_string_equal(found("level."), "");
    assert_string_equal(found("level2"), "");
    assert_string_equal(found(".2"), "");
    assert_string_equal(found("2"), "");
    assert_string_equal(found("level.2.2"), "");
}

static void a_wildcard_matches_what_is_behind_its_dot(void **state)
{
    (void)state;
    assert_string_equal(found("alarm.leak"), "alarm.*");
    assert_string_equal(found("alarm.leak.2"), "alarm.*");
    assert_string_equal(found("alarm.a.b.c"), "alarm.*");
    assert_string_equal(found("alarm."), "");
    assert_string_equal(found("alarm"), "");
    assert_string_equal(found("alarms.leak"), "");
}

static void unknown_names_are_unknown(void **state)
{
    (void)state;
    char lengthy[5000];
    assert_string_equal(found("humbug"), "");
    assert_string_equal(found(""), "");
    assert_string_equal(found("Flow"), "");
    memset(lengthy, '.', sizeof lengthy);
    assert_null(vocabulary_find(vocabulary, bytes_of(lengthy, sizeof lengthy)));
}

static void additions_are_copied_and_found(void **state)
{
    (void)state;
    struct err err;
    char name[] = "silica";
    struct metric metric = {.name = name, .unit = "µg/L", .kind = METRIC_GAUGE};
    assert_int_equal(vocabulary_add(vocabulary, &metric, &err), 0);
    name[0] = 'x';
    assert_string_equal(found("silica"), "silica");
    assert_string_equal(found("silica.2"), "silica");
    assert_string_equal(unit_of("silica"), "ug/L");
}

static void a_thousand_additions_are_found(void **state)
{
    (void)state;
    struct err err;
    char name[32];
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "extra.m%d", i);
        assert_int_equal(
            vocabulary_add(vocabulary, &(struct metric){.name = name, .unit = ""}, &err), 0);
    }
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "extra.m%d", i);
        assert_string_equal(found(name), name);
    }
    assert_string_equal(found("volume.total"), "volume.total");
}

static void a_longer_wildcard_wins(void **state)
{
    (void)state;
    struct err err;
    struct metric metric = {.name = "alarm.tank.*", .unit = "", .kind = METRIC_ALARM};
    assert_int_equal(vocabulary_add(vocabulary, &metric, &err), 0);
    assert_string_equal(found("alarm.tank.high"), "alarm.tank.*");
    assert_string_equal(found("alarm.tank"), "alarm.*");
}

static void bad_additions_are_refused_with_a_reason(void **state)
{
    (void)state;
    static const struct {
        struct metric metric;
        int error;
        const char *says;
    } cases[] = {
        {{.name = "flow", .unit = "m3/h"}, GW_EEXIST, "already"},
        {{.name = "", .unit = ""}, GW_EINVAL, "a name is"},
        {{.name = "Flow.x", .unit = ""}, GW_EINVAL, "a name is"},
        {{.name = "2nd", .unit = ""}, GW_EINVAL, "a name is"},
        {{.name = "a b", .unit = ""}, GW_EINVAL, "a name is"},
        {{.name = "a*", .unit = ""}, GW_EINVAL, "a name is"},
        {{.name = "*", .unit = ""}, GW_EINVAL, "a name is"},
        {{.name = "silica", .unit = "furlong"}, GW_EINVAL, "furlong"},
        {{.name = "silica", .unit = "", .has_range = true, .min = {2, 0}, .max = {1, 0}},
         GW_EINVAL,
         "min"},
    };
    for (size_t i = 0; i < array_count(cases); i++) {
        struct err err = {0};
        assert_int_equal(vocabulary_add(vocabulary, &cases[i].metric, &err), cases[i].error);
        assert_non_null(strstr(err.text, cases[i].says));
    }
}

static void the_longest_name_has_64_characters(void **state)
{
    (void)state;
    struct err err;
    char name[66];
    memset(name, 'a', sizeof name);
    name[65] = '\0';
    assert_int_equal(vocabulary_add(vocabulary, &(struct metric){.name = name, .unit = ""}, &err),
                     GW_EINVAL);
    name[64] = '\0';
    assert_int_equal(vocabulary_add(vocabulary, &(struct metric){.name = name, .unit = ""}, &err),
                     0);
    assert_string_equal(found(name), name);
}

int main(void)
{
#define FRESH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        FRESH(every_entry_is_found_by_its_name),
        FRESH(every_unit_is_canonical),
        FRESH(names_and_units_are_those_of_the_stores),
        FRESH(valves_and_alarms_are_events),
        FRESH(a_further_sensor_is_of_the_same_kind),
        FRESH(a_wildcard_matches_what_is_behind_its_dot),
        FRESH(unknown_names_are_unknown),
        FRESH(additions_are_copied_and_found),
        FRESH(a_thousand_additions_are_found),
        FRESH(a_longer_wildcard_wins),
        FRESH(bad_additions_are_refused_with_a_reason),
        FRESH(the_longest_name_has_64_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
