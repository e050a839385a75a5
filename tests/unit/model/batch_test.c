/* SPDX-License-Identifier: Apache-2.0
 *
 * Batches: what goes in comes out, in memory, through bytes and as JSON; bytes that are no batch are
 * refused, whatever they claim.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "model/batch.h"
#include "model/batch_json.h"

static struct batch_row row_of(const char *device, const char *metric, int64_t unscaled,
                               uint8_t scale)
{
    return (struct batch_row){
        .vendor = bytes_text("acme"),
        .device = bytes_text(device),
        .metric = bytes_text(metric),
        .unit = bytes_text("m3"),
        .ts_ms = 1763712000000,
        .unscaled = unscaled,
        .scale = scale,
        .has_value = true,
        .seq = 7,
        .received_ms = 1763712000123,
    };
}

/* A small batch with every extreme that a column can hold. */
static struct batch *extremes(void)
{
    struct batch_builder *builder = batch_builder_new();
    static const int64_t values[] = {0, -1, 1, INT64_MAX, INT64_MIN, 123456};
    for (uint32_t i = 0; i < 60; i++) {
        char device[32];
        snprintf(device, sizeof device, "%08u", i * 7919 % 13);
        struct batch_row row = row_of(device, i % 2 ? "volume.total" : "pressure",
                                      values[i % array_count(values)], (uint8_t)(i % 19));
        row.ts_ms = i % 5 == 0 ? INT64_MIN : i % 5 == 1 ? INT64_MAX : 1763712000000 + i;
        row.received_ms = i % 7 == 0 ? -5 : 1763712000000 + i;
        row.seq = i % 3 == 0 ? UINT64_MAX : i;
        row.quality = (enum quality)(i % QUALITY_COUNT);
        row.time_source = (enum time_source)(i % TIME_SOURCE_COUNT);
        row.flags = i % 4 == 0 ? UINT32_MAX : i;
        row.has_value = i % 6 != 5;
        batch_builder_add(builder, &row);
    }
    batch_builder_reject(builder, 12, STAGE_DECODE, bytes_text("acme"), bytes_text("json"), 3,
                         bytes_text("bad_json"), bytes_text("unexpected end"));
    batch_builder_reject(builder, 4, STAGE_ROUTE, bytes_text("acme"), bytes_text(""), 0,
                         bytes_text("no_route"), bytes_text("x/y"));
    struct batch *batch = batch_builder_finish(builder);
    batch->first_seq = 4;
    batch->last_seq = UINT64_MAX;
    batch->generation = UINT32_MAX;
    batch->replay = true;
    batch->supersedes_first = 4;
    batch->supersedes_last = 99;
    batch->received_min_ms = -5;
    batch->received_max_ms = INT64_MAX;
    batch->totals = (struct batch_totals){1, 2, 3, UINT64_MAX};
    batch_builder_free(builder);
    return batch;
}

static void assert_string(const struct batch *a, uint32_t x, const struct batch *b, uint32_t y)
{
    assert_true(bytes_equal(a->strings[x], b->strings[y]));
}

static void assert_same_row(const struct batch *a, const struct batch *b, uint32_t row)
{
    assert_string(a, a->vendor[row], b, b->vendor[row]);
    assert_string(a, a->device[row], b, b->device[row]);
    assert_string(a, a->metric[row], b, b->metric[row]);
    assert_string(a, a->unit[row], b, b->unit[row]);
    assert_int_equal(a->ts_ms[row], b->ts_ms[row]);
    assert_int_equal(a->unscaled[row], b->unscaled[row]);
    assert_int_equal(a->scale[row], b->scale[row]);
    assert_int_equal(a->has_value[row], b->has_value[row]);
    assert_int_equal(a->quality[row], b->quality[row]);
    assert_int_equal(a->time_source[row], b->time_source[row]);
    assert_int_equal(a->flags[row], b->flags[row]);
    assert_int_equal(a->seq[row], b->seq[row]);
    assert_int_equal(a->received_ms[row], b->received_ms[row]);
}

static void assert_same(const struct batch *a, const struct batch *b)
{
    assert_int_equal(a->first_seq, b->first_seq);
    assert_int_equal(a->last_seq, b->last_seq);
    assert_int_equal(a->generation, b->generation);
    assert_int_equal(a->replay, b->replay);
    assert_int_equal(a->supersedes_first, b->supersedes_first);
    assert_int_equal(a->supersedes_last, b->supersedes_last);
    assert_int_equal(a->received_min_ms, b->received_min_ms);
    assert_int_equal(a->received_max_ms, b->received_max_ms);
    assert_memory_equal(&a->totals, &b->totals, sizeof a->totals);
    assert_int_equal(a->count, b->count);
    for (uint32_t i = 0; i < a->count; i++)
        assert_same_row(a, b, i);
    assert_int_equal(a->reject_count, b->reject_count);
    for (uint32_t i = 0; i < a->reject_count; i++) {
        assert_int_equal(a->rejects[i].seq, b->rejects[i].seq);
        assert_int_equal(a->rejects[i].stage, b->rejects[i].stage);
        assert_int_equal(a->rejects[i].codec_version, b->rejects[i].codec_version);
        assert_string(a, a->rejects[i].vendor, b, b->rejects[i].vendor);
        assert_string(a, a->rejects[i].codec, b, b->rejects[i].codec);
        assert_string(a, a->rejects[i].reason, b, b->rejects[i].reason);
        assert_string(a, a->rejects[i].detail, b, b->rejects[i].detail);
    }
}

static void equal_strings_stand_once(void **state)
{
    (void)state;
    struct batch_builder *builder = batch_builder_new();
    char device[16];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 3000; i++) {
            snprintf(device, sizeof device, "%d", i);
            struct batch_row row = row_of(device, "flow", i, 0);
            batch_builder_add(builder, &row);
        }
    }
    assert_int_equal(batch_builder_rows(builder), 9000);
    struct batch *batch = batch_builder_finish(builder);
    assert_int_equal(batch->string_count, 1 + 3000 + 3);
    for (uint32_t i = 0; i < batch->count; i++) {
        snprintf(device, sizeof device, "%u", i % 3000);
        assert_true(bytes_equal_text(batch->strings[batch->device[i]], device));
        assert_true(bytes_equal_text(batch->strings[batch->vendor[i]], "acme"));
        assert_int_equal(batch->unscaled[i], i % 3000);
    }
    batch_release(batch);
    batch_builder_free(builder);
}

static void finish_leaves_the_builder_empty(void **state)
{
    (void)state;
    struct batch_builder *builder = batch_builder_new();
    struct batch_row row = row_of("1", "flow", 5, 1);
    batch_builder_add(builder, &row);
    batch_builder_reject(builder, 1, STAGE_EMPTY, bytes_text("acme"), bytes_text("json"), 1,
                         bytes_text("empty"), bytes_text(""));
    struct batch *first = batch_builder_finish(builder);
    assert_int_equal(batch_builder_rows(builder), 0);
    assert_int_equal(batch_builder_rejects(builder), 0);
    row.device = bytes_text("2");
    batch_builder_add(builder, &row);
    struct batch *second = batch_builder_finish(builder);
    assert_true(bytes_equal_text(first->strings[first->device[0]], "1"));
    assert_true(bytes_equal_text(second->strings[second->device[0]], "2"));
    assert_int_equal(second->reject_count, 0);
    assert_int_equal(first->reject_count, 1);
    batch_release(first);
    batch_release(second);
    batch_builder_free(builder);
}

static void a_batch_lives_until_its_last_release(void **state)
{
    (void)state;
    struct batch *batch = extremes();
    assert_ptr_equal(batch_acquire(batch), batch);
    batch_release(batch);
    assert_int_equal(batch->count, 60);
    batch_release(batch);
    batch_release(NULL);
}

static void encoded_bytes_give_the_same_batch(void **state)
{
    (void)state;
    struct batch *batch = extremes(), *back = NULL;
    struct buffer bytes = {0};
    struct err err = {0};
    buffer_add_text(&bytes, "kept");
    batch_encode(batch, &bytes);
    assert_memory_equal(bytes.data, "kept", 4);
    assert_int_equal(batch_decode(bytes_of(bytes.data + 4, bytes.size - 4), &back, &err), 0);
    assert_same(batch, back);
    assert_true(back->bytes >= sizeof *back + 60 * 56);
    batch_release(back);
    batch_release(batch);
    buffer_fini(&bytes);
}

/* Logs of earlier programs: a reject ended with its detail there. */
static void version_1_without_vendors_is_read(void **state)
{
    (void)state;
    struct batch_builder *builder = batch_builder_new();
    batch_builder_reject(builder, 7, STAGE_DECODE, bytes_text(""), bytes_text("json"), 3,
                         bytes_text("bad_json"), bytes_text("end"));
    struct batch *batch = batch_builder_finish(builder), *again;
    struct buffer out = {0};
    struct err err;
    batch->first_seq = batch->last_seq = 7;
    batch_encode(batch, &out);
    out.data[0] = 1;
    assert_int_equal(batch_decode(bytes_of(out.data, out.size - 1), &again, &err), 0);
    assert_int_equal(again->rejects[0].seq, 7);
    assert_int_equal(again->rejects[0].vendor, 0);
    assert_true(bytes_equal_text(again->strings[again->rejects[0].detail], "end"));
    batch_release(again);
    batch_release(batch);
    batch_builder_free(builder);
    buffer_fini(&out);
}

static void an_empty_batch_is_a_batch(void **state)
{
    (void)state;
    struct batch_builder *builder = batch_builder_new();
    struct batch *batch = batch_builder_finish(builder), *back = NULL;
    struct buffer bytes = {0};
    struct err err = {0};
    batch_encode(batch, &bytes);
    assert_int_equal(batch_decode(buffer_bytes(&bytes), &back, &err), 0);
    assert_same(batch, back);
    batch_release(back);
    batch_release(batch);
    batch_builder_free(builder);
    buffer_fini(&bytes);
}

/* A copy of exactly that size, so that the sanitizers see a read behind it. */
static int decode_copy(const uint8_t *data, size_t size, struct batch **out, struct err *err)
{
    uint8_t *copy = mem_alloc(size);
    if (size)
        memcpy(copy, data, size);
    int result = batch_decode(bytes_of(copy, size), out, err);
    free(copy);
    return result;
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    struct batch *batch = extremes(), *back = NULL;
    struct buffer bytes = {0};
    batch_encode(batch, &bytes);
    for (size_t size = 0; size < bytes.size; size++) {
        struct err err = {0};
        assert_int_equal(decode_copy(bytes.data, size, &back, &err), GW_ECORRUPT);
        assert_true(err.text[0] != '\0');
    }
    buffer_u8(&bytes, 0);
    struct err err = {0};
    assert_int_equal(decode_copy(bytes.data, bytes.size, &back, &err), GW_ECORRUPT);
    batch_release(batch);
    buffer_fini(&bytes);
}

static void flipped_bits_never_give_an_unusable_batch(void **state)
{
    (void)state;
    struct batch *batch = extremes();
    struct buffer bytes = {0}, json = {0};
    batch_encode(batch, &bytes);
    for (size_t bit = 0; bit < bytes.size * 8; bit++) {
        struct batch *back = NULL;
        struct err err = {0};
        bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (decode_copy(bytes.data, bytes.size, &back, &err) == 0) {
            buffer_clear(&json);
            for (uint32_t i = 0; i < back->count; i++)
                batch_row_json(back, i, "0", &json);
            batch_release(back);
        }
        bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    batch_release(batch);
    buffer_fini(&bytes);
    buffer_fini(&json);
}

static void a_newer_format_is_refused_as_such(void **state)
{
    (void)state;
    struct err err = {0};
    struct batch *back = NULL;
    assert_int_equal(batch_decode(bytes_of("\x03\0\0\0", 4), &back, &err), GW_EVERSION);
    assert_non_null(strstr(err.text, "written in format 3"));
}

static void claims_beyond_the_bytes_take_no_memory(void **state)
{
    (void)state;
    /* A head whose counts say 2^32-1 rows: 75 GiB, if anybody believed it. */
    struct buffer bytes = {0};
    buffer_u8(&bytes, 1);
    buffer_u8(&bytes, 0);
    for (int i = 0; i < 11; i++)
        buffer_varint(&bytes, 0);
    buffer_varint(&bytes, UINT32_MAX);
    buffer_varint(&bytes, 0);
    buffer_varint(&bytes, 1);
    buffer_varint(&bytes, 0);
    struct err err = {0};
    struct batch *back = NULL;
    assert_int_equal(batch_decode(buffer_bytes(&bytes), &back, &err), GW_ECORRUPT);
    assert_non_null(strstr(err.text, "head"));
    buffer_fini(&bytes);
}

static void values_are_the_nearest_doubles(void **state)
{
    (void)state;
    static const struct {
        int64_t unscaled;
        uint8_t scale;
        double value;
    } cases[] = {
        {123456, 3, 123.456},
        {-1, 1, -0.1},
        {0, 18, 0.0},
        {3, 1, 0.3},
        {9007199254740993, 0, 9007199254740993.0},
        {INT64_MAX, 18, 9.223372036854775807},
        {INT64_MIN, 4, -922337203685477.5808},
        {999999999999999, 15, 0.999999999999999},
    };
    struct batch_builder *builder = batch_builder_new();
    for (size_t i = 0; i < array_count(cases); i++) {
        struct batch_row row = row_of("1", "flow", cases[i].unscaled, cases[i].scale);
        batch_builder_add(builder, &row);
    }
    struct batch *batch = batch_builder_finish(builder);
    for (uint32_t i = 0; i < array_count(cases); i++)
        assert_true(batch_value(batch, i) == cases[i].value);
    batch_release(batch);
    batch_builder_free(builder);
}

static void assert_json(const struct batch_row *row, const char *expected)
{
    struct batch_builder *builder = batch_builder_new();
    struct buffer out = {0};
    batch_builder_add(builder, row);
    struct batch *batch = batch_builder_finish(builder);
    batch_row_json(batch, 0, "00ff00ff00ff00ff", &out);
    buffer_u8(&out, 0);
    assert_string_equal((char *)out.data, expected);
    buffer_fini(&out);
    batch_release(batch);
    batch_builder_free(builder);
}

static void a_row_is_one_line_of_json(void **state)
{
    (void)state;
    struct batch_row row = row_of("00012345", "volume.total", 123456, 3);
    row.flags = FLAG_CLOCK | FLAG_LATE;
    row.time_source = TIME_RECEIVED;
    row.quality = QUALITY_UNCERTAIN;
    assert_json(&row, "{\"vendor\":\"acme\",\"device\":\"00012345\",\"metric\":\"volume.total\","
                      "\"ts\":\"2025-11-21T08:00:00.000Z\",\"value\":123.456,\"unit\":\"m3\","
                      "\"scale\":3,\"quality\":\"uncertain\",\"flags\":[\"clock\",\"late\"],"
                      "\"time_source\":\"received\",\"seq\":7,"
                      "\"received\":\"2025-11-21T08:00:00.123Z\","
                      "\"gateway\":\"00ff00ff00ff00ff\"}\n");
    row = row_of("a\"\\\n\x01\xff\xc3\xa9\xe0\x80\x80", "x", 5, 0);
    row.has_value = false;
    row.quality = QUALITY_BAD;
    assert_json(&row, "{\"vendor\":\"acme\",\"device\":\"a\\\"\\\\\\n\\u0001\xef\xbf\xbd\xc3\xa9"
                      "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\",\"metric\":\"x\","
                      "\"ts\":\"2025-11-21T08:00:00.000Z\",\"value\":null,\"unit\":\"m3\","
                      "\"scale\":0,\"quality\":\"bad\",\"flags\":[],\"time_source\":\"device\","
                      "\"seq\":7,\"received\":\"2025-11-21T08:00:00.123Z\","
                      "\"gateway\":\"00ff00ff00ff00ff\"}\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_strings_stand_once),
        cmocka_unit_test(finish_leaves_the_builder_empty),
        cmocka_unit_test(a_batch_lives_until_its_last_release),
        cmocka_unit_test(encoded_bytes_give_the_same_batch),
        cmocka_unit_test(version_1_without_vendors_is_read),
        cmocka_unit_test(an_empty_batch_is_a_batch),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(flipped_bits_never_give_an_unusable_batch),
        cmocka_unit_test(a_newer_format_is_refused_as_such),
        cmocka_unit_test(claims_beyond_the_bytes_take_no_memory),
        cmocka_unit_test(values_are_the_nearest_doubles),
        cmocka_unit_test(a_row_is_one_line_of_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
