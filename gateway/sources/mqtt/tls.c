/* SPDX-License-Identifier: Apache-2.0
 *
 * An SSL object over a BIO of our own: it takes bytes straight from where the loop read them, and puts
 * what it has to say into one buffer of the loop. OpenSSL's memory BIOs would keep both for every
 * connection. OpenSSL takes in all that it is given: what is not a whole record stays in its own
 * buffer, which it gives back when it is empty (SSL_MODE_RELEASE_BUFFERS). Loop thread.
 */
#include "sources/mqtt/tls.h"

#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"

enum {
    /* Steps of the handshake protocol in a second, after the handshake: a KeyUpdate, which is for 16
     * million records, takes up to four. */
    UPDATES_MAX = 64,
};

/* ---- the BIO ---- */

static int on_bio_read(BIO *bio, char *out, size_t size, size_t *taken)
{
    struct tls_io *io = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    *taken = size < io->in.size ? size : io->in.size;
    if (*taken == 0) {
        io->wanted = size;
        BIO_set_retry_read(bio);
        return 0;
    }
    memcpy(out, io->in.data, *taken);
    io->in = bytes_of(io->in.data + *taken, io->in.size - *taken);
    return 1;
}

static int on_bio_write(BIO *bio, const char *in, size_t size, size_t *taken)
{
    struct tls_io *io = BIO_get_data(bio);
    buffer_add(&io->out, in, size);
    *taken = size;
    return 1;
}

static long on_bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *method;

static void method_make(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "loop");
    gw_assert(method != NULL);
    BIO_meth_set_read_ex(method, on_bio_read);
    BIO_meth_set_write_ex(method, on_bio_write);
    BIO_meth_set_ctrl(method, on_bio_control);
}

static BIO *bio_new(struct tls_io *io)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, method_make);
    BIO *bio = BIO_new(method);
    gw_assert(bio != NULL);
    BIO_set_data(bio, io);
    BIO_set_init(bio, 1);
    return bio;
}

/* ---- life ---- */

/* OpenSSL tells of each message of the handshake protocol that it begins to read, and of each
 * renegotiation that it declines (a warning). After the handshake there are hardly any. */
static void on_info(const SSL *ssl, int where, int value)
{
    struct tls *tls = SSL_get_app_data(ssl);
    (void)value;
    bool post = where == SSL_CB_ACCEPT_LOOP || where == SSL_CB_WRITE_ALERT;
    if (post && tls->state == TLS_OPEN && tls->updates < UINT8_MAX)
        tls->updates++;
}

struct tls *tls_new(struct tls_context *context, struct tls_io *io)
{
    struct tls *tls = mem_zalloc(sizeof *tls);
    tls->context = tls_context_acquire(context);
    tls->io = io;
    return tls;
}

static void begin(struct tls *tls)
{
    tls->ssl = SSL_new(tls_context_ssl(tls->context));
    gw_assert(tls->ssl != NULL);
    BIO *bio = bio_new(tls->io);
    SSL_set_bio(tls->ssl, bio, bio);
    SSL_set_app_data(tls->ssl, tls);
    SSL_set_info_callback(tls->ssl, on_info);
    SSL_set_accept_state(tls->ssl);
}

void tls_free(struct tls *tls)
{
    if (tls == NULL)
        return;
    SSL_free(tls->ssl);
    tls_context_release(tls->context);
    free(tls->vendor);
    free(tls);
}

/* ---- failing ---- */

static enum tls_state fail(struct tls *tls, enum tls_reason reason)
{
    tls->state = TLS_FAILED;
    tls->reason = (uint8_t)reason;
    ERR_clear_error();
    return TLS_FAILED;
}

static enum tls_state fail_by_error(struct tls *tls)
{
    unsigned long code = ERR_peek_last_error();
    if (ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED)
        return fail(tls, tls_reason_of_verify(SSL_get_verify_result(tls->ssl)));
    return fail(tls, tls_reason_of_error(code));
}

/* ---- the handshake ---- */

/* A resumed session was verified when it began; its certificate may have ended since. */
static enum tls_reason certificate_check(struct tls *tls)
{
    char name[ACCESS_VENDOR_SIZE];
    const struct tls_name_rule *rule = tls_context_rule(tls->context);
    const X509 *certificate = SSL_get0_peer_certificate(tls->ssl);
    if (certificate == NULL)
        return TLS_OK;
    if (SSL_get_verify_result(tls->ssl) != X509_V_OK)
        return tls_reason_of_verify(SSL_get_verify_result(tls->ssl));
    if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
        return TLS_EXPIRED;
    if (rule->from == TLS_NAME_NONE)
        return TLS_OK;
    enum tls_reason reason = tls_name_read(rule, certificate, name);
    if (reason == TLS_OK)
        tls->vendor = mem_strdup(name);
    return reason;
}

static void empty(STACK_OF(X509) * chain)
{
    while (sk_X509_num(chain) > 0)
        X509_free(sk_X509_pop(chain));
}

/* OpenSSL keeps all certificates that a client sent, and clients send their root as well: 5 KiB each for
 * every connection. What was verified is not asked for again, so only the client's own stays. */
static void forget_chain(struct tls *tls)
{
    empty(SSL_get_peer_cert_chain(tls->ssl));
    empty(SSL_get0_verified_chain(tls->ssl));
}

enum tls_state tls_handshake(struct tls *tls)
{
    /* RFC 8446, 5.1: the first byte of a handshake record. Others say what they are, too. */
    if (tls->ssl == NULL && tls->io->in.size && tls->io->in.data[0] != 0x16)
        return fail(tls, TLS_NOT_TLS);
    if (tls->ssl == NULL)
        begin(tls);
    ERR_clear_error();
    int result = SSL_do_handshake(tls->ssl);
    if (result != 1) {
        int why = SSL_get_error(tls->ssl, result);
        return why == SSL_ERROR_WANT_READ ? TLS_HANDSHAKE : fail_by_error(tls);
    }
    enum tls_reason reason = certificate_check(tls);
    if (reason)
        return fail(tls, reason);
    forget_chain(tls);
    tls->state = TLS_OPEN;
    tls->open = true;
    return TLS_OPEN;
}

bool tls_resumed(const struct tls *tls)
{
    return SSL_session_reused(tls->ssl);
}

/* ---- bytes ---- */

size_t tls_read(struct tls *tls, uint8_t *out, size_t size)
{
    size_t total = 0;
    while (tls->state == TLS_OPEN && total < size) {
        size_t taken = 0;
        ERR_clear_error();
        int result = SSL_read_ex(tls->ssl, out + total, size - total, &taken);
        total += taken;
        if (tls->updates > UPDATES_MAX) {
            fail(tls, TLS_FLOOD);
        } else if (result != 1) {
            int why = SSL_get_error(tls->ssl, result);
            if (why == SSL_ERROR_WANT_READ)
                break;
            if (why == SSL_ERROR_ZERO_RETURN)
                tls->state = TLS_ENDED;
            else
                fail_by_error(tls);
        }
    }
    /* Between two records it asks for a header (RFC 8446, 5.1); within one for what is missing, which
     * may be as much, but then it has some of it. */
    bool within = tls->io->wanted != SSL3_RT_HEADER_LENGTH || SSL_has_pending(tls->ssl);
    tls->unfinished = tls->state == TLS_OPEN && within;
    return total;
}

bool tls_write(struct tls *tls, struct bytes in)
{
    size_t taken;
    if (tls->state != TLS_OPEN && tls->state != TLS_ENDED)
        return false;
    if (in.size == 0)
        return true;
    ERR_clear_error();
    if (SSL_write_ex(tls->ssl, in.data, in.size, &taken) == 1 && taken == in.size)
        return true;
    fail_by_error(tls);
    return false;
}

void tls_end(struct tls *tls)
{
    if (tls->state == TLS_OPEN || tls->state == TLS_ENDED) {
        ERR_clear_error();
        SSL_shutdown(tls->ssl);
        ERR_clear_error();
    }
}

bool tls_unfinished(const struct tls *tls)
{
    return tls->unfinished;
}

void tls_calm(struct tls *tls)
{
    tls->updates = 0;
}
