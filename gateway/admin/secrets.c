/* SPDX-License-Identifier: Apache-2.0
 *
 * Files of the admin interface. The PEM files are checked as those of the MQTT listener are, and then
 * given to GnuTLS, which libmicrohttpd uses. Main thread.
 */
#include "admin/secrets.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "sources/mqtt/tls_files.h"

static void wipe(struct buffer *text)
{
    if (text->capacity)
        explicit_bzero(text->data, text->capacity);
    buffer_fini(text);
}

/* With what OpenSSL says about it, which is more than a handshake that fails would. */
static int pair_check(const struct tls_file_place *certificate, struct bytes chain_text,
                      const struct tls_file_place *key, struct bytes key_text, int64_t *ends_ms,
                      struct err *err)
{
    STACK_OF(X509) *chain = NULL;
    EVP_PKEY *private = NULL;
    int rc = tls_file_certificates(certificate, chain_text, &chain, ends_ms, err);
    if (rc == 0)
        rc = tls_file_chain_check(certificate, chain, err);
    if (rc == 0 && sk_X509_num(chain) > CHAIN_MAX)
        rc = err_set(err, GW_EINVAL, "%s %s: more than %d certificates", certificate->name,
                     certificate->path, CHAIN_MAX);
    if (rc == 0)
        rc = tls_file_key(key, key_text, &private, err);
    if (rc == 0 && X509_check_private_key(sk_X509_value(chain, 0), private) != 1)
        rc = err_set(err, GW_EINVAL, "%s %s is not the key of the certificate %s", key->name,
                     key->path, certificate->path);
    EVP_PKEY_free(private);
    sk_X509_pop_free(chain, X509_free);
    return rc;
}

static int gnutls_take(struct admin_secrets *secrets, struct bytes chain, struct bytes key,
                       struct err *err)
{
    gnutls_datum_t chain_text = {(unsigned char *)(uintptr_t)chain.data, (unsigned)chain.size};
    gnutls_datum_t key_text = {(unsigned char *)(uintptr_t)key.data, (unsigned)key.size};
    unsigned count = CHAIN_MAX;
    int rc = gnutls_pcert_list_import_x509_raw(secrets->chain, &count, &chain_text,
                                               GNUTLS_X509_FMT_PEM, 0);
    if (rc >= 0) {
        secrets->chain_count = count;
        rc = gnutls_privkey_init(&secrets->key);
    }
    if (rc >= 0)
        rc = gnutls_privkey_import_x509_raw(secrets->key, &key_text, GNUTLS_X509_FMT_PEM, NULL, 0);
    return rc < 0 ? err_set(err, GW_EINVAL, "certificate_file: %s", gnutls_strerror(rc)) : 0;
}

static int key_private(const char *path, struct err *err)
{
    struct stat info;
    if (stat(path, &info) == 0 && info.st_mode & (S_IRWXO | S_IWGRP))
        return err_set(err, GW_EINVAL,
                       "key_file %s: others may read it or its group may write it (mode %04o): "
                       "chmod 640 %s",
                       path, (unsigned)(info.st_mode & 07777), path);
    return 0;
}

static int certificate_read(struct admin_secrets *secrets, const struct admin_options *options,
                            struct err *err)
{
    struct buffer chain = {0}, key = {0};
    struct tls_file_place certificate_at = {&disk_real, "certificate_file",
                                            options->certificate_file};
    struct tls_file_place key_at = {&disk_real, "key_file", options->key_file};
    int rc = tls_file_text(&certificate_at, &chain, err);
    if (rc == 0)
        rc = key_private(options->key_file, err);
    if (rc == 0)
        rc = tls_file_text(&key_at, &key, err);
    if (rc == 0)
        rc = pair_check(&certificate_at, buffer_bytes(&chain), &key_at, buffer_bytes(&key),
                        &secrets->ends_ms, err);
    if (rc == 0)
        rc = gnutls_take(secrets, buffer_bytes(&chain), buffer_bytes(&key), err);
    wipe(&key);
    buffer_fini(&chain);
    return rc;
}

int admin_secrets_read(struct admin_secrets **out, const struct admin_options *options,
                       struct err *err)
{
    struct admin_secrets *secrets = mem_zalloc(sizeof *secrets);
    int rc = 0;
    *out = NULL;
    if ((options->certificate_file == NULL) != (options->key_file == NULL))
        rc = err_set(err, GW_EINVAL, "certificate_file and key_file go together");
    if (rc == 0 && options->token_file)
        rc = tokens_read(&secrets->tokens, &disk_real, options->token_file, err);
    if (rc == 0 && options->certificate_file)
        rc = certificate_read(secrets, options, err);
    if (rc) {
        admin_secrets_free(secrets);
        struct err why = *err;
        return err_set(err, rc, "admin: %s", why.text);
    }
    *out = secrets;
    return 0;
}

void admin_secrets_free(struct admin_secrets *secrets)
{
    while (secrets) {
        struct admin_secrets *older = secrets->older;
        for (unsigned i = 0; i < secrets->chain_count; i++)
            gnutls_pcert_deinit(&secrets->chain[i]);
        if (secrets->key)
            gnutls_privkey_deinit(secrets->key);
        tokens_fini(&secrets->tokens);
        free(secrets);
        secrets = older;
    }
}
