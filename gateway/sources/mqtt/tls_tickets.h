/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys of session tickets. A session is resumed from a ticket that its client keeps, so it costs us
 * no memory, and half a fleet that connects again costs no signatures. A key seals tickets for half
 * of their life and opens them for the rest, then it is forgotten; keys never touch the disk, so a
 * restart forgets them, too. Any thread.
 */
#ifndef TIDEGATE_SOURCES_MQTT_TLS_TICKETS_H
#define TIDEGATE_SOURCES_MQTT_TLS_TICKETS_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>

struct tls_tickets;
struct tls_tickets *tls_tickets_new(void);
struct tls_tickets *tls_tickets_acquire(struct tls_tickets *tickets);
void tls_tickets_release(struct tls_tickets *tickets); /* accepts null */
/* The answer to SSL_CTX_set_tlsext_ticket_key_evp_cb(3), where tickets live for lifetime_ms: 1, or 0 for
 * "without a ticket", or -1. */
int tls_tickets_key(struct tls_tickets *tickets, int64_t lifetime_ms, uint8_t *name, uint8_t *iv,
                    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, bool sealing);

#endif
