/* SPDX-License-Identifier: Apache-2.0
 *
 * A vendor's own JSON as readings. Any thread.
 */
#include "codecs/json/mapping.h"

#include "base/yaml.h"

int json_mapping_new(struct bytes yaml, const char *origin, struct json_mapping **out,
                     struct buffer *errors)
{
    struct yaml document;
    int result = yaml_parse(&document, yaml, origin, errors);
    *out = NULL;
    if (result == 0 && document.root)
        result = yaml_error(&document, document.root, "mappings are not read yet");
    yaml_fini(&document);
    return result;
}

void json_mapping_free(struct json_mapping *mapping)
{
    (void)mapping;
}

bool json_mapping_takes_last(const struct json_mapping *mapping)
{
    (void)mapping;
    return false;
}

enum codec_result json_mapping_decode(const struct json_mapping *mapping,
                                      const struct json_node *root, const struct codec_input *in,
                                      struct readings *out, struct codec_why *why)
{
    (void)mapping, (void)root, (void)in, (void)out;
    return codec_refuse(why, CODEC_UNSUPPORTED, "no_mapping", "mappings are not read yet");
}
