/* SPDX-License-Identifier: Apache-2.0
 *
 * A publishing MQTT client on a libuv loop: keeps a window of messages in flight, connects again
 * with backoff when the connection breaks, and then sends what was not acknowledged again, in order,
 * with DUP. All calls and callbacks on the loop's thread.
 */
#ifndef TIDEGATE_SIM_CLIENT_H
#define TIDEGATE_SIM_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/bytes.h"
#include "sim/client_tls.h"
#include "sim/wire.h"

struct client;

struct client_done {
    uint64_t tag;        /* as given to client_publish */
    int64_t since_ns;    /* as given to client_publish */
    uint8_t reason;      /* of the acknowledgement; 0x80 and above: refused */
    uint32_t attempts;   /* 1: sent once */
    struct bytes packet; /* the PUBLISH as sent; valid during the call */
};

/* Any may be null. */
struct client_events {
    /* CONNACK came: client_publish takes messages. */
    void (*on_up)(struct client *client);
    /* QoS 1: PUBACK; QoS 2: PUBCOMP, or a PUBREC that refuses. The room it leaves is there after the
     * call: publish from elsewhere, for example once a turn of the loop. */
    void (*on_done)(struct client *client, const struct client_done *done);
    /* The connection ended or could not be made; it is tried again by itself. */
    void (*on_down)(struct client *client, bool was_up, const char *why);
    /* After client_close: the memory may go. */
    void (*on_closed)(struct client *client);
};

struct client_options {
    struct sockaddr_storage address;
    int version;          /* 4 or 5 */
    bool clean;           /* a new session with each connection */
    const char *username; /* null: none */
    const char *password;
    SSL_CTX *tls;          /* null: without; borrowed, as is... */
    const char *host;      /* ...the name that its certificate must have */
    uint16_t keep_alive_s; /* 0: none */
    uint32_t window; /* messages in flight, 1..65535; the server's Receive Maximum also binds */
    int64_t silence_max_ms; /* with messages in flight and no answer for so long, connect again */
    int64_t backoff_max_ms;
};

struct flight {
    struct buffer packet;
    uint64_t tag;
    int64_t since_ns;
    uint32_t attempts;
    uint16_t id;
    bool released; /* PUBREC came: from here on PUBREL is sent, never the message */
    bool done;
};

enum client_state {
    CLIENT_IDLE,
    CLIENT_CONNECTING, /* TCP */
    CLIENT_GREETING,   /* CONNECT is sent */
    CLIENT_UP,
    CLIENT_FAILING, /* the socket closes; then backoff */
    CLIENT_BACKOFF,
    CLIENT_CLOSING,
    CLIENT_CLOSED,
};

struct client {
    void *owner; /* the caller's */
    const struct client_options *options;
    const struct client_events *events;
    char *id;
    enum client_state state;
    uv_loop_t *loop;
    uv_tcp_t tcp;
    uv_timer_t timer; /* backoff, or keep alive */
    uv_connect_t connect;
    uv_write_t write;
    bool tcp_open, timer_open, writing;
    struct client_tls *tls; /* null: without, or not connected */
    SSL_SESSION *session;   /* of the connection before */
    struct buffer plain, sealed;
    struct buffer out;      /* not given to the system yet */
    struct buffer pending;  /* given to libuv, `writing` */
    struct buffer in;       /* the tail of an unfinished packet */
    struct flight *flights; /* ring of `window`, oldest at `head` */
    uint32_t head, count, window;
    uint16_t last_id;
    int64_t backoff_ms;
    int64_t heard_ns;
    uint64_t connects; /* CONNACKs with success */
    uint64_t resent;
};

/* `options` and `events` outlive the client; `id` is copied. Nothing happens before client_start. */
void client_init(struct client *client, uv_loop_t *loop, const char *id,
                 const struct client_options *options, const struct client_events *events);
void client_start(struct client *client);
/* Messages that may be given now. */
uint32_t client_room(const struct client *client);
/* Queue one message; client_flush sends it. since_ns is where its latency begins. At QoS 0 there is
 * no on_done. GW_EFULL: not connected, or the window is full. */
int client_publish(struct client *client, int qos, struct bytes topic, struct bytes payload,
                   uint64_t tag, int64_t since_ns);
void client_flush(struct client *client);
/* Bytes that the server has not taken yet. */
size_t client_unsent(const struct client *client);
/* Every message in flight, oldest first: what has no answer at the end. */
void client_each_flight(const struct client *client,
                        void (*each)(void *arg, const struct flight *flight), void *arg);
/* DISCONNECT, then on_closed. */
void client_close(struct client *client);
void client_fini(struct client *client);

#endif
