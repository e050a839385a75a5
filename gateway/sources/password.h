/* SPDX-License-Identifier: Apache-2.0
 *
 * One hashed password, in one of two forms:
 *
 *   $scrypt$ln=15,r=8,p=1$SALT$HASH   scrypt (RFC 7914), N = 2^ln, in the PHC string form: salt and hash
 *                                     in base64 without padding. What `tidegate vendor` writes.
 *   $7$ITERATIONS$SALT$HASH           PBKDF2-HMAC-SHA512 (RFC 8018) as mosquitto_passwd 2.0 writes it
 *                                     (password_mosq.c): base64 with padding. Read only.
 *
 * Pure but for the random salt of a new one. Any thread.
 */
#ifndef TIDEGATE_SOURCES_PASSWORD_H
#define TIDEGATE_SOURCES_PASSWORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"

enum {
    PASSWORD_SALT_MAX = 64,
    PASSWORD_SALT_SIZE = 16, /* of new ones */
    PASSWORD_HASH_MAX = 64,
    PASSWORD_HASH_SIZE = 32, /* of new ones */
    PASSWORD_BYTES_MAX = 1024,
    /* A line decides what a login costs, so it is bounded: a check takes at most so much memory (scrypt
     * 128 x N x r), and about a second of one processor. */
    PASSWORD_MEMORY_MAX = 64 << 20,
    PASSWORD_WORK_MAX = 256 << 20, /* 128 x N x r x p */
    PASSWORD_ITERATIONS_MAX = 1000000,
    PASSWORD_ITERATIONS_USUAL = 101,
};

/* How much a new hash costs. What people choose can be guessed, so each guess must be dear: 32 MiB. What
 * the program made up has 190 random bits, which nobody guesses, so a fleet of devices that each have
 * one may log in cheaply: 1 MiB. */
enum password_cost { PASSWORD_CHOSEN, PASSWORD_GENERATED };

enum password_kind { PASSWORD_PBKDF2, PASSWORD_SCRYPT };

struct password {
    enum password_kind kind;
    uint32_t iterations; /* PBKDF2 */
    uint32_t ln, r, p;   /* scrypt */
    uint32_t salt_size, hash_size;
    uint8_t salt[PASSWORD_SALT_MAX];
    uint8_t hash[PASSWORD_HASH_MAX];
};

/* GW_EINVAL with a sentence that says what is wrong; never with the text itself. */
int password_parse(struct bytes text, struct password *out, struct err *err);
/* Compares in constant time; takes as long for a right as for a wrong password. One that ends
 * in NUL never matches. Takes password_memory() of memory. */
bool password_matches(const struct password *password, struct bytes given);
/* Bytes that a check of it needs at a time. */
uint64_t password_memory(const struct password *password);

/* The text of a new hash with a new salt, appended. GW_EINVAL: empty, too long, or ends in NUL. */
int password_make(struct bytes given, enum password_cost cost, struct buffer *out, struct err *err);
/* 32 letters and digits, 190 random bits, appended. */
void password_generate(struct buffer *out);

#endif
