/* SPDX-License-Identifier: Apache-2.0
 *
 * What all TLS connections of the listener share: our certificate and key, whom we trust, what is
 * negotiated. Made whole from files at start and again on a reload; one that is in use stays until
 * its last connection ends. Immutable but for its ticket keys; counted; any thread.
 */
#ifndef TIDEGATE_SOURCES_MQTT_TLS_CONTEXT_H
#define TIDEGATE_SOURCES_MQTT_TLS_CONTEXT_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/disk.h"
#include "base/err.h"
#include "base/option.h"
#include "sources/access.h"
#include "sources/mqtt/tls_reason.h"

enum tls_client { TLS_CLIENT_NONE, TLS_CLIENT_OPTIONAL, TLS_CLIENT_REQUIRE };
enum tls_name { TLS_NAME_NONE, TLS_NAME_CN, TLS_NAME_DNS, TLS_NAME_URI, TLS_NAME_EMAIL };

/* Section `tls` of the configuration. Paths are as they can be opened. */
struct tls_options {
    char *listen; /* null: no TLS */
    char *certificate_file, *key_file;
    char *client_ca_file, *crl_file; /* null: none */
    int client;                      /* enum tls_client */
    int vendor_from;                 /* enum tls_name */
    char *vendor_prefix, *vendor_suffix;
    int min_version;    /* 0: TLS 1.2, 1: TLS 1.3 */
    char *ciphers;      /* of TLS 1.2, OpenSSL's form */
    int64_t tickets_ms; /* for how long a session can be resumed; 0: never */
};
extern const struct option tls_option_rows[];

/* Values that are fine alone and wrong together: GW_EINVAL with a sentence. */
int tls_options_check(const struct tls_options *options, struct err *err);

/* Files that end: when, and which. */
enum tls_file { TLS_FILE_CERTIFICATE, TLS_FILE_CLIENT_CA, TLS_FILE_CRL, TLS_FILES };
extern const char *const tls_file_names[TLS_FILES];

struct tls_context;

/* Reads and checks every file: GW_EINVAL says which and why. `before` (or null) is the one that this
 * replaces: sessions of it can be resumed as long as whom we trust has not changed. */
int tls_context_new(const struct tls_options *options, const struct disk *disk,
                    const struct tls_context *before, struct tls_context **out, struct err *err);
struct tls_context *tls_context_acquire(struct tls_context *context);
void tls_context_release(struct tls_context *context); /* accepts null */

SSL_CTX *tls_context_ssl(const struct tls_context *context);
/* Wall clock; INT64_MAX: there is no such file. */
int64_t tls_context_ends_ms(const struct tls_context *context, enum tls_file file);

/* ---- tls_name.c ---- */

/* The vendor that a certificate names by the rule; TLS_NAME when it does not name exactly one. */
struct tls_name_rule {
    enum tls_name from;
    const char *prefix, *suffix; /* cut off; null: none */
};
enum tls_reason tls_name_read(const struct tls_name_rule *rule, const X509 *certificate,
                              char out[ACCESS_VENDOR_SIZE]);
const struct tls_name_rule *tls_context_rule(const struct tls_context *context);

#endif
