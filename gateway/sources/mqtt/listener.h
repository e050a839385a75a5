/* SPDX-License-Identifier: Apache-2.0
 *
 * The MQTT listener: MQTT 3.1, 3.1.1 and 5.0 over TCP, n libuv loops that share the port by
 * SO_REUSEPORT, one thread each. A source (sources/source.h).
 */
#ifndef TIDEGATE_SOURCES_MQTT_LISTENER_H
#define TIDEGATE_SOURCES_MQTT_LISTENER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/option.h"
#include "journal/rawlog.h"
#include "sources/access.h"
#include "sources/mqtt/tls_context.h"
#include "sources/source.h"
#include "sources/vendor.h"

/* Filled through listener_option_rows: the section `mqtt` of the configuration. */
struct listener_options {
    char *listen;              /* HOST:PORT; port 0 picks a free one; null: no plain MQTT */
    int64_t loops;             /* 0: one for two processors, at least 1 */
    uint64_t max_packet_bytes; /* larger packets end the connection */
    int64_t receive_max;       /* MQTT 5 Receive Maximum that we announce; held for all versions */
    int64_t topic_alias_max;   /* per connection */
    int64_t topic_levels_max;
    int64_t keep_alive_max_s; /* announced as Server Keep Alive when the client's is larger or 0 */
    int64_t connect_timeout_ms;   /* from accept to a whole CONNECT */
    int64_t packet_timeout_ms;    /* from the first to the last byte of a packet */
    uint64_t held_bytes;          /* a connection reads on while so much waits for its ack */
    int64_t hold_max_ms;          /* after that a held connection is closed */
    int64_t session_expiry_max_s; /* longer wishes are cut to this */
    int64_t sessions_max;    /* kept without connection; beyond, the oldest is dropped, counted */
    int64_t connections_max; /* 0: what the limit on open files allows, less a reserve */
    int64_t unnamed_max;     /* of these before the login; 0: three quarters of them */
    int64_t address_connections_max, address_unnamed_max; /* of one address; 0: no limit */
    char *address_exempt;  /* networks that no limit by address holds for, commas between */
    int64_t login_threads; /* that hash passwords... */
    int64_t login_queue;   /* ...of so many who may wait for it */
    int64_t will_bytes_max;
    int64_t user_properties_max; /* per packet */
    int64_t write_queue_max;     /* bytes that a peer may leave unread before it is closed */
    int64_t poll_tick_ms;        /* adaptive wait when many sockets are ready; 0: never */
    bool receive_max_strict;     /* false: a client over its Receive Maximum is only counted */
    bool share_port;             /* other processes may listen there, too */
    bool insecure;               /* `listen` may be beyond loopback */
    char *proxy_from;            /* null, or networks with commas */
    struct tls_options tls;      /* a section of its own, tls_option_rows */
};
extern const struct option listener_option_rows[];

/* Values that are fine alone and wrong together: GW_EINVAL with a sentence. */
int listener_options_check(const struct listener_options *options, struct err *err);

/* All pointers outlive the listener. The sessions are read by listener_new. */
struct source *listener_new(const struct listener_options *options, struct rawlog *rawlog,
                            struct access *access, struct vendor_table *vendors, struct err *err);
/* The port bound, after start: for port 0 and for messages; 0: there is none. */
int listener_port(const struct source *source);
int listener_tls_port(const struct source *source);
/* Certificates anew, in two steps, so that a reload is all or nothing. Make reads and checks the files
 * (*out stays null without TLS); take puts it in place for connections from now on, and cannot fail.
 * Main thread. */
int listener_tls_make(struct source *source, const struct tls_options *options,
                      struct tls_context **out, struct err *err);
void listener_tls_take(struct source *source, struct tls_context *context);
/* Before close: MQTT 5 clients then hear "use another server" (0x9C) in place of "shutting down". */
void listener_leave(struct source *source);
/* How long the slowest of its loops has not been at its timers, which are due four times a second;
 * 0: none runs. Any thread. */
int64_t listener_silent_ms(const struct source *source);

/* When the files of the TLS port end (wall clock; INT64_MAX: no such file); false: there is no such
 * port. Any thread. */
struct listener_certificates {
    int64_t ends_ms[TLS_FILES];
};
bool listener_certificates(const struct source *source, struct listener_certificates *out);

/* Sums over loops, any thread: for status and metrics. */
struct listener_stats {
    uint64_t connections, accepted, refused, shed;
    uint64_t messages_received; /* PUBLISH taken over into chunks, wills included */
    uint64_t bytes_received, acks_sent;
    uint64_t held_connections; /* not served now, because something behind is full... */
    uint64_t held[HOLD_KINDS]; /* ...by what that is */
    uint64_t tail_bytes;       /* kept of them */
    uint64_t tls_connections;  /* of `connections`, with the handshake behind them */
    uint64_t sessions;
};
void listener_stats(const struct source *source, struct listener_stats *out);

#endif
