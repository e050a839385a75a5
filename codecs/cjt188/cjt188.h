/* SPDX-License-Identifier: Apache-2.0
 *
 * CJ/T 188-2004 and -2018: the frame of household meters for water and gas. See README.md.
 */
#ifndef TIDEGATE_CODECS_CJT188_H
#define TIDEGATE_CODECS_CJT188_H

#include "codecs/codec.h"

extern const struct codec codec_cjt188;

#endif
