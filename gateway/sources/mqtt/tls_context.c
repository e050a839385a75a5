/* SPDX-License-Identifier: Apache-2.0
 *
 * An SSL_CTX from the files of section `tls`, all checked before it is used. Made on the main thread,
 * used by all loops.
 */
#include "sources/mqtt/tls_context.h"

#include <openssl/err.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "sources/mqtt/tls_files.h"
#include "sources/mqtt/tls_tickets.h"

enum {
    CHAIN_DEPTH_MAX = 4,        /* authorities between a client's certificate and a root */
    CHAIN_BYTES_MAX = 16 << 10, /* of a client's certificates together */
    SECURITY_LEVEL = 2,         /* RSA of 2048 bits, SHA-256 */
};

/* Forward secrecy and authenticated encryption; TLS 1.3 has nothing else. */
#define CIPHERS_USUAL "ECDHE+AESGCM:ECDHE+CHACHA20"

static const char *const client_names[] = {"none", "optional", "require", NULL};
static const char *const from_names[] = {"none", "cn", "san_dns", "san_uri", "san_email", NULL};
static const char *const version_names[] = {"1.2", "1.3", NULL};

#define AT(member) offsetof(struct tls_options, member)
const struct option tls_option_rows[] = {
    {.name = "listen",
     .type = OPTION_ADDRESS,
     .offset = AT(listen),
     .help = "HOST:PORT for MQTT over TLS (usually port 8883), beside mqtt.listen or in place of "
             "it. Not given: no TLS."},
    {.name = "certificate_file",
     .type = OPTION_PATH,
     .offset = AT(certificate_file),
     .help = "PEM: our certificate, behind it the authorities between it and a root. Read again on "
             "SIGHUP, like the other files here."},
    {.name = "key_file",
     .type = OPTION_PATH,
     .offset = AT(key_file),
     .help = "PEM: its private key, without a passphrase, closed to others."},
    {.name = "client_ca_file",
     .type = OPTION_PATH,
     .offset = AT(client_ca_file),
     .help = "PEM: who may sign certificates of clients."},
    {.name = "crl_file",
     .type = OPTION_PATH,
     .offset = AT(crl_file),
     .help = "PEM: revocation lists, one of each authority in a client's chain."},
    {.name = "client",
     .type = OPTION_ENUM,
     .offset = AT(client),
     .def = "none",
     .names = client_names,
     .help = "Whether clients show a certificate; one that is shown and wrong is always refused."},
    {.name = "vendor_from",
     .type = OPTION_ENUM,
     .offset = AT(vendor_from),
     .def = "none",
     .names = from_names,
     .help = "Where a client's certificate names its vendor; who has one then needs no user name, "
             "and a name that says otherwise is refused. none: certificates name nobody."},
    {.name = "vendor_prefix",
     .type = OPTION_STRING,
     .offset = AT(vendor_prefix),
     .help = "Must stand before the vendor in that name, as in urn:vendor:NAME."},
    {.name = "vendor_suffix",
     .type = OPTION_STRING,
     .offset = AT(vendor_suffix),
     .help = "Must stand behind it, as in NAME.meters.example.org."},
    {.name = "min_version",
     .type = OPTION_ENUM,
     .offset = AT(min_version),
     .def = "1.2",
     .names = version_names,
     .help = "The oldest TLS that is spoken."},
    {.name = "ciphers",
     .type = OPTION_STRING,
     .offset = AT(ciphers),
     .def = CIPHERS_USUAL,
     .help = "Cipher suites of TLS 1.2, as openssl-ciphers(1) writes them."},
    {.name = "tickets",
     .type = OPTION_DURATION,
     .offset = AT(tickets_ms),
     .def = "2h",
     .min = 0,
     .max = 86400000,
     .help = "For how long a client may resume its session, which saves both sides most of the "
             "work; 0: never."},
    {0},
};
#undef AT

const char *const tls_file_names[TLS_FILES] = {
    [TLS_FILE_CERTIFICATE] = "certificate",
    [TLS_FILE_CLIENT_CA] = "client_ca",
    [TLS_FILE_CRL] = "crl",
};

struct tls_context {
    _Atomic uint32_t references;
    SSL_CTX *ssl;
    struct tls_tickets *tickets;
    int64_t tickets_ms;
    struct tls_name_rule rule; /* its texts are ours */
    int64_t ends_ms[TLS_FILES];
};

int tls_options_check(const struct tls_options *options, struct err *err)
{
    if (options->certificate_file == NULL || options->key_file == NULL)
        return err_set(err, GW_EINVAL, "tls: needs certificate_file and key_file");
    if (options->client != TLS_CLIENT_NONE && options->client_ca_file == NULL)
        return err_set(err, GW_EINVAL,
                       "tls: client: %s needs client_ca_file, which says whose certificates count",
                       client_names[options->client]);
    if (options->client == TLS_CLIENT_NONE &&
        (options->client_ca_file || options->crl_file || options->vendor_from))
        return err_set(err, GW_EINVAL,
                       "tls: client_ca_file, crl_file and vendor_from are for client: optional or "
                       "require; without it nobody is asked for a certificate");
    if (options->vendor_from == TLS_NAME_NONE && (options->vendor_prefix || options->vendor_suffix))
        return err_set(err, GW_EINVAL, "tls: vendor_prefix and vendor_suffix need vendor_from");
    return 0;
}

/* ---- what is negotiated ---- */

static int openssl_fail(struct err *err, const char *what)
{
    char text[160];
    ERR_error_string_n(ERR_peek_last_error(), text, sizeof text);
    ERR_clear_error();
    return err_set(err, GW_EINVAL, "tls: %s: %s", what, text);
}

/* The one set of options for every connection: nothing is renegotiated or compressed, and no data come
 * before the handshake is over (they could be sent again by anybody). */
static int protocol_set(SSL_CTX *ssl, const struct tls_options *options, struct err *err)
{
    SSL_CTX_set_min_proto_version(ssl, options->min_version ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_security_level(ssl, SECURITY_LEVEL);
    SSL_CTX_set_max_early_data(ssl, 0);
    SSL_CTX_set_recv_max_early_data(ssl, 0);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_max_cert_list(ssl, CHAIN_BYTES_MAX);
    SSL_CTX_set_verify_depth(ssl, CHAIN_DEPTH_MAX);
    if (SSL_CTX_set_cipher_list(ssl, options->ciphers ? options->ciphers : CIPHERS_USUAL) != 1)
        return openssl_fail(err, "ciphers");
    if (SSL_CTX_set1_groups_list(ssl, (char[]){"X25519:P-256:P-384"}) != 1)
        return openssl_fail(err, "groups");
    return 0;
}

/* ---- tickets ---- */

/* Whose list of revoked certificates is over must not come in by an old session. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int sealing)
{
    const struct tls_context *context = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    if (!sealing && clock_wall_ms() >= context->ends_ms[TLS_FILE_CRL])
        return 0;
    return tls_tickets_key(context->tickets, context->tickets_ms, name, iv, cipher, mac, sealing);
}

static void tickets_set(struct tls_context *context, const struct tls_options *options,
                        const struct tls_context *before)
{
    context->tickets = before ? tls_tickets_acquire(before->tickets) : tls_tickets_new();
    context->tickets_ms = options->tickets_ms;
    SSL_CTX_set_num_tickets(context->ssl, options->tickets_ms ? 1 : 0);
    SSL_CTX_set_timeout(context->ssl, (long)(options->tickets_ms / 1000));
    SSL_CTX_set_tlsext_ticket_key_evp_cb(context->ssl, on_ticket);
    if (options->tickets_ms == 0)
        SSL_CTX_set_options(context->ssl, SSL_OP_NO_TICKET);
}

/* ---- our certificate ---- */

static int certificate_use(SSL_CTX *ssl, STACK_OF(X509) * chain, EVP_PKEY *key,
                           const struct tls_options *options, struct err *err)
{
    X509 *first = sk_X509_value(chain, 0);
    if (SSL_CTX_use_certificate(ssl, first) != 1)
        return openssl_fail(err, options->certificate_file);
    for (int i = 1; i < sk_X509_num(chain); i++)
        if (SSL_CTX_add1_chain_cert(ssl, sk_X509_value(chain, i)) != 1)
            return openssl_fail(err, options->certificate_file);
    if (X509_check_private_key(first, key) != 1) {
        ERR_clear_error();
        return err_set(err, GW_EINVAL, "tls: key_file %s is not the key of certificate_file %s",
                       options->key_file, options->certificate_file);
    }
    if (SSL_CTX_use_PrivateKey(ssl, key) != 1)
        return openssl_fail(err, options->key_file);
    return 0;
}

static int certificate_load(struct tls_context *context, const struct tls_options *options,
                            const struct disk *disk, struct err *err)
{
    struct tls_file_place place = {disk, "certificate_file", options->certificate_file};
    struct tls_file_place key_place = {disk, "key_file", options->key_file};
    struct buffer text = {0};
    STACK_OF(X509) *chain = NULL;
    EVP_PKEY *key = NULL;
    int rc = tls_file_text(&place, &text, err);
    if (rc == 0)
        rc = tls_file_certificates(&place, buffer_bytes(&text), &chain,
                                   &context->ends_ms[TLS_FILE_CERTIFICATE], err);
    if (rc == 0)
        rc = tls_file_chain_check(&place, chain, err);
    buffer_clear(&text);
    if (rc == 0)
        rc = tls_file_text(&key_place, &text, err);
    if (rc == 0)
        rc = tls_file_key(&key_place, buffer_bytes(&text), &key, err);
    if (rc == 0)
        rc = certificate_use(context->ssl, chain, key, options, err);
    if (text.data)
        OPENSSL_cleanse(text.data, text.capacity);
    buffer_fini(&text);
    EVP_PKEY_free(key);
    sk_X509_pop_free(chain, X509_free);
    return rc;
}

/* ---- whom we trust ---- */

/* So that the client hears why it is refused: after the handshake it would not. */
static int on_verify(int fine, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    const struct tls_context *context = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    const struct tls_name_rule *rule = &context->rule;
    char name[ACCESS_VENDOR_SIZE];
    if (!fine || X509_STORE_CTX_get_error_depth(store) != 0 || rule->from == TLS_NAME_NONE)
        return fine;
    if (tls_name_read(rule, X509_STORE_CTX_get_current_cert(store), name) == TLS_OK)
        return 1;
    X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
    return 0;
}

static void authorities_use(SSL_CTX *ssl, STACK_OF(X509) * authorities)
{
    X509_STORE *store = SSL_CTX_get_cert_store(ssl);
    for (int i = 0; i < sk_X509_num(authorities); i++) {
        X509 *authority = sk_X509_value(authorities, i);
        gw_assert(X509_STORE_add_cert(store, authority) == 1);
        gw_assert(SSL_CTX_add_client_CA(ssl, authority) == 1);
    }
}

/* A session is resumed only where the same are trusted as when it began: OpenSSL compares this. */
static void trust_mark(SSL_CTX *ssl, const struct tls_options *options, const struct buffer *texts)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    struct buffer all = {0};
    buffer_printf(&all, "%d %d %s %s\n", options->client, options->vendor_from,
                  options->vendor_prefix ? options->vendor_prefix : "",
                  options->vendor_suffix ? options->vendor_suffix : "");
    buffer_add_bytes(&all, buffer_bytes(&texts[0]));
    buffer_add_bytes(&all, buffer_bytes(&texts[1]));
    gw_assert(EVP_Digest(all.data, all.size, digest, &size, EVP_sha256(), NULL) == 1);
    gw_assert(SSL_CTX_set_session_id_context(ssl, digest, size) == 1);
    buffer_fini(&all);
}

static int crls_load(struct tls_context *context, const struct tls_options *options,
                     const struct disk *disk, STACK_OF(X509) * authorities, struct buffer *text,
                     struct err *err)
{
    struct tls_file_place place = {disk, "crl_file", options->crl_file};
    STACK_OF(X509_CRL) *crls = NULL;
    X509_STORE *store = SSL_CTX_get_cert_store(context->ssl);
    int rc = tls_file_text(&place, text, err);
    if (rc == 0)
        rc = tls_file_crls(&place, buffer_bytes(text), authorities, &crls,
                           &context->ends_ms[TLS_FILE_CRL], err);
    for (int i = 0; rc == 0 && i < sk_X509_CRL_num(crls); i++)
        gw_assert(X509_STORE_add_crl(store, sk_X509_CRL_value(crls, i)) == 1);
    if (rc == 0)
        X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    sk_X509_CRL_pop_free(crls, X509_CRL_free);
    return rc;
}

static int trust_load(struct tls_context *context, const struct tls_options *options,
                      const struct disk *disk, struct err *err)
{
    struct tls_file_place place = {disk, "client_ca_file", options->client_ca_file};
    struct buffer texts[2] = {{0}, {0}};
    STACK_OF(X509) *authorities = NULL;
    int rc = tls_file_text(&place, &texts[0], err);
    if (rc == 0)
        rc = tls_file_certificates(&place, buffer_bytes(&texts[0]), &authorities,
                                   &context->ends_ms[TLS_FILE_CLIENT_CA], err);
    if (rc == 0)
        authorities_use(context->ssl, authorities);
    if (rc == 0 && options->crl_file)
        rc = crls_load(context, options, disk, authorities, &texts[1], err);
    int require = options->client == TLS_CLIENT_REQUIRE ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0;
    SSL_CTX_set_verify(context->ssl, SSL_VERIFY_PEER | require, on_verify);
    if (rc == 0)
        trust_mark(context->ssl, options, texts);
    buffer_fini(&texts[0]);
    buffer_fini(&texts[1]);
    sk_X509_pop_free(authorities, X509_free);
    return rc;
}

/* ---- life ---- */

static char *copy(const char *text)
{
    return text ? mem_strdup(text) : NULL;
}

int tls_context_new(const struct tls_options *options, const struct disk *disk,
                    const struct tls_context *before, struct tls_context **out, struct err *err)
{
    int rc = tls_options_check(options, err);
    if (rc)
        return rc;
    struct tls_context *context = mem_zalloc(sizeof *context);
    context->references = 1;
    context->rule =
        (struct tls_name_rule){(enum tls_name)options->vendor_from, copy(options->vendor_prefix),
                               copy(options->vendor_suffix)};
    for (int i = 0; i < TLS_FILES; i++)
        context->ends_ms[i] = INT64_MAX;
    context->ssl = SSL_CTX_new(TLS_server_method());
    gw_assert(context->ssl != NULL);
    SSL_CTX_set_app_data(context->ssl, context);
    rc = protocol_set(context->ssl, options, err);
    if (rc == 0)
        rc = certificate_load(context, options, disk, err);
    if (rc == 0 && options->client != TLS_CLIENT_NONE)
        rc = trust_load(context, options, disk, err);
    if (rc == 0)
        tickets_set(context, options, before);
    if (rc)
        tls_context_release(context);
    else
        *out = context;
    return rc;
}

struct tls_context *tls_context_acquire(struct tls_context *context)
{
    atomic_fetch_add(&context->references, 1);
    return context;
}

void tls_context_release(struct tls_context *context)
{
    if (context == NULL || atomic_fetch_sub(&context->references, 1) != 1)
        return;
    SSL_CTX_free(context->ssl);
    tls_tickets_release(context->tickets);
    free((char *)(uintptr_t)context->rule.prefix);
    free((char *)(uintptr_t)context->rule.suffix);
    free(context);
}

SSL_CTX *tls_context_ssl(const struct tls_context *context)
{
    return context->ssl;
}

int64_t tls_context_ends_ms(const struct tls_context *context, enum tls_file file)
{
    return context->ends_ms[file];
}

const struct tls_name_rule *tls_context_rule(const struct tls_context *context)
{
    return &context->rule;
}
