/* SPDX-License-Identifier: Apache-2.0
 *
 * The codec's table: reads the document, then hands it to the plain format or to a mapping. Any
 * thread.
 */
#include "codecs/json/json.h"

#include <stdlib.h>

#include "base/yaml.h"
#include "codecs/json/document.h"
#include "codecs/json/mapping.h"
#include "codecs/json/plain.h"
#include "codecs/json/value.h"

/* A message nested deeper or with more values than this is no telemetry. */
static const struct json_limits limits = {.depth_max = 32, .nodes_max = 100000};

static int json_configure(struct bytes yaml, const char *origin, void **config,
                          struct buffer *errors)
{
    struct json_mapping *mapping = NULL;
    *config = NULL;
    if (json_mapping_new(yaml, origin, &mapping, errors))
        return GW_EINVAL;
    *config = mapping; /* null: the plain format */
    return 0;
}

static void json_config_free(void *config)
{
    json_mapping_free(config);
}

/* The key goes to terminals and logs: no control characters, and no half of a character. */
static enum codec_result refuse_duplicate(struct bytes key, struct codec_why *why)
{
    char text[65];
    size_t size = key.size < sizeof text - 1 ? key.size : sizeof text - 1;
    while (size < key.size && size > 0 && (key.data[size] & 0xc0) == 0x80)
        size--;
    for (size_t i = 0; i < size; i++)
        text[i] = key.data[i] < 0x20 || key.data[i] == 0x7f ? '?' : (char)key.data[i];
    text[size] = '\0';
    return codec_refuse(why, CODEC_MALFORMED, "duplicate_key",
                        "the key \"%s\" stands twice in one object", text);
}

static enum codec_result json_decode(const void *config, struct codec_stream *stream,
                                     const struct codec_input *in, struct readings *out,
                                     struct codec_why *why)
{
    const struct json_mapping *mapping = config;
    const struct json_node *duplicate;
    struct json_refusal refusal;
    (void)stream;
    if (in->device.size > JSON_NAME_SIZE_MAX)
        return codec_refuse(why, CODEC_MALFORMED, "bad_device",
                            "the topic's device is longer than %d bytes", JSON_NAME_SIZE_MAX);
    const struct json_node *root = json_document_parse(in->payload, &limits, &duplicate, &refusal);
    if (root == NULL)
        return codec_refuse(why, CODEC_MALFORMED, refusal.reason, "byte %zu: %s", refusal.offset,
                            refusal.text);
    /* Two values under one name: no rule says which is meant, and either choice loses one. */
    if (duplicate && !(mapping && json_mapping_takes_last(mapping)))
        return refuse_duplicate(duplicate->key, why);
    if (mapping)
        return json_mapping_decode(mapping, root, in, out, why);
    return json_plain_decode(root, in, out, why);
}

const struct codec codec_json = {
    .name = "json",
    .version = 1,
    .summary = "JSON: the plain format, or a vendor's own by a mapping",
    .configure = json_configure,
    .config_free = json_config_free,
    .decode = json_decode,
};
