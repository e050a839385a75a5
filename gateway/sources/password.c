/* SPDX-License-Identifier: Apache-2.0
 *
 * The form `$7$...` and the comparison, on OpenSSL's libcrypto. Separate from access.c because it
 * knows nothing of users and rules. Pure, any thread.
 */
#include "sources/password.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

/* The part of `text` before the next `$`, which is passed over. */
static struct bytes part_take(struct bytes *text)
{
    const uint8_t *dollar = text->size ? memchr(text->data, '$', text->size) : NULL;
    size_t size = dollar ? (size_t)(dollar - text->data) : text->size;
    struct bytes part = {text->data, size};
    size_t used = dollar ? size + 1 : size;
    *text = bytes_of(text->data + used, text->size - used);
    return part;
}

/* Strict base64 with padding. Returns the size, or -1: wrong letters or more than `max` bytes. */
static int base64_decode(struct bytes text, uint8_t *out, int max)
{
    uint8_t whole[3 * (PASSWORD_SALT_MAX / 3 + 2)];
    if (text.size == 0 || text.size % 4 != 0 || text.size / 4 * 3 > sizeof whole)
        return -1;
    int padding = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '=' && i + 2 >= text.size)
            padding++;
        else if (text.data[i] <= ' ' || text.data[i] == '=' || padding)
            return -1;
    }
    int size = EVP_DecodeBlock(whole, text.data, (int)text.size);
    if (size < 0 || size - padding > max)
        return -1;
    memcpy(out, whole, (size_t)(size - padding));
    return size - padding;
}

static bool iterations_parse(struct bytes text, uint32_t *out)
{
    uint32_t value = 0;
    if (text.size == 0 || text.size > 9)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        value = value * 10 + (uint32_t)(text.data[i] - '0');
    }
    *out = value;
    return value > 0;
}

int password_parse(struct bytes text, struct password *out, struct err *err)
{
    *out = (struct password){0};
    struct bytes empty = part_take(&text);
    struct bytes kind = part_take(&text);
    if (empty.size || !bytes_equal_text(kind, "7"))
        return err_set(
            err, GW_EINVAL,
            "no $7$ hash (PBKDF2-HMAC-SHA512); make it with: mosquitto_passwd FILE USER");
    if (!iterations_parse(part_take(&text), &out->iterations))
        return err_set(err, GW_EINVAL, "the number of iterations is no number");
    if (out->iterations > PASSWORD_ITERATIONS_MAX)
        return err_set(err, GW_EINVAL, "%u iterations are more than %d, which is the most",
                       out->iterations, PASSWORD_ITERATIONS_MAX);
    int salt_size = base64_decode(part_take(&text), out->salt, PASSWORD_SALT_MAX);
    if (salt_size < 1)
        return err_set(err, GW_EINVAL, "the salt is not base64 of 1 to %d bytes",
                       PASSWORD_SALT_MAX);
    out->salt_size = (uint32_t)salt_size;
    if (base64_decode(text, out->hash, PASSWORD_HASH_SIZE) != PASSWORD_HASH_SIZE)
        return err_set(err, GW_EINVAL, "the hash is not base64 of %d bytes", PASSWORD_HASH_SIZE);
    return 0;
}

bool password_matches(const struct password *password, struct bytes given)
{
    uint8_t hash[PASSWORD_HASH_SIZE];
    if (given.size > INT_MAX)
        return false;
    int done = PKCS5_PBKDF2_HMAC(given.size ? (const char *)given.data : "", (int)given.size,
                                 password->salt, (int)password->salt_size,
                                 (int)password->iterations, EVP_sha512(), sizeof hash, hash);
    bool same = done == 1 && CRYPTO_memcmp(hash, password->hash, sizeof hash) == 0;
    OPENSSL_cleanse(hash, sizeof hash);
    /* HMAC fills short keys up with zeros, so the hash does not tell "x" from "x\0". */
    bool padded = given.size > 0 && given.data[given.size - 1] == 0;
    return same && !padded;
}
