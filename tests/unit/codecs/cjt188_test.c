/* SPDX-License-Identifier: Apache-2.0
 *
 * CJ/T 188 against tests/vectors/cjt188/frames.jsonl, and what a file of frames cannot say: every
 * truncation, every flipped bit, bounds, options, time linear in the payload.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "codecs/cjt188/cjt188.h"
#include "codecs/cjt188/frame.h"
#include "lib/vectors.h"

enum { READINGS_MAX = 1000 };

static void *configure(const char *yaml)
{
    struct buffer errors = {0};
    void *config = NULL;
    int result = codec_cjt188.configure(bytes_text(yaml), "test.yaml", &config, &errors);
    if (result != 0)
        print_error("%.*s\n", (int)errors.size, (const char *)errors.data);
    assert_int_equal(result, 0);
    buffer_fini(&errors);
    return config;
}

static enum codec_result decode(const void *config, struct bytes payload, const char *device,
                                struct readings *out, struct codec_why *why)
{
    struct codec_input in = {.payload = payload, .device = bytes_text(device)};
    readings_reset(out);
    return codec_cjt188.decode(config, NULL, &in, out, why);
}

/* ---- the vectors ---- */

static void assert_text(const char *name, const char *what, struct bytes got, const char *wanted)
{
    if (!bytes_equal_text(got, wanted))
        print_error("%s: %s is \"%.*s\", wanted \"%s\"\n", name, what, (int)got.size,
                    (const char *)got.data, wanted);
    assert_true(bytes_equal_text(got, wanted));
}

static void assert_value(const char *name, const struct reading *got, const struct vector *wanted)
{
    char text[DECIMAL_TEXT_SIZE];
    const char *value = vector_text(wanted, "value", NULL);
    if (value == NULL) {
        assert_false(got->has_value);
        return;
    }
    assert_true(got->has_value);
    assert_text(name, "value", bytes_text(decimal_format(got->value, text)), value);
}

static void assert_time(const char *name, const struct reading *got, const struct vector *wanted)
{
    const char *time = vector_text(wanted, "time", NULL);
    int64_t ms = 0;
    bool zoned = false;
    if (time == NULL) {
        assert_int_equal(got->time, READING_TIME_NONE);
        return;
    }
    assert_int_equal(got->time, READING_TIME_LOCAL);
    assert_int_equal(got->time_source, TIME_DEVICE);
    assert_true(clock_parse_rfc3339(bytes_text(time), &ms, &zoned));
    if (got->ts_ms != ms)
        print_error("%s: time\n", name);
    assert_int_equal(got->ts_ms, ms);
}

static void assert_reading(const char *name, const struct reading *got, const struct vector *wanted)
{
    struct buffer flags = {0};
    assert_text(name, "device", got->device, vector_text(wanted, "device", ""));
    assert_text(name, "metric", got->metric, vector_text(wanted, "metric", ""));
    assert_text(name, "unit", got->unit, vector_text(wanted, "unit", ""));
    assert_value(name, got, wanted);
    assert_time(name, got, wanted);
    assert_text(name, "quality", bytes_text(quality_name(got->quality)),
                vector_text(wanted, "quality", ""));
    flags_format(got->flags, &flags);
    assert_text(name, "flags", buffer_bytes(&flags), vector_text(wanted, "flags", ""));
    buffer_fini(&flags);
}

static void assert_case(struct vectors *vectors, const struct vector *wanted, struct readings *out)
{
    static const char *const results[] = {"ok", "malformed", "unsupported", "no_context", "full"};
    const char *name = vector_text(wanted, "name", "?");
    const char *hex = vector_text(wanted, "hex", NULL);
    struct bytes payload =
        hex ? vector_hex(vectors, hex) : bytes_text(vector_text(wanted, "text", ""));
    struct codec_why why = {0};
    void *config = configure(vector_text(wanted, "options", ""));
    enum codec_result result =
        decode(config, payload, vector_text(wanted, "device", ""), out, &why);
    assert_text(name, "result", bytes_text(results[result]), vector_text(wanted, "result", ""));
    if (result == CODEC_OK) {
        const struct vector *readings = vector_get(wanted, "readings");
        size_t index = 0;
        if (out->count != readings->count)
            print_error("%s: %zu readings\n", name, out->count);
        assert_int_equal(out->count, readings->count);
        VECTOR_EACH(reading, readings)
        {
            assert_reading(name, &out->items[index++], reading);
        }
    } else {
        assert_text(name, "reason", bytes_text(why.reason), vector_text(wanted, "reason", ""));
        assert_true(strlen(why.detail) > 10);
    }
    codec_cjt188.config_free(config);
}

static void vectors_give_what_they_say(void **state)
{
    (void)state;
    struct vectors vectors;
    struct readings out;
    readings_init(&out, READINGS_MAX);
    vectors_load(&vectors, "cjt188/frames.jsonl");
    VECTOR_EACH(wanted, vectors.cases)
    {
        assert_case(&vectors, wanted, &out);
    }
    assert_true(vectors.cases->count >= 100);
    vectors_fini(&vectors);
    readings_fini(&out);
}

/* ---- beyond the vectors ---- */

static const uint8_t good[] = {
    0x68, 0x10, 0x44, 0x33, 0x22, 0x11, 0x00, 0x33, 0x78, 0x81, 0x16, 0x1f,
    0x90, 0x00, 0x00, 0x77, 0x66, 0x55, 0x2c, 0x00, 0x77, 0x66, 0x55, 0x2c,
    0x31, 0x01, 0x22, 0x11, 0x05, 0x15, 0x20, 0x21, 0x84, 0x13, 0x16,
};

static void every_truncation_is_refused(void **state)
{
    (void)state;
    struct readings out;
    struct codec_why why;
    void *config = configure("");
    readings_init(&out, READINGS_MAX);
    for (size_t size = 0; size < sizeof good; size++) {
        /* In memory of its own, so that a read behind the end is seen. */
        uint8_t *copy = mem_alloc(size);
        memcpy(copy, good, size);
        assert_int_equal(decode(config, bytes_of(copy, size), "", &out, &why), CODEC_MALFORMED);
        assert_int_equal(out.count, 0);
        free(copy);
    }
    assert_int_equal(decode(config, bytes_of(good, sizeof good), "", &out, &why), CODEC_OK);
    assert_int_equal(out.count, 4);
    readings_fini(&out);
    codec_cjt188.config_free(config);
}

static void every_flipped_bit_is_refused(void **state)
{
    (void)state;
    struct readings out;
    struct codec_why why;
    void *config = configure("");
    readings_init(&out, READINGS_MAX);
    for (size_t bit = 0; bit < sizeof good * 8; bit++) {
        uint8_t copy[sizeof good];
        memcpy(copy, good, sizeof good);
        copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(decode(config, bytes_of(copy, sizeof copy), "", &out, &why),
                         CODEC_MALFORMED);
    }
    readings_fini(&out);
    codec_cjt188.config_free(config);
}

static void more_readings_than_allowed_is_full(void **state)
{
    (void)state;
    struct readings out;
    struct codec_why why;
    void *config = configure("");
    uint8_t two[2 * sizeof good];
    memcpy(two, good, sizeof good);
    memcpy(two + sizeof good, good, sizeof good);
    readings_init(&out, 7);
    assert_int_equal(decode(config, bytes_of(two, sizeof two), "", &out, &why), CODEC_FULL);
    assert_string_equal(why.reason, "too_many");
    readings_fini(&out);
    readings_init(&out, 8);
    assert_int_equal(decode(config, bytes_of(two, sizeof two), "", &out, &why), CODEC_OK);
    assert_int_equal(out.count, 8);
    readings_fini(&out);
    codec_cjt188.config_free(config);
}

/* The worst payload: every byte a start byte, every candidate summed. 1 MB must take far less than
 * a second; quadratic work would take hours. */
static void hostile_payload_takes_linear_time(void **state)
{
    (void)state;
    struct readings out;
    struct codec_why why;
    void *config = configure("");
    size_t size = 1000000;
    uint8_t *payload = mem_alloc(size);
    readings_init(&out, READINGS_MAX);
    for (size_t i = 0; i < size; i++)
        payload[i] = i % 117 == 116 ? 0x16 : 0x68;
    int64_t start = clock_monotonic_ms();
    assert_int_equal(decode(config, bytes_of(payload, size), "", &out, &why), CODEC_MALFORMED);
    assert_true(clock_monotonic_ms() - start < 5000);
    free(payload);
    readings_fini(&out);
    codec_cjt188.config_free(config);
}

static void option_errors_name_line_and_column(void **state)
{
    (void)state;
    struct buffer errors = {0};
    void *config = NULL;
    struct bytes yaml = bytes_text("litre_decimals: 7\nlitres: 2\ndevice: serial\n");
    assert_int_equal(codec_cjt188.configure(yaml, "meters.yaml", &config, &errors), GW_EINVAL);
    buffer_u8(&errors, 0);
    const char *text = (const char *)errors.data;
    assert_non_null(strstr(text, "meters.yaml:1:"));
    assert_non_null(strstr(text, "meters.yaml:2:"));
    assert_non_null(strstr(text, "meters.yaml:3:"));
    buffer_fini(&errors);
}

static void options_must_be_a_mapping(void **state)
{
    (void)state;
    struct buffer errors = {0};
    void *config = NULL;
    assert_int_equal(codec_cjt188.configure(bytes_text("- 1\n"), "x", &config, &errors), GW_EINVAL);
    assert_true(errors.size > 0);
    buffer_fini(&errors);
}

static void bcd_of_every_byte_is_told_apart(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        uint8_t in = (uint8_t)byte;
        int64_t value = -1;
        enum cjt188_bcd result = cjt188_bcd(bytes_of(&in, 1), &value);
        bool digits = byte >> 4 <= 9 && (byte & 15) <= 9;
        assert_int_equal(result, digits        ? CJT188_BCD_OK
                                 : byte == 255 ? CJT188_BCD_FILL
                                               : CJT188_BCD_BAD);
        assert_int_equal(value, digits ? (byte >> 4) * 10 + (byte & 15) : 0);
    }
}

static void the_refusal_names_the_byte(void **state)
{
    (void)state;
    struct readings out;
    struct codec_why why;
    void *config = configure("");
    uint8_t payload[3 + sizeof good] = {0xfe, 0xfe, 0xfe};
    memcpy(payload + 3, good, sizeof good);
    payload[20] ^= 1;
    readings_init(&out, READINGS_MAX);
    assert_int_equal(decode(config, bytes_of(payload, sizeof payload), "", &out, &why),
                     CODEC_MALFORMED);
    assert_string_equal(why.reason, "checksum");
    assert_non_null(strstr(why.detail, "byte 3:"));
    readings_fini(&out);
    codec_cjt188.config_free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_give_what_they_say),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(every_flipped_bit_is_refused),
        cmocka_unit_test(more_readings_than_allowed_is_full),
        cmocka_unit_test(hostile_payload_takes_linear_time),
        cmocka_unit_test(option_errors_name_line_and_column),
        cmocka_unit_test(options_must_be_a_mapping),
        cmocka_unit_test(bcd_of_every_byte_is_told_apart),
        cmocka_unit_test(the_refusal_names_the_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
