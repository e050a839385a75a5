/* SPDX-License-Identifier: Apache-2.0
 *
 * TLS of one connection, between bytes of the socket and bytes of MQTT. It owns no buffers: what came
 * from the socket and what is to go there stand in a `struct tls_io` that all connections of a loop
 * share, so an idle connection costs what OpenSSL keeps of it and no more. Loop thread.
 */
#ifndef TIDEGATE_SOURCES_MQTT_TLS_H
#define TIDEGATE_SOURCES_MQTT_TLS_H

#include "base/bytes.h"
#include "sources/mqtt/tls_context.h"

struct conn;

/* Of the connection at hand; `in` is used up by every call that reads. */
struct tls_io {
    struct bytes in;   /* from the socket; borrowed */
    size_t wanted;     /* bytes that OpenSSL asked for when `in` was used up */
    struct buffer out; /* for the socket; whoever called sends it and clears it */
};

enum { TLS_RECORD_BYTES = 16384 }; /* RFC 8446, 5.1 */

enum tls_state { TLS_HANDSHAKE, TLS_OPEN, TLS_ENDED, TLS_FAILED };

struct tls {
    SSL *ssl;
    struct tls_context *context;
    struct tls_io *io;
    struct conn *conn;       /* the listener's, */
    struct tls *next, *prev; /* and its row of those that wait for their turn */
    bool waits;
    struct tls *next_begun, *prev_begun; /* of those that are in the middle of it */
    uint32_t begun_ms;                   /* loop time */
    uint8_t turns;
    bool begun;
    bool open;       /* the handshake was finished, whatever came then */
    uint8_t state;   /* enum tls_state */
    uint8_t reason;  /* enum tls_reason, when FAILED */
    bool unfinished; /* a record is begun and not whole */
    uint8_t updates; /* post-handshake messages since tls_calm */
    char *vendor;    /* that its certificate names; null: none */
};

/* Never null. What OpenSSL needs is made when the first bytes come. */
struct tls *tls_new(struct tls_context *context, struct tls_io *io);
void tls_free(struct tls *tls); /* accepts null */

/* Take a step of the handshake with what is in io->in; the new state. */
enum tls_state tls_handshake(struct tls *tls);
/* Plain bytes of what is in io->in, at most `size`: as many as io->in holds and TLS_RECORD_BYTES more are
 * always enough. Ends with the state ENDED when the peer said close_notify, FAILED when it broke the rules. */
size_t tls_read(struct tls *tls, uint8_t *out, size_t size);
/* False: the connection is no longer able to. */
bool tls_write(struct tls *tls, struct bytes in);
/* Say close_notify, if that is still possible. */
void tls_end(struct tls *tls);
/* Is a record begun and not whole? */
bool tls_unfinished(const struct tls *tls);
bool tls_resumed(const struct tls *tls);
/* About once a second: post-handshake messages are counted between two of these. */
void tls_calm(struct tls *tls);

#endif
