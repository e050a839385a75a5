/* SPDX-License-Identifier: Apache-2.0
 *
 * An IP address without its port, and networks of them: whose connection it is, who is limited, who
 * is trusted. IPv4 is held as IPv4-mapped IPv6 (RFC 4291, 2.5.5.2), so that one host is one value
 * whichever socket it came through. Pure.
 */
#ifndef TIDEGATE_BASE_ADDRESS_H
#define TIDEGATE_BASE_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"

struct address {
    uint8_t bytes[16]; /* all zero: not known */
};

struct network {
    struct address base;
    uint8_t bits; /* of the 128 that must be equal */
};

enum { ADDRESS_TEXT_SIZE = 46 };

/* Of AF_INET and AF_INET6; of any other family "not known". */
struct address address_of(const struct sockaddr *from);
struct address address_of_v4(const uint8_t bytes[4]);
bool address_known(const struct address *address);
bool address_equal(const struct address *a, const struct address *b);
/* 127.0.0.0/8 and ::1. */
bool address_is_loopback(const struct address *address);
/* "192.0.2.7", "2001:db8::1", "unknown". Returns `out`. */
const char *address_format(const struct address *address, char out[ADDRESS_TEXT_SIZE]);

/* "10.1.0.0/16", "2001:db8::/32", or one address. GW_EINVAL with a text; so are bits that are set
 * behind the prefix. */
int network_parse(const char *text, struct network *out, struct err *err);
/* Several, commas and blanks between; null: none. The caller frees `out`, which is null after an error. */
int networks_parse(const char *text, struct network **out, size_t *count, struct err *err);
bool networks_contain(const struct network *networks, size_t count, const struct address *address);
bool network_contains(const struct network *network, const struct address *address);

#endif
