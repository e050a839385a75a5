/* SPDX-License-Identifier: Apache-2.0
 *
 * PEM files of the TLS listener, read and checked one by one. Everything that would fail later, with
 * each client, fails here once, with the name of the file and the reason. Main thread.
 */
#ifndef TIDEGATE_SOURCES_MQTT_TLS_FILES_H
#define TIDEGATE_SOURCES_MQTT_TLS_FILES_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/disk.h"
#include "base/err.h"

/* All return 0, or GW_EINVAL with "NAME PATH: reason". `name` is that of the option. */
struct tls_file_place {
    const struct disk *disk;
    const char *name, *path;
};

/* The text as it is; appended. */
int tls_file_text(const struct tls_file_place *place, struct buffer *out, struct err *err);
/* One certificate or more, none over and none not yet valid; *ends_ms gets the earliest end. */
int tls_file_certificates(const struct tls_file_place *place, struct bytes text,
                          STACK_OF(X509) * *out, int64_t *ends_ms, struct err *err);
/* Ours, its authorities behind it in order: each signed by the next, the first for servers. */
int tls_file_chain_check(const struct tls_file_place *place, STACK_OF(X509) * chain,
                         struct err *err);
int tls_file_key(const struct tls_file_place *place, struct bytes text, EVP_PKEY **out,
                 struct err *err);
/* One list or more, each signed by one of `authorities` and not over. */
int tls_file_crls(const struct tls_file_place *place, struct bytes text,
                  STACK_OF(X509) * authorities, STACK_OF(X509_CRL) * *out, int64_t *ends_ms,
                  struct err *err);
int64_t tls_time_ms(const ASN1_TIME *time);

#endif
