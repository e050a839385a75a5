/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzz target: the first byte chooses the plain format or one of a few mappings, the rest is the
 * payload. Whatever comes out must keep the promises of codecs/codec.h.
 */
#include "codecs/json/json.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const yamls[] = {
    "",
    "device: a\ntime: t\nfields: {flow: {path: f, scale: 0.001, offset: -3, unit_path: u, invalid: "
    "[-1], values: {\"on\": 1}}, level: 'l[x=1].v[0]', ph: $.p}\nquality: {path: q, bad: 0}\n",
    "points: '{k}[]'\npoints_max: 100\ndevice: '{k}-{device}'\nduplicate_keys: last\n"
    "time: {path: t, format: \"yyyy-MM-dd'T'HH:mm:ss.SSSXXX\"}\n"
    "pairs: {path: 'v.*', value: value, time: {path: time, format: yyMMddHHmmss, zone: "
    "'+08:00'}}\n",
    "device: d\ntime: {path: t, format: epoch_ms, source: platform}\n"
    "payload: {path: p, encoding: base64, codec: cjt188}\n",
    "points: a[]\ndevice: '{device}'\npayload: {path: p, encoding: hex, codec: cjt188, prefer: "
    "envelope, required: false}\npairs: [{path: '$.d[]', name: n, others: ignore, names: {x: y}}, "
    "{path: '.'  , name: n}]\nignore: [{path: m, equals: [x, y]}]\n",
};

static void *configure(size_t index)
{
    static void *configs[array_count(yamls)];
    struct buffer errors = {0};
    if (configs[index] == NULL && yamls[index][0] &&
        codec_json.configure(bytes_text(yamls[index]), "fuzz", &configs[index], &errors)) {
        fprintf(stderr, "%.*s", (int)errors.size, (const char *)errors.data);
        abort();
    }
    buffer_fini(&errors);
    return configs[index];
}

static void check(const struct readings *out)
{
    for (size_t i = 0; i < out->count; i++) {
        const struct reading *reading = &out->items[i];
        gw_assert(reading->device.size > 0);
        gw_assert(reading->quality < QUALITY_COUNT);
        gw_assert(reading->has_value || (reading->quality != QUALITY_GOOD && reading->flags));
        gw_assert(reading->flags < 1u << FLAG_COUNT);
        gw_assert((reading->time == READING_TIME_NONE) == (reading->time_source == TIME_RECEIVED));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct capture captures[] = {
        {{(const uint8_t *)"site", 4}, {(const uint8_t *)"s1", 2}}};
    struct readings out;
    struct codec_why why = {NULL, ""};
    if (size == 0)
        return 0;
    struct codec_input in = {.topic = bytes_text("t"),
                             .payload = bytes_of(data + 1, size - 1),
                             .captures = captures,
                             .capture_count = 1,
                             .received_ms = INT64_C(1732147200000)};
    if (data[0] & 0x80)
        in.device = bytes_text("topic");
    readings_init(&out, 1000);
    enum codec_result result =
        codec_json.decode(configure(data[0] % array_count(yamls)), NULL, &in, &out, &why);
    if (result == CODEC_OK)
        check(&out);
    else
        gw_assert(why.reason != NULL && why.reason[0] != '\0');
    gw_assert(out.arena.used < size * 700 + 100000);
    readings_fini(&out);
    return 0;
}
