/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes in and out of one connection. What is read stands in the loop's one buffer and is parsed
 * there; a connection keeps only the piece of a packet that is not whole, so memory grows with bytes
 * received and an idle connection has none. Loop thread.
 */
#include <stdlib.h>

#include "sources/mqtt/conn.h"

enum {
    STARVED_READ_BYTES = 4096,       /* while the journal takes nothing in */
    HELD_TAILS_BYTES_MAX = 16 << 20, /* of all held connections of a loop */
};

/* ---- in ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    (void)suggested;
    struct conn *conn = container_of((uv_tcp_t *)handle, struct conn, tcp);
    struct loop *loop = conn->loop;
    if (conn_handshaking(conn)) {
        *out = uv_buf_init(NULL, 0); /* not now: on_read hears UV_ENOBUFS, and it gets its turn */
        return;
    }
    size_t size = loop->starved ? STARVED_READ_BYTES : loop->read_buffer_size;
    *out = uv_buf_init((char *)loop->read_buffer, (unsigned)size);
}

static int read_frame(const struct conn *conn, struct bytes in, struct packet_frame *frame)
{
    const struct packet_limits *limits = &conn->loop->shared->limits;
    uint8_t version = conn->state == CONN_NEW ? 0 : conn->version;
    return packet_frame_read(in, version, limits->packet_bytes_max, frame);
}

size_t conn_consume(struct conn *conn, struct bytes in)
{
    size_t used = 0;
    while (used < in.size && conn->state < CONN_CLOSING && !conn_blocked(conn)) {
        struct packet_frame frame;
        int reason = read_frame(conn, bytes_of(in.data + used, in.size - used), &frame);
        if (reason == PACKET_MORE)
            break;
        if (reason && conn->state == CONN_NEW && used == 0 && in.data[0] != PACKET_CONNECT << 4)
            conn_foreign(conn, in);
        else if (reason)
            conn_close(conn, close_reason_of(reason));
        if (reason)
            break;
        conn->heard_ms = conn->loop->now_ms;
        if (!conn_packet(conn, &frame))
            break;
        used += frame.size;
    }
    return used;
}

/* [MQTT-3.12.4-1], also while holding: answer the PINGREQs that stand in the tail and take them out,
 * so that they are not answered again. */
static void answer_pings(struct conn *conn)
{
    struct packet_frame frame;
    while (conn->state == CONN_OPEN && conn->scanned < conn->tail.size) {
        uint8_t *at = conn->tail.data + conn->scanned;
        size_t left = conn->tail.size - conn->scanned;
        if (read_frame(conn, bytes_of(at, left), &frame) != PACKET_OK)
            return;
        if (frame.type != PACKET_PINGREQ || frame.size != 2) {
            conn->scanned += frame.size;
            continue;
        }
        packet_pingresp_write(&conn->loop->reply);
        memmove(at, at + 2, left - 2);
        conn->tail.size -= 2;
    }
}

/* One vendor may keep as much as is still free for all others. */
static bool tail_is_enough(const struct conn *conn)
{
    uint64_t kept = stat_get(&conn->loop->stats.tail_bytes);
    uint64_t room = kept < HELD_TAILS_BYTES_MAX ? HELD_TAILS_BYTES_MAX - kept : 0;
    return conn->tail.size >= conn->loop->shared->options->held_bytes ||
           conn->grant->seat->tail_bytes >= room;
}

bool conn_may_read(const struct conn *conn)
{
    return conn->state < CONN_CLOSING &&
           (!conn_blocked(conn) || (conn->hold && !tail_is_enough(conn)));
}

void conn_keep_reading(struct conn *conn)
{
    struct loop *loop = conn->loop;
    if (!conn->hold) { /* waits for its CONNACK */
        conn_read_stop(conn);
        return;
    }
    answer_pings(conn);
    stat_add(&loop->stats.tail_bytes, conn->tail.size - conn->tail_counted);
    conn->grant->seat->tail_bytes += conn->tail.size - conn->tail_counted;
    conn->tail_counted = (uint32_t)conn->tail.size;
    if (tail_is_enough(conn))
        conn_read_stop(conn);
}

/* Keep what is left, and know since when a packet is unfinished. */
static void keep(struct conn *conn, struct bytes rest)
{
    if (conn->state >= CONN_CLOSING)
        return;
    buffer_add_bytes(&conn->tail, rest);
    if (conn_blocked(conn)) {
        conn_keep_reading(conn);
    } else if (conn->tail.size == 0 && !(conn->tls && tls_unfinished(conn->tls))) {
        conn->partial = false;
        buffer_fini(&conn->tail);
    } else if (!conn->partial) {
        conn->partial = true;
        conn->since_ms = conn->loop->now_ms;
    }
}

/* Feed the unfinished packet until it is whole and used, taking no more than it needs; what follows
 * is parsed in place. */
static void finish_tail(struct conn *conn, struct bytes *in)
{
    while (conn->tail.size && in->size && conn->state < CONN_CLOSING && !conn_blocked(conn)) {
        struct packet_frame frame;
        read_frame(conn, buffer_bytes(&conn->tail), &frame);
        size_t need = frame.size > conn->tail.size ? frame.size - conn->tail.size : 1;
        size_t size = need < in->size ? need : in->size;
        buffer_add(&conn->tail, in->data, size);
        *in = bytes_of(in->data + size, in->size - size);
        size_t used = conn_consume(conn, buffer_bytes(&conn->tail));
        if (used && conn->state < CONN_CLOSING) {
            gw_assert(used == conn->tail.size);
            buffer_clear(&conn->tail);
            conn->partial = false;
        }
    }
}

void conn_take_in(struct conn *conn, struct bytes in)
{
    if (!conn_blocked(conn)) {
        finish_tail(conn, &in);
        if (conn->tail.size == 0 && in.size && conn->state < CONN_CLOSING) {
            size_t used = conn_consume(conn, in);
            if (used)
                conn->partial = false;
            in = bytes_of(in.data + used, in.size - used);
        }
    }
    keep(conn, in);
    conn_flush(conn);
}

bool conn_consume_tail(struct conn *conn)
{
    size_t used = conn_consume(conn, buffer_bytes(&conn->tail));
    if (conn->state >= CONN_CLOSING)
        return true;
    conn->tail.size -= used;
    if (used)
        memmove(conn->tail.data, conn->tail.data + used, conn->tail.size);
    keep(conn, (struct bytes){0});
    return used > 0;
}

void conn_at_end(struct conn *conn, bool orderly)
{
    conn_read_stop(conn);
    if (conn->state >= CONN_CLOSING)
        conn_close_handle(conn);
    else if (orderly && conn_blocked(conn) && conn->tail.size)
        conn->at_end = true; /* whole packets may wait there, a DISCONNECT among them */
    else
        conn_close(conn, orderly ? CLOSE_PEER_CLOSED : CLOSE_PEER_RESET);
}

/* An end of TCP without TLS's own may be made by anybody on the way; but who says nothing more has
 * said all, unless it broke off in a packet. */
static void on_end(struct conn *conn, ssize_t status)
{
    bool cut = conn->tls && conn->partial;
    conn_at_end(conn, status == UV_EOF && !cut);
}

static void on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf)
{
    struct conn *conn = container_of((uv_tcp_t *)stream, struct conn, tcp);
    if (nread == UV_ENOBUFS) {
        loop_handshake_wait(conn->loop, conn->tls);
    } else if (nread < 0) {
        on_end(conn, nread);
    } else if (nread > 0 && conn->state < CONN_CLOSING) {
        if (conn->window != conn->loop->window) {
            conn->window = conn->loop->window;
            conn->loop->ready++;
        }
        stat_add(&conn->loop->stats.bytes_received, (uint64_t)nread);
        (conn->proxy_wanted ? conn_proxy_read
         : conn->tls        ? conn_secure_read
                            : conn_take_in)(conn, bytes_of(buf->base, (size_t)nread));
        /* libuv would read on as long as the buffer gets full; others have a turn first. */
        if ((size_t)nread == conn->loop->read_buffer_size && conn->reading)
            loop_rest(conn->loop, conn);
    }
}

void conn_read_start(struct conn *conn)
{
    if (conn->reading || !conn->handle_open || uv_is_closing((uv_handle_t *)&conn->tcp))
        return;
    conn->reading = uv_read_start((uv_stream_t *)&conn->tcp, on_alloc, on_read) == 0;
}

void conn_read_stop(struct conn *conn)
{
    if (conn->reading)
        uv_read_stop((uv_stream_t *)&conn->tcp);
    conn->reading = false;
}

/* ---- out ---- */

/* What the socket did not take at once. */
struct write_job {
    uv_write_t request;
    uint8_t data[];
};

static void on_written(uv_write_t *request, int status)
{
    (void)status; /* a broken socket is told by the read side, too */
    free(container_of(request, struct write_job, request));
}

static int queue(struct conn *conn, struct bytes out)
{
    struct write_job *job = mem_alloc(sizeof *job + out.size);
    memcpy(job->data, out.data, out.size);
    uv_buf_t buf = uv_buf_init((char *)job->data, (unsigned)out.size);
    int status = uv_write(&job->request, (uv_stream_t *)&conn->tcp, &buf, 1, on_written);
    if (status)
        free(job);
    return status;
}

int conn_push(struct conn *conn, struct bytes out)
{
    if (!conn->handle_open || uv_is_closing((uv_handle_t *)&conn->tcp))
        return 0;
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)out.data, (unsigned)out.size);
    int sent = uv_try_write((uv_stream_t *)&conn->tcp, &buf, 1);
    if (sent == UV_EAGAIN)
        sent = 0;
    if (sent < 0)
        return CLOSE_PEER_RESET;
    struct bytes rest = bytes_of(out.data + sent, out.size - (size_t)sent);
    size_t queued = uv_stream_get_write_queue_size((uv_stream_t *)&conn->tcp);
    if (rest.size == 0)
        return 0;
    if (queued + rest.size > (uint64_t)conn->loop->shared->options->write_queue_max)
        return CLOSE_WRITE_QUEUE;
    return queue(conn, rest) ? CLOSE_PEER_RESET : 0;
}

void conn_write(struct conn *conn, struct bytes out)
{
    int reason = conn->secure ? conn_secure_push(conn, out) : conn_push(conn, out);
    if (reason)
        conn_close(conn, (enum close_reason)reason);
}

void conn_flush(struct conn *conn)
{
    struct buffer *reply = &conn->loop->reply;
    if (reply->size == 0)
        return;
    /* Closing comes back here with a goodbye in the same buffer. */
    struct buffer out = *reply;
    *reply = (struct buffer){0};
    conn_write(conn, buffer_bytes(&out));
    buffer_fini(reply);
    *reply = out;
    buffer_clear(reply);
}

static void on_shutdown(uv_shutdown_t *request, int status)
{
    (void)status;
    free(request);
}

/* Closing a socket with unread bytes resets it, and the peer may never see what we said last. So end
 * our side, and read on until the peer ends its own or LINGER_MS are over. */
void conn_linger(struct conn *conn)
{
    uv_shutdown_t *request = mem_alloc(sizeof *request);
    if (!conn->handle_open || uv_shutdown(request, (uv_stream_t *)&conn->tcp, on_shutdown) != 0) {
        free(request);
        conn_close_handle(conn);
        return;
    }
    conn_read_start(conn);
}
