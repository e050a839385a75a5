/* SPDX-License-Identifier: Apache-2.0
 *
 * TLS of a simulated client, over memory: plain bytes in, bytes of the socket out, and back. Checks
 * the server's certificate and its name, as every real client must. One loop's thread.
 */
#ifndef TIDEGATE_SIM_CLIENT_TLS_H
#define TIDEGATE_SIM_CLIENT_TLS_H

#include <openssl/ssl.h>

#include "base/bytes.h"
#include "base/err.h"

/* What all clients share: authorities, and a certificate with its key (both or none). GW_EINVAL with a
 * sentence. SSL_CTX_free frees it. */
int client_tls_context(const char *ca_file, const char *certificate_file, const char *key_file,
                       SSL_CTX **out, struct err *err);

struct client_tls;

/* `host` as in the certificate: a name or an address. *session (or null) is resumed; both are borrowed. */
struct client_tls *client_tls_new(SSL_CTX *context, const char *host, SSL_SESSION *session);
/* The session, to be resumed by the next connection; null before the handshake. The caller frees it. */
SSL_SESSION *client_tls_session(struct client_tls *tls);
void client_tls_free(struct client_tls *tls); /* accepts null */

/* Bytes of the socket come in; plain ones are appended. 0, or what is wrong, as a sentence. */
const char *client_tls_open(struct client_tls *tls, struct bytes in, struct buffer *plain);
/* Goes on with the handshake; when it is over `plain` is taken. What is to be sent is appended. */
const char *client_tls_seal(struct client_tls *tls, struct buffer *plain, struct buffer *out);

#endif
