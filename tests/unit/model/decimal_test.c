/* SPDX-License-Identifier: Apache-2.0
 *
 * Exact decimals: text, binary floating point, arithmetic at its edges.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "model/decimal.h"

static struct decimal dec(const char *text)
{
    struct decimal out = {0, 0};
    if (!decimal_parse(bytes_text(text), &out))
        print_error("\"%s\" does not parse\n", text);
    assert_true(decimal_parse(bytes_text(text), &out));
    return out;
}

static void assert_decimal(struct decimal got, int64_t mantissa, int exponent)
{
    assert_int_equal(got.mantissa, mantissa);
    assert_int_equal(got.exponent, exponent);
}

static void assert_format(struct decimal in, const char *wanted)
{
    char text[DECIMAL_TEXT_SIZE];
    assert_string_equal(decimal_format(in, text), wanted);
}

/* The same sequence every time. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void text_is_taken_digit_by_digit(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t mantissa;
        int exponent;
    } cases[] = {
        {"0", 0, 0},
        {"-0", 0, 0},
        {"0.00", 0, -2},
        {"7", 7, 0},
        {"+7", 7, 0},
        {"-12.50", -1250, -2},
        {".5", 5, -1},
        {"5.", 5, 0},
        {"007", 7, 0},
        {"1e3", 1, 3},
        {"1E+3", 1, 3},
        {"1.5e-3", 15, -4},
        {"123456789012345678", 123456789012345678, 0},
        {"0.123456789012345678", 123456789012345678, -18},
        {"1234567890123456780", 123456789012345678, 1},
        {"1000000000000000000000000", 100000000000000000, 7},
        {"12345678901234567.80000000", 123456789012345678, -1},
        {"0.000000000000000000000000000001", 1, -30},
        {"1e127", 1, 127},
        {"1e-128", 1, -128},
        {"100e-130", 1, -128},
        {"0e999", 0, 127},
        {"0e-999", 0, -128},
    };
    for (size_t i = 0; i < array_count(cases); i++)
        assert_decimal(dec(cases[i].text), cases[i].mantissa, cases[i].exponent);
}

static void what_is_no_number_is_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        " ",
        "+",
        "-",
        ".",
        "-.",
        "e3",
        "1e",
        "1e+",
        "--1",
        "+-1",
        "1 ",
        " 1",
        "1.2.3",
        "1,5",
        "0x10",
        "1e3.5",
        "NaN",
        "inf",
        "1_000",
        "1e128",
        "1e-129",
        "1e99999999999999999999",
        "1234567890123456789",
        "0.1234567890123456789",
        "1000000000000000001",
        "9223372036854775807",
    };
    for (size_t i = 0; i < array_count(cases); i++) {
        struct decimal out;
        if (decimal_parse(bytes_text(cases[i]), &out))
            print_error("\"%s\" parsed\n", cases[i]);
        assert_false(decimal_parse(bytes_text(cases[i]), &out));
    }
}

static void a_nul_inside_is_no_number(void **state)
{
    (void)state;
    struct decimal out;
    assert_false(decimal_parse(bytes_of("1\0", 2), &out));
}

static void long_text_of_zeros_is_a_number(void **state)
{
    (void)state;
    size_t size = 100000;
    char *text = malloc(size);
    struct decimal out;
    memset(text, '0', size);
    assert_true(decimal_parse(bytes_of(text, size), &out));
    assert_decimal(out, 0, 0);
    text[size - 1] = '7';
    assert_true(decimal_parse(bytes_of(text, size), &out));
    assert_decimal(out, 7, 0);
    text[1] = '.';
    assert_false(decimal_parse(bytes_of(text, size), &out));
    free(text);
}

static void format_never_uses_an_exponent(void **state)
{
    (void)state;
    assert_format((struct decimal){0, 0}, "0");
    assert_format((struct decimal){0, 5}, "0");
    assert_format((struct decimal){0, -2}, "0.00");
    assert_format((struct decimal){-125, -3}, "-0.125");
    assert_format((struct decimal){125, -2}, "1.25");
    assert_format((struct decimal){12, 2}, "1200");
    assert_format((struct decimal){INT64_MIN, 0}, "-9223372036854775808");
    assert_format((struct decimal){5, -4}, "0.0005");
}

static void the_longest_texts_fit(void **state)
{
    (void)state;
    char text[DECIMAL_TEXT_SIZE];
    assert_int_equal(strlen(decimal_format((struct decimal){INT64_MIN, 127}, text)), 20 + 127);
    assert_int_equal(strlen(decimal_format((struct decimal){INT64_MIN, -128}, text)), 3 + 128);
    assert_int_equal(strlen(decimal_format((struct decimal){-1, -128}, text)), 3 + 128);
}

static void format_and_parse_are_inverse(void **state)
{
    (void)state;
    uint64_t seed = 88172645463325252;
    for (int i = 0; i < 20000; i++) {
        int64_t mantissa = (int64_t)(next_random(&seed) % 1000000000000000000);
        int exponent = -(int)(next_random(&seed) % 30);
        struct decimal in = {next_random(&seed) & 1 ? -mantissa : mantissa, (int8_t)exponent};
        char text[DECIMAL_TEXT_SIZE];
        struct decimal out = dec(decimal_format(in, text));
        assert_decimal(out, in.mantissa, in.exponent);
    }
}

static void a_double_becomes_its_shortest_decimal(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0.1, "0.1"},
        {0.31, "0.31"},
        {-12.5, "-12.5"},
        {100.0, "100"},
        {1e15, "1000000000000000"},
        {123456789.123456, "123456789.123456"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1.0 / 3.0, "0.3333333333333333"},
        {5e-15, "0.000000000000005"},
        {9007199254740993.0, "9007199254740992"},
        {1e22, "10000000000000000000000"},
        {-0.0, "0"},
        {2.2250738585072014e-100, NULL},
    };
    for (size_t i = 0; i < array_count(cases); i++) {
        struct decimal out;
        assert_true(decimal_from_double(cases[i].value, &out));
        if (cases[i].text)
            assert_format(out, cases[i].text);
        assert_true(decimal_to_double(out) == cases[i].value);
    }
}

static void doubles_read_back_the_same(void **state)
{
    (void)state;
    uint64_t seed = 42;
    for (int i = 0; i < 20000; i++) {
        /* Exponents from 2^-340 to 2^339: what a decimal of ours can hold. */
        uint64_t bits = next_random(&seed);
        uint64_t exponent = 1023 - 340 + next_random(&seed) % 680;
        bits = (bits & 0x800fffffffffffff) | exponent << 52;
        double value;
        memcpy(&value, &bits, sizeof value);
        struct decimal out;
        assert_true(decimal_from_double(value, &out));
        assert_true(decimal_to_double(out) == value);
        char shorter[64];
        char ours[32];
        int digits = snprintf(ours, sizeof ours, "%lld", (long long)llabs(out.mantissa));
        if (digits > 1) {
            snprintf(shorter, sizeof shorter, "%.*e", digits - 2, value);
            assert_true(strtod(shorter, NULL) != value);
        }
    }
}

static void a_float_becomes_its_shortest_decimal(void **state)
{
    (void)state;
    struct decimal out;
    assert_true(decimal_from_float(0.1F, &out));
    assert_decimal(out, 1, -1);
    assert_true(decimal_from_float(3.4028235e38F, &out));
    assert_decimal(out, 34028235, 31);
    assert_true(decimal_from_float(16777216.0F, &out));
    assert_decimal(out, 16777216, 0);
    assert_true(decimal_from_float(-1e-45F, &out));
    assert_decimal(out, -1, -45);
}

static void what_a_decimal_cannot_hold_is_refused(void **state)
{
    (void)state;
    struct decimal out;
    assert_false(decimal_from_double((double)NAN, &out));
    assert_false(decimal_from_double((double)INFINITY, &out));
    assert_false(decimal_from_double(1e300, &out));
    assert_false(decimal_from_double(5e-324, &out));
    assert_false(decimal_from_float(NAN, &out));
    assert_false(decimal_from_float(-INFINITY, &out));
}

static void to_double_is_the_nearest(void **state)
{
    (void)state;
    uint64_t seed = 7;
    for (int i = 0; i < 20000; i++) {
        struct decimal in = {(int64_t)next_random(&seed),
                             (int8_t)((int)(next_random(&seed) % 256) - 128)};
        char text[64];
        snprintf(text, sizeof text, "%llde%d", (long long)in.mantissa, in.exponent);
        assert_true(decimal_to_double(in) == strtod(text, NULL));
    }
}

static void products_are_exact_or_refused(void **state)
{
    (void)state;
    struct decimal out;
    assert_true(decimal_multiply(dec("12.50"), dec("3"), &out));
    assert_decimal(out, 3750, -2);
    assert_true(decimal_multiply(dec("0.31"), dec("1e3"), &out));
    assert_decimal(out, 31, 1);
    assert_true(decimal_multiply(dec("-3"), dec("-4"), &out));
    assert_decimal(out, 12, 0);
    /* 5 * 10^17 times 20: too long until the zeros move into the exponent. */
    assert_true(decimal_multiply((struct decimal){500000000000000000, 0}, dec("20"), &out));
    assert_int_equal(decimal_compare(out, dec("1e19")), 0);
    assert_false(decimal_multiply((struct decimal){INT64_MAX, 0}, dec("3"), &out));
    assert_false(decimal_multiply((struct decimal){INT64_MIN, 0}, dec("-1"), &out));
    assert_true(decimal_multiply((struct decimal){INT64_MIN, 0}, dec("1"), &out));
    assert_false(decimal_multiply((struct decimal){INT64_MAX, 127}, dec("1e1"), &out));
    assert_true(decimal_multiply(dec("1e100"), dec("1e30"), &out));
    assert_decimal(out, 1000, 127);
    assert_false(decimal_multiply(dec("1e-128"), dec("0.1"), &out));
    assert_true(decimal_multiply(dec("0e-128"), dec("0.1"), &out));
    assert_int_equal(out.mantissa, 0);
}

static void sums_are_exact_or_refused(void **state)
{
    (void)state;
    struct decimal out;
    assert_true(decimal_add(dec("1.5"), dec("0.25"), &out));
    assert_decimal(out, 175, -2);
    assert_true(decimal_add(dec("0.25"), dec("-1.5"), &out));
    assert_decimal(out, -125, -2);
    assert_true(decimal_add(dec("0"), dec("1.50"), &out));
    assert_decimal(out, 150, -2);
    assert_true(decimal_add(dec("1e18"), dec("1"), &out));
    assert_decimal(out, 1000000000000000001, 0);
    assert_false(decimal_add(dec("1e19"), dec("1"), &out));
    assert_false(decimal_add(dec("1e100"), dec("1e-100"), &out));
    assert_false(decimal_add((struct decimal){INT64_MAX, 0}, dec("1"), &out));
    assert_true(decimal_add((struct decimal){INT64_MAX, 0}, dec("-1"), &out));
    assert_true(decimal_add((struct decimal){INT64_MAX, 0}, dec("3"), &out));
    assert_decimal(out, 922337203685477581, 1);
    /* 25 places apart, but the lower one has the zeros to meet the higher. */
    assert_true(
        decimal_add((struct decimal){1, 5}, (struct decimal){7000000000000000000, -20}, &out));
    assert_int_equal(decimal_compare(out, dec("100000.07")), 0);
}

static void quotients_are_rounded_half_to_even(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        int decimals;
        const char *out;
        bool rounded;
    } cases[] = {
        {"1", "24", 3, "0.042", true},
        {"24", "24", 3, "1.000", false},
        {"1", "8", 3, "0.125", false},
        {"1", "8", 2, "0.12", true},
        {"3", "8", 2, "0.38", true},
        {"-1", "8", 2, "-0.12", true},
        {"-3", "8", 2, "-0.38", true},
        {"1", "2", 0, "0", true},
        {"3", "2", 0, "2", true},
        {"5", "2", 0, "2", true},
        {"0", "7", 5, "0.00000", false},
        {"1e100", "1e100", 2, "1.00", false},
        {"1e30", "3e20", 3, "3333333333.333", true},
        {"1e-100", "3", 18, "0.000000000000000000", true},
        {"7", "-7e-10", 2, "-10000000000.00", false},
    };
    for (size_t i = 0; i < array_count(cases); i++) {
        struct decimal out;
        bool rounded = !cases[i].rounded;
        assert_true(
            decimal_divide(dec(cases[i].a), dec(cases[i].b), cases[i].decimals, &out, &rounded));
        assert_format(out, cases[i].out);
        assert_int_equal(rounded, cases[i].rounded);
    }
}

static void quotients_beyond_64_bits_are_refused(void **state)
{
    (void)state;
    struct decimal out;
    bool rounded;
    assert_false(decimal_divide(dec("1"), dec("0"), 3, &out, &rounded));
    assert_false(decimal_divide(dec("1e18"), dec("1e-1"), 3, &out, &rounded));
    assert_false(decimal_divide(dec("1e127"), dec("1e-128"), 18, &out, &rounded));
    assert_false(decimal_divide((struct decimal){INT64_MIN, 0}, dec("1"), 0, &out, &rounded));
    assert_true(decimal_divide((struct decimal){INT64_MAX, 0}, dec("1"), 0, &out, &rounded));
    assert_false(decimal_divide(dec("1"), dec("1"), 19, &out, &rounded));
}

static void any_two_decimals_compare(void **state)
{
    (void)state;
    static const char *const rising[] = {
        "-1e127", "-9.99e100", "-1000", "-1", "-0.5", "-1e-128", "0",    "1e-128",
        "1e-20",  "0.49",      "0.5",   "1",  "1.01", "999",     "1e20", "1e127",
    };
    for (size_t i = 0; i < array_count(rising); i++)
        for (size_t j = 0; j < array_count(rising); j++)
            assert_int_equal(decimal_compare(dec(rising[i]), dec(rising[j])), (i > j) - (i < j));
    assert_int_equal(decimal_compare(dec("1.50"), dec("1.5")), 0);
    assert_int_equal(decimal_compare(dec("0e5"), dec("0e-5")), 0);
    assert_int_equal(
        decimal_compare((struct decimal){INT64_MIN, 0}, (struct decimal){INT64_MIN, 1}), 1);
    assert_int_equal(decimal_compare((struct decimal){INT64_MAX, -19}, (struct decimal){1, 0}), -1);
}

static void scaled_form_has_0_to_18_decimals(void **state)
{
    (void)state;
    int64_t unscaled;
    uint8_t scale;
    assert_true(decimal_to_scaled(dec("12.50"), &unscaled, &scale));
    assert_int_equal(unscaled, 1250);
    assert_int_equal(scale, 2);
    assert_true(decimal_to_scaled(dec("12e3"), &unscaled, &scale));
    assert_int_equal(unscaled, 12000);
    assert_int_equal(scale, 0);
    assert_true(decimal_to_scaled((struct decimal){100, -20}, &unscaled, &scale));
    assert_int_equal(unscaled, 1);
    assert_int_equal(scale, 18);
    assert_true(decimal_to_scaled((struct decimal){0, -128}, &unscaled, &scale));
    assert_int_equal(scale, 18);
    assert_true(decimal_to_scaled((struct decimal){0, 127}, &unscaled, &scale));
    assert_int_equal(scale, 0);
    assert_false(decimal_to_scaled(dec("1e-19"), &unscaled, &scale));
    assert_false(decimal_to_scaled(dec("1e19"), &unscaled, &scale));
    assert_true(decimal_to_scaled(dec("9e18"), &unscaled, &scale));
    assert_false(decimal_to_scaled(dec("10e18"), &unscaled, &scale));
}

static void trim_takes_zeros_off(void **state)
{
    (void)state;
    assert_decimal(decimal_trim(dec("12.500")), 125, -1);
    assert_decimal(decimal_trim(dec("1200")), 12, 2);
    assert_decimal(decimal_trim(dec("0.00")), 0, 0);
    assert_decimal(decimal_trim((struct decimal){100, 126}), 10, 127);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_taken_digit_by_digit),
        cmocka_unit_test(what_is_no_number_is_refused),
        cmocka_unit_test(a_nul_inside_is_no_number),
        cmocka_unit_test(long_text_of_zeros_is_a_number),
        cmocka_unit_test(format_never_uses_an_exponent),
        cmocka_unit_test(the_longest_texts_fit),
        cmocka_unit_test(format_and_parse_are_inverse),
        cmocka_unit_test(a_double_becomes_its_shortest_decimal),
        cmocka_unit_test(doubles_read_back_the_same),
        cmocka_unit_test(a_float_becomes_its_shortest_decimal),
        cmocka_unit_test(what_a_decimal_cannot_hold_is_refused),
        cmocka_unit_test(to_double_is_the_nearest),
        cmocka_unit_test(products_are_exact_or_refused),
        cmocka_unit_test(sums_are_exact_or_refused),
        cmocka_unit_test(quotients_are_rounded_half_to_even),
        cmocka_unit_test(quotients_beyond_64_bits_are_refused),
        cmocka_unit_test(any_two_decimals_compare),
        cmocka_unit_test(scaled_form_has_0_to_18_decimals),
        cmocka_unit_test(trim_takes_zeros_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
