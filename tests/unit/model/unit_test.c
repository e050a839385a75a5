/* SPDX-License-Identifier: Apache-2.0
 *
 * Units: every spelling finds its unit, case is folded only where it is harmless, conversions are
 * exact.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "model/unit.h"
#include "model/unit_table.h"

static void assert_canonical(const char *name, const char *wanted)
{
    struct bytes got = unit_canonical(bytes_text(name));
    if (!bytes_equal_text(got, wanted))
        print_error("\"%s\" is \"%.*s\", wanted \"%s\"\n", name, (int)got.size,
                    (const char *)got.data, wanted);
    assert_true(bytes_equal_text(got, wanted));
}

static void assert_converts(const char *value, const char *from, const char *to, const char *wanted,
                            bool wanted_rounded)
{
    struct decimal in;
    struct decimal out;
    bool rounded = !wanted_rounded;
    char text[DECIMAL_TEXT_SIZE];
    assert_true(decimal_parse(bytes_text(value), &in));
    assert_int_equal(unit_convert(in, bytes_text(from), bytes_text(to), &out, &rounded), UNIT_OK);
    if (strcmp(decimal_format(out, text), wanted) != 0)
        print_error("%s %s is %s %s, wanted %s\n", value, from, text, to, wanted);
    assert_string_equal(text, wanted);
    assert_int_equal(rounded, wanted_rounded);
}

static void every_spelling_finds_its_own_unit(void **state)
{
    (void)state;
    for (size_t i = 0; i < unit_spelling_count; i++)
        assert_canonical(unit_spellings[i].text, unit_rows[unit_spellings[i].unit].name);
}

/* Else one of the two would never be found, or find the other's unit. */
static void no_two_spellings_are_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < unit_spelling_count; i++)
        for (size_t j = i + 1; j < unit_spelling_count; j++)
            assert_string_not_equal(unit_spellings[i].text, unit_spellings[j].text);
}

static void canonical_names_are_spellings_of_themselves(void **state)
{
    (void)state;
    for (size_t i = 0; i < unit_spelling_count; i++) {
        const char *name = unit_rows[unit_spellings[i].unit].name;
        if (*name)
            assert_canonical(name, name);
    }
}

static void case_is_folded_where_harmless(void **state)
{
    (void)state;
    assert_canonical("kpa", "kPa");
    assert_canonical("KPA", "kPa");
    assert_canonical("Mpa", "MPa");
    assert_canonical("MPA", "MPa");
    assert_canonical("M3", "m3");
    assert_canonical("M³/H", "m3/h");
    assert_canonical("l/S", "L/s");
    assert_canonical("mg/l", "mg/L");
    assert_canonical("ms/cm", "mS/cm");
    assert_canonical("KWH", "kWh");
    assert_canonical("ntu", "NTU");
    assert_canonical("°c", "degC");
}

static void case_that_means_something_is_kept(void **state)
{
    (void)state;
    assert_canonical("mS/m", "mS/m");
    assert_canonical("MS/m", "");
    assert_canonical("ms/m", "");
    assert_canonical("mpa", "");
    assert_canonical("mPa", "");
    assert_canonical("mw", "");
    assert_canonical("mW", "");
    assert_canonical("mL", "mL");
    assert_canonical("ML", "ML");
    assert_canonical("MS/CM", "");
    assert_canonical("MV", "");
    assert_canonical("mv", "mV");
    assert_canonical("M", "");
    assert_canonical("k", "");
    assert_canonical("Mbar", "");
    assert_canonical("mj", "");
    assert_canonical("mwh", "");
    assert_canonical("S", "");
}

static void blanks_around_are_passed_over(void **state)
{
    (void)state;
    assert_canonical("  m3\t", "m3");
    assert_canonical("m 3", "");
}

static void unknown_units_are_unknown(void **state)
{
    (void)state;
    assert_canonical("furlong", "");
    assert_canonical("gal", "");
    assert_canonical("度", "");
    assert_canonical("0x3F", "");
    assert_canonical("?", "");
    char lengthy[1000];
    memset(lengthy, 'm', sizeof lengthy);
    assert_int_equal(unit_canonical(bytes_of(lengthy, sizeof lengthy)).size, 0);
    assert_int_equal(unit_canonical(bytes_of("m3\0", 3)).size, 0);
}

static void volumes_convert_exactly(void **state)
{
    (void)state;
    assert_converts("170.47", "L", "m3", "0.17047", false);
    assert_converts("12", "10 L", "m3", "0.12", false);
    assert_converts("12", "100L", "m3", "1.2", false);
    assert_converts("3", "吨", "m3", "3", false);
    assert_converts("3.25", "立方米", "m3", "3.25", false);
    assert_converts("1500", "升", "m3", "1.500", false);
    assert_converts("1", "ft3", "m3", "0.028316846592", false);
    assert_converts("1", "US gal", "m3", "0.003785411784", false);
    assert_converts("1", "imp gal", "m3", "0.00454609", false);
    assert_converts("1", "万吨", "m3", "10000", false);
    assert_converts("2", "mL", "m3", "0.000002", false);
    assert_converts("2", "ML", "m3", "2000", false);
}

static void flows_convert(void **state)
{
    (void)state;
    assert_converts("1", "L/s", "m3/h", "3.6", false);
    assert_converts("2", "m3/s", "m3/h", "7200", false);
    assert_converts("5", "L/min", "m3/h", "0.30", false);
    assert_converts("250", "L/h", "m3/h", "0.250", false);
    assert_converts("100", "m3/d", "m3/h", "4.167", true);
    assert_converts("24", "m3/d", "m3/h", "1.000", false);
    assert_converts("100.5", "吨/天", "m3/h", "4.1875", false);
    assert_converts("-1", "m3/d", "m3/h", "-0.042", true);
    assert_converts("1", "ML/d", "m3/h", "41.667", true);
    assert_converts("1", "ft3/s", "m3/h", "101.9406477312", false);
}

static void pressures_convert_exactly(void **state)
{
    (void)state;
    assert_converts("0.31", "MPa", "kPa", "310", false);
    assert_converts("3.1", "bar", "kPa", "310", false);
    assert_converts("1", "kgf/cm2", "kPa", "98.0665", false);
    assert_converts("10", "mH2O", "kPa", "98.06650", false);
    assert_converts("1", "psi", "kPa", "6.894757293168", false);
    assert_converts("1013.25", "hPa", "kPa", "101.325", false);
    assert_converts("101325", "Pa", "kPa", "101.325", false);
    assert_converts("98.0665", "kPa", "mH2O", "10.0000000", false);
    assert_converts("100", "kPa", "mH2O", "10.197", true);
}

static void temperatures_convert_with_their_offsets(void **state)
{
    (void)state;
    assert_converts("273.15", "K", "degC", "0.00", false);
    assert_converts("300", "K", "℃", "26.85", false);
    assert_converts("20", "°C", "K", "293.15", false);
    assert_converts("212", "°F", "degC", "100.000", false);
    assert_converts("0", "degF", "degC", "-17.778", true);
    assert_converts("100", "degC", "degF", "212.0", false);
}

static void energies_convert_exactly_to_gigajoules(void **state)
{
    (void)state;
    assert_converts("1", "MWh", "GJ", "3.6", false);
    assert_converts("1000", "kWh", "GJ", "3.6000", false);
    assert_converts("1", "Gcal", "GJ", "4.1868", false);
    assert_converts("1", "Gcal", "MWh", "1.163", false);
    assert_converts("1", "GJ", "kWh", "277.778", true);
    assert_converts("36", "MJ/h", "kW", "10.000", false);
}

static void the_rest_converts(void **state)
{
    (void)state;
    assert_converts("1.5", "mS/cm", "uS/cm", "1500", false);
    assert_converts("1", "S/m", "µS/cm", "10000", false);
    assert_converts("1", "mS/m", "μS/cm", "10", false);
    assert_converts("350", "µg/L", "mg/L", "0.350", false);
    assert_converts("5", "mg/m3", "mg/L", "0.005", false);
    assert_converts("150", "cm", "m", "1.50", false);
    assert_converts("3600", "mV", "V", "3.600", false);
    assert_converts("90", "min", "h", "1.500", false);
    assert_converts("7.2", "pH", "", "7.2", false);
}

static void different_quantities_do_not_convert(void **state)
{
    (void)state;
    struct decimal out;
    bool rounded;
    static const char *const pairs[][2] = {
        {"m3", "m3/h"}, {"FNU", "NTU"}, {"mH2O", "m"}, {"dB", "dBm"}, {"kWh", "m3"},
        {"x", "m3"},    {"m3", "x"},    {"x", "x"},    {"K", ""},     {"", "m3"},
    };
    for (size_t i = 0; i < array_count(pairs); i++)
        assert_int_equal(unit_convert((struct decimal){1, 0}, bytes_text(pairs[i][0]),
                                      bytes_text(pairs[i][1]), &out, &rounded),
                         UNIT_UNKNOWN);
}

static void what_cannot_be_held_is_told(void **state)
{
    (void)state;
    struct decimal out;
    bool rounded;
    assert_int_equal(unit_convert((struct decimal){INT64_MAX, 0}, bytes_text("psi"),
                                  bytes_text("kPa"), &out, &rounded),
                     UNIT_OVERFLOW);
    assert_int_equal(unit_convert((struct decimal){INT64_MAX, 127}, bytes_text("MPa"),
                                  bytes_text("kPa"), &out, &rounded),
                     UNIT_OVERFLOW);
    assert_int_equal(unit_convert((struct decimal){INT64_MAX, -30}, bytes_text("K"),
                                  bytes_text("degC"), &out, &rounded),
                     UNIT_OVERFLOW);
}

/* There and back is the same value where both ways are finite. */
static void exact_conversions_have_an_inverse(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"L", "m3"}, {"MPa", "kPa"}, {"K", "degC"}, {"mS/m", "uS/cm"}, {"ug/L", "mg/L"},
    };
    for (size_t i = 0; i < array_count(pairs); i++) {
        struct decimal in = {123456, -3};
        struct decimal there;
        struct decimal back;
        bool rounded;
        struct bytes from = bytes_text(pairs[i][0]);
        struct bytes to = bytes_text(pairs[i][1]);
        assert_int_equal(unit_convert(in, from, to, &there, &rounded), UNIT_OK);
        assert_int_equal(unit_convert(there, to, from, &back, &rounded), UNIT_OK);
        assert_false(rounded);
        assert_int_equal(decimal_compare(in, back), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_spelling_finds_its_own_unit),
        cmocka_unit_test(no_two_spellings_are_the_same),
        cmocka_unit_test(canonical_names_are_spellings_of_themselves),
        cmocka_unit_test(case_is_folded_where_harmless),
        cmocka_unit_test(case_that_means_something_is_kept),
        cmocka_unit_test(blanks_around_are_passed_over),
        cmocka_unit_test(unknown_units_are_unknown),
        cmocka_unit_test(volumes_convert_exactly),
        cmocka_unit_test(flows_convert),
        cmocka_unit_test(pressures_convert_exactly),
        cmocka_unit_test(temperatures_convert_with_their_offsets),
        cmocka_unit_test(energies_convert_exactly_to_gigajoules),
        cmocka_unit_test(the_rest_converts),
        cmocka_unit_test(different_quantities_do_not_convert),
        cmocka_unit_test(what_cannot_be_held_is_told),
        cmocka_unit_test(exact_conversions_have_an_inverse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
