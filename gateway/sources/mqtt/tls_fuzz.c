/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzz target of the server's side of TLS: the input is cut into pieces as its first bytes say, and
 * they come from the socket in any state. Half of the inputs go to a connection whose handshake an
 * honest client has finished, so that records, alerts and post-handshake messages are reached; those
 * hardly ever pass the checksum, but headers, lengths and types do. What is looked for: reading beyond
 * what came, endless loops, bytes that leave after a failure.
 */
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "sources/mqtt/tls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tls_context *context;
static SSL_CTX *client_context;

static char *write_pem(const char *name, void (*put)(BIO *out, void *what), void *what)
{
    char *path = mem_printf("/tmp/tidegate-tls-fuzz-%d-%s", (int)getpid(), name);
    BIO *out = BIO_new_file(path, "w");
    gw_assert(out != NULL);
    put(out, what);
    BIO_free(out);
    return path;
}

static void put_certificate(BIO *out, void *what)
{
    gw_assert(PEM_write_bio_X509(out, what) == 1);
}

static void put_key(BIO *out, void *what)
{
    gw_assert(PEM_write_bio_PrivateKey(out, what, NULL, NULL, 0, NULL, NULL) == 1);
}

static X509 *certificate_make(EVP_PKEY *key)
{
    X509 *made = X509_new();
    X509_set_version(made, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(made), 1);
    X509_gmtime_adj(X509_getm_notBefore(made), -3600);
    X509_gmtime_adj(X509_getm_notAfter(made), 86400);
    X509_set_pubkey(made, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(made), "CN", MBSTRING_ASC,
                               (const unsigned char *)"localhost", -1, -1, 0);
    X509_set_issuer_name(made, X509_get_subject_name(made));
    gw_assert(X509_sign(made, key, EVP_sha256()) > 0);
    return made;
}

static void prepare(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = certificate_make(key);
    struct tls_options options = {.listen = (char[]){"127.0.0.1:0"}, .tickets_ms = 60000};
    struct err err;
    options.certificate_file = write_pem("cert", put_certificate, certificate);
    options.key_file = write_pem("key", put_key, key);
    if (tls_context_new(&options, &disk_real, NULL, &context, &err)) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    unlink(options.certificate_file);
    unlink(options.key_file);
    free(options.certificate_file);
    free(options.key_file);
    X509_free(certificate);
    EVP_PKEY_free(key);
    client_context = SSL_CTX_new(TLS_client_method());
    gw_assert(client_context != NULL);
}

/* One piece from the socket, as conn_secure.c does it. */
static void feed(struct tls *tls, struct bytes in)
{
    static uint8_t plain[65536 + TLS_RECORD_BYTES];
    enum tls_state before = (enum tls_state)tls->state;
    tls->io->in = in;
    if (tls->state == TLS_HANDSHAKE)
        tls_handshake(tls);
    if (tls->state == TLS_OPEN)
        tls_read(tls, plain, sizeof plain);
    gw_assert(tls->state == TLS_FAILED || tls->state == TLS_ENDED || tls->io->in.size == 0);
    gw_assert(before == TLS_HANDSHAKE || tls->state != TLS_HANDSHAKE);
    buffer_clear(&tls->io->out);
}

static void shake_hands(struct tls *tls, bool old)
{
    static uint8_t wire[65536];
    SSL *client = SSL_new(client_context);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    if (old)
        SSL_set_max_proto_version(client, TLS1_2_VERSION);
    SSL_set_bio(client, in, out);
    SSL_set_connect_state(client);
    for (int turn = 0; turn < 4; turn++) {
        SSL_do_handshake(client);
        int size = BIO_read(out, wire, sizeof wire);
        tls->io->in = bytes_of(wire, size > 0 ? (size_t)size : 0);
        if (tls->state == TLS_HANDSHAKE)
            tls_handshake(tls);
        BIO_write(in, tls->io->out.data, (int)tls->io->out.size);
        buffer_clear(&tls->io->out);
    }
    gw_assert(tls->state == TLS_OPEN);
    SSL_free(client);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tls_io io = {0};
    if (context == NULL)
        prepare();
    if (size < 2 || size > 65536)
        return 0;
    struct tls *tls = tls_new(context, &io);
    if (data[0] & 1)
        shake_hands(tls, data[0] & 2);
    size_t piece = data[1] ? data[1] : size;
    for (size_t at = 2; at < size && tls->state <= TLS_OPEN; at += piece)
        feed(tls, bytes_of(data + at, size - at < piece ? size - at : piece));
    tls_write(tls, bytes_of("answer", 6));
    if (tls->ssl)
        tls_end(tls);
    tls_free(tls);
    buffer_fini(&io.out);
    return 0;
}
