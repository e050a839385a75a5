/* SPDX-License-Identifier: Apache-2.0
 *
 * One connection of a client. Its loop's thread only.
 *
 *   NEW --CONNECT--> LOGIN --right--> CLAIM --session is ours--> OPENING --record durable--> OPEN
 *    |                 |                |                          |                          |
 *    '-----------------+----------------+------- any reason -------+--------------------------'
 *                                  v
 *                               CLOSING: will and session record go to the log, the peer reads
 *                                  v      what we said
 *                                GONE: until nothing names it
 *
 * LOGIN, CLAIM and OPENING take no packet in; what comes is kept. A client whose password need not be
 * hashed passes through LOGIN at once, one without a session that outlives it through the other two. An OPEN connection may be `held`: the journal or its own backlog
 * lets nothing more in (invariant 2).
 *
 * Memory is counted here: there may be a hundred thousand of these. What most connections never use
 * is behind a pointer.
 */
#ifndef TIDEGATE_SOURCES_MQTT_CONN_H
#define TIDEGATE_SOURCES_MQTT_CONN_H

#include <uv.h>

#include "base/address.h"
#include "sources/mqtt/login.h"
#include "sources/mqtt/loop.h"
#include "sources/mqtt/proxy.h"
#include "sources/mqtt/reason.h"
#include "sources/mqtt/session.h"
#include "sources/mqtt/tls.h"

enum conn_state {
    CONN_NEW,
    CONN_LOGIN,
    CONN_CLAIM,
    CONN_OPENING,
    CONN_OPEN,
    CONN_CLOSING,
    CONN_GONE
};

struct alias_table;

struct conn {
    uv_tcp_t tcp;
    struct loop *loop;
    struct conn *next_waiter; /* session.c's, under its lock */
    struct session *session;
    struct address peer; /* whose connection it is */
    struct grant *grant; /* null before the login */
    struct login *login; /* in LOGIN: where its password is being checked */
    char *user;          /* null: none given */
    struct tls *tls;     /* null: without, or ended */
    struct buffer tail;  /* bytes of an unfinished packet, or all that came while blocked */
    struct will *will;
    struct alias_table *aliases;
    struct commit *commit; /* the newest that has a slot of ours, while it fills */
    uint32_t slot;
    uint32_t index;         /* in loop->conns */
    uint32_t heard_ms;      /* loop time of the last whole packet; in NEW, of the accept */
    uint32_t since_ms;      /* when the unfinished packet began, or the holding */
    uint32_t unacked_bytes; /* in commits that are not done */
    uint32_t pending;       /* such commits */
    uint32_t scanned;       /* of a held tail: where the search for PINGREQ goes on */
    uint32_t tail_counted;  /* what of it is in stats.tail_bytes */
    uint32_t session_expiry_s;
    uint32_t packet_max; /* the client's; 0: none */
    uint32_t waits_at;   /* in its vendor's row, while `waits` */
    uint64_t credential; /* of the login: tells whether the password was changed since */
    uint16_t inflight;   /* PUBLISH without PUBACK or PUBCOMP */
    uint16_t keep_alive_s;
    uint16_t pings;   /* since the last sweep */
    uint16_t refused; /* PUBLISH packets, for good */
    uint8_t window;   /* loop->window when it was last read from */
    uint8_t version;
    uint8_t state;         /* enum conn_state */
    uint8_t reason;        /* enum close_reason, from CLOSING on */
    bool proxied : 1;      /* comes through a listed balancer */
    bool proxy_wanted : 1; /* whose header is not there yet */
    bool secure : 1;       /* came to the TLS port: nothing leaves in the clear */
    bool clean_start : 1;
    bool session_present : 1;
    bool assigned_id : 1;     /* the client id is ours */
    bool expiry_told : 1;     /* CONNACK names a session expiry */
    bool keep_alive_told : 1; /* CONNACK names a keep alive */
    bool owner : 1;           /* of `session` */
    bool opened : 1;          /* the session was taken up: records of it may be written */
    bool partial : 1;         /* a packet is unfinished since since_ms */
    uint8_t hold : 3;         /* enum hold; HOLD_NONE: not held */
    bool waits : 1;           /* in its vendor's row (loop_quota.c) */
    bool retry : 1;           /* in loop->retries */
    bool reading : 1;
    bool at_end : 1; /* the peer has said all, and some of it waits in the tail */
    bool handle_open : 1;
    bool finished : 1;  /* will and session are settled */
    bool connected : 1; /* CONNACK with success was sent */
    bool counted : 1;   /* among those of its address (conn_guard.c) */
    bool unnamed : 1;   /* among those that have not logged in */
    bool of_vendor : 1; /* among those of its vendor */
};

/* ---- life (conn.c) ---- */

/* Take one connection from a listening socket. */
void conn_accept(struct loop *loop, uv_stream_t *server);
/* The header comes in (conn_proxy.c). */
void conn_proxy_read(struct conn *conn, struct bytes in);
/* Ends it: says why where the protocol lets us, settles will and session. More calls do nothing. */
void conn_close(struct conn *conn, enum close_reason reason);
/* The loop ends: nothing more can be settled. */
void conn_abandon(struct conn *conn);
/* The commit's slot of this connection is durable. May free the connection. */
void conn_committed(struct conn *conn, const struct commit *commit, const struct commit_slot *slot);
/* Something it waits for may have come. */
void conn_retry(struct conn *conn);
/* Deadlines; about once a second. */
void conn_sweep(struct conn *conn);
void conn_pause(struct conn *conn);
void conn_resume(struct conn *conn);
struct mailbox *conn_mailbox(const struct conn *conn);

/* ---- bytes (conn_io.c) ---- */

void conn_read_start(struct conn *conn);
void conn_read_stop(struct conn *conn);
/* Packets from the front of `in`; returns the bytes used. Stops at an unfinished packet and when the
 * connection is blocked or closed. */
size_t conn_consume(struct conn *conn, struct bytes in);
/* Packets that were kept while it was blocked; true when at least one was used up. */
bool conn_consume_tail(struct conn *conn);
/* It is blocked from now on: look at what is kept, stop reading when that is enough. */
void conn_keep_reading(struct conn *conn);
/* Is anything more to be taken from the socket now? */
bool conn_may_read(const struct conn *conn);
void conn_close_handle(struct conn *conn);
/* Say nothing more, read until the peer ends. */
void conn_linger(struct conn *conn);
/* Nothing is taken in from here on until a retry. The packet at hand is not used up. */
void conn_hold(struct conn *conn, enum hold why);
/* Its first bytes are of another protocol: counted, and closed at once. */
void conn_foreign(struct conn *conn, struct bytes first);
/* Plain bytes that were read; they are borrowed. */
void conn_take_in(struct conn *conn, struct bytes in);
/* The peer has said all; in an orderly way or not. */
void conn_at_end(struct conn *conn, bool orderly);
/* Write or queue bytes of the socket: 0, or why the connection must end. */
int conn_push(struct conn *conn, struct bytes out);
/* Write or queue; closes the connection when its peer does not read. */
void conn_write(struct conn *conn, struct bytes out);
/* Send what was put into loop->reply. */
void conn_flush(struct conn *conn);
/* Blocked: bytes are kept, packets wait. */
static inline bool conn_blocked(const struct conn *conn)
{
    return conn->hold || (conn->state >= CONN_LOGIN && conn->state <= CONN_OPENING);
}

/* ---- how many there may be (conn_guard.c) ---- */

/* As soon as `peer` is known, and again when it turns out to be another (PROXY protocol). False: one too
 * many, and it is closed. */
bool conn_admit(struct conn *conn);
/* It has logged in. False: its vendor has too many, and it is closed. */
bool conn_admit_vendor(struct conn *conn);
/* Write down that it may not publish there. */
void conn_audit_refusal(const struct conn *conn, struct bytes client, struct bytes topic,
                        const char *why);
/* It is closed: for its vendor it no longer counts. */
void conn_leave_vendor(struct conn *conn);
/* It is gone. */
void conn_uncount(struct conn *conn);

/* ---- TLS under it (conn_secure.c) ---- */

void conn_secure_begin(struct conn *conn);
bool conn_handshaking(const struct conn *conn);
/* Bytes of the socket come in. */
void conn_secure_read(struct conn *conn, struct bytes in);
/* As conn_push, of plain bytes. */
int conn_secure_push(struct conn *conn, struct bytes out);
/* One step of the handshake, with what waits in the socket. */
void conn_handshake_turn(struct conn *conn);
/* Count and tell it. */
void conn_secure_refused(struct conn *conn, enum tls_reason reason);
/* Says close_notify; nothing more leaves. */
void conn_secure_end(struct conn *conn);

/* ---- packets. False: not now, the connection is held and the same packet comes again. ---- */

bool conn_packet(struct conn *conn, const struct packet_frame *frame);  /* conn_packet.c */
void conn_connect(struct conn *conn, const struct packet_frame *frame); /* conn_connect.c */
bool conn_publish(struct conn *conn, const struct packet_frame *frame); /* conn_publish.c */
bool conn_pubrel(struct conn *conn, const struct packet_frame *frame);

/* The password was checked; frees the login. (conn_connect.c) */
void conn_logged_in(struct conn *conn, struct login *login);
/* The session is ours: records, CONNACK. Again on a retry. (conn_connect.c) */
void conn_session_granted(struct conn *conn);
void conn_connack(struct conn *conn);
/* The will and the session of a closing connection. Again on a retry. (conn_leave.c) */
void conn_leave(struct conn *conn);
/* May the client publish its will there, now? */
bool conn_topic_allowed(struct loop *loop, const struct access_grant *grant, struct bytes topic,
                        enum publish_rejected *why);

/* Send an acknowledgement in its order: now when nothing is pending, else with the filling commit. */
void conn_ack(struct conn *conn, enum packet_type type, uint16_t packet_id, uint8_t reason);
/* Account `bytes` of a record to this connection's slot, and acknowledge when it is durable (type 0:
 * without). The filling commit has a chunk. */
void conn_owe(struct conn *conn, uint32_t bytes, enum packet_type type, uint16_t packet_id,
              uint8_t reason);

void alias_table_free(struct alias_table *table); /* conn_publish.c; accepts null */

#endif
