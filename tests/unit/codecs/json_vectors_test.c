/* SPDX-License-Identifier: Apache-2.0
 *
 * Every line of tests/vectors/json/: payload, mapping, and the readings or the refusal that must
 * come out. The form of the lines is described in tests/vectors/json/README.md. One thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "codecs/json/document.h"
#include "codecs/json/json.h"
#include "codecs/json/value.h"

enum { CAPTURES_MAX = 4, EXPECT_MAX = 32 };

struct vector {
    struct arena arena;
    struct bytes name, mapping, device, payload, refused;
    struct capture captures[CAPTURES_MAX];
    size_t capture_count;
    bool expects;
    struct bytes expect[EXPECT_MAX];
    size_t expect_count;
};

static struct buffer file_read(const char *name)
{
    char path[512];
    struct buffer out = {0};
    snprintf(path, sizeof path, "%s/json/%s", TEST_VECTORS, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        fail_msg("cannot open %s", path);
    size_t got;
    while ((got = fread(buffer_reserve(&out, 65536), 1, 65536, file)) > 0)
        out.size += got;
    fclose(file);
    return out;
}

static struct bytes member_text(struct arena *arena, const struct json_node *line, const char *key)
{
    const struct json_node *node = json_member(line, bytes_text(key));
    return node ? arena_copy(arena, node->text) : (struct bytes){0};
}

static struct bytes from_hex(struct arena *arena, struct bytes hex)
{
    uint8_t *out = arena_alloc(arena, hex.size / 2 + 1);
    for (size_t i = 0; i + 1 < hex.size; i += 2) {
        char digits[3] = {(char)hex.data[i], (char)hex.data[i + 1], 0};
        out[i / 2] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return bytes_of(out, hex.size / 2);
}

/* Copies all it takes: the document's memory is used again by the decoding. */
static void vector_read(struct vector *vector, struct bytes line)
{
    static const struct json_limits limits = {64, 10000};
    struct json_refusal refusal;
    const struct json_node *duplicate;
    const struct json_node *root = json_document_parse(line, &limits, &duplicate, &refusal);
    if (root == NULL)
        fail_msg("a vector is not JSON: %.*s", (int)line.size, (const char *)line.data);
    *vector = (struct vector){0};
    struct arena *arena = &vector->arena;
    vector->name = member_text(arena, root, "name");
    vector->mapping = member_text(arena, root, "mapping");
    vector->device = member_text(arena, root, "device");
    vector->refused = member_text(arena, root, "refused");
    vector->payload = member_text(arena, root, "payload");
    if (json_member(root, bytes_text("payload_hex")))
        vector->payload = from_hex(arena, member_text(arena, root, "payload_hex"));
    const struct json_node *captures = json_member(root, bytes_text("captures"));
    if (captures)
        JSON_EACH(capture, captures)
    vector->captures[vector->capture_count++] =
        (struct capture){arena_copy(arena, capture->key), arena_copy(arena, capture->text)};
    const struct json_node *expect = json_member(root, bytes_text("expect"));
    vector->expects = expect != NULL;
    if (expect)
        JSON_EACH(item, expect)
    vector->expect[vector->expect_count++] = arena_copy(arena, item->text);
}

static void add_time(struct buffer *out, const struct reading *reading)
{
    char text[CLOCK_TEXT_SIZE];
    if (reading->time == READING_TIME_NONE) {
        assert_int_equal(reading->time_source, TIME_RECEIVED);
        buffer_add_text(out, "none");
        return;
    }
    clock_format_ms(reading->ts_ms, text);
    if (reading->time == READING_TIME_LOCAL)
        memcpy(text + 23, "", 1);
    buffer_printf(out, "%s %s%s", time_source_name(reading->time_source), text,
                  reading->time == READING_TIME_LOCAL ? " local" : "");
}

static void reading_text(const struct reading *reading, struct buffer *out)
{
    char value[DECIMAL_TEXT_SIZE];
    decimal_format(reading->value, value);
    buffer_add_bytes(out, reading->device);
    buffer_u8(out, '|');
    buffer_add_bytes(out, reading->metric);
    buffer_printf(out, "|%s|", reading->has_value ? value : "null");
    if (reading->unit_implied)
        buffer_u8(out, '=');
    buffer_add_bytes(out, reading->unit);
    buffer_u8(out, '|');
    add_time(out, reading);
    buffer_printf(out, "|%s|", quality_name(reading->quality));
    flags_format(reading->flags, out);
}

static void check_readings(const struct vector *vector, const struct readings *out)
{
    for (size_t i = 0; i < out->count && i < vector->expect_count; i++) {
        struct buffer text = {0};
        reading_text(&out->items[i], &text);
        if (!bytes_equal(buffer_bytes(&text), vector->expect[i]))
            fail_msg("%.*s: reading %zu is\n  %.*s\nand not\n  %.*s", (int)vector->name.size,
                     (const char *)vector->name.data, i, (int)text.size, (const char *)text.data,
                     (int)vector->expect[i].size, (const char *)vector->expect[i].data);
        buffer_fini(&text);
    }
    if (out->count != vector->expect_count)
        fail_msg("%.*s: %zu readings, not %zu", (int)vector->name.size,
                 (const char *)vector->name.data, out->count, vector->expect_count);
}

static void *mapping_load(struct bytes name)
{
    void *config = NULL;
    struct buffer errors = {0}, text = {0};
    if (name.size) {
        char *file = bytes_strdup(name);
        text = file_read(file);
        if (codec_json.configure(buffer_bytes(&text), file, &config, &errors))
            fail_msg("%.*s", (int)errors.size, (const char *)errors.data);
        free(file);
    }
    buffer_fini(&text);
    buffer_fini(&errors);
    return config;
}

static void vector_run(const struct vector *vector)
{
    struct readings out;
    struct codec_why why = {"", ""};
    struct codec_input in = {.topic = bytes_text("t"),
                             .payload = vector->payload,
                             .device = vector->device,
                             .captures = vector->captures,
                             .capture_count = vector->capture_count,
                             .received_ms = INT64_C(1732147200000)};
    void *config = mapping_load(vector->mapping);
    readings_init(&out, 1000);
    enum codec_result result = codec_json.decode(config, NULL, &in, &out, &why);
    if (vector->expects) {
        if (result != CODEC_OK)
            fail_msg("%.*s: refused: %s: %s", (int)vector->name.size,
                     (const char *)vector->name.data, why.reason, why.detail);
        check_readings(vector, &out);
    } else if (result == CODEC_OK || !(bytes_equal_text(vector->refused, "*") ||
                                       bytes_equal_text(vector->refused, why.reason))) {
        fail_msg("%.*s: result %d, reason \"%s\" (%s), not \"%.*s\"", (int)vector->name.size,
                 (const char *)vector->name.data, result, why.reason, why.detail,
                 (int)vector->refused.size, (const char *)vector->refused.data);
    }
    readings_fini(&out);
    codec_json.config_free(config);
}

static size_t run_file(const char *name)
{
    struct buffer text = file_read(name);
    size_t count = 0;
    for (const uint8_t *at = text.data, *end = text.data + text.size; at < end;) {
        const uint8_t *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop ? stop : end;
        struct vector vector;
        vector_read(&vector, bytes_of(at, (size_t)(stop - at)));
        vector_run(&vector);
        arena_fini(&vector.arena);
        count++;
        at = stop + 1;
    }
    buffer_fini(&text);
    return count;
}

static void plain_format_gives_the_readings_of_its_vectors(void **state)
{
    (void)state;
    assert_true(run_file("plain.jsonl") >= 40);
}

static void hostile_texts_are_refused_with_their_reason(void **state)
{
    (void)state;
    assert_true(run_file("hostile.jsonl") >= 60);
}

static void mappings_read_vendors_and_platforms(void **state)
{
    (void)state;
    assert_true(run_file("mapping.jsonl") >= 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_format_gives_the_readings_of_its_vectors),
        cmocka_unit_test(hostile_texts_are_refused_with_their_reason),
        cmocka_unit_test(mappings_read_vendors_and_platforms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
