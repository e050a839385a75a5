/* SPDX-License-Identifier: Apache-2.0
 *
 * OpenSSL has some hundred reasons; operators and metrics get two dozen. Pure.
 */
#include "sources/mqtt/tls_reason.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <stddef.h>

#include "base/mem.h"

const char *const tls_reason_names[TLS_REASONS] = {TLS_REASON_NAMES};

struct code {
    int code;
    enum tls_reason reason;
};

static enum tls_reason find(const struct code *codes, size_t count, long code,
                            enum tls_reason otherwise)
{
    for (size_t i = 0; i < count; i++)
        if (codes[i].code == code)
            return codes[i].reason;
    return otherwise;
}

enum tls_reason tls_reason_of_verify(long result)
{
    static const struct code codes[] = {
        {X509_V_OK, TLS_OK},
        {X509_V_ERR_CERT_HAS_EXPIRED, TLS_EXPIRED},
        {X509_V_ERR_CERT_NOT_YET_VALID, TLS_NOT_YET_VALID},
        {X509_V_ERR_CERT_REVOKED, TLS_REVOKED},
        {X509_V_ERR_CRL_HAS_EXPIRED, TLS_CRL_EXPIRED},
        {X509_V_ERR_CRL_NOT_YET_VALID, TLS_CRL_EXPIRED},
        {X509_V_ERR_UNABLE_TO_GET_CRL, TLS_CRL_MISSING},
        {X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER, TLS_CRL_MISSING},
        {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, TLS_SELF_SIGNED},
        {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, TLS_UNKNOWN_CA},
        {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, TLS_UNKNOWN_CA},
        {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, TLS_UNKNOWN_CA},
        {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, TLS_UNKNOWN_CA},
        {X509_V_ERR_CERT_UNTRUSTED, TLS_UNKNOWN_CA},
        {X509_V_ERR_INVALID_PURPOSE, TLS_PURPOSE},
        {X509_V_ERR_INVALID_CA, TLS_PURPOSE},
        {X509_V_ERR_CERT_REJECTED, TLS_PURPOSE},
        {X509_V_ERR_KEYUSAGE_NO_CERTSIGN, TLS_PURPOSE},
        {X509_V_ERR_CERT_CHAIN_TOO_LONG, TLS_CHAIN_TOO_LONG},
        {X509_V_ERR_PATH_LENGTH_EXCEEDED, TLS_CHAIN_TOO_LONG},
        {X509_V_ERR_APPLICATION_VERIFICATION, TLS_NAME},
    };
    return find(codes, array_count(codes), result, TLS_CERTIFICATE);
}

enum tls_reason tls_reason_of_error(unsigned long code)
{
    static const struct code codes[] = {
        {SSL_R_UNSUPPORTED_PROTOCOL, TLS_VERSION},
        {SSL_R_VERSION_TOO_LOW, TLS_VERSION},
        {SSL_R_UNKNOWN_PROTOCOL, TLS_VERSION},
        {SSL_R_NO_PROTOCOLS_AVAILABLE, TLS_VERSION},
        {SSL_R_INAPPROPRIATE_FALLBACK, TLS_VERSION},
        {SSL_R_NO_SHARED_CIPHER, TLS_NO_CIPHER},
        {SSL_R_NO_SHARED_GROUPS, TLS_NO_CIPHER},
        {SSL_R_NO_SUITABLE_KEY_SHARE, TLS_NO_CIPHER},
        {SSL_R_NO_SUITABLE_GROUPS, TLS_NO_CIPHER},
        {SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS, TLS_NO_CIPHER},
        {SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, TLS_NO_CIPHER},
        {SSL_R_HTTP_REQUEST, TLS_NOT_TLS},
        {SSL_R_HTTPS_PROXY_REQUEST, TLS_NOT_TLS},
        {SSL_R_WRONG_VERSION_NUMBER, TLS_NOT_TLS},
        {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, TLS_NO_CERTIFICATE},
        {SSL_R_EXCESSIVE_MESSAGE_SIZE, TLS_TOO_LARGE},
        {SSL_R_NO_RENEGOTIATION, TLS_FLOOD},
        {SSL_R_TOO_MANY_KEY_UPDATES, TLS_FLOOD},
        {SSL_R_TOO_MANY_WARN_ALERTS, TLS_FLOOD},
    };
    if (ERR_GET_LIB(code) != ERR_LIB_SSL)
        return code ? TLS_MALFORMED : TLS_OTHER;
    int reason = ERR_GET_REASON(code);
    if (reason >= SSL_AD_REASON_OFFSET) /* an alert of the peer */
        return TLS_PEER_ALERT;
    return find(codes, array_count(codes), reason, TLS_MALFORMED);
}
