/* SPDX-License-Identifier: Apache-2.0
 *
 * Life of a client: connect -> greet -> up -> (fail -> backoff -> connect ...) -> close. Messages in
 * flight outlive connections; that is the whole point of QoS 1. What can fail: anything on the
 * socket, always through client_fail, which closes it and begins again. Separate from the
 * simulator, because the load generator drives the same client. One loop's thread.
 */
#include "sim/client.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"

enum { OUT_MAX = 1 << 20, BACKOFF_FIRST_MS = 50, SHARED_READ_SIZE = 65536 };

static void client_connect(struct client *client);
static void on_tcp_closed(uv_handle_t *handle);
static void on_timer(uv_timer_t *timer);

void client_init(struct client *client, uv_loop_t *loop, const char *id,
                 const struct client_options *options, const struct client_events *events)
{
    *client = (struct client){.options = options, .events = events, .loop = loop};
    client->id = mem_strdup(id);
    client->window = options->window;
    client->flights = mem_zalloc(options->window * sizeof *client->flights);
    client->backoff_ms = BACKOFF_FIRST_MS;
}

void client_start(struct client *client)
{
    uv_timer_init(client->loop, &client->timer);
    client->timer.data = client;
    client->timer_open = true;
    client_connect(client);
}

/* ---- failure ---- */

static void client_fail(struct client *client, const char *why)
{
    if (client->state >= CLIENT_FAILING)
        return;
    bool was_up = client->state == CLIENT_UP;
    client->state = CLIENT_FAILING;
    uv_timer_stop(&client->timer);
    buffer_clear(&client->out);
    buffer_clear(&client->in);
    if (client->events->on_down)
        client->events->on_down(client, was_up, why);
    if (client->state == CLIENT_FAILING) /* on_down may have closed the client */
        uv_close((uv_handle_t *)&client->tcp, on_tcp_closed);
}

static void client_backoff(struct client *client)
{
    client->state = CLIENT_BACKOFF;
    /* Jitter from the address of the object: enough to spread many clients. */
    uint64_t jitter = ((uintptr_t)client >> 6) % 16;
    uint64_t wait_ms = (uint64_t)client->backoff_ms * (16 + jitter) / 16;
    uv_timer_start(&client->timer, on_timer, wait_ms, 0);
    client->backoff_ms *= 2;
    if (client->backoff_ms > client->options->backoff_max_ms)
        client->backoff_ms = client->options->backoff_max_ms;
}

static void closed_when_done(struct client *client)
{
    if (client->tcp_open || client->timer_open)
        return;
    client->state = CLIENT_CLOSED;
    if (client->events->on_closed)
        client->events->on_closed(client);
}

/* What is left of a session is for the next connection. */
static void tls_end(struct client *client)
{
    if (client->tls == NULL)
        return;
    SSL_SESSION_free(client->session);
    client->session = client_tls_session(client->tls);
    client_tls_free(client->tls);
    client->tls = NULL;
    buffer_clear(&client->sealed);
}

static void on_tcp_closed(uv_handle_t *handle)
{
    struct client *client = handle->data;
    client->tcp_open = false;
    tls_end(client);
    if (client->state == CLIENT_CLOSING)
        closed_when_done(client);
    else
        client_backoff(client);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct client *client = handle->data;
    client->timer_open = false;
    closed_when_done(client);
}

/* ---- writing ---- */

static void on_written(uv_write_t *write, int status)
{
    struct client *client = container_of(write, struct client, write);
    client->writing = false;
    buffer_clear(&client->pending);
    if (client->state == CLIENT_CLOSING || client->state == CLIENT_FAILING)
        return;
    if (status < 0)
        client_fail(client, uv_strerror(status));
    else
        client_flush(client);
}

static void send_out(struct client *client, struct buffer *out)
{
    if (out->size == 0)
        return;
    uv_buf_t bytes = uv_buf_init((char *)out->data, (unsigned)out->size);
    int sent = uv_try_write((uv_stream_t *)&client->tcp, &bytes, 1);
    if (sent < 0 && sent != UV_EAGAIN) {
        client_fail(client, uv_strerror(sent));
        return;
    }
    size_t rest = out->size - (size_t)(sent > 0 ? sent : 0);
    if (rest > 0) {
        buffer_add(&client->pending, out->data + out->size - rest, rest);
        bytes = uv_buf_init((char *)client->pending.data, (unsigned)client->pending.size);
        client->writing = true;
        uv_write(&client->write, (uv_stream_t *)&client->tcp, &bytes, 1, on_written);
    }
    buffer_clear(out);
}

void client_flush(struct client *client)
{
    if (client->writing || client->state < CLIENT_GREETING || client->state > CLIENT_UP)
        return;
    if (client->tls == NULL) {
        send_out(client, &client->out);
        return;
    }
    const char *wrong = client_tls_seal(client->tls, &client->out, &client->sealed);
    send_out(client, &client->sealed);
    if (wrong)
        client_fail(client, wrong);
}

size_t client_unsent(const struct client *client)
{
    return client->out.size + client->pending.size;
}

/* ---- messages in flight ---- */

static struct flight *flight_at(const struct client *client, uint32_t index)
{
    return &client->flights[(client->head + index) % client->options->window];
}

static struct flight *flight_find(const struct client *client, uint16_t id)
{
    for (uint32_t i = 0; i < client->count; i++) {
        struct flight *flight = flight_at(client, i);
        if (flight->id == id && !flight->done)
            return flight;
    }
    return NULL;
}

uint32_t client_room(const struct client *client)
{
    if (client->state != CLIENT_UP || client->out.size + client->pending.size > OUT_MAX)
        return 0;
    return client->count < client->window ? client->window - client->count : 0;
}

int client_publish(struct client *client, int qos, struct bytes topic, struct bytes payload,
                   uint64_t tag, int64_t since_ns)
{
    if (client_room(client) == 0)
        return GW_EFULL;
    struct wire_publish publish = {client->options->version, qos, 0, false, topic, payload};
    if (qos == 0) {
        wire_publish(&client->out, &publish);
        return 0;
    }
    /* Ids follow each other; the ring is shorter than their range, so none is used twice. */
    client->last_id = client->last_id == 65535 ? 1 : (uint16_t)(client->last_id + 1);
    publish.id = client->last_id;
    struct flight *flight = flight_at(client, client->count++);
    struct buffer packet = flight->packet;
    buffer_clear(&packet);
    wire_publish(&packet, &publish);
    *flight = (struct flight){packet, tag, since_ns, 1, publish.id, false, false};
    buffer_add(&client->out, packet.data, packet.size);
    return 0;
}

/* After a CONNACK: everything unanswered again, in the order it was sent [MQTT-4.4.0-1, 4.6.0-1]. */
static void flights_resend(struct client *client)
{
    for (uint32_t i = 0; i < client->count; i++) {
        struct flight *flight = flight_at(client, i);
        if (flight->done)
            continue;
        if (flight->released) {
            wire_pubrel(&client->out, flight->id);
            continue;
        }
        wire_set_dup(&flight->packet);
        flight->attempts++;
        client->resent++;
        buffer_add(&client->out, flight->packet.data, flight->packet.size);
    }
}

static void flight_done(struct client *client, struct flight *flight, uint8_t reason)
{
    struct client_done done = {flight->tag, flight->since_ns, reason, flight->attempts,
                               buffer_bytes(&flight->packet)};
    flight->done = true;
    if (client->events->on_done)
        client->events->on_done(client, &done);
    while (client->count > 0 && flight_at(client, 0)->done) {
        client->head = (client->head + 1) % client->options->window;
        client->count--;
    }
}

void client_each_flight(const struct client *client,
                        void (*each)(void *arg, const struct flight *flight), void *arg)
{
    for (uint32_t i = 0; i < client->count; i++)
        if (!flight_at(client, i)->done)
            each(arg, flight_at(client, i));
}

/* ---- reading ---- */

static void take_connack(struct client *client, const struct wire_packet *packet)
{
    char why[64];
    if (packet->reason != 0) {
        snprintf(why, sizeof why, "the server refused the connection with code %u", packet->reason);
        client_fail(client, why);
        return;
    }
    client->state = CLIENT_UP;
    client->connects++;
    client->backoff_ms = BACKOFF_FIRST_MS;
    client->window = client->options->window;
    if (packet->receive_max < client->window)
        client->window = packet->receive_max;
    uint64_t every_ms = client->options->keep_alive_s * 500ULL;
    if (every_ms)
        uv_timer_start(&client->timer, on_timer, every_ms, every_ms);
    flights_resend(client);
    if (client->events->on_up)
        client->events->on_up(client);
    client_flush(client);
}

static void take_ack(struct client *client, const struct wire_packet *packet)
{
    struct flight *flight = flight_find(client, packet->id);
    if (packet->type == WIRE_PUBREC && packet->reason < 0x80) {
        /* PUBREL also for an id that is not ours any more: the server may wait for it. */
        if (flight)
            flight->released = true;
        wire_pubrel(&client->out, packet->id);
    } else if (flight) {
        flight_done(client, flight, packet->type == WIRE_PUBCOMP ? 0 : packet->reason);
    }
}

static void take_packet(struct client *client, const struct wire_packet *packet)
{
    char why[64];
    bool greeting = client->state == CLIENT_GREETING;
    switch (packet->type) {
    case WIRE_CONNACK:
        if (greeting)
            take_connack(client, packet);
        else
            client_fail(client, "a second CONNACK");
        break;
    case WIRE_PUBACK:
    case WIRE_PUBREC:
    case WIRE_PUBCOMP: take_ack(client, packet); break;
    case WIRE_DISCONNECT:
        snprintf(why, sizeof why, "the server said DISCONNECT with reason 0x%02x", packet->reason);
        client_fail(client, why);
        break;
    default: break;
    }
}

/* Takes whole packets out of `in`; returns the bytes used. */
static size_t take_packets(struct client *client, struct bytes in)
{
    size_t used = 0;
    while (client->state == CLIENT_GREETING || client->state == CLIENT_UP) {
        struct wire_packet packet;
        long size =
            wire_parse(bytes_of(in.data + used, in.size - used), client->options->version, &packet);
        if (size < 0)
            client_fail(client, "the server sent what MQTT does not allow");
        if (size <= 0)
            break;
        used += (size_t)size;
        take_packet(client, &packet);
    }
    return used;
}

static void take_bytes(struct client *client, struct bytes in)
{
    client->heard_ns = clock_monotonic_ns();
    if (client->in.size > 0) {
        buffer_add_bytes(&client->in, in);
        in = buffer_bytes(&client->in);
    }
    size_t used = take_packets(client, in);
    if (client->state != CLIENT_GREETING && client->state != CLIENT_UP)
        return;
    struct bytes rest = {in.data + used, in.size - used};
    if (client->in.size > 0) {
        memmove(client->in.data, rest.data, rest.size);
        client->in.size = rest.size;
    } else if (rest.size > 0) {
        buffer_add_bytes(&client->in, rest);
    }
    client_flush(client);
}

/* One buffer for all clients of a thread: libuv reads and calls back before it asks again. */
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    static _Thread_local char shared[SHARED_READ_SIZE];
    (void)handle, (void)suggested;
    *out = uv_buf_init(shared, sizeof shared);
}

static void take_sealed(struct client *client, struct bytes in)
{
    buffer_clear(&client->plain);
    const char *wrong = client_tls_open(client->tls, in, &client->plain);
    if (client->plain.size)
        take_bytes(client, buffer_bytes(&client->plain));
    else
        client_flush(client);
    if (wrong)
        client_fail(client, wrong);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *bytes)
{
    struct client *client = stream->data;
    if (size > 0 && client->tls)
        take_sealed(client, bytes_of(bytes->base, (size_t)size));
    else if (size > 0)
        take_bytes(client, bytes_of(bytes->base, (size_t)size));
    else if (size < 0)
        client_fail(client, size == UV_EOF ? "the server closed" : uv_strerror((int)size));
}

/* ---- connecting ---- */

static void on_connected(uv_connect_t *connect, int status)
{
    struct client *client = container_of(connect, struct client, connect);
    if (client->state != CLIENT_CONNECTING)
        return; /* closed meanwhile */
    if (status < 0) {
        client_fail(client, uv_strerror(status));
        return;
    }
    const struct client_options *options = client->options;
    client->state = CLIENT_GREETING;
    client->heard_ns = clock_monotonic_ns();
    uv_tcp_nodelay(&client->tcp, 1);
    if (options->tls)
        client->tls = client_tls_new(options->tls, options->host, client->session);
    wire_connect(&client->out, &(struct wire_connect){options->version, options->clean, client->id,
                                                      options->username, options->password,
                                                      options->keep_alive_s});
    uv_timer_start(&client->timer, on_timer, (uint64_t)options->silence_max_ms, 0);
    uv_read_start((uv_stream_t *)&client->tcp, on_alloc, on_read);
    client_flush(client);
}

static void client_connect(struct client *client)
{
    client->state = CLIENT_CONNECTING;
    uv_tcp_init(client->loop, &client->tcp);
    client->tcp.data = client;
    client->tcp_open = true;
    int code = uv_tcp_connect(&client->connect, &client->tcp,
                              (const struct sockaddr *)&client->options->address, on_connected);
    if (code < 0)
        client_fail(client, uv_strerror(code));
}

static void on_timer(uv_timer_t *timer)
{
    struct client *client = timer->data;
    int64_t silent_ms = (clock_monotonic_ns() - client->heard_ns) / 1000000;
    if (client->state == CLIENT_BACKOFF) {
        client_connect(client);
    } else if (client->state == CLIENT_GREETING) {
        client_fail(client, "no CONNACK in time");
    } else if (client->state == CLIENT_UP) {
        if (client->count > 0 && silent_ms > client->options->silence_max_ms) {
            client_fail(client, "no answer in time");
            return;
        }
        wire_pingreq(&client->out);
        client_flush(client);
    }
}

/* ---- end ---- */

void client_close(struct client *client)
{
    if (client->state >= CLIENT_CLOSING)
        return;
    if (client->state == CLIENT_UP) {
        wire_disconnect(&client->out);
        client_flush(client);
    }
    bool socket_closes = client->state == CLIENT_FAILING;
    client->state = CLIENT_CLOSING;
    if (client->tcp_open && !socket_closes)
        uv_close((uv_handle_t *)&client->tcp, on_tcp_closed);
    if (client->timer_open)
        uv_close((uv_handle_t *)&client->timer, on_timer_closed);
}

void client_fini(struct client *client)
{
    for (uint32_t i = 0; client->flights && i < client->options->window; i++)
        buffer_fini(&client->flights[i].packet);
    free(client->flights);
    free(client->id);
    buffer_fini(&client->out);
    buffer_fini(&client->pending);
    buffer_fini(&client->in);
    client_tls_free(client->tls);
    SSL_SESSION_free(client->session);
    buffer_fini(&client->plain);
    buffer_fini(&client->sealed);
}
