/* SPDX-License-Identifier: Apache-2.0
 *
 * The plain format: what a vendor can publish without any mapping. Any thread.
 */
#ifndef TIDEGATE_CODECS_JSON_PLAIN_H
#define TIDEGATE_CODECS_JSON_PLAIN_H

#include "codecs/codec.h"
#include "codecs/json/document.h"

enum codec_result json_plain_decode(const struct json_node *root, const struct codec_input *in,
                                    struct readings *out, struct codec_why *why);

#endif
