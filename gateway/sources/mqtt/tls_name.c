/* SPDX-License-Identifier: Apache-2.0
 *
 * The vendor that a certificate names: by one rule, exactly once, in plain letters. Whatever is
 * doubtful is no name: one that holds NUL ends early for whoever reads it as a C string
 * (CVE-2009-2408), and of two one could be meant for somebody else. Pure, any thread.
 */
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "sources/mqtt/tls_context.h"

/* Letters of a vendor's name in the configuration; no others can ever match. */
static bool letter_valid(uint8_t letter)
{
    return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
           (letter >= '0' && letter <= '9') || letter == '_' || letter == '.' || letter == '-';
}

/* Prefix and suffix must be there, and are cut off. */
static bool cut(const struct tls_name_rule *rule, struct bytes *name)
{
    size_t prefix = rule->prefix ? strlen(rule->prefix) : 0;
    size_t suffix = rule->suffix ? strlen(rule->suffix) : 0;
    if (name->size <= prefix + suffix ||
        (prefix && memcmp(name->data, rule->prefix, prefix) != 0) ||
        (suffix && memcmp(name->data + name->size - suffix, rule->suffix, suffix) != 0))
        return false;
    *name = bytes_of(name->data + prefix, name->size - prefix - suffix);
    return true;
}

static enum tls_reason take(const struct tls_name_rule *rule, struct bytes name,
                            char out[ACCESS_VENDOR_SIZE])
{
    if (!cut(rule, &name) || name.size >= ACCESS_VENDOR_SIZE)
        return TLS_NAME;
    for (size_t i = 0; i < name.size; i++)
        if (!letter_valid(name.data[i]))
            return TLS_NAME;
    memcpy(out, name.data, name.size);
    out[name.size] = '\0';
    return TLS_OK;
}

static enum tls_reason read_cn(const struct tls_name_rule *rule, const X509 *certificate,
                               char out[ACCESS_VENDOR_SIZE])
{
    const X509_NAME *subject = X509_get_subject_name(certificate);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0)
        return TLS_NAME;
    unsigned char *text = NULL;
    const ASN1_STRING *value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
    int size = ASN1_STRING_to_UTF8(&text, value);
    if (size < 0)
        return TLS_NAME;
    enum tls_reason reason = take(rule, bytes_of(text, (size_t)size), out);
    OPENSSL_free(text);
    return reason;
}

static enum tls_reason read_san(const struct tls_name_rule *rule, int type, const X509 *certificate,
                                char out[ACCESS_VENDOR_SIZE])
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    enum tls_reason reason = TLS_NAME;
    int found = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        int has;
        const ASN1_STRING *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &has);
        if (has == type && ++found == 1)
            reason = take(rule,
                          bytes_of(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value)),
                          out);
    }
    GENERAL_NAMES_free(names);
    return found == 1 ? reason : TLS_NAME;
}

enum tls_reason tls_name_read(const struct tls_name_rule *rule, const X509 *certificate,
                              char out[ACCESS_VENDOR_SIZE])
{
    switch (rule->from) {
    case TLS_NAME_CN: return read_cn(rule, certificate, out);
    case TLS_NAME_DNS: return read_san(rule, GEN_DNS, certificate, out);
    case TLS_NAME_URI: return read_san(rule, GEN_URI, certificate, out);
    case TLS_NAME_EMAIL: return read_san(rule, GEN_EMAIL, certificate, out);
    case TLS_NAME_NONE: break;
    }
    return TLS_NAME;
}
