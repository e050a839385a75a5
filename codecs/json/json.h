/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON: the plain format, and vendors' own JSON by a mapping (README.md of this folder).
 */
#ifndef TIDEGATE_CODECS_JSON_JSON_H
#define TIDEGATE_CODECS_JSON_JSON_H

#include "codecs/codec.h"

extern const struct codec codec_json;

#endif
