/* SPDX-License-Identifier: Apache-2.0
 *
 * Session tickets as RFC 5077, 4 recommends: AES-256-CBC and HMAC-SHA-256, a random name for each
 * key. See tls_tickets.h.
 */
#include "sources/mqtt/tls_tickets.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

enum { NAME_SIZE = 16, IV_SIZE = 16, KEYS = 3 };

struct key {
    uint8_t name[NAME_SIZE], cipher[32], mac[32];
    int64_t made_ms; /* monotonic; 0: none */
};

struct tls_tickets {
    _Atomic uint32_t references;
    pthread_mutex_t lock;
    struct key keys[KEYS]; /* the newest first */
};

struct tls_tickets *tls_tickets_new(void)
{
    struct tls_tickets *tickets = mem_zalloc(sizeof *tickets);
    tickets->references = 1;
    pthread_mutex_init(&tickets->lock, NULL);
    return tickets;
}

struct tls_tickets *tls_tickets_acquire(struct tls_tickets *tickets)
{
    atomic_fetch_add(&tickets->references, 1);
    return tickets;
}

void tls_tickets_release(struct tls_tickets *tickets)
{
    if (tickets == NULL || atomic_fetch_sub(&tickets->references, 1) != 1)
        return;
    pthread_mutex_destroy(&tickets->lock);
    OPENSSL_cleanse(tickets->keys, sizeof tickets->keys);
    free(tickets);
}

/* The key that seals now. Half a lifetime each, so three of them cover what may still be opened. */
static bool newest(struct tls_tickets *tickets, int64_t lifetime_ms, struct key *out)
{
    int64_t now_ms = clock_monotonic_ms();
    struct key *keys = tickets->keys;
    if (keys[0].made_ms == 0 || now_ms - keys[0].made_ms > lifetime_ms / 2) {
        memmove(&keys[1], &keys[0], (KEYS - 1) * sizeof *keys);
        /* What names the key is public, and must tell nothing of the rest. */
        if (RAND_bytes(keys[0].name, NAME_SIZE) != 1 ||
            RAND_priv_bytes(keys[0].cipher, sizeof keys[0].cipher) != 1 ||
            RAND_priv_bytes(keys[0].mac, sizeof keys[0].mac) != 1) {
            OPENSSL_cleanse(&keys[0], sizeof keys[0]);
            return false;
        }
        keys[0].made_ms = now_ms;
    }
    *out = keys[0];
    return true;
}

static bool named(const struct tls_tickets *tickets, int64_t lifetime_ms, const uint8_t *name,
                  struct key *out)
{
    int64_t now_ms = clock_monotonic_ms();
    for (int i = 0; i < KEYS; i++) {
        const struct key *key = &tickets->keys[i];
        if (key->made_ms && memcmp(key->name, name, NAME_SIZE) == 0) {
            *out = *key;
            return now_ms - key->made_ms <= lifetime_ms * 3 / 2;
        }
    }
    return false;
}

static bool ready(const struct key *key, const uint8_t *iv, EVP_CIPHER_CTX *cipher,
                  EVP_MAC_CTX *mac, bool sealing)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)key->mac,
                                          sizeof key->mac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){"SHA256"}, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv, sealing) == 1 &&
           EVP_MAC_CTX_set_params(mac, params) == 1;
}

int tls_tickets_key(struct tls_tickets *tickets, int64_t lifetime_ms, uint8_t *name, uint8_t *iv,
                    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, bool sealing)
{
    struct key key;
    pthread_mutex_lock(&tickets->lock);
    bool found =
        sealing ? newest(tickets, lifetime_ms, &key) : named(tickets, lifetime_ms, name, &key);
    pthread_mutex_unlock(&tickets->lock);
    if (!found)
        return 0;
    if (sealing && RAND_bytes(iv, IV_SIZE) != 1)
        return -1;
    if (sealing)
        memcpy(name, key.name, NAME_SIZE);
    bool fine = ready(&key, iv, cipher, mac, sealing);
    OPENSSL_cleanse(&key, sizeof key);
    return fine ? 1 : -1;
}
