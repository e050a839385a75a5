/* SPDX-License-Identifier: Apache-2.0
 *
 * TLS under a connection: its turn in the handshake, bytes in and out, the end. What is decrypted
 * stands in one buffer of the loop and goes on from there as if it had been read so. Loop thread.
 */
#include <errno.h>
#include <sys/socket.h>

#include "base/log.h"
#include "sources/mqtt/conn.h"

enum { HANDSHAKE_READ_BYTES = 32 * 1024 };

static struct log_limit refused_limits[] = {[0 ... TLS_REASONS - 1] = {.burst = 5}};

void conn_secure_begin(struct conn *conn)
{
    struct loop *loop = conn->loop;
    conn->tls = tls_new(loop_tls(loop), &loop->tls_io);
    conn->tls->conn = conn;
}

bool conn_handshaking(const struct conn *conn)
{
    return conn->tls && conn->tls->state == TLS_HANDSHAKE && !conn->proxy_wanted;
}

/* ---- refusing ---- */

void conn_secure_refused(struct conn *conn, enum tls_reason reason)
{
    char peer[ADDRESS_TEXT_SIZE];
    int suppressed = 0;
    stat_add(&conn->loop->stats.tls_refused[reason], 1);
    if (log_limit_pass(&refused_limits[reason], &suppressed))
        log_event(LOG_WARN, "mqtt_tls_refused", "reason=%s peer=%s suppressed=%d",
                  tls_reason_names[reason], address_format(&conn->peer, peer), suppressed);
}

static void refuse(struct conn *conn, struct bytes in)
{
    enum tls_reason reason = (enum tls_reason)conn->tls->reason;
    if (reason == TLS_NOT_TLS) {
        stat_add(&conn->loop->stats.tls_refused[reason], 1);
        conn_foreign(conn, in);
        return;
    }
    conn_secure_refused(conn, reason);
    conn_close(conn, CLOSE_TLS);
}

/* ---- bytes ---- */

/* What TLS put out: 0, or why the connection must end. */
static int send_out(struct conn *conn)
{
    struct buffer *out = &conn->tls->io->out;
    int reason = out->size ? conn_push(conn, buffer_bytes(out)) : 0;
    buffer_clear(out);
    return reason;
}

int conn_secure_push(struct conn *conn, struct bytes out)
{
    if (conn->tls == NULL)
        return 0; /* ended: never in the clear */
    bool fine = tls_write(conn->tls, out);
    int reason = send_out(conn);
    return reason ? reason : fine ? 0 : CLOSE_TLS;
}

static void opened(struct conn *conn)
{
    struct stats *stats = &conn->loop->stats;
    stat_add(&stats->tls_connections, 1);
    loop_handshake_done(conn->loop, conn->tls);
    stat_add(&stats->tls_handshakes[tls_resumed(conn->tls)], 1);
}

void conn_secure_read(struct conn *conn, struct bytes in)
{
    struct loop *loop = conn->loop;
    struct tls *tls = conn->tls;
    size_t size = 0;
    tls->io->in = in;
    if (tls->state == TLS_HANDSHAKE && tls_handshake(tls) == TLS_OPEN)
        opened(conn);
    bool open = tls->state == TLS_OPEN;
    if (open)
        size = tls_read(tls, loop->plain, loop->plain_size);
    int reason = send_out(conn);
    if (reason) {
        conn_close(conn, (enum close_reason)reason);
        return;
    }
    if (open)
        conn_take_in(conn, bytes_of(loop->plain, size));
    if (conn->tls == NULL) /* what it said ended it */
        return;
    if (tls->state == TLS_FAILED)
        refuse(conn, in);
    else if (tls->state == TLS_ENDED)
        conn_at_end(conn, true);
}

/* ---- its turn ---- */

void conn_handshake_turn(struct conn *conn)
{
    struct loop *loop = conn->loop;
    int fd = -1;
    if (conn->tail.size) { /* came with the balancer's header */
        struct buffer rest = conn->tail;
        conn->tail = (struct buffer){0};
        conn_secure_read(conn, buffer_bytes(&rest));
        buffer_fini(&rest);
        if (conn_may_read(conn) && !loop->paused && !loop->closing)
            conn_read_start(conn);
        return;
    }
    if (uv_fileno((uv_handle_t *)&conn->tcp, &fd) != 0)
        return;
    ssize_t size = recv(fd, loop->read_buffer, HANDSHAKE_READ_BYTES, MSG_DONTWAIT);
    if (size > 0) {
        stat_add(&loop->stats.bytes_received, (uint64_t)size);
        conn_secure_read(conn, bytes_of(loop->read_buffer, (size_t)size));
    } else if (size == 0 || (errno != EAGAIN && errno != EINTR)) {
        conn_secure_refused(conn, TLS_PEER_CLOSED);
        conn_close(conn, size == 0 ? CLOSE_PEER_CLOSED : CLOSE_PEER_RESET);
    }
    if (conn_may_read(conn) && !loop->paused && !loop->closing)
        conn_read_start(conn);
}

/* ---- the end ---- */

void conn_secure_end(struct conn *conn)
{
    struct tls *tls = conn->tls;
    if (tls == NULL)
        return;
    loop_handshake_forget(conn->loop, tls);
    loop_handshake_done(conn->loop, tls);
    if (tls->state != TLS_FAILED)
        tls_end(tls);
    send_out(conn); /* an alert, too */
    if (tls->open)
        stat_sub(&conn->loop->stats.tls_connections, 1);
    conn->tls = NULL;
    tls_free(tls);
}
