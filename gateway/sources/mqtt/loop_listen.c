/* SPDX-License-Identifier: Apache-2.0
 *
 * The listening sockets of a loop: made on the main thread, accepted from on the loop's.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "sources/mqtt/conn.h"
#include "sources/mqtt/listener_internal.h"

enum {
    BACKLOG = 4096,
    ACCEPTS_A_ROUND = 64,
};

/* ---- accepting ---- */

/* libuv accepts until nobody waits, which after an outage is a whole fleet; one that is not taken over
 * stops it, and then the others have their turn. */
static void take_connection(struct loop *loop, uv_stream_t *server, bool *waits)
{
    *waits = ++loop->accepted > ACCEPTS_A_ROUND;
    if (!*waits)
        conn_accept(loop, server);
}

static void on_connection(uv_stream_t *server, int status)
{
    struct loop *loop = container_of((uv_tcp_t *)server, struct loop, listen);
    if (status == 0)
        take_connection(loop, server, &loop->accept_waits);
}

static void on_connection_tls(uv_stream_t *server, int status)
{
    struct loop *loop = container_of((uv_tcp_t *)server, struct loop, listen_tls);
    if (status == 0)
        take_connection(loop, server, &loop->accept_tls_waits);
}

void loop_accept_on(struct loop *loop)
{
    loop->accepted = 0;
    if (loop->accept_waits && !loop->closing)
        conn_accept(loop, (uv_stream_t *)&loop->listen);
    if (loop->accept_tls_waits && !loop->closing)
        conn_accept(loop, (uv_stream_t *)&loop->listen_tls);
    loop->accept_waits = loop->accept_tls_waits = false;
}

/* ---- listening ---- */

/* With SO_REUSEPORT another gateway of the same user would get half of the connections and nobody
 * would be told. A socket without it is refused where anybody listens. */
static int port_free(const struct sockaddr *address, socklen_t size)
{
    int on = 1;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return uv_translate_sys_error(errno);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); /* TIME_WAIT is no reason */
    int status = bind(fd, address, size) == 0 ? 0 : uv_translate_sys_error(errno);
    close(fd);
    return status;
}

static int bind_and_listen(struct loop *loop, bool tls, const struct addrinfo *to, int *port)
{
    uv_tcp_t *listen = tls ? &loop->listen_tls : &loop->listen;
    /* libuv 1.44 has no flag for SO_REUSEPORT: make the socket, set it, bind. */
    int fd, on = 1;
    int status = uv_tcp_init_ex(&loop->uv, listen, (unsigned)to->ai_family);
    gw_assert(status == 0);
    *(tls ? &loop->listens_tls : &loop->listens) = true;
    status = uv_fileno((uv_handle_t *)listen, &fd);
    if (status == 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0)
        status = UV_EINVAL;
    struct sockaddr_storage address = {0};
    memcpy(&address, to->ai_addr, to->ai_addrlen);
    ((struct sockaddr_in *)&address)->sin_port = htons((uint16_t)*port); /* same place in both */
    if (status == 0 && loop->index == 0 && !loop->shared->options->share_port)
        status = port_free((struct sockaddr *)&address, to->ai_addrlen);
    if (status == 0)
        status = uv_tcp_bind(listen, (struct sockaddr *)&address, 0);
    if (status == 0)
        status = uv_listen((uv_stream_t *)listen, BACKLOG, tls ? on_connection_tls : on_connection);
    int size = sizeof address;
    if (status == 0)
        status = uv_tcp_getsockname(listen, (struct sockaddr *)&address, &size);
    if (status == 0)
        *port = ntohs(((struct sockaddr_in *)&address)->sin_port);
    return status;
}

static int refused(bool tls, const char *address, const char *why, struct err *err)
{
    return err_set(err, GW_EIO,
                   "mqtt: listen on %s: %s; is another program using the port? choose another "
                   "with %s",
                   address, why, tls ? "tls.listen" : "mqtt.listen or --listen");
}

int loop_listen(struct loop *loop, bool tls, const char *address, int *port, struct err *err)
{
    const struct listener_options *options = loop->shared->options;
    struct addrinfo *found = NULL;
    int status = listener_resolve(address, false, &found);
    if (status)
        return err_set(err, GW_EINVAL, "mqtt: listen on %s: %s", address, gai_strerror(status));
    int rc = tls ? 0 : listener_plain_check(options, found->ai_addr, err);
    if (rc == 0 && *port == 0)
        *port = atoi(strrchr(address, ':') + 1);
    if (rc == 0 && (status = bind_and_listen(loop, tls, found, port)) != 0)
        rc = refused(tls, address, uv_strerror(status), err);
    struct address at = address_of(found->ai_addr);
    freeaddrinfo(found);
    if (rc == 0 && !tls && loop->index == 0 && !address_is_loopback(&at))
        log_event(LOG_WARN, "mqtt_insecure",
                  "address=%s why=\"without TLS: what goes there can be read and changed on the "
                  "way\"",
                  address);
    return rc;
}
