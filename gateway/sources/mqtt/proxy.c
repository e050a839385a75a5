/* SPDX-License-Identifier: Apache-2.0
 *
 * PROXY protocol, version 2: twelve bytes that no other protocol begins with, version and command,
 * family and transport, a length, the addresses, and extensions (type, length, value) that we step
 * over. Pure.
 */
#include "sources/mqtt/proxy.h"

enum {
    SIGNATURE_SIZE = 12,
    HEAD_SIZE = 16,
    LOCAL = 0,
    FAMILY_INET = 1,
    FAMILY_INET6 = 2,
    FAMILY_UNIX = 3,
    TRANSPORT_STREAM = 1,
};

static const uint8_t signature[SIGNATURE_SIZE] = "\r\n\r\n\0\r\nQUIT\n";

/* What can be told from the first `in.size` bytes. */
static enum proxy_reason head_check(struct bytes in)
{
    size_t size = in.size < SIGNATURE_SIZE ? in.size : SIGNATURE_SIZE;
    if (size && in.data[0] == 'P')
        return memcmp(in.data, "PROXY ", size < 6 ? size : 6) ? PROXY_MISSING : PROXY_VERSION_1;
    if (size && memcmp(in.data, signature, size) != 0)
        return PROXY_MISSING;
    if (in.size > 12 && in.data[12] >> 4 != 2)
        return PROXY_VERSION;
    if (in.size > 12 && (in.data[12] & 15) > 1)
        return PROXY_COMMAND;
    return in.size < HEAD_SIZE ? PROXY_MORE : PROXY_OK;
}

/* Size of the addresses; transport "unspecified" and family "unspecified" name nobody (2.2: "the
 * receiver should ignore the address"), and datagrams do not come through a stream. */
static enum proxy_reason addresses_size(uint8_t family_byte, size_t *size)
{
    uint8_t family = family_byte >> 4, transport = family_byte & 15;
    static const size_t sizes[] = {0, 12, 36, 216};
    if (family > FAMILY_UNIX || transport > TRANSPORT_STREAM)
        return PROXY_FAMILY;
    *size = sizes[family];
    return PROXY_OK;
}

static void peer_read(uint8_t family_byte, const uint8_t *addresses, struct proxy_header *out)
{
    uint8_t family = family_byte >> 4;
    bool stream = (family_byte & 15) == TRANSPORT_STREAM;
    out->kind = PROXY_UNKNOWN;
    if (stream && family == FAMILY_INET)
        out->peer = address_of_v4(addresses);
    else if (stream && family == FAMILY_INET6)
        memcpy(out->peer.bytes, addresses, sizeof out->peer.bytes);
    if (address_known(&out->peer))
        out->kind = PROXY_CLIENT;
}

/* 2.2.1: type, two bytes of length, value. */
static bool extensions_valid(struct bytes in)
{
    struct reader reader = reader_of(in);
    while (reader_left(&reader) && !reader.failed) {
        reader_u8(&reader);
        reader_bytes(&reader, reader_u16_be(&reader));
    }
    return !reader.failed;
}

enum proxy_reason proxy_read(struct bytes in, struct proxy_header *out)
{
    enum proxy_reason reason = head_check(in);
    if (reason)
        return reason;
    size_t addresses = 0, length = (size_t)in.data[14] << 8 | in.data[15];
    bool local = (in.data[12] & 15) == LOCAL;
    if (HEAD_SIZE + length > PROXY_BYTES_MAX)
        return PROXY_TOO_LARGE;
    if (!local)
        reason = addresses_size(in.data[13], &addresses);
    if (reason)
        return reason;
    if (length < addresses)
        return PROXY_LENGTH;
    if (in.size < HEAD_SIZE + length)
        return PROXY_MORE;
    /* LOCAL: whatever the rest says is to be skipped. */
    if (!local && !extensions_valid(bytes_of(in.data + HEAD_SIZE + addresses, length - addresses)))
        return PROXY_TLV;
    *out = (struct proxy_header){.kind = PROXY_LOCAL, .size = HEAD_SIZE + length};
    if (!local)
        peer_read(in.data[13], in.data + HEAD_SIZE, out);
    return PROXY_OK;
}
