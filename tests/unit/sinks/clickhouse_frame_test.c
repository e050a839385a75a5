/* SPDX-License-Identifier: Apache-2.0
 *
 * Frames: what a server reads back, and that it would notice any change of a byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sinks/clickhouse/frame.h"

static struct buffer framed(enum frame_method method, struct bytes raw)
{
    struct buffer out = {0};
    struct framer *framer = framer_new(method, 1);
    framer_add(framer, raw, &out);
    framer_free(framer);
    return out;
}

static struct buffer sample(size_t size)
{
    struct buffer raw = {0};
    uint32_t state = 1;
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525 + 1013904223;
        buffer_u8(&raw, i % 64 < 40 ? (uint8_t)(i / 64) : (uint8_t)(state >> 24));
    }
    return raw;
}

static void assert_comes_back(enum frame_method method, size_t size, size_t frames)
{
    struct err err = {0};
    struct buffer raw = sample(size), back = {0};
    struct buffer out = framed(method, buffer_bytes(&raw));
    assert_int_equal(frame_decode(buffer_bytes(&out), &back, &err), 0);
    assert_true(bytes_equal(buffer_bytes(&raw), buffer_bytes(&back)));
    size_t found = 0;
    for (size_t at = 0; at < out.size; found++) {
        struct reader reader = reader_of(bytes_of(out.data + at + 17, 8));
        assert_int_equal(out.data[at + 16], method);
        at += 16 + reader_u32_le(&reader);
        assert_true(reader_u32_le(&reader) <= FRAME_RAW_MAX);
    }
    assert_int_equal(found, frames);
    buffer_fini(&raw);
    buffer_fini(&out);
    buffer_fini(&back);
}

static void any_size_comes_back(void **state)
{
    (void)state;
    for (int method = 0; method < 2; method++) {
        enum frame_method of = method ? FRAME_ZSTD : FRAME_NONE;
        assert_comes_back(of, 0, 0);
        assert_comes_back(of, 1, 1);
        assert_comes_back(of, FRAME_RAW_MAX, 1);
        assert_comes_back(of, FRAME_RAW_MAX + 1, 2);
        assert_comes_back(of, 3 * FRAME_RAW_MAX + 17, 4);
    }
}

/* Bytes that 18.16 and 26.7 accepted and read as one row `yes`. */
static void a_frame_is_as_the_server_reads_it(void **state)
{
    (void)state;
    static const uint8_t expected[] = {0x26, 0x74, 0x8b, 0xb3, 0x45, 0x09, 0xe3, 0x06, 0x50, 0x77,
                                       0x8f, 0xf3, 0xef, 0xac, 0x37, 0xd0, 0x02, 0x18, 0x00, 0x00,
                                       0x00, 0x0f, 0x00, 0x00, 0x00, 0x01, 0x01, 0x01, 'x',  0x06,
                                       'S',  't',  'r',  'i',  'n',  'g',  0x03, 'y',  'e',  's'};
    struct buffer out = framed(
        FRAME_NONE, bytes_of(expected + FRAME_HEADER_SIZE, sizeof expected - FRAME_HEADER_SIZE));
    assert_int_equal(out.size, sizeof expected);
    assert_memory_equal(out.data, expected, sizeof expected);
    buffer_fini(&out);
}

static void equal_bytes_give_equal_frames(void **state)
{
    (void)state;
    struct buffer raw = sample(200000), first = {0}, second = {0};
    struct framer *framer = framer_new(FRAME_ZSTD, 1);
    framer_add(framer, buffer_bytes(&raw), &first);
    framer_add(framer, bytes_of(raw.data, 777), &second); /* something in between */
    buffer_clear(&second);
    framer_add(framer, buffer_bytes(&raw), &second);
    assert_true(bytes_equal(buffer_bytes(&first), buffer_bytes(&second)));
    framer_free(framer);
    buffer_fini(&raw);
    buffer_fini(&first);
    buffer_fini(&second);
}

static void every_changed_byte_and_every_cut_is_noticed(void **state)
{
    (void)state;
    struct err err = {0};
    struct buffer raw = sample(300);
    struct buffer out = framed(FRAME_ZSTD, buffer_bytes(&raw)), back = {0};
    for (size_t i = 0; i < out.size; i++) {
        out.data[i] ^= 0x10;
        buffer_clear(&back);
        assert_int_equal(frame_decode(buffer_bytes(&out), &back, &err), GW_ECORRUPT);
        out.data[i] ^= 0x10;
        buffer_clear(&back);
        if (i)
            assert_int_equal(frame_decode(bytes_of(out.data, i), &back, &err), GW_ECORRUPT);
    }
    buffer_fini(&raw);
    buffer_fini(&out);
    buffer_fini(&back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_size_comes_back),
        cmocka_unit_test(a_frame_is_as_the_server_reads_it),
        cmocka_unit_test(equal_bytes_give_equal_frames),
        cmocka_unit_test(every_changed_byte_and_every_cut_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
