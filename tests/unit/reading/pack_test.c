/* SPDX-License-Identifier: Apache-2.0
 *
 * Readings packed by hand are byte for byte what protobuf-c's generated code packs, and come back from
 * it as they were; keys name vendor and device.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codecs/reading/pack.h"
#include "codecs/reading/reading.pb-c.h"
#include "sim/random.h"

static const struct identity gateway = {0x00c0ffee12345678ULL};

static struct batch_row plain_row(void)
{
    return (struct batch_row){
        .vendor = bytes_text("acme"),
        .device = bytes_text("00012345"),
        .metric = bytes_text("volume.total"),
        .unit = bytes_text("m3"),
        .ts_ms = 1763712000000,
        .unscaled = 123456,
        .scale = 3,
        .has_value = true,
        .seq = 7,
        .received_ms = 1763712000123,
    };
}

static struct batch *batch_of(const struct batch_row *rows, size_t count)
{
    struct batch_builder *builder = batch_builder_new();
    for (size_t i = 0; i < count; i++)
        batch_builder_add(builder, &rows[i]);
    struct batch *batch = batch_builder_finish(builder);
    batch_builder_free(builder);
    return batch;
}

/* ---- the generated code's word ---- */

struct expected {
    Tidegate__V1__Reading reading;
    char *strings[4];
    struct buffer flags;
    char gateway[IDENTITY_TEXT_SIZE];
};

static void expected_init(struct expected *out, const struct batch *batch, uint32_t row)
{
    Tidegate__V1__Reading *reading = &out->reading;
    const uint32_t at[] = {batch->vendor[row], batch->device[row], batch->metric[row],
                           batch->unit[row]};
    *out = (struct expected){0};
    tidegate__v1__reading__init(reading);
    for (int i = 0; i < 4; i++)
        out->strings[i] = bytes_strdup(batch->strings[at[i]]);
    flags_format(batch->flags[row], &out->flags);
    buffer_u8(&out->flags, 0);
    identity_format(gateway, out->gateway);
    reading->vendor = out->strings[0];
    reading->device = out->strings[1];
    reading->metric = out->strings[2];
    reading->has_ts = reading->has_scale = reading->has_seq = reading->has_received = true;
    reading->has_value = reading->has_unscaled = batch->has_value[row];
    reading->ts = batch->ts_ms[row];
    reading->value = batch_value(batch, row);
    reading->unit = out->strings[3];
    reading->scale = batch->scale[row];
    reading->quality = bytes_strdup(bytes_text(quality_name(batch->quality[row])));
    reading->flags = (char *)out->flags.data;
    reading->time_source = bytes_strdup(bytes_text(time_source_name(batch->time_source[row])));
    reading->seq = (int64_t)batch->seq[row];
    reading->received = batch->received_ms[row];
    reading->gateway = out->gateway;
    reading->unscaled = batch->unscaled[row];
}

static void expected_fini(struct expected *expected)
{
    for (int i = 0; i < 4; i++)
        free(expected->strings[i]);
    free(expected->reading.quality);
    free(expected->reading.time_source);
    buffer_fini(&expected->flags);
}

static void assert_row_is_generated(struct reading_pack *pack, const struct batch *batch,
                                    uint32_t row)
{
    struct buffer ours = {0}, theirs = {0};
    struct expected expected;
    expected_init(&expected, batch, row);
    size_t size = tidegate__v1__reading__get_packed_size(&expected.reading);
    theirs.size = tidegate__v1__reading__pack(&expected.reading, buffer_reserve(&theirs, size));
    assert_int_equal(theirs.size, size);
    buffer_add_text(&ours, "before");
    reading_pack_row(pack, row, &ours);
    assert_int_equal(ours.size, size + 6);
    assert_memory_equal(ours.data, "before", 6);
    assert_memory_equal(ours.data + 6, theirs.data, size);
    buffer_fini(&ours);
    buffer_fini(&theirs);
    expected_fini(&expected);
}

static void assert_batch_is_generated(struct reading_pack *pack, const struct batch *batch)
{
    reading_pack_begin(pack, batch);
    for (uint32_t row = 0; row < batch->count; row++)
        assert_row_is_generated(pack, batch, row);
}

static Tidegate__V1__Reading *unpack_one(const struct batch_row *row)
{
    struct reading_pack *pack = reading_pack_new(gateway);
    struct batch *batch = batch_of(row, 1);
    struct buffer out = {0};
    reading_pack_begin(pack, batch);
    reading_pack_row(pack, 0, &out);
    Tidegate__V1__Reading *reading = tidegate__v1__reading__unpack(NULL, out.size, out.data);
    assert_non_null(reading);
    buffer_fini(&out);
    batch_release(batch);
    reading_pack_free(pack);
    return reading;
}

/* ---- facts ---- */

static void a_reading_comes_back_whole(void **state)
{
    (void)state;
    struct batch_row row = plain_row();
    row.flags = FLAG_LATE | FLAG_DUPLICATE;
    row.quality = QUALITY_UNCERTAIN;
    row.time_source = TIME_PLATFORM;
    Tidegate__V1__Reading *reading = unpack_one(&row);
    assert_string_equal(reading->vendor, "acme");
    assert_string_equal(reading->device, "00012345");
    assert_string_equal(reading->metric, "volume.total");
    assert_true(reading->ts == 1763712000000);
    assert_true(reading->has_value && reading->value == 123.456);
    assert_string_equal(reading->unit, "m3");
    assert_int_equal(reading->scale, 3);
    assert_string_equal(reading->quality, "uncertain");
    assert_string_equal(reading->flags, "late,duplicate");
    assert_string_equal(reading->time_source, "platform");
    assert_true(reading->seq == 7 && reading->received == 1763712000123);
    assert_string_equal(reading->gateway, "00c0ffee12345678");
    assert_true(reading->has_unscaled && reading->unscaled == 123456);
    tidegate__v1__reading__free_unpacked(reading, NULL);
}

static void null_and_zero_are_told_apart(void **state)
{
    (void)state;
    struct batch_row row = plain_row();
    row.unscaled = 0;
    Tidegate__V1__Reading *zero = unpack_one(&row);
    assert_true(zero->has_value && zero->value == 0);
    assert_true(zero->has_unscaled && zero->unscaled == 0);
    row.has_value = false;
    row.quality = QUALITY_BAD;
    Tidegate__V1__Reading *null = unpack_one(&row);
    assert_true(!null->has_value && !null->has_unscaled);
    assert_string_equal(null->quality, "bad");
    tidegate__v1__reading__free_unpacked(zero, NULL);
    tidegate__v1__reading__free_unpacked(null, NULL);
}

/* Readers that tell missing from empty (Flink SQL) get NULL for nothing but the value. */
static void every_other_field_is_always_there(void **state)
{
    (void)state;
    struct batch_row row = {.quality = QUALITY_BAD};
    Tidegate__V1__Reading *reading = unpack_one(&row);
    assert_true(reading->vendor && reading->device && reading->metric && reading->unit);
    assert_true(reading->quality && reading->flags && reading->time_source && reading->gateway);
    assert_true(reading->has_ts && reading->has_scale && reading->has_seq && reading->has_received);
    assert_true(!reading->has_value && !reading->has_unscaled);
    tidegate__v1__reading__free_unpacked(reading, NULL);
}

/* Any length class of a string: empty, short, around the copy's step, two-byte length. */
static struct bytes random_text(uint64_t *random, char room[400])
{
    static const size_t classes[] = {0, 1, 12, 27, 28, 29, 30, 31, 32, 33, 127, 128, 399};
    size_t size = classes[random_next(random) % array_count(classes)];
    for (size_t i = 0; i < size; i++)
        room[i] = (char)('!' + random_next(random) % 94);
    return bytes_of(room, size);
}

/* Every number of bits is as likely, and both signs. */
static uint64_t random_bits(uint64_t *random)
{
    uint64_t bits = random_next(random) >> (random_next(random) % 64);
    return random_next(random) % 2 ? bits : -bits;
}

static void random_rows_are_what_generated_code_packs(void **state)
{
    (void)state;
    static const uint64_t edges[] = {0, 1, 127, 128, INT64_MAX, (uint64_t)INT64_MIN, UINT64_MAX};
    struct reading_pack *pack = reading_pack_new(gateway);
    uint64_t random = 4711;
    for (int round = 0; round < 40; round++) {
        struct batch_builder *builder = batch_builder_new();
        uint32_t rows = (uint32_t)(random_next(&random) % 400);
        for (uint32_t i = 0; i < rows; i++) {
            char vendor[400], device[400], metric[400], unit[400];
            struct batch_row row = plain_row();
            if (random_next(&random) % 4) {
                row.vendor = random_text(&random, vendor);
                row.device = random_text(&random, device);
                row.metric = random_text(&random, metric);
                row.unit = random_text(&random, unit);
            }
            row.ts_ms = (int64_t)random_bits(&random);
            row.unscaled = (int64_t)(random_next(&random) % 8
                                         ? random_bits(&random)
                                         : edges[random_next(&random) % array_count(edges)]);
            row.scale = (uint8_t)(random_next(&random) % 19);
            row.has_value = random_next(&random) % 5 != 0;
            row.quality = (enum quality)(random_next(&random) % QUALITY_COUNT);
            row.time_source = (enum time_source)(random_next(&random) % TIME_SOURCE_COUNT);
            row.flags = random_next(&random) % 2 ? 0 : (uint32_t)random_next(&random);
            row.seq = random_next(&random) % 3 ? i / 4 : random_bits(&random);
            row.received_ms = random_next(&random) % 3 ? i / 4 : (int64_t)random_bits(&random);
            batch_builder_add(builder, &row);
        }
        struct batch *batch = batch_builder_finish(builder);
        batch_builder_free(builder);
        assert_batch_is_generated(pack, batch);
        batch_release(batch);
    }
    reading_pack_free(pack);
}

/* More combinations of unit, scale, quality, flags and source than are kept ready. */
static void many_kinds_of_rows_are_what_generated_code_packs(void **state)
{
    (void)state;
    struct reading_pack *pack = reading_pack_new(gateway);
    struct batch_builder *builder = batch_builder_new();
    for (uint32_t i = 0; i < 20000; i++) {
        struct batch_row row = plain_row();
        row.scale = (uint8_t)(i % 19);
        row.flags = i * 7 % 1021;
        row.quality = (enum quality)(i % 3);
        batch_builder_add(builder, &row);
    }
    struct batch *batch = batch_builder_finish(builder);
    assert_batch_is_generated(pack, batch);
    batch_release(batch);
    batch_builder_free(builder);
    reading_pack_free(pack);
}

/* Index numbers of strings mean something else in the next batch. */
static void what_was_ready_for_one_batch_is_not_used_for_the_next(void **state)
{
    (void)state;
    struct reading_pack *pack = reading_pack_new(gateway);
    struct batch_row row = plain_row();
    struct batch *first = batch_of(&row, 1);
    row.vendor = bytes_text("wvg");
    row.device = bytes_text("9");
    row.unit = bytes_text("kPa");
    struct batch *second = batch_of(&row, 1);
    assert_batch_is_generated(pack, first);
    assert_batch_is_generated(pack, second);
    batch_release(first);
    batch_release(second);
    reading_pack_free(pack);
}

static void bytes_that_are_no_text_are_repaired_in_record_and_key(void **state)
{
    (void)state;
    struct batch_row row = plain_row();
    row.device = bytes_text("a\xff\xc3(");
    row.unit = bytes_text("\xc2\xb0"
                          "C\x80");
    Tidegate__V1__Reading *reading = unpack_one(&row);
    assert_string_equal(reading->device, "a\xef\xbf\xbd\xef\xbf\xbd(");
    assert_string_equal(reading->unit, "\xc2\xb0"
                                       "C\xef\xbf\xbd");
    tidegate__v1__reading__free_unpacked(reading, NULL);

    struct reading_pack *pack = reading_pack_new(gateway);
    struct batch *batch = batch_of(&row, 1);
    struct buffer key = {0};
    reading_pack_begin(pack, batch);
    reading_pack_key(pack, 0, &key);
    assert_true(bytes_equal_text(buffer_bytes(&key), "acme/a\xef\xbf\xbd\xef\xbf\xbd("));
    buffer_fini(&key);
    batch_release(batch);
    reading_pack_free(pack);
}

static void a_key_is_vendor_and_device_appended(void **state)
{
    (void)state;
    struct batch_row rows[] = {plain_row(), plain_row(), plain_row()};
    char longest[200];
    memset(longest, 'x', sizeof longest);
    rows[1].device = bytes_text("AB 7/1");
    rows[2].device = bytes_of(longest, sizeof longest);
    struct reading_pack *pack = reading_pack_new(gateway);
    struct batch *batch = batch_of(rows, array_count(rows));
    struct buffer key = {0};
    reading_pack_begin(pack, batch);
    reading_pack_key(pack, 0, &key);
    buffer_add_text(&key, "|");
    reading_pack_key(pack, 1, &key);
    assert_true(bytes_equal_text(buffer_bytes(&key), "acme/00012345|acme/AB 7/1"));
    buffer_clear(&key);
    reading_pack_key(pack, 2, &key);
    assert_int_equal(key.size, 5 + sizeof longest);
    assert_memory_equal(key.data, "acme/", 5);
    assert_memory_equal(key.data + 5, longest, sizeof longest);
    buffer_fini(&key);
    batch_release(batch);
    reading_pack_free(pack);
}

static void an_empty_batch_and_null_are_accepted(void **state)
{
    (void)state;
    struct reading_pack *pack = reading_pack_new(gateway);
    struct batch *batch = batch_of(NULL, 0);
    reading_pack_begin(pack, batch);
    batch_release(batch);
    reading_pack_free(pack);
    reading_pack_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reading_comes_back_whole),
        cmocka_unit_test(null_and_zero_are_told_apart),
        cmocka_unit_test(every_other_field_is_always_there),
        cmocka_unit_test(random_rows_are_what_generated_code_packs),
        cmocka_unit_test(many_kinds_of_rows_are_what_generated_code_packs),
        cmocka_unit_test(what_was_ready_for_one_batch_is_not_used_for_the_next),
        cmocka_unit_test(bytes_that_are_no_text_are_repaired_in_record_and_key),
        cmocka_unit_test(a_key_is_vendor_and_device_appended),
        cmocka_unit_test(an_empty_batch_and_null_are_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
