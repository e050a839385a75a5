/* SPDX-License-Identifier: Apache-2.0
 *
 * Well-formed UTF-8 or not. Stores refuse whole files for one ill-formed name, so names are checked
 * where they leave us. Any thread.
 */
#include "base/utf8.h"

static size_t size_by_first(uint8_t first)
{
    if (first < 0x80)
        return 1;
    if (first >= 0xc2 && first <= 0xdf)
        return 2;
    if (first >= 0xe0 && first <= 0xef)
        return 3;
    return first >= 0xf0 && first <= 0xf4 ? 4 : 0;
}

size_t utf8_size(const uint8_t *at, size_t left)
{
    uint8_t first = at[0];
    size_t size = size_by_first(first);
    if (size <= 1 || size > left)
        return size > left ? 0 : size;
    /* Overlong forms, surrogates and numbers above U+10FFFF show in the second byte. */
    uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < size; i++)
        if (at[i] < 0x80 || at[i] > 0xbf)
            return 0;
    return size;
}

bool utf8_valid(struct bytes in)
{
    for (size_t at = 0; at < in.size;) {
        size_t size = utf8_size(in.data + at, in.size - at);
        if (size == 0)
            return false;
        at += size;
    }
    return true;
}

void utf8_repair(struct bytes in, struct buffer *out)
{
    for (size_t at = 0; at < in.size;) {
        size_t size = utf8_size(in.data + at, in.size - at);
        if (size)
            buffer_add(out, in.data + at, size);
        else
            buffer_add_text(out, "\xef\xbf\xbd");
        at += size ? size : 1;
    }
}
