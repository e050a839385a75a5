/* SPDX-License-Identifier: Apache-2.0
 *
 * Addresses and networks as 128 bits.
 */
#include "base/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { MAPPED_BITS = 96 }; /* before the 32 of IPv4 */

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};
static const struct address unknown;

struct address address_of_v4(const uint8_t bytes[4])
{
    struct address out;
    memcpy(out.bytes, mapped_prefix, sizeof mapped_prefix);
    memcpy(out.bytes + sizeof mapped_prefix, bytes, 4);
    return out;
}

struct address address_of(const struct sockaddr *from)
{
    struct address out = unknown;
    if (from->sa_family == AF_INET)
        return address_of_v4((const uint8_t *)&((const struct sockaddr_in *)from)->sin_addr);
    if (from->sa_family == AF_INET6)
        memcpy(out.bytes, &((const struct sockaddr_in6 *)from)->sin6_addr, sizeof out.bytes);
    return out;
}

bool address_equal(const struct address *a, const struct address *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

bool address_known(const struct address *address)
{
    return !address_equal(address, &unknown);
}

static bool is_v4(const struct address *address)
{
    return memcmp(address->bytes, mapped_prefix, sizeof mapped_prefix) == 0;
}

bool address_is_loopback(const struct address *address)
{
    static const struct address one = {{[15] = 1}};
    return is_v4(address) ? address->bytes[12] == 127 : address_equal(address, &one);
}

const char *address_format(const struct address *address, char out[ADDRESS_TEXT_SIZE])
{
    if (!address_known(address))
        snprintf(out, ADDRESS_TEXT_SIZE, "unknown");
    else if (is_v4(address))
        inet_ntop(AF_INET, address->bytes + sizeof mapped_prefix, out, ADDRESS_TEXT_SIZE);
    else
        inet_ntop(AF_INET6, address->bytes, out, ADDRESS_TEXT_SIZE);
    return out;
}

/* ---- networks ---- */

static bool bit_of(const struct address *address, int bit)
{
    return address->bytes[bit / 8] >> (7 - bit % 8) & 1;
}

static bool parse_address(const char *text, struct address *out)
{
    uint8_t four[4];
    if (inet_pton(AF_INET, text, four) == 1) {
        *out = address_of_v4(four);
        return true;
    }
    return inet_pton(AF_INET6, text, out->bytes) == 1;
}

/* What stands behind the slash; -1: no number of bits of that family. */
static int parse_bits(const char *text, int most)
{
    char *end;
    if (text == NULL)
        return most;
    if (*text < '0' || *text > '9')
        return -1;
    unsigned long bits = strtoul(text, &end, 10);
    return *end || bits > (unsigned long)most ? -1 : (int)bits;
}

int network_parse(const char *text, struct network *out, struct err *err)
{
    char host[ADDRESS_TEXT_SIZE];
    const char *slash = strchr(text, '/');
    size_t size = slash ? (size_t)(slash - text) : strlen(text);
    int bits = -1;
    bool v4 = memchr(text, ':', size) == NULL;
    if (size < sizeof host) {
        memcpy(host, text, size);
        host[size] = '\0';
        if (parse_address(host, &out->base))
            bits = parse_bits(slash ? slash + 1 : NULL, v4 ? 32 : 128);
    }
    if (bits < 0)
        return err_set(err, GW_EINVAL,
                       "`%s` is no network: 10.1.0.0/16, 2001:db8::/32, or an address", text);
    out->bits = (uint8_t)(v4 ? bits + MAPPED_BITS : bits);
    for (int bit = out->bits; bit < 128; bit++)
        if (bit_of(&out->base, bit))
            return err_set(err, GW_EINVAL, "`%s` has bits set behind its prefix", text);
    return 0;
}

bool network_contains(const struct network *network, const struct address *address)
{
    size_t whole = network->bits / 8;
    uint8_t mask = (uint8_t)(0xff00 >> network->bits % 8);
    return memcmp(network->base.bytes, address->bytes, whole) == 0 &&
           (network->bits % 8 == 0 ||
            ((network->base.bytes[whole] ^ address->bytes[whole]) & mask) == 0);
}

bool networks_contain(const struct network *networks, size_t count, const struct address *address)
{
    for (size_t i = 0; i < count; i++)
        if (network_contains(&networks[i], address))
            return true;
    return false;
}

int networks_parse(const char *text, struct network **out, size_t *count, struct err *err)
{
    char *copy = mem_strdup(text ? text : "");
    char *rest = copy;
    int rc = 0;
    *out = NULL;
    *count = 0;
    for (char *word; rc == 0 && (word = strsep(&rest, ", "));) {
        if (*word == '\0')
            continue;
        *out = mem_realloc(*out, (*count + 1) * sizeof **out);
        rc = network_parse(word, &(*out)[(*count)++], err);
    }
    free(copy);
    if (rc) {
        free(*out);
        *out = NULL;
        *count = 0;
    }
    return rc;
}
