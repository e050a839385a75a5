/* SPDX-License-Identifier: Apache-2.0
 *
 * Why a TLS connection was refused: a fixed set, because these words become labels of metrics. Pure.
 */
#ifndef TIDEGATE_SOURCES_MQTT_TLS_REASON_H
#define TIDEGATE_SOURCES_MQTT_TLS_REASON_H

#include <stddef.h>

enum tls_reason {
    TLS_OK,
    TLS_NOT_TLS,     /* its first bytes are of another protocol */
    TLS_VERSION,     /* it offers nothing that is new enough */
    TLS_NO_CIPHER,   /* no cipher suite, group or signature in common */
    TLS_MALFORMED,   /* records or messages that the standard forbids */
    TLS_PEER_ALERT,  /* it refused us: it does not trust our certificate, for example */
    TLS_PEER_CLOSED, /* in the middle of the handshake */
    TLS_TIMEOUT,     /* the handshake was not over at connect_timeout */
    TLS_FLOOD,       /* of KeyUpdate and its like, or a renegotiation */
    TLS_NO_CERTIFICATE,
    TLS_EXPIRED,
    TLS_NOT_YET_VALID,
    TLS_REVOKED,
    TLS_CRL_EXPIRED, /* ours: the list is too old to tell who is revoked */
    TLS_CRL_MISSING, /* for one of the authorities of the chain */
    TLS_SELF_SIGNED,
    TLS_UNKNOWN_CA,
    TLS_PURPOSE, /* its extended key usage is not clientAuth, or no CA where one must be */
    TLS_CHAIN_TOO_LONG,
    TLS_TOO_LARGE,   /* a message beyond what we take: certificates of many KiB */
    TLS_NAME,        /* it names no vendor, or more than one, or not in a form that we take */
    TLS_CERTIFICATE, /* anything else that is wrong with it */
    TLS_OTHER,
    TLS_REASONS,
};

/* Words for logs and metrics, as the rows of a table. */
#define TLS_REASON_NAMES                                                                           \
    [TLS_OK] = NULL, [TLS_NOT_TLS] = "not_tls", [TLS_VERSION] = "version",                         \
    [TLS_NO_CIPHER] = "no_cipher", [TLS_MALFORMED] = "malformed", [TLS_PEER_ALERT] = "peer_alert", \
    [TLS_PEER_CLOSED] = "peer_closed", [TLS_TIMEOUT] = "timeout", [TLS_FLOOD] = "flood",           \
    [TLS_NO_CERTIFICATE] = "no_certificate", [TLS_EXPIRED] = "expired",                            \
    [TLS_NOT_YET_VALID] = "not_yet_valid", [TLS_REVOKED] = "revoked",                              \
    [TLS_CRL_EXPIRED] = "crl_expired", [TLS_CRL_MISSING] = "crl_missing",                          \
    [TLS_SELF_SIGNED] = "self_signed", [TLS_UNKNOWN_CA] = "unknown_ca", [TLS_PURPOSE] = "purpose", \
    [TLS_CHAIN_TOO_LONG] = "chain_too_long", [TLS_TOO_LARGE] = "too_large", [TLS_NAME] = "name",   \
    [TLS_CERTIFICATE] = "certificate", [TLS_OTHER] = "other"
extern const char *const tls_reason_names[TLS_REASONS];

/* From the result of a chain's verification (X509_V_ERR_...). */
enum tls_reason tls_reason_of_verify(long result);
/* From OpenSSL's packed error code. */
enum tls_reason tls_reason_of_error(unsigned long code);

#endif
