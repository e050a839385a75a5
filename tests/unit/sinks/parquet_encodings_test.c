/* SPDX-License-Identifier: Apache-2.0
 *
 * Parquet's encodings: bytes as the specification shows them, and back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sinks/parquet/encodings.h"
#include "sinks/parquet/naming.h"
#include "sinks/parquet/thrift.h"

static void assert_bytes(const struct buffer *buffer, const char *expected, size_t size)
{
    assert_int_equal(buffer->size, size);
    assert_memory_equal(buffer->data, expected, size);
}

/* Encodings.md, "Run Length Encoding / Bit-Packing Hybrid": 0..7 with three bits. */
static void bit_packing_is_as_the_specification_shows(void **state)
{
    (void)state;
    static const uint32_t values[] = {0, 1, 2, 3, 4, 5, 6, 7};
    struct buffer out = {0};
    rle_encode(values, 8, 3, &out);
    assert_bytes(&out, "\x03\x88\xc6\xfa", 4);
    buffer_fini(&out);
}

static void a_run_is_a_count_and_a_value(void **state)
{
    (void)state;
    uint32_t values[100];
    struct buffer out = {0};
    for (int i = 0; i < 100; i++)
        values[i] = 300;
    rle_encode(values, 100, 9, &out);
    assert_bytes(&out, "\xc8\x01\x2c\x01", 4);
    buffer_fini(&out);
}

/* Encodings.md, "Delta encoding", example 1: 1, 2, 3, 4, 5 have deltas of 1 and no bits at all. */
static void deltas_are_as_the_specification_shows(void **state)
{
    (void)state;
    static const int64_t values[] = {1, 2, 3, 4, 5};
    struct buffer out = {0};
    delta_encode(values, 5, &out);
    assert_bytes(&out, "\x80\x01\x04\x05\x02\x02\0\0\0\0", 10);
    buffer_fini(&out);
}

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
    return *state >> 11;
}

static void every_length_and_width_comes_back(void **state)
{
    (void)state;
    uint64_t random = 7;
    uint32_t values[600], back[600];
    for (int width = 0; width <= 32; width++) {
        for (size_t count = 0; count < 600; count += 1 + count / 7) {
            struct buffer out = {0};
            uint32_t mask = width == 32 ? UINT32_MAX : (1U << width) - 1;
            for (size_t i = 0; i < count; i++) /* runs of all lengths, and none */
                values[i] = i && next_random(&random) % 16 ? values[i - 1]
                                                           : (uint32_t)next_random(&random) & mask;
            rle_encode(values, count, width, &out);
            struct reader in = reader_of(buffer_bytes(&out));
            rle_decode(&in, width, back, count);
            assert_false(in.failed);
            assert_int_equal(reader_left(&in), 0);
            assert_memory_equal(values, back, count * sizeof *back);
            buffer_fini(&out);
        }
    }
}

static void extreme_deltas_come_back(void **state)
{
    (void)state;
    static const int64_t some[] = {0, INT64_MIN, INT64_MAX, -1, INT64_MAX, INT64_MIN, 1, 5};
    int64_t values[400], back[400];
    for (size_t count = 0; count <= 400; count++) {
        struct buffer out = {0};
        for (size_t i = 0; i < count; i++)
            values[i] = i % 3 ? some[i % array_count(some)] : (int64_t)i * 900000;
        delta_encode(values, count, &out);
        struct reader in = reader_of(buffer_bytes(&out));
        delta_decode(&in, back, count);
        assert_false(in.failed);
        assert_int_equal(reader_left(&in), 0);
        assert_memory_equal(values, back, count * sizeof *back);
        buffer_fini(&out);
    }
}

static void truncated_encodings_are_refused(void **state)
{
    (void)state;
    int64_t values[300], back[300];
    uint32_t numbers[300], numbers_back[300];
    struct buffer deltas = {0}, runs = {0};
    for (int i = 0; i < 300; i++) {
        values[i] = i * i;
        numbers[i] = (uint32_t)(i % 9);
    }
    delta_encode(values, 300, &deltas);
    rle_encode(numbers, 300, 4, &runs);
    for (size_t size = 0; size < deltas.size; size++) {
        struct reader in = reader_of(bytes_of(deltas.data, size));
        delta_decode(&in, back, 300);
        assert_true(in.failed);
    }
    for (size_t size = 0; size < runs.size; size++) {
        struct reader in = reader_of(bytes_of(runs.data, size));
        rle_decode(&in, 4, numbers_back, 300);
        assert_true(in.failed);
    }
    buffer_fini(&deltas);
    buffer_fini(&runs);
}

static void thrift_comes_back_and_unknown_fields_are_passed_over(void **state)
{
    (void)state;
    struct buffer out = {0};
    struct thrift_writer writer = thrift_writer_of(&out);
    thrift_i32(&writer, 1, -7);
    thrift_bool(&writer, 2, true);
    thrift_struct(&writer, 3);
    thrift_list(&writer, 40, THRIFT_BINARY, 20);
    for (int i = 0; i < 20; i++)
        thrift_item_binary(&writer, bytes_text("x"));
    thrift_end(&writer);
    thrift_i64(&writer, 5, INT64_MIN);
    thrift_end(&writer);
    struct reader in = reader_of(buffer_bytes(&out));
    struct thrift_struct at = thrift_struct_of(&in);
    assert_true(thrift_next(&at));
    assert_int_equal(thrift_number(&at), -7);
    assert_true(thrift_next(&at));
    assert_true(thrift_flag(&at));
    assert_true(thrift_next(&at));
    thrift_skip(&at);
    assert_true(thrift_next(&at));
    assert_int_equal(at.id, 5);
    assert_true(thrift_number(&at) == INT64_MIN);
    assert_false(thrift_next(&at));
    assert_false(in.failed);
    assert_int_equal(reader_left(&in), 0);
    buffer_fini(&out);
}

static void hostile_nesting_ends(void **state)
{
    (void)state;
    uint8_t bytes[4096];
    memset(bytes, 0x1c, sizeof bytes); /* a struct in a struct in a struct ... */
    struct reader in = reader_of(bytes_of(bytes, sizeof bytes));
    struct thrift_struct at = thrift_struct_of(&in);
    while (thrift_next(&at))
        thrift_skip(&at);
    assert_true(in.failed);
}

static void only_names_that_we_make_are_ours(void **state)
{
    (void)state;
    struct file_range range = {1, UINT64_MAX, 4294967295, 0x0123456789abcdef, false}, back;
    char name[FILE_NAME_SIZE];
    assert_true(file_name_parse(file_name_format(&range, name), &back));
    assert_true(file_range_equal(&range, &back));
    static const char *const others[] = {
        "",
        "x.parquet",
        "0123456789abcdef-1-2-g1.parquet",
        "0123456789abcdef-00000000000000000002-00000000000000000001-g1.parquet",
        "0123456789ABCDEF-00000000000000000001-00000000000000000002-g1.parquet",
        "0123456789abcdef-00000000000000000001-00000000000000000002-g1.parquet.tmp",
        "0123456789abcdef-00000000000000000001-00000000000000000002-g01.parquet",
    };
    for (size_t i = 0; i < array_count(others); i++)
        assert_false(file_name_parse(others[i], &back));
    int64_t day;
    char folder[DAY_NAME_SIZE];
    assert_true(day_name_parse("dt=2025-11-21", &day));
    assert_int_equal(day, 20413);
    assert_string_equal(day_name_format(day_of_ms(-1), folder), "dt=1969-12-31");
    assert_string_equal(day_name_format(day_of_ms(INT64_MAX), folder), "dt=9999-12-31");
    assert_string_equal(day_name_format(day_of_ms(INT64_MIN), folder), "dt=0001-01-01");
    assert_false(day_name_parse("dt=2025-02-30", &day));
    assert_false(day_name_parse("dt=2025-11-21x", &day));
    assert_true(file_name_is_temporary("a.parquet.tmp"));
    assert_false(file_name_is_temporary("a.parquet"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bit_packing_is_as_the_specification_shows),
        cmocka_unit_test(a_run_is_a_count_and_a_value),
        cmocka_unit_test(deltas_are_as_the_specification_shows),
        cmocka_unit_test(every_length_and_width_comes_back),
        cmocka_unit_test(extreme_deltas_come_back),
        cmocka_unit_test(truncated_encodings_are_refused),
        cmocka_unit_test(thrift_comes_back_and_unknown_fields_are_passed_over),
        cmocka_unit_test(hostile_nesting_ends),
        cmocka_unit_test(only_names_that_we_make_are_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
