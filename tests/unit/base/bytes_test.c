/* SPDX-License-Identifier: Apache-2.0
 *
 * The reader that cannot overrun, the buffer that grows, the arena.
 */
#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/crc32c.h"

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    struct buffer out = {0};
    buffer_u8(&out, 0xab);
    buffer_u16_le(&out, 0x1234);
    buffer_u32_le(&out, 0xdeadbeef);
    buffer_u64_le(&out, 0x0123456789abcdef);
    buffer_u16_be(&out, 0x1234);
    buffer_u32_be(&out, 0xdeadbeef);
    buffer_varbytes(&out, bytes_text("tide"));
    buffer_printf(&out, "%d-%s", 42, "gate");
    struct reader in = reader_of(buffer_bytes(&out));
    assert_int_equal(reader_u8(&in), 0xab);
    assert_int_equal(reader_u16_le(&in), 0x1234);
    assert_int_equal(reader_u32_le(&in), 0xdeadbeef);
    assert_int_equal(reader_u64_le(&in), 0x0123456789abcdef);
    assert_int_equal(reader_u16_be(&in), 0x1234);
    assert_int_equal(reader_u32_be(&in), 0xdeadbeef);
    assert_true(bytes_equal_text(reader_varbytes(&in), "tide"));
    assert_true(bytes_equal_text(reader_bytes(&in, 7), "42-gate"));
    assert_false(in.failed);
    assert_int_equal(reader_left(&in), 0);
    buffer_fini(&out);
}

static void varints_of_every_length_are_inverse(void **state)
{
    (void)state;
    for (int bit = 0; bit < 64; bit++) {
        for (int64_t near = -1; near <= 1; near++) {
            uint64_t value = (UINT64_C(1) << bit) + (uint64_t)near;
            uint8_t at[10];
            struct reader in = reader_of(bytes_of(at, store_varint(at, value)));
            assert_true(reader_varint(&in) == value);
            assert_false(in.failed);
            assert_int_equal(reader_left(&in), 0);
            assert_true(zigzag_decode(zigzag_encode((int64_t)value)) == (int64_t)value);
        }
    }
}

static void reading_past_the_end_fails_and_stays_failed(void **state)
{
    (void)state;
    uint8_t *two = malloc(2);
    memset(two, 1, 2);
    struct reader in = reader_of(bytes_of(two, 2));
    assert_int_equal(reader_u32_le(&in), 0);
    assert_true(in.failed);
    /* Two bytes are still there, but what follows a failure means nothing. */
    assert_int_equal(reader_u8(&in), 0);
    assert_int_equal(reader_varint(&in), 0);
    assert_int_equal(reader_bytes(&in, 0).size, 0);
    assert_true(in.failed);
    free(two);
}

static void a_varint_without_end_fails(void **state)
{
    (void)state;
    uint8_t endless[16];
    memset(endless, 0x80, sizeof endless);
    struct reader in = reader_of(bytes_of(endless, sizeof endless));
    assert_int_equal(reader_varint(&in), 0);
    assert_true(in.failed);
    in = reader_of(bytes_of(endless, 3));
    assert_int_equal(reader_varint(&in), 0);
    assert_true(in.failed);
}

static void a_length_that_lies_fails(void **state)
{
    (void)state;
    struct buffer out = {0};
    buffer_varint(&out, UINT64_MAX);
    buffer_add_text(&out, "abc");
    struct reader in = reader_of(buffer_bytes(&out));
    assert_int_equal(reader_varbytes(&in).size, 0);
    assert_true(in.failed);
    buffer_fini(&out);
}

static void order_is_by_unsigned_bytes_and_length(void **state)
{
    (void)state;
    static const char *const rising[] = {"", "a", "aa", "ab", "b", "\x7f", "\xc3\xa9", "\xff"};
    for (size_t i = 0; i < array_count(rising); i++)
        for (size_t j = 0; j < array_count(rising); j++) {
            int order = bytes_compare(bytes_text(rising[i]), bytes_text(rising[j]));
            assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
            assert_int_equal(bytes_equal(bytes_text(rising[i]), bytes_text(rising[j])), i == j);
        }
    assert_true(bytes_equal((struct bytes){0}, bytes_text("")));
}

static void an_arena_hands_out_apart_and_aligned(void **state)
{
    (void)state;
    struct arena arena = {0};
    uint8_t *previous = NULL;
    for (size_t size = 0; size < 3000; size += 7) {
        uint8_t *at = arena_alloc(&arena, size);
        assert_int_equal((uintptr_t)at % alignof(max_align_t), 0);
        memset(at, 0xaa, size);
        if (previous && size > 7)
            assert_int_equal(previous[0], 0xaa);
        previous = at;
    }
    struct bytes copy = arena_copy(&arena, bytes_text("kept"));
    arena_alloc(&arena, 1000000);
    assert_true(bytes_equal_text(copy, "kept"));
    arena_fini(&arena);
    arena_fini(&arena);
    arena_fini(NULL);
}

static void a_reset_arena_falls_back_after_a_large_message(void **state)
{
    (void)state;
    struct arena arena = {0};
    void *first = arena_alloc(&arena, 100);
    arena_reset(&arena);
    assert_ptr_equal(arena_alloc(&arena, 100), first);
    arena_alloc(&arena, 8 * 1024 * 1024);
    arena_reset(&arena);
    assert_null(arena.blocks);
    assert_int_equal(arena.used, 0);
    arena_fini(&arena);
}

/* RFC 3720, B.4 */
static void crc32c_gives_the_published_values(void **state)
{
    (void)state;
    uint8_t bytes[32] = {0};
    assert_int_equal(crc32c(0, bytes_text("123456789")), 0xe3069283);
    assert_int_equal(crc32c(0, bytes_of(bytes, 32)), 0x8a9136aa);
    memset(bytes, 0xff, 32);
    assert_int_equal(crc32c(0, bytes_of(bytes, 32)), 0x62a8ab43);
    assert_int_equal(crc32c(crc32c(0, bytes_text("1234")), bytes_text("56789")), 0xe3069283);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(varints_of_every_length_are_inverse),
        cmocka_unit_test(reading_past_the_end_fails_and_stays_failed),
        cmocka_unit_test(a_varint_without_end_fails),
        cmocka_unit_test(a_length_that_lies_fails),
        cmocka_unit_test(order_is_by_unsigned_bytes_and_length),
        cmocka_unit_test(an_arena_hands_out_apart_and_aligned),
        cmocka_unit_test(a_reset_arena_falls_back_after_a_large_message),
        cmocka_unit_test(crc32c_gives_the_published_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
