/* SPDX-License-Identifier: Apache-2.0
 *
 * Hexadecimal and base64 (RFC 4648, sections 4, 5 and 8). Platforms differ in alphabet, padding and
 * line breaks, so all of these are taken; a byte of no alphabet and a rest of the wrong length are
 * not. Any thread.
 */
#include "codecs/json/transfer.h"

static int hex_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

static int base64_digit(uint8_t byte)
{
    if (byte >= 'A' && byte <= 'Z')
        return byte - 'A';
    if (byte >= 'a' && byte <= 'z')
        return byte - 'a' + 26;
    if (byte >= '0' && byte <= '9')
        return byte - '0' + 52;
    if (byte == '+' || byte == '-')
        return 62;
    return byte == '/' || byte == '_' ? 63 : -1;
}

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

static bool decode_hex(struct bytes text, uint8_t *out, size_t *size, size_t *offset)
{
    size_t digits = 0;
    for (*offset = 0; *offset < text.size; (*offset)++) {
        if (is_blank(text.data[*offset]))
            continue;
        int digit = hex_digit(text.data[*offset]);
        if (digit < 0)
            return false;
        if (digits++ % 2 == 0)
            out[*size] = (uint8_t)(digit << 4);
        else
            out[(*size)++] |= (uint8_t)digit;
    }
    return digits % 2 == 0;
}

static bool decode_base64(struct bytes text, uint8_t *out, size_t *size, size_t *offset)
{
    uint32_t bits = 0;
    size_t digits = 0, padding = 0;
    for (*offset = 0; *offset < text.size; (*offset)++) {
        uint8_t byte = text.data[*offset];
        if (is_blank(byte))
            continue;
        int digit = base64_digit(byte);
        if (byte == '=' && digits % 4 >= 2 && padding < 2) {
            padding++;
            continue;
        }
        if (digit < 0 || padding)
            return false;
        bits = bits << 6 | (uint32_t)digit;
        if (digits++ % 4 != 0)
            out[(*size)++] = (uint8_t)(bits >> (6 - 2 * ((digits - 1) % 4)));
    }
    /* One digit alone is six bits of nothing; padding, where given, fills up to four. */
    return digits % 4 != 1 && (padding == 0 || (digits + padding) % 4 == 0);
}

bool json_transfer_decode(enum json_transfer encoding, struct bytes text, struct arena *arena,
                          struct bytes *out, size_t *offset)
{
    uint8_t *copy = arena_alloc(arena, text.size + 1);
    size_t size = 0;
    bool good = true;
    *offset = 0;
    switch (encoding) {
    case JSON_TRANSFER_HEX: good = decode_hex(text, copy, &size, offset); break;
    case JSON_TRANSFER_BASE64: good = decode_base64(text, copy, &size, offset); break;
    case JSON_TRANSFER_TEXT:
        size = text.size;
        if (size)
            memcpy(copy, text.data, size);
        break;
    }
    *out = bytes_of(copy, size);
    return good;
}
