/* SPDX-License-Identifier: Apache-2.0
 *
 * OpenSSL between two memory BIOs. See client_tls.h.
 */
#include "sim/client_tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

enum { PIECE = 16384 };

struct client_tls {
    SSL *ssl;
    BIO *in, *out; /* the SSL's */
    char why[160];
};

static int fail(struct err *err, const char *what)
{
    char text[120];
    ERR_error_string_n(ERR_peek_last_error(), text, sizeof text);
    ERR_clear_error();
    return err_set(err, GW_EINVAL, "%s: %s", what, text);
}

int client_tls_context(const char *ca_file, const char *certificate_file, const char *key_file,
                       SSL_CTX **out, struct err *err)
{
    int rc = 0;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    gw_assert(context != NULL);
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    if (SSL_CTX_load_verify_locations(context, ca_file, NULL) != 1)
        rc = fail(err, ca_file);
    if (rc == 0 && certificate_file &&
        SSL_CTX_use_certificate_chain_file(context, certificate_file) != 1)
        rc = fail(err, certificate_file);
    if (rc == 0 && certificate_file &&
        SSL_CTX_use_PrivateKey_file(context, key_file, SSL_FILETYPE_PEM) != 1)
        rc = fail(err, key_file);
    if (rc)
        SSL_CTX_free(context);
    else
        *out = context;
    return rc;
}

static void name_expect(SSL *ssl, const char *host)
{
    uint8_t address[16];
    if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1) {
        gw_assert(X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1);
    } else {
        gw_assert(SSL_set1_host(ssl, host) == 1);
        SSL_set_tlsext_host_name(ssl, (char *)(uintptr_t)host);
    }
}

struct client_tls *client_tls_new(SSL_CTX *context, const char *host, SSL_SESSION *session)
{
    struct client_tls *tls = mem_zalloc(sizeof *tls);
    tls->ssl = SSL_new(context);
    tls->in = BIO_new(BIO_s_mem());
    tls->out = BIO_new(BIO_s_mem());
    gw_assert(tls->ssl && tls->in && tls->out);
    SSL_set_bio(tls->ssl, tls->in, tls->out);
    SSL_set_connect_state(tls->ssl);
    name_expect(tls->ssl, host);
    if (session)
        SSL_set_session(tls->ssl, session);
    return tls;
}

SSL_SESSION *client_tls_session(struct client_tls *tls)
{
    return SSL_is_init_finished(tls->ssl) ? SSL_get1_session(tls->ssl) : NULL;
}

void client_tls_free(struct client_tls *tls)
{
    if (tls == NULL)
        return;
    SSL_free(tls->ssl);
    free(tls);
}

/* Null when only more bytes are needed. */
static const char *why(struct client_tls *tls, int result)
{
    int error = SSL_get_error(tls->ssl, result);
    unsigned long code = ERR_peek_last_error();
    long verified = SSL_get_verify_result(tls->ssl);
    const char *reason = ERR_reason_error_string(code);
    if (error == SSL_ERROR_WANT_READ)
        return NULL;
    if (error == SSL_ERROR_ZERO_RETURN)
        return "the server ended TLS";
    snprintf(tls->why, sizeof tls->why, "TLS: %s%s%s", reason ? reason : "broken off",
             verified == X509_V_OK ? "" : ": ",
             verified == X509_V_OK ? "" : X509_verify_cert_error_string(verified));
    ERR_clear_error();
    return tls->why;
}

const char *client_tls_open(struct client_tls *tls, struct bytes in, struct buffer *plain)
{
    const char *wrong = NULL;
    if (in.size)
        gw_assert(BIO_write(tls->in, in.data, (int)in.size) == (int)in.size);
    for (;;) {
        ERR_clear_error();
        int size = SSL_read(tls->ssl, buffer_reserve(plain, PIECE), PIECE);
        if (size <= 0) {
            wrong = why(tls, size);
            break;
        }
        plain->size += (size_t)size;
    }
    return wrong;
}

const char *client_tls_seal(struct client_tls *tls, struct buffer *plain, struct buffer *out)
{
    const char *wrong = NULL;
    ERR_clear_error();
    int result = SSL_do_handshake(tls->ssl);
    if (result != 1)
        wrong = why(tls, result);
    while (result == 1 && wrong == NULL && plain->size) {
        size_t taken = 0;
        if (SSL_write_ex(tls->ssl, plain->data, plain->size, &taken) != 1)
            wrong = why(tls, 0);
        memmove(plain->data, plain->data + taken, plain->size - taken);
        plain->size -= taken;
    }
    int size;
    while ((size = BIO_read(tls->out, buffer_reserve(out, PIECE), PIECE)) > 0)
        out->size += (size_t)size;
    return wrong;
}
