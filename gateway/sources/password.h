/* SPDX-License-Identifier: Apache-2.0
 *
 * One hashed password in the form that mosquitto_passwd writes (mosquitto 2.0, password_mosq.c):
 * `$7$iterations$salt$hash`, PBKDF2-HMAC-SHA512 (RFC 8018), salt and hash in base64. Pure.
 */
#ifndef TIDEGATE_SOURCES_PASSWORD_H
#define TIDEGATE_SOURCES_PASSWORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"

enum {
    PASSWORD_SALT_MAX = 64,
    PASSWORD_HASH_SIZE = 64,
    /* A login is checked on the loop of its connection, at about half a microsecond an iteration:
     * more of them would let anybody stop a loop by guessing. */
    PASSWORD_ITERATIONS_MAX = 10000,
    PASSWORD_ITERATIONS_USUAL = 101,
};

struct password {
    uint32_t iterations;
    uint32_t salt_size;
    uint8_t salt[PASSWORD_SALT_MAX];
    uint8_t hash[PASSWORD_HASH_SIZE];
};

/* GW_EINVAL with a sentence that says what is wrong; never with the text itself. */
int password_parse(struct bytes text, struct password *out, struct err *err);
/* Compares in constant time; takes as long for a right as for a wrong password. One that ends
 * in NUL never matches. */
bool password_matches(const struct password *password, struct bytes given);

#endif
