/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading and checking of PEM files. See tls_files.h.
 */
#include "sources/mqtt/tls_files.h"

#include <errno.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"

enum { FILE_BYTES_MAX = 4 << 20, SUBJECT_SIZE = 128 };

/* ---- errors ---- */

static int fail(const struct tls_file_place *place, struct err *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int fail(const struct tls_file_place *place, struct err *err, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    ERR_clear_error();
    return err_set(err, GW_EINVAL, "tls: %s %s: %s", place->name, place->path, text);
}

/* The subject in one printable line; names of certificates come from outside. */
static const char *subject(const X509 *certificate, char out[SUBJECT_SIZE])
{
    X509_NAME_oneline(X509_get_subject_name(certificate), out, SUBJECT_SIZE);
    for (char *at = out; *at; at++)
        if (*at < 0x20 || *at == '"' || *at == 0x7f)
            *at = '?';
    return out;
}

/* ---- text ---- */

int tls_file_text(const struct tls_file_place *place, struct buffer *out, struct err *err)
{
    int rc = disk_read_named(place->disk, place->path, FILE_BYTES_MAX, out);
    return rc < 0 ? fail(place, err, "cannot be read: %s", strerror(-rc)) : 0;
}

static BIO *bio_of(struct bytes text)
{
    BIO *bio = BIO_new_mem_buf(text.size ? (const void *)text.data : "", (int)text.size);
    gw_assert(bio != NULL);
    return bio;
}

/* The end of a PEM file is an error "no start line"; anything else is damage. */
static bool at_end(void)
{
    unsigned long code = ERR_peek_last_error();
    bool end = ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
    if (end)
        ERR_clear_error();
    return end;
}

/* ---- times ---- */

int64_t tls_time_ms(const ASN1_TIME *time)
{
    struct tm tm;
    return time && ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) * 1000 : INT64_MAX;
}

static int check_times(const struct tls_file_place *place, const X509 *certificate,
                       int64_t *ends_ms, struct err *err)
{
    char name[SUBJECT_SIZE], text[CLOCK_TEXT_SIZE];
    int64_t now_ms = clock_wall_ms();
    int64_t from_ms = tls_time_ms(X509_get0_notBefore(certificate));
    int64_t until_ms = tls_time_ms(X509_get0_notAfter(certificate));
    if (until_ms <= now_ms)
        return fail(place, err, "certificate %s expired on %s: put a new one there",
                    subject(certificate, name), clock_format_ms(until_ms, text));
    if (from_ms > now_ms)
        return fail(place, err, "certificate %s is not valid before %s: is the clock right?",
                    subject(certificate, name), clock_format_ms(from_ms, text));
    if (until_ms < *ends_ms)
        *ends_ms = until_ms;
    return 0;
}

/* ---- certificates ---- */

int tls_file_certificates(const struct tls_file_place *place, struct bytes text,
                          STACK_OF(X509) * *out, int64_t *ends_ms, struct err *err)
{
    BIO *bio = bio_of(text);
    STACK_OF(X509) *found = sk_X509_new_null();
    X509 *certificate;
    int rc = 0;
    *ends_ms = INT64_MAX;
    while (rc == 0 && (certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        gw_assert(sk_X509_push(found, certificate) > 0);
        rc = check_times(place, certificate, ends_ms, err);
    }
    if (rc == 0 && !at_end())
        rc = fail(place, err, "certificate %d is damaged: it cannot be read as PEM",
                  sk_X509_num(found) + 1);
    else if (rc == 0 && sk_X509_num(found) == 0)
        rc = fail(place, err, "holds no certificate (-----BEGIN CERTIFICATE-----)");
    BIO_free(bio);
    if (rc)
        sk_X509_pop_free(found, X509_free);
    else
        *out = found;
    return rc;
}

int tls_file_chain_check(const struct tls_file_place *place, STACK_OF(X509) * chain,
                         struct err *err)
{
    char name[SUBJECT_SIZE];
    X509 *first = sk_X509_value(chain, 0);
    if (X509_check_purpose(first, X509_PURPOSE_SSL_SERVER, 0) != 1)
        return fail(place, err, "certificate %s is not made for servers (extended key usage)",
                    subject(first, name));
    for (int i = 1; i < sk_X509_num(chain); i++) {
        X509 *issued = sk_X509_value(chain, i - 1), *issuer = sk_X509_value(chain, i);
        if (X509_check_issued(issuer, issued) != X509_V_OK ||
            X509_verify(issued, X509_get0_pubkey(issuer)) != 1)
            return fail(place, err,
                        "certificate %d did not sign the one before it: ours stands first, then "
                        "each authority behind what it signed",
                        i + 1);
    }
    return 0;
}

/* ---- the key ---- */

static int no_passphrase(char *out, int size, int writing, void *asked)
{
    (void)out, (void)size, (void)writing;
    *(bool *)asked = true; /* and nobody is there to answer */
    return -1;
}

int tls_file_key(const struct tls_file_place *place, struct bytes text, EVP_PKEY **out,
                 struct err *err)
{
    bool asked = false;
    BIO *bio = bio_of(text);
    *out = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &asked);
    BIO_free(bio);
    if (asked)
        return fail(place, err,
                    "the key has a passphrase, and nobody is there to type it: take it off "
                    "(openssl pkey -in KEY -out NEW), and let file permissions protect it");
    if (*out == NULL)
        return fail(place, err, "holds no private key that can be read (PEM)");
    ERR_clear_error();
    return 0;
}

/* ---- revocation lists ---- */

static int check_crl(const struct tls_file_place *place, X509_CRL *crl,
                     STACK_OF(X509) * authorities, int64_t *ends_ms, struct err *err)
{
    char text[CLOCK_TEXT_SIZE], name[SUBJECT_SIZE];
    bool is_signed = false;
    X509_NAME_oneline(X509_CRL_get_issuer(crl), name, sizeof name);
    for (int i = 0; i < sk_X509_num(authorities) && !is_signed; i++) {
        X509 *authority = sk_X509_value(authorities, i);
        is_signed =
            X509_NAME_cmp(X509_get_subject_name(authority), X509_CRL_get_issuer(crl)) == 0 &&
            X509_CRL_verify(crl, X509_get0_pubkey(authority)) == 1;
    }
    ERR_clear_error();
    if (!is_signed)
        return fail(place, err, "the list of %s is signed by none of client_ca_file", name);
    int64_t until_ms = tls_time_ms(X509_CRL_get0_nextUpdate(crl));
    if (until_ms <= clock_wall_ms())
        return fail(place, err,
                    "the list of %s should have been renewed by %s: until it is, nobody can tell "
                    "who is revoked",
                    name, clock_format_ms(until_ms, text));
    if (until_ms < *ends_ms)
        *ends_ms = until_ms;
    return 0;
}

int tls_file_crls(const struct tls_file_place *place, struct bytes text,
                  STACK_OF(X509) * authorities, STACK_OF(X509_CRL) * *out, int64_t *ends_ms,
                  struct err *err)
{
    BIO *bio = bio_of(text);
    STACK_OF(X509_CRL) *found = sk_X509_CRL_new_null();
    X509_CRL *crl;
    int rc = 0;
    *ends_ms = INT64_MAX;
    while (rc == 0 && (crl = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL))) {
        gw_assert(sk_X509_CRL_push(found, crl) > 0);
        rc = check_crl(place, crl, authorities, ends_ms, err);
    }
    if (rc == 0 && !at_end())
        rc = fail(place, err, "list %d is damaged: it cannot be read as PEM",
                  sk_X509_CRL_num(found) + 1);
    else if (rc == 0 && sk_X509_CRL_num(found) == 0)
        rc = fail(place, err, "holds no revocation list (-----BEGIN X509 CRL-----)");
    BIO_free(bio);
    if (rc)
        sk_X509_CRL_pop_free(found, X509_CRL_free);
    else
        *out = found;
    return rc;
}
