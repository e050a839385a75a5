/* SPDX-License-Identifier: Apache-2.0
 *
 * What a mapping's mistakes say, bounds, time linear in the payload, and that decoding is pure.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "codecs/json/json.h"

static struct buffer errors;

static int configure(const char *yaml, void **config)
{
    buffer_clear(&errors);
    *config = NULL;
    return codec_json.configure(bytes_text(yaml), "m.yaml", config, &errors);
}

static void *configured(const char *yaml)
{
    void *config;
    if (configure(yaml, &config))
        fail_msg("%.*s", (int)errors.size, (const char *)errors.data);
    return config;
}

static enum codec_result decode(const void *config, struct bytes payload, struct readings *out,
                                struct codec_why *why)
{
    struct codec_input in = {.topic = bytes_text("t"), .payload = payload};
    *why = (struct codec_why){"", ""};
    return codec_json.decode(config, NULL, &in, out, why);
}

#define FIELD "fields: {flow: f}\n"

static void every_mistake_is_told_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *says;
    } cases[] = {
        {"devise: x\n" FIELD, "m.yaml:1:1: unknown key of a mapping \"devise\": did you mean"},
        {"- a\n", "m.yaml:1:1: a mapping file must be a mapping"},
        {"device: x\n", "finds no values: add \"fields\", \"pairs\" or \"payload\""},
        {"device: a..b\n" FIELD, "m.yaml:1:9: path \"a..b\", character 3: a key is missing"},
        {"device: a[\n" FIELD, "character 3: a key is missing"},
        {"device: a[x]\n" FIELD, "in brackets stands nothing, an index, or key=text"},
        {"device: a[9999999999]\n" FIELD, "an index is a number below 1000000"},
        {"device: 'a.\"b'\n" FIELD, "a quote is not closed"},
        {"device: a b\n" FIELD, "\".\" or \"[\" is expected here"},
        {"device: a[]\n" FIELD, "device reads one value, but [] and * match many"},
        {"device: \"{x\"\n" FIELD, "m.yaml:1:9: device: \"{\" begins a name"},
        {"device: \"a{}\"\n" FIELD, "device: \"{\" begins a name"},
        {"device: [a]\n" FIELD, "device must be a single value"},
        {"points: a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q\n" FIELD, "more than 16 steps"},
        {"points: '*.*.*.*.*'\n" FIELD, "more than 4 steps over all keys"},
        {"points: '{a'\n" FIELD, "\"}\" is missing"},
        {"points_max: 0\n" FIELD, "points_max must be a whole number from 1 to 1000000"},
        {"points_max: 1.5\n" FIELD, "points_max must be a whole number"},
        {"points_max: 1e9\n" FIELD, "points_max must be a whole number"},
        {"time: {format: auto}\n" FIELD, "m.yaml:1:1: a \"path\" is needed here"},
        {"time: {path: t, format: epoc_ms}\n" FIELD, "did you mean \"epoch_ms\"?"},
        {"time: {path: t, format: yyyy-mm-dd}\n" FIELD, "year, month and day are needed"},
        {"time: {path: t, format: yyyyMMddTHH}\n" FIELD, "\"T\" is none of yyyy yy MM dd HH"},
        {"time: {path: t, format: \"yyyyMMdd'T\"}\n" FIELD, "a quote is not closed"},
        {"time: {path: t, zone: Asia/Nowhere}\n" FIELD, "m.yaml:1:23: "},
        {"time: {path: t, source: devise}\n" FIELD, "source must be device or platform: did you"},
        {"time: {path: t, required: yes}\n" FIELD, "required must be true or false"},
        {"quality: {good: 1}\n" FIELD, "a \"path\" is needed here"},
        {"quality: {path: q, good: {a: 1}}\n" FIELD, "good must be a value or a list of values"},
        {"quality: {path: q, otherwise: bda}\n" FIELD, "did you mean \"bad\"?"},
        {"fields: [a]\n", "fields must be a mapping"},
        {"fields: {flow: {unit: m3}}\n", "m.yaml:1:10: a \"path\" is needed here"},
        {"fields: {flow: }\n", "a path is needed here"},
        {"fields: {flow: {path: f, unti: m3}}\n", "m.yaml:1:26: unknown key of a field \"unti\""},
        {"fields: {flow: {path: f, scale: 0}}\n", "scale: 0 would make every value 0"},
        {"fields: {flow: {path: f, scale: 1/10}}\n", "scale must be a number, such as 0.001"},
        {"fields: {flow: {path: f, offset: x}}\n", "offset must be a number"},
        {"fields: {flow: {path: f, values: {a: b}}}\n", "a must be a number"},
        {"fields: {flow: {path: f, values: {a: }}}\n", "a number is needed behind each text"},
        {"fields: {\"\": f}\n", "a metric's name has 1 to 128 characters"},
        {"pairs: {path: \"d[]\", value: v}\n", "pairs need a name"},
        {"pairs: {path: \"d.*\", others: kepe}\n", "others must be keep or ignore: did you mean"},
        {"pairs: {path: \"d.*\", names: {a: {unti: 1}}}\n", "unknown key of a name \"unti\""},
        {"payload: {path: p}\n", "payload needs an \"encoding\" (base64, hex or text)"},
        {"payload: {path: p, encoding: bas64, codec: cjt188}\n", "did you mean \"base64\"?"},
        {"payload: {path: p, encoding: hex, codec: cjt18}\n", "did you mean \"cjt188\"?"},
        {"payload: {path: p, encoding: hex, codec: json}\n", "\"json\" is none that reads bytes"},
        {"payload: {path: p, encoding: hex, codec: cjt188, options: {litre_decimls: 1}}\n",
         "did you mean \"litre_decimals\"?"},
        {"ignore: {path: a}\n" FIELD, "ignore must be a list"},
        {"ignore: [{path: a}]\n" FIELD, "ignore needs \"equals\""},
        {"duplicate_keys: lst\n" FIELD, "duplicate_keys must be refuse or last: did you mean"},
        {"fields: {flow: f}\nfields: {flow: g}\n", "m.yaml:2:1: key \"fields\" stands here twice"},
        {"fields: {flow: f\n", "m.yaml:"},
    };
    for (size_t i = 0; i < array_count(cases); i++) {
        void *config;
        int result = configure(cases[i].yaml, &config);
        buffer_u8(&errors, 0);
        if (result != GW_EINVAL || strstr((const char *)errors.data, cases[i].says) == NULL)
            fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].yaml, (const char *)errors.data,
                     cases[i].says);
        assert_null(config);
    }
}

static void all_mistakes_are_told_at_once(void **state)
{
    (void)state;
    void *config;
    assert_int_equal(configure("devise: x\ntime: {path: t, zone: Mars}\nfields:\n  flow: {paht: f, "
                               "scale: 0}\npairs: {path: 'd[]'}\n",
                               &config),
                     GW_EINVAL);
    size_t lines = 0;
    for (size_t i = 0; i < errors.size; i++)
        lines += errors.data[i] == '\n';
    assert_int_equal(lines, 3 * 6); /* text, line and caret of each */
}

static void empty_text_is_the_plain_format(void **state)
{
    (void)state;
    struct readings out;
    struct codec_why why;
    void *config = configured("# nothing but words\n");
    readings_init(&out, 10);
    assert_int_equal(decode(config, bytes_text("{\"device\":\"a\",\"flow\":1}"), &out, &why),
                     CODEC_OK);
    assert_int_equal(out.count, 1);
    readings_fini(&out);
    codec_json.config_free(config);
}

static void too_many_readings_are_full(void **state)
{
    (void)state;
    static const char text[] = "{\"device\":\"a\",\"x\":1,\"y\":2,\"z\":3}";
    struct readings out;
    struct codec_why why;
    readings_init(&out, 2);
    assert_int_equal(decode(NULL, bytes_text(text), &out, &why), CODEC_FULL);
    assert_string_equal(why.reason, "too_many_readings");
    void *config = configured("device: device\npairs: {path: '*'}\n");
    readings_reset(&out);
    assert_int_equal(decode(config, bytes_text(text), &out, &why), CODEC_FULL);
    readings_fini(&out);
    codec_json.config_free(config);
}

/* Every prefix and every byte replaced: refused or read, never past the end (ASan sees to that). */
static void any_prefix_and_any_changed_byte_is_survived(void **state)
{
    (void)state;
    static const char text[] =
        "{\"device\":\"\\u6c34\",\"time\":\"2026-11-21T08:00:00+08:00\",\"flow\":-1.5e3,"
        "\"pressure\":{\"value\":0.31,\"unit\":\"MPa\"},\"x\":[true,null,{}]}";
    struct readings out;
    struct codec_why why;
    readings_init(&out, 100);
    for (size_t size = 0; size < sizeof text - 1; size++) {
        void *copy = mem_alloc(size + 1);
        memcpy(copy, text, size);
        readings_reset(&out);
        assert_int_equal(decode(NULL, bytes_of(copy, size), &out, &why), CODEC_MALFORMED);
        free(copy);
    }
    for (size_t at = 0; at < sizeof text - 1; at++)
        for (int byte = 0; byte < 256; byte += 5) {
            char *copy = mem_strdup(text);
            copy[at] = (char)byte;
            readings_reset(&out);
            decode(NULL, bytes_of(copy, sizeof text - 1), &out, &why);
            free(copy);
        }
    readings_fini(&out);
}

/* ---- hostile sizes ---- */

/* `body` so many times, with its number for #. */
static struct buffer repeated(const char *head, const char *body, size_t count, const char *tail)
{
    struct buffer out = {0};
    buffer_add_text(&out, head);
    for (size_t i = 0; i < count; i++)
        for (const char *at = body; *at; at++) {
            if (*at == '#')
                buffer_printf(&out, "%zu", i);
            else
                buffer_u8(&out, (uint8_t)*at);
        }
    buffer_add_text(&out, tail);
    return out;
}

/* Decodes within five seconds, far more than needed, however the payload looks: what is not linear
 * takes minutes. */
static enum codec_result decode_timed(const void *config, struct buffer *payload,
                                      struct codec_why *why)
{
    struct readings out;
    readings_init(&out, 10000);
    int64_t start = clock_monotonic_ms();
    enum codec_result result = decode(config, buffer_bytes(payload), &out, why);
    assert_true(clock_monotonic_ms() - start < 5000);
    assert_true(out.arena.used < payload->size * 8 + 65536 + out.count * 64);
    readings_fini(&out);
    buffer_fini(payload);
    return result;
}

static void hostile_sizes_are_refused_in_time(void **state)
{
    (void)state;
    struct codec_why why;
    struct buffer text = repeated("{\"device\":\"a\"", ",\"k#\":1", 1000000, "}");
    assert_int_equal(decode_timed(NULL, &text, &why), CODEC_MALFORMED);
    assert_string_equal(why.reason, "too_large");
    text = repeated("{\"device\":\"a\",\"x\":", "[", 100000, "1");
    assert_int_equal(decode_timed(NULL, &text, &why), CODEC_MALFORMED);
    text = repeated("", "[", 100000, "");
    for (size_t i = 0; i < 100000; i++)
        buffer_u8(&text, ']');
    assert_int_equal(decode_timed(NULL, &text, &why), CODEC_MALFORMED);
    assert_string_equal(why.reason, "too_deep");
    text = repeated("{\"device\":\"a\",\"x\":", "1234567890", 1000000, "}");
    assert_int_equal(decode_timed(NULL, &text, &why), CODEC_OK);
    text = repeated("{\"device\":\"a\",\"x\":\"", "1234567890", 1000000, "\"}");
    assert_int_equal(decode_timed(NULL, &text, &why), CODEC_OK);
    text = repeated("{\"device\":\"a\"", ",\"k#\":1", 90000, "}");
    assert_int_equal(decode_timed(NULL, &text, &why), CODEC_FULL);
    text = repeated("{\"device\":\"a\"", ",\"same\":#", 90000, "}");
    assert_int_equal(decode_timed(NULL, &text, &why), CODEC_MALFORMED);
    assert_string_equal(why.reason, "duplicate_key");
}

/* Points that each ask the root again, where the root is what is large. */
static void paths_from_the_root_stay_linear(void **state)
{
    (void)state;
    struct codec_why why;
    void *config = configured("points: p[]\npoints_max: 1000000\ndevice: $.l[id=z].d\n"
                              "time: $.t\nfields: {flow: $.f, level: '$.l[40000]'}\n");
    struct buffer text = repeated("{\"p\":[0", ",1", 4000, "],\"l\":[0");
    struct buffer tail = repeated("", ",{\"id\":\"#\"}", 40000,
                                  ",{\"id\":\"z\",\"d\":\"dev\"}],"
                                  "\"f\":1}");
    buffer_add_bytes(&text, buffer_bytes(&tail));
    buffer_fini(&tail);
    assert_int_equal(decode_timed(config, &text, &why), CODEC_OK);
    codec_json.config_free(config);
}

/* One long text that every point or reading would copy. */
static void long_names_are_not_multiplied(void **state)
{
    (void)state;
    static const char *const yamls[] = {
        "points: p[]\npoints_max: 1000000\ndevice: $.long\nfields: {flow: v}\n",
        "points: p[]\npoints_max: 1000000\ndevice: $.d\ntime: $.long\nfields: {flow: .}\n",
        "points: p[]\ndevice: $.d\nfields: {flow: {path: ., unit_path: $.long}}\n",
        "points: p[]\ndevice: $.d\nfields: {flow: $.long, level: .}\n",
        "device: d\npairs: {path: 'p[]', name: $.long, value: .}\n",
        "points: '{k}[]'\ndevice: '{k}'\nfields: {flow: .}\n",
        "device: d\npairs: {path: '*[]'}\n",
    };
    for (size_t i = 0; i < array_count(yamls); i++) {
        struct codec_why why;
        void *config = configured(yamls[i]);
        struct buffer text = repeated("{\"d\":\"a\",\"long\":\"", "8", 300000, "\",\"");
        struct buffer tail = repeated("", "k", 300000, "\":[0");
        buffer_add_bytes(&text, buffer_bytes(&tail));
        buffer_fini(&tail);
        tail = repeated("", ",1", 9000, "],\"p\":[0");
        buffer_add_bytes(&text, buffer_bytes(&tail));
        buffer_fini(&tail);
        tail = repeated("", ",1", 9000, "]}");
        buffer_add_bytes(&text, buffer_bytes(&tail));
        buffer_fini(&tail);
        decode_timed(config, &text, &why);
        codec_json.config_free(config);
    }
}

/* What stands at the root is one reading a message, however many points there are. */
static void values_at_the_root_are_read_once(void **state)
{
    (void)state;
    struct readings out;
    struct codec_why why;
    void *config = configured("points: p[]\ndevice: $.d\nfields: {level: v, battery.voltage: $.b}\n"
                              "pairs: {path: '$.x.*', names: {skipped: ~}}\n");
    readings_init(&out, 100);
    assert_int_equal(decode(config,
                            bytes_text("{\"d\":\"a\",\"b\":3.6,\"x\":{\"y\":1,\"skipped\":2},"
                                       "\"p\":[{\"v\":1},{\"v\":2},{\"v\":3}]}"),
                            &out, &why),
                     CODEC_OK);
    assert_int_equal(out.count, 5);
    assert_true(bytes_equal_text(out.items[1].metric, "battery.voltage"));
    assert_true(bytes_equal_text(out.items[2].metric, "y"));
    assert_true(bytes_equal_text(out.items[3].metric, "level"));
    readings_fini(&out);
    codec_json.config_free(config);
}

static void decoding_again_gives_the_same(void **state)
{
    (void)state;
    static const char *const texts[] = {"{\"device\":\"a\",\"flow\":1.50}",
                                        "{\"device\":\"a\",\"flow\":", "[{\"device\":\"b\"}]",
                                        "{\"device\":\"a\",\"flow\":1,\"flow\":2}"};
    struct readings out;
    struct codec_why first, again;
    readings_init(&out, 10);
    for (size_t i = 0; i < array_count(texts); i++) {
        enum codec_result result = decode(NULL, bytes_text(texts[i]), &out, &first);
        size_t count = out.count;
        readings_reset(&out);
        decode(NULL, bytes_text("{\"device\":\"other\",\"level\":7}"), &out, &again);
        readings_reset(&out);
        assert_int_equal(decode(NULL, bytes_text(texts[i]), &out, &again), result);
        assert_int_equal(out.count, count);
        assert_string_equal(first.detail, again.detail);
        readings_reset(&out);
    }
    readings_fini(&out);
}

static void refusals_show_no_control_characters(void **state)
{
    (void)state;
    struct readings out;
    struct codec_why why;
    readings_init(&out, 10);
    assert_int_equal(
        decode(NULL, bytes_text("{\"\\u001b[31m\\u0000\":1,\"\\u001b[31m\\u0000\":1}"), &out, &why),
        CODEC_MALFORMED);
    assert_string_equal(why.detail, "the key \"?[31m?\" stands twice in one object");
    struct buffer text = {0};
    for (int i = 0; i < 2; i++) {
        buffer_add_text(&text, i == 0 ? "{\"x" : ",\"x");
        for (int j = 0; j < 100; j++)
            buffer_add_text(&text, "表");
        buffer_add_text(&text, "\":1");
    }
    buffer_add_text(&text, "}");
    assert_int_equal(decode(NULL, buffer_bytes(&text), &out, &why), CODEC_MALFORMED);
    assert_non_null(strstr(why.detail, "表\" stands twice"));
    buffer_fini(&text);
    readings_fini(&out);
}

static int teardown(void **state)
{
    (void)state;
    buffer_fini(&errors);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mistake_is_told_with_its_place),
        cmocka_unit_test(all_mistakes_are_told_at_once),
        cmocka_unit_test(empty_text_is_the_plain_format),
        cmocka_unit_test(too_many_readings_are_full),
        cmocka_unit_test(any_prefix_and_any_changed_byte_is_survived),
        cmocka_unit_test(hostile_sizes_are_refused_in_time),
        cmocka_unit_test(paths_from_the_root_stay_linear),
        cmocka_unit_test(long_names_are_not_multiplied),
        cmocka_unit_test(values_at_the_root_are_read_once),
        cmocka_unit_test(decoding_again_gives_the_same),
        cmocka_unit_test(refusals_show_no_control_characters),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
