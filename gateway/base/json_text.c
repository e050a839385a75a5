/* SPDX-License-Identifier: Apache-2.0
 *
 * Strings as JSON. Separate because logs, answers and readings all need it. Any thread.
 */
#include "base/json_text.h"

#include "base/utf8.h"

static void escape_ascii(uint8_t byte, struct buffer *out)
{
    static const char letters[] = "btnvfr"; /* 0x08..0x0d; JSON knows no \v */
    if (byte == '"' || byte == '\\')
        buffer_printf(out, "\\%c", byte);
    else if (byte >= 0x08 && byte <= 0x0d && byte != 0x0b)
        buffer_printf(out, "\\%c", letters[byte - 0x08]);
    else if (byte < 0x20 || byte == 0x7f)
        buffer_printf(out, "\\u%04x", byte);
    else
        buffer_u8(out, byte);
}

/* C1 controls, and U+200E, U+200F, U+2028..U+202E, U+2066..U+2069. */
bool text_acts_on_terminals(const uint8_t *at, size_t size)
{
    if (size == 2)
        return at[0] == 0xc2 && at[1] < 0xa0;
    if (size != 3 || at[0] != 0xe2)
        return false;
    return (at[1] == 0x80 &&
            (at[2] == 0x8e || at[2] == 0x8f || (at[2] >= 0xa8 && at[2] <= 0xae))) ||
           (at[1] == 0x81 && at[2] >= 0xa6 && at[2] <= 0xa9);
}

static void escape_code_point(const uint8_t *at, size_t size, struct buffer *out)
{
    unsigned point = size == 2 ? (at[0] & 0x1fU) << 6 | (at[1] & 0x3fU)
                               : (at[0] & 0xfU) << 12 | (at[1] & 0x3fU) << 6 | (at[2] & 0x3fU);
    buffer_printf(out, "\\u%04x", point);
}

void json_string(struct bytes in, struct buffer *out)
{
    buffer_u8(out, '"');
    for (size_t at = 0; at < in.size;) {
        size_t size = utf8_size(in.data + at, in.size - at);
        if (size == 1)
            escape_ascii(in.data[at], out);
        else if (text_acts_on_terminals(in.data + at, size))
            escape_code_point(in.data + at, size, out);
        else if (size > 1)
            buffer_add(out, in.data + at, size);
        else
            buffer_add_text(out, "\xef\xbf\xbd");
        at += size ? size : 1;
    }
    buffer_u8(out, '"');
}
