/* SPDX-License-Identifier: Apache-2.0
 *
 * Strings, topic names and filters of MQTT, against a second decoder that is slow and obvious.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sources/mqtt/text.h"

#define B(text) bytes_of(text, sizeof(text) - 1)

/* Every code point, encoded by hand. */
static size_t encode(uint32_t point, uint8_t out[4])
{
    if (point < 0x80) {
        out[0] = (uint8_t)point;
        return 1;
    }
    size_t size = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    static const uint8_t leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = size; i-- > 1; point >>= 6)
        out[i] = (uint8_t)(0x80 | (point & 0x3f));
    out[0] = (uint8_t)(leads[size] | point);
    return size;
}

static bool refused(uint32_t point)
{
    return point < 0x20 || (point > 0x7e && point < 0xa0) || (point >= 0xd800 && point < 0xe000) ||
           (point >= 0xfdd0 && point <= 0xfdef) || (point & 0xffff) >= 0xfffe || point > 0x10ffff;
}

static void every_code_point_is_taken_or_refused_as_stated(void **state)
{
    (void)state;
    for (uint32_t point = 0; point < 0x110800; point++) {
        uint8_t text[4];
        size_t size = encode(point, text);
        if (text_valid(bytes_of(text, size)) == refused(point))
            fail_msg("U+%04X", point);
    }
}

static void overlong_truncated_and_lone_bytes_are_refused(void **state)
{
    (void)state;
    const struct bytes bad[] = {B("\xc0\x80"),
                                B("\xc1\xbf"),
                                B("\xe0\x80\x80"),
                                B("\xe0\x9f\xbf"),
                                B("\xf0\x8f\xbf\xbf"),
                                B("\x80"),
                                B("\xbf"),
                                B("\xc3"),
                                B("\xe2\x82"),
                                B("\xf0\x9f\x98"),
                                B("\xfe"),
                                B("\xff"),
                                B("\xf8\x88\x80\x80\x80"),
                                B("\xc3\x28")};
    for (size_t i = 0; i < array_count(bad); i++)
        assert_false(text_valid(bad[i]));
    assert_true(text_valid(B("\xef\xbb\xbf"
                             "a"))); /* a byte order mark is kept */
    assert_true(text_valid(B("")));
}

/* Each byte value at each place of a string, so that the fast path meets every one. */
static void fast_path_agrees_with_single_characters(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++)
        for (size_t at = 0; at < 19; at++) {
            uint8_t text[19];
            memset(text, 'x', sizeof text);
            text[at] = (uint8_t)byte;
            bool plain = byte >= 0x20 && byte < 0x7f;
            struct topic_shape shape = topic_shape(bytes_of(text, sizeof text));
            assert_int_equal(text_valid(bytes_of(text, sizeof text)), plain);
            assert_int_equal(shape.valid, plain);
            if (plain) {
                assert_int_equal(shape.wildcard, byte == '+' || byte == '#');
                assert_int_equal(shape.levels, byte == '/' ? 2 : 1);
            }
        }
}

static void levels_are_counted(void **state)
{
    (void)state;
    assert_int_equal(topic_shape(B("a/b/c")).levels, 3);
    assert_int_equal(topic_shape(B("////////////////")).levels, 17);
    assert_int_equal(topic_shape(B("a/\xc3\xa9/long/enough/for/words")).levels, 6);
    assert_int_equal(topic_shape(B("")).levels, 1);
}

static void filters_follow_4_7_1_and_4_8_2(void **state)
{
    (void)state;
    const struct {
        struct bytes filter;
        bool valid, shared;
    } cases[] = {
        {B("#"), true, false},          {B("+"), true, false},
        {B("a/#"), true, false},        {B("+/+/#"), true, false},
        {B("/+"), true, false},         {B("a#"), false, false},
        {B("a/#/b"), false, false},     {B("a/b+"), false, false},
        {B("+a"), false, false},        {B("##"), false, false},
        {B(""), false, false},          {B("$share/g/a/+"), true, true},
        {B("$share/g"), false, true},   {B("$share//a"), false, true},
        {B("$share/+/a"), false, true}, {B("$share/g/"), false, true},
        {B("$shared/#"), true, false},  {B("$share/g/a#"), false, true},
    };
    for (size_t i = 0; i < array_count(cases); i++) {
        bool shared;
        assert_int_equal(filter_valid(cases[i].filter, &shared), cases[i].valid);
        assert_int_equal(shared, cases[i].shared);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_is_taken_or_refused_as_stated),
        cmocka_unit_test(overlong_truncated_and_lone_bytes_are_refused),
        cmocka_unit_test(fast_path_agrees_with_single_characters),
        cmocka_unit_test(levels_are_counted),
        cmocka_unit_test(filters_follow_4_7_1_and_4_8_2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
