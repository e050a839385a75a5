/* SPDX-License-Identifier: Apache-2.0
 *
 * The two forms, the comparison and the making, on OpenSSL's libcrypto. Separate from access.c because
 * it knows nothing of users and rules. Any thread.
 */
#include "sources/password.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

enum { LN_MAX = 20, R_MAX = 32, P_MAX = 16, HASH_MIN = 16, R_USUAL = 8 };

static const uint32_t ln_of[] = {[PASSWORD_CHOSEN] = 15, [PASSWORD_GENERATED] = 10};

/* ---- reading ---- */

/* The part of `text` before the next `end`, which is passed over. */
static struct bytes part_take(struct bytes *text, char end)
{
    const uint8_t *at = text->size ? memchr(text->data, end, text->size) : NULL;
    size_t size = at ? (size_t)(at - text->data) : text->size;
    struct bytes part = {text->data, size};
    size_t used = at ? size + 1 : size;
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

/* The same without padding, as the PHC form has it. */
static int base64_decode_bare(struct bytes text, uint8_t *out, int max)
{
    uint8_t padded[4 * (PASSWORD_SALT_MAX / 3 + 2)];
    if (text.size == 0 || text.size + 3 > sizeof padded || memchr(text.data, '=', text.size))
        return -1;
    memcpy(padded, text.data, text.size);
    size_t size = text.size;
    while (size % 4)
        padded[size++] = '=';
    return base64_decode(bytes_of(padded, size), out, max);
}

static bool number_parse(struct bytes text, uint32_t *out)
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

static int pbkdf2_parse(struct bytes text, struct password *out, struct err *err)
{
    out->kind = PASSWORD_PBKDF2;
    if (!number_parse(part_take(&text, '$'), &out->iterations))
        return err_set(err, GW_EINVAL, "the number of iterations is no number");
    if (out->iterations > PASSWORD_ITERATIONS_MAX)
        return err_set(err, GW_EINVAL, "%u iterations are more than %d, which is the most",
                       out->iterations, PASSWORD_ITERATIONS_MAX);
    int salt_size = base64_decode(part_take(&text, '$'), out->salt, PASSWORD_SALT_MAX);
    if (salt_size < 1)
        return err_set(err, GW_EINVAL, "the salt is not base64 of 1 to %d bytes",
                       PASSWORD_SALT_MAX);
    out->salt_size = (uint32_t)salt_size;
    out->hash_size = PASSWORD_HASH_MAX;
    if (base64_decode(text, out->hash, PASSWORD_HASH_MAX) != PASSWORD_HASH_MAX)
        return err_set(err, GW_EINVAL, "the hash is not base64 of %d bytes", PASSWORD_HASH_MAX);
    return 0;
}

static bool parameter_take(struct bytes *text, const char *name, uint32_t max, uint32_t *out)
{
    struct bytes part = part_take(text, ',');
    size_t size = strlen(name);
    return part.size > size && memcmp(part.data, name, size) == 0 &&
           number_parse(bytes_of(part.data + size, part.size - size), out) && *out <= max;
}

static int scrypt_parse(struct bytes text, struct password *out, struct err *err)
{
    struct bytes parameters = part_take(&text, '$');
    out->kind = PASSWORD_SCRYPT;
    if (!parameter_take(&parameters, "ln=", LN_MAX, &out->ln) ||
        !parameter_take(&parameters, "r=", R_MAX, &out->r) ||
        !parameter_take(&parameters, "p=", P_MAX, &out->p) || parameters.size)
        return err_set(err, GW_EINVAL,
                       "the parameters of scrypt are not ln=1..%d,r=1..%d,p=1..%d, in this order",
                       LN_MAX, R_MAX, P_MAX);
    if (password_memory(out) > PASSWORD_MEMORY_MAX ||
        password_memory(out) * out->p > PASSWORD_WORK_MAX)
        return err_set(err, GW_EINVAL,
                       "ln=%u,r=%u,p=%u would take more than %d MiB or a second for each login",
                       out->ln, out->r, out->p, PASSWORD_MEMORY_MAX >> 20);
    int salt_size = base64_decode_bare(part_take(&text, '$'), out->salt, PASSWORD_SALT_MAX);
    if (salt_size < 8)
        return err_set(err, GW_EINVAL, "the salt is not base64 (unpadded) of 8 to %d bytes",
                       PASSWORD_SALT_MAX);
    out->salt_size = (uint32_t)salt_size;
    int hash_size = base64_decode_bare(text, out->hash, PASSWORD_HASH_MAX);
    if (hash_size < HASH_MIN)
        return err_set(err, GW_EINVAL, "the hash is not base64 (unpadded) of %d to %d bytes",
                       HASH_MIN, PASSWORD_HASH_MAX);
    out->hash_size = (uint32_t)hash_size;
    return 0;
}

int password_parse(struct bytes text, struct password *out, struct err *err)
{
    *out = (struct password){0};
    struct bytes empty = part_take(&text, '$');
    struct bytes kind = part_take(&text, '$');
    if (empty.size == 0 && bytes_equal_text(kind, "scrypt"))
        return scrypt_parse(text, out, err);
    if (empty.size == 0 && bytes_equal_text(kind, "7"))
        return pbkdf2_parse(text, out, err);
    return err_set(err, GW_EINVAL,
                   "neither a $scrypt$ nor a $7$ hash; make it with: tidegate vendor add");
}

/* ---- comparing ---- */

uint64_t password_memory(const struct password *password)
{
    return password->kind == PASSWORD_SCRYPT ? ((uint64_t)128 * password->r) << password->ln : 1024;
}

static bool derive(const struct password *password, struct bytes given, uint8_t *hash)
{
    const char *text = given.size ? (const char *)given.data : "";
    if (password->kind == PASSWORD_PBKDF2)
        return PKCS5_PBKDF2_HMAC(text, (int)given.size, password->salt, (int)password->salt_size,
                                 (int)password->iterations, EVP_sha512(), (int)password->hash_size,
                                 hash) == 1;
    /* OpenSSL counts the block of p x 128 x r as well. */
    uint64_t room = password_memory(password) + (1 << 20);
    return EVP_PBE_scrypt(text, given.size, password->salt, password->salt_size,
                          UINT64_C(1) << password->ln, password->r, password->p, room, hash,
                          password->hash_size) == 1;
}

bool password_matches(const struct password *password, struct bytes given)
{
    uint8_t hash[PASSWORD_HASH_MAX];
    if (given.size > INT_MAX)
        return false;
    bool same = derive(password, given, hash) &&
                CRYPTO_memcmp(hash, password->hash, password->hash_size) == 0;
    OPENSSL_cleanse(hash, sizeof hash);
    /* HMAC fills short keys up with zeros, so the hash does not tell "x" from "x\0". */
    bool padded = given.size > 0 && given.data[given.size - 1] == 0;
    return same && !padded;
}

/* ---- making ---- */

static void base64_add(const uint8_t *data, size_t size, struct buffer *out)
{
    uint8_t text[4 * (PASSWORD_SALT_MAX / 3 + 2)];
    int length = EVP_EncodeBlock(text, data, (int)size);
    while (length && text[length - 1] == '=')
        length--;
    buffer_add(out, text, (size_t)length);
}

int password_make(struct bytes given, enum password_cost cost, struct buffer *out, struct err *err)
{
    if (given.size == 0)
        return err_set(err, GW_EINVAL, "the password is empty");
    if (given.size > PASSWORD_BYTES_MAX)
        return err_set(err, GW_EINVAL, "the password has more than %d bytes", PASSWORD_BYTES_MAX);
    if (given.data[given.size - 1] == 0)
        return err_set(err, GW_EINVAL, "the password ends in NUL, and so would never be right");
    struct password made = {.kind = PASSWORD_SCRYPT,
                            .ln = ln_of[cost],
                            .r = R_USUAL,
                            .p = 1,
                            .salt_size = PASSWORD_SALT_SIZE,
                            .hash_size = PASSWORD_HASH_SIZE};
    if (RAND_bytes(made.salt, PASSWORD_SALT_SIZE) != 1 || !derive(&made, given, made.hash))
        return err_set(err, GW_EIO, "the password cannot be hashed: no randomness or no memory");
    buffer_printf(out, "$scrypt$ln=%u,r=%u,p=%u$", made.ln, made.r, made.p);
    base64_add(made.salt, made.salt_size, out);
    buffer_u8(out, '$');
    base64_add(made.hash, made.hash_size, out);
    return 0;
}

void password_generate(struct buffer *out)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    enum { LETTERS = sizeof letters - 1, LENGTH = 32 };
    for (int i = 0; i < LENGTH;) {
        uint8_t byte;
        gw_assert(RAND_bytes(&byte, 1) == 1);
        if (byte >= 256 / LETTERS * LETTERS) /* else the first letters would be more likely */
            continue;
        buffer_u8(out, (uint8_t)letters[byte % LETTERS]);
        i++;
    }
}
