/* SPDX-License-Identifier: Apache-2.0
 *
 * The PROXY header of a connection from a listed balancer: who the peer really is, before TLS and
 * MQTT begin. Loop thread.
 */
#include "base/log.h"
#include "sources/mqtt/conn.h"

static const char *const reason_names[PROXY_REASONS] = {PROXY_REASON_NAMES};

static void refuse(struct conn *conn, enum proxy_reason reason)
{
    static struct log_limit limit = {.burst = 10};
    char peer[ADDRESS_TEXT_SIZE];
    int suppressed = 0;
    stat_add(&conn->loop->stats.proxy_refused[reason], 1);
    if (log_limit_pass(&limit, &suppressed))
        log_event(LOG_WARN, "proxy_refused", "reason=%s peer=%s suppressed=%d",
                  reason_names[reason], address_format(&conn->peer, peer), suppressed);
    conn_close(conn, CLOSE_PROXY);
}

static void go_on(struct conn *conn)
{
    struct buffer rest = conn->tail;
    if (conn->secure && rest.size) {
        loop_handshake_wait(conn->loop, conn->tls); /* its turn begins with what is in the tail */
    } else if (rest.size) {
        conn->tail = (struct buffer){0};
        conn_take_in(conn, buffer_bytes(&rest));
        buffer_fini(&rest);
    } else {
        buffer_fini(&conn->tail);
    }
}

void conn_proxy_read(struct conn *conn, struct bytes in)
{
    struct proxy_header header;
    buffer_add_bytes(&conn->tail, in);
    enum proxy_reason reason = proxy_read(buffer_bytes(&conn->tail), &header);
    if (reason == PROXY_MORE)
        return;
    if (reason != PROXY_OK) {
        refuse(conn, reason);
        return;
    }
    conn->proxy_wanted = false;
    conn_uncount(conn); /* until now it was the balancer's */
    if (header.kind == PROXY_CLIENT)
        conn->peer = header.peer;
    else if (header.kind == PROXY_UNKNOWN)
        conn->peer = (struct address){0};
    conn->tail.size -= header.size;
    memmove(conn->tail.data, conn->tail.data + header.size, conn->tail.size);
    if (conn_admit(conn))
        go_on(conn);
}
