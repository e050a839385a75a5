/* SPDX-License-Identifier: Apache-2.0
 *
 * Every codec, one line each.
 */
#include <stdarg.h>
#include <stdio.h>

#include "codecs/cjt188/cjt188.h"
#include "codecs/codec.h"
#include "codecs/json/json.h"

static const struct codec *const codecs[] = {
    &codec_json,
    &codec_cjt188,
};

const struct codec *codec_find(struct bytes name)
{
    for (size_t i = 0; i < array_count(codecs); i++)
        if (bytes_equal_text(name, codecs[i]->name))
            return codecs[i];
    return NULL;
}

const struct codec *codec_at(size_t index)
{
    return index < array_count(codecs) ? codecs[index] : NULL;
}

enum codec_result codec_refuse(struct codec_why *why, enum codec_result result,
                               const char *reason, const char *format, ...)
{
    va_list args;
    why->reason = reason;
    va_start(args, format);
    vsnprintf(why->detail, sizeof why->detail, format, args);
    va_end(args);
    return result;
}
