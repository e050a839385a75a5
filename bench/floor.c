/* SPDX-License-Identifier: Apache-2.0
 *
 * The floor: the least that any MQTT server does. Receives the same bytes with epoll, answers each
 * PUBLISH with its PUBACK (or PUBREC, PUBCOMP), one write for each read, and does nothing else: no
 * storage, no checks, no session. The gateway's cost is told as a multiple of this one's, measured in
 * the same run. One thread.
 *
 *     bench_floor PORT
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/bytes.h"

enum { READ_SIZE = 256 * 1024, EVENTS_MAX = 512, CONNECTIONS_MAX = 1 << 16 };

struct connection {
    int version;
    struct buffer tail; /* of an unfinished packet */
};

static struct connection connections[CONNECTIONS_MAX]; /* by descriptor */
static uint8_t shared[READ_SIZE];
static struct buffer answers;

static void answer(uint8_t type, const uint8_t *id)
{
    const uint8_t packet[4] = {type, 2, id[0], id[1]};
    buffer_add(&answers, packet, sizeof packet);
}

static void take_connect(struct connection *connection, const uint8_t *body, size_t size)
{
    static const uint8_t old[] = {0x20, 2, 0, 0}, new[] = {0x20, 3, 0, 0, 0};
    connection->version = size > 6 ? body[6] : 4;
    if (connection->version == 5)
        buffer_add(&answers, new, sizeof new);
    else
        buffer_add(&answers, old, sizeof old);
}

static void take_packet(struct connection *connection, uint8_t head, const uint8_t *body,
                        size_t size)
{
    static const uint8_t pong[] = {0xd0, 0};
    size_t topic = size >= 2 ? (size_t)(body[0] << 8 | body[1]) : 0;
    switch (head >> 4) {
    case 1: take_connect(connection, body, size); break;
    case 3:
        if ((head & 6) && topic + 4 <= size)
            answer((head & 6) == 2 ? 0x40 : 0x50, body + 2 + topic);
        break;
    case 6: answer(0x70, body); break;
    case 12: buffer_add(&answers, pong, sizeof pong); break;
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

static void take_bytes(struct connection *connection, struct bytes in)
{
    size_t used = 0, size, head;
    if (connection->tail.size) {
        buffer_add_bytes(&connection->tail, in);
        in = buffer_bytes(&connection->tail);
    }
    while ((size = packet_size(bytes_of(in.data + used, in.size - used), &head)) > 0) {
        take_packet(connection, in.data[used], in.data + used + head, size - head);
        used += size;
    }
    if (connection->tail.size) {
        memmove(connection->tail.data, in.data + used, in.size - used);
        connection->tail.size = in.size - used;
    } else {
        buffer_add(&connection->tail, in.data + used, in.size - used);
    }
}

static void drop(int fd)
{
    buffer_fini(&connections[fd].tail);
    connections[fd] = (struct connection){0};
    close(fd);
}

static void serve(int fd)
{
    ssize_t size = read(fd, shared, sizeof shared);
    if (size <= 0) {
        if (size == 0 || (errno != EAGAIN && errno != EINTR))
            drop(fd);
        return;
    }
    buffer_clear(&answers);
    take_bytes(&connections[fd], bytes_of(shared, (size_t)size));
    for (size_t done = 0; done < answers.size;) {
        ssize_t sent = write(fd, answers.data + done, answers.size - done);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            drop(fd);
            return;
        }
        done += sent > 0 ? (size_t)sent : 0;
    }
}

static void take_connection(int listener, int poll)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), one = 1;
    if (fd < 0 || fd >= CONNECTIONS_MAX) {
        if (fd >= 0)
            close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    epoll_ctl(poll, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN, .data.fd = fd});
}

static int listen_on(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 4096) != 0) {
        perror("bench_floor");
        exit(1);
    }
    return fd;
}

int main(int argc, char **argv)
{
    int port = argc == 2 ? atoi(argv[1]) : 0;
    if (port <= 0 || port > 65535) {
        bool asked = argc == 2 && strcmp(argv[1], "--help") == 0;
        fprintf(asked ? stdout : stderr, "usage: bench_floor PORT\n"
                                         "Answers each PUBLISH with its PUBACK, on 127.0.0.1.\n");
        return asked ? 0 : 2;
    }
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    int listener = listen_on(port), poll = epoll_create1(EPOLL_CLOEXEC);
    epoll_ctl(poll, EPOLL_CTL_ADD, listener,
              &(struct epoll_event){.events = EPOLLIN, .data.fd = listener});
    for (;;) {
        struct epoll_event events[EVENTS_MAX];
        int count = epoll_wait(poll, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener)
                take_connection(listener, poll);
            else
                serve(events[i].data.fd);
        }
    }
}
