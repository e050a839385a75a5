/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzz target: any bytes as the YAML of a mapping; what is accepted then reads a fixed payload.
 */
#include "codecs/json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* libfyaml 0.7.12 loses a page of its own on some texts that it refuses. */
const char *__lsan_default_suppressions(void)
{
    return "leak:libfyaml";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char payload[] =
        "{\"a\":\"x\",\"t\":\"2026-11-21 08:00:00\",\"f\":1.5,\"q\":0,\"p\":\"aGk=\","
        "\"v\":[{\"n\":\"k\",\"value\":\"12.50\",\"u\":\"m3\",\"time\":1732147200}],\"o\":{\"k\":1}"
        "}";
    struct buffer errors = {0};
    void *config = NULL;
    int result = codec_json.configure(bytes_of(data, size), "fuzz.yaml", &config, &errors);
    if (result) {
        gw_assert(errors.size > 0 && config == NULL);
        gw_assert(errors.size < 200000);
    } else {
        struct readings out;
        struct codec_why why;
        struct codec_input in = {.topic = bytes_text("t"), .payload = bytes_text(payload)};
        gw_assert(errors.size == 0);
        readings_init(&out, 1000);
        codec_json.decode(config, NULL, &in, &out, &why);
        readings_fini(&out);
        codec_json.config_free(config);
    }
    buffer_fini(&errors);
    return 0;
}
