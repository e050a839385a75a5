/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes: no crash, no overrun, and what comes out keeps the promises of the codec contract. The
 * first byte chooses whether the rest is wrapped into a frame with a right checksum, because
 * chance alone would hardly make one.
 */
#include <stdlib.h>

#include "codecs/cjt188/cjt188.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct readings *out)
{
    for (size_t i = 0; i < out->count; i++) {
        const struct reading *reading = &out->items[i];
        gw_assert(reading->device.size > 0 && reading->metric.size > 0);
        gw_assert(reading->has_value || reading->quality == QUALITY_BAD);
        gw_assert(reading->value.mantissa >= 0 && reading->value.mantissa <= 99999999);
    }
}

static void decode(struct bytes payload)
{
    static void *config;
    struct buffer errors = {0};
    if (config == NULL)
        gw_assert(codec_cjt188.configure((struct bytes){0}, "fuzz", &config, &errors) == 0);
    struct readings out;
    struct codec_why why = {0};
    struct codec_input in = {.payload = payload};
    readings_init(&out, 100);
    switch (codec_cjt188.decode(config, NULL, &in, &out, &why)) {
    case CODEC_OK: check(&out); break;
    case CODEC_NO_CONTEXT: abort();
    default: gw_assert(why.reason && why.detail[0]); break;
    }
    readings_fini(&out);
}

static void decode_wrapped(struct bytes content)
{
    uint8_t frame[13 + 255] = {0x68};
    uint8_t sum = 0;
    if (content.size < 9 || content.size > 9 + 255)
        return;
    memcpy(frame + 1, content.data, 9);
    frame[10] = (uint8_t)(content.size - 9);
    memcpy(frame + 11, content.data + 9, content.size - 9);
    for (size_t i = 0; i < content.size + 2; i++)
        sum = (uint8_t)(sum + frame[i]);
    frame[content.size + 2] = sum;
    frame[content.size + 3] = 0x16;
    decode(bytes_of(frame, content.size + 4));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct bytes rest = {data + 1, size - 1};
    if (data[0] & 1)
        decode_wrapped(rest);
    else
        decode(rest);
    return 0;
}
