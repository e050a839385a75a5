/* SPDX-License-Identifier: Apache-2.0
 *
 * What both floors share: the least that any MQTT server does. One thread.
 */
#include "bench/lib/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

enum { READ_SIZE = 256 * 1024, EVENTS_MAX = 512, CONNECTIONS_MAX = 1 << 16 };

struct connection {
    int version;
    uint32_t serial;
    bool waiting;          /* stands in `touched` */
    struct buffer tail;    /* of an unfinished packet */
    struct buffer answers; /* not sent yet */
};

static struct connection connections[CONNECTIONS_MAX]; /* by descriptor */
static uint16_t touched[CONNECTIONS_MAX];
static uint32_t touched_count, serials;
static uint8_t shared[READ_SIZE];

static void answer(struct connection *connection, uint8_t type, uint16_t id)
{
    const uint8_t packet[4] = {type, 2, (uint8_t)(id >> 8), (uint8_t)id};
    buffer_add(&connection->answers, packet, sizeof packet);
}

void listener_answer(struct listener *listener, struct listener_origin origin, int qos)
{
    (void)listener;
    struct connection *connection = &connections[origin.fd];
    if (connection->serial != origin.serial || qos == 0)
        return;
    answer(connection, qos == 1 ? 0x40 : 0x50, origin.id);
    if (!connection->waiting)
        touched[touched_count++] = origin.fd;
    connection->waiting = true;
}

/* ---- packets ---- */

static void take_connect(struct connection *connection, struct bytes body)
{
    static const uint8_t old[] = {0x20, 2, 0, 0}, new[] = {0x20, 3, 0, 0, 0};
    connection->version = body.size > 6 ? body.data[6] : 4;
    if (connection->version == 5)
        buffer_add(&connection->answers, new, sizeof new);
    else
        buffer_add(&connection->answers, old, sizeof old);
}

static void take_publish(struct listener *listener, int fd, uint8_t head, struct bytes body)
{
    const struct connection *connection = &connections[fd];
    struct reader reader = reader_of(body);
    struct listener_publish publish = {
        .qos = head >> 1 & 3, .origin = {.fd = (uint16_t)fd, .serial = connection->serial}};
    publish.topic = reader_bytes(&reader, reader_u16_be(&reader));
    publish.origin.id = publish.qos ? reader_u16_be(&reader) : 0;
    if (connection->version == 5)
        reader_varbytes(&reader);
    publish.payload = reader_bytes(&reader, reader_left(&reader));
    if (!reader.failed)
        listener->on_publish(listener, &publish);
}

static void take_packet(struct listener *listener, int fd, uint8_t head, struct bytes body)
{
    static const uint8_t pong[] = {0xd0, 0};
    struct connection *connection = &connections[fd];
    switch (head >> 4) {
    case 1: take_connect(connection, body); break;
    case 3: take_publish(listener, fd, head, body); break;
    case 6:
        if (body.size >= 2)
            answer(connection, 0x70, (uint16_t)(body.data[0] << 8 | body.data[1]));
        break;
    case 12: buffer_add(&connection->answers, pong, sizeof pong); break;
    default: break;
    }
}

/* The length of the packet at `in`, its header included in *head_size; 0: not whole. */
static size_t packet_size(struct bytes in, size_t *head_size)
{
    size_t size = 0;
    for (size_t i = 1; i < 5 && i < in.size; i++) {
        size |= (size_t)(in.data[i] & 0x7f) << (7 * (i - 1));
        if (!(in.data[i] & 0x80)) {
            *head_size = i + 1;
            return in.size - *head_size >= size ? *head_size + size : 0;
        }
    }
    return 0;
}

static void take_bytes(struct listener *listener, int fd, struct bytes in)
{
    struct connection *connection = &connections[fd];
    size_t used = 0, size, head;
    if (connection->tail.size) {
        buffer_add_bytes(&connection->tail, in);
        in = buffer_bytes(&connection->tail);
    }
    while ((size = packet_size(bytes_of(in.data + used, in.size - used), &head)) > 0) {
        take_packet(listener, fd, in.data[used], bytes_of(in.data + used + head, size - head));
        used += size;
    }
    if (connection->tail.size) {
        memmove(connection->tail.data, in.data + used, in.size - used);
        connection->tail.size = in.size - used;
    } else {
        buffer_add(&connection->tail, in.data + used, in.size - used);
    }
}

/* ---- sockets ---- */

static void drop(int fd)
{
    struct connection *connection = &connections[fd];
    buffer_fini(&connection->tail);
    buffer_fini(&connection->answers);
    *connection = (struct connection){.waiting = connection->waiting};
    close(fd);
}

static void flush(int fd)
{
    struct buffer *answers = &connections[fd].answers;
    for (size_t done = 0; done < answers->size;) {
        ssize_t sent = write(fd, answers->data + done, answers->size - done);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            drop(fd);
            return;
        }
        done += sent > 0 ? (size_t)sent : 0;
    }
    buffer_clear(answers);
}

void listener_flush(struct listener *listener)
{
    (void)listener;
    for (uint32_t i = 0; i < touched_count; i++) {
        connections[touched[i]].waiting = false;
        if (connections[touched[i]].serial)
            flush(touched[i]);
    }
    touched_count = 0;
}

static void serve(struct listener *listener, int fd)
{
    ssize_t size = read(fd, shared, sizeof shared);
    if (size <= 0) {
        if (size == 0 || (errno != EAGAIN && errno != EINTR))
            drop(fd);
        return;
    }
    take_bytes(listener, fd, bytes_of(shared, (size_t)size));
    flush(fd);
    listener_flush(listener);
}

static void take_connection(struct listener *listener)
{
    int fd = accept4(listener->socket, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), one = 1;
    if (fd < 0 || fd >= CONNECTIONS_MAX) {
        if (fd >= 0)
            close(fd);
        return;
    }
    connections[fd].serial = ++serials;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    epoll_ctl(listener->poll, EPOLL_CTL_ADD, fd,
              &(struct epoll_event){.events = EPOLLIN, .data.fd = fd});
}

static int listen_on(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 4096) == 0)
        return fd;
    close(fd);
    return -1;
}

static void raise_file_limit(void)
{
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

static void wait_for(struct listener *listener, int fd)
{
    epoll_ctl(listener->poll, EPOLL_CTL_ADD, fd,
              &(struct epoll_event){.events = EPOLLIN, .data.fd = fd});
}

void listener_run(struct listener *listener, int port)
{
    raise_file_limit();
    listener->socket = listen_on(port);
    if (listener->socket < 0)
        return;
    listener->poll = epoll_create1(EPOLL_CLOEXEC);
    wait_for(listener, listener->socket);
    if (listener->other >= 0)
        wait_for(listener, listener->other);
    for (;;) {
        struct epoll_event events[EVENTS_MAX];
        int count = epoll_wait(listener->poll, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener->socket)
                take_connection(listener);
            else if (events[i].data.fd == listener->other)
                listener->on_ready(listener);
            else
                serve(listener, events[i].data.fd);
        }
    }
}
