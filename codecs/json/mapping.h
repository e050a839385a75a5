/* SPDX-License-Identifier: Apache-2.0
 *
 * A vendor's own JSON as readings, told by a mapping in YAML (reference in README.md). Read-only
 * once made, any thread.
 */
#ifndef TIDEGATE_CODECS_JSON_MAPPING_H
#define TIDEGATE_CODECS_JSON_MAPPING_H

#include "codecs/codec.h"
#include "codecs/json/document.h"

struct json_mapping;

/* *out is null for an empty text: the plain format. GW_EINVAL with all errors in `errors`. */
int json_mapping_new(struct bytes yaml, const char *origin, struct json_mapping **out,
                     struct buffer *errors);
void json_mapping_free(struct json_mapping *mapping); /* accepts null */
/* Whether a key that stands twice is allowed, and its last value counts. */
bool json_mapping_takes_last(const struct json_mapping *mapping);
enum codec_result json_mapping_decode(const struct json_mapping *mapping,
                                      const struct json_node *root, const struct codec_input *in,
                                      struct readings *out, struct codec_why *why);

#endif
