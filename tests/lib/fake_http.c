/* SPDX-License-Identifier: Apache-2.0
 *
 * Blocking sockets and threads: what is strange here is the answers, not the server.
 */
#include "lib/fake_http.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

/* Until the client has gone, however slow: closing with bytes unread may take the answer from it. */
enum { EARLY_STAYS_MS = 60000 };

struct connection {
    struct fake_http *fake;
    int fd;
    uint32_t number;
    struct buffer in;
};

/* True when there is something to read; false when the server stops. */
static bool wait_readable(const struct connection *connection)
{
    struct pollfd poll_fd = {.fd = connection->fd, .events = POLLIN};
    while (!connection->fake->stopping)
        if (poll(&poll_fd, 1, 20) > 0)
            return true;
    return false;
}

static bool read_more(struct connection *connection)
{
    if (!wait_readable(connection))
        return false;
    uint8_t *room = buffer_reserve(&connection->in, 65536);
    ssize_t got = recv(connection->fd, room, 65536, 0);
    if (got <= 0)
        return false;
    connection->in.size += (size_t)got;
    return true;
}

static size_t content_length(struct bytes head)
{
    static const char name[] = "content-length:";
    for (size_t i = 0; i + sizeof name < head.size; i++)
        if (strncasecmp((const char *)head.data + i, name, sizeof name - 1) == 0)
            return (size_t)atol((const char *)head.data + i + sizeof name - 1);
    return 0;
}

static int hex(char c)
{
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

static char *decoded_target(struct bytes head)
{
    const char *at = memchr(head.data, ' ', head.size), *end = (const char *)head.data + head.size;
    char *out = mem_alloc(head.size + 1), *put = out;
    for (at++; at < end && *at != ' '; at++) {
        if (*at == '%' && at + 2 < end) {
            *put++ = (char)(hex(at[1]) << 4 | hex(at[2]));
            at += 2;
        } else {
            *put++ = *at;
        }
    }
    *put = '\0';
    return out;
}

static void reset(int fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

static bool send_all(struct connection *connection, const void *data, size_t size)
{
    for (size_t sent = 0; sent < size;) {
        ssize_t done = send(connection->fd, (const char *)data + sent, size - sent, MSG_NOSIGNAL);
        if (done <= 0 || connection->fake->stopping)
            return false;
        sent += (size_t)done;
    }
    return true;
}

static bool nap(const struct connection *connection, uint32_t ms)
{
    for (; ms && !connection->fake->stopping; ms--)
        usleep(1000);
    return !connection->fake->stopping;
}

static bool send_reply(struct connection *connection, const struct fake_reply *reply)
{
    bool alive = nap(connection, reply->delay_ms);
    if (reply->drip_ms == 0)
        alive = alive && send_all(connection, reply->text.data, reply->text.size);
    else
        for (size_t i = 0; alive && i < reply->text.size; i++)
            alive =
                send_all(connection, reply->text.data + i, 1) && nap(connection, reply->drip_ms);
    char filler[4096];
    memset(filler, 'x', sizeof filler);
    for (uint64_t sent = 0; alive && sent < reply->endless; sent += sizeof filler)
        alive = send_all(connection, filler, sizeof filler);
    if (reply->end == FAKE_RESET)
        reset(connection->fd);
    return alive && reply->end == FAKE_KEEP;
}

static bool answer(struct connection *connection, struct bytes head, struct bytes body)
{
    struct fake_http *fake = connection->fake;
    struct fake_reply reply = {0};
    struct fake_request request = {head, decoded_target(head), body, connection->number};
    pthread_mutex_lock(&fake->lock);
    fake->reply(fake, &request, &reply);
    pthread_mutex_unlock(&fake->lock);
    bool goes_on = send_reply(connection, &reply);
    buffer_fini(&reply.text);
    free(request.target);
    return goes_on;
}

static bool must_reset(struct fake_http *fake)
{
    pthread_mutex_lock(&fake->lock);
    bool now = fake->reset_early > 0;
    fake->reset_early -= now;
    pthread_mutex_unlock(&fake->lock);
    return now;
}

/* One request and its answer. */
static bool serve(struct connection *connection)
{
    struct buffer *in = &connection->in;
    const uint8_t *end;
    while ((end = in->size ? memmem(in->data, in->size, "\r\n\r\n", 4) : NULL) == NULL)
        if (!read_more(connection))
            return false;
    size_t head_size = (size_t)(end - in->data) + 4;
    size_t size = head_size + content_length(bytes_of(in->data, head_size));
    while (in->size < size) {
        if (in->size > size / 2 && must_reset(connection->fake)) {
            reset(connection->fd);
            return false;
        }
        if (in->size > size / 2 && connection->fake->answers_early) {
            bool stays = answer(connection, bytes_of(in->data, head_size), (struct bytes){0});
            nap(connection, stays ? EARLY_STAYS_MS : 0);
            return false;
        }
        if (!read_more(connection))
            return false;
    }
    bool goes_on = answer(connection, bytes_of(in->data, head_size),
                          bytes_of(in->data + head_size, size - head_size));
    memmove(in->data, in->data + size, in->size - size);
    in->size -= size;
    return goes_on;
}

static void *run_connection(void *arg)
{
    struct connection *connection = arg;
    struct fake_http *fake = connection->fake;
    while (serve(connection))
        ;
    close(connection->fd);
    buffer_fini(&connection->in);
    free(connection);
    fake->running--;
    return NULL;
}

static void *run_server(void *arg)
{
    struct fake_http *fake = arg;
    struct pollfd poll_fd = {.fd = fake->fd, .events = POLLIN};
    while (!fake->stopping) {
        if (poll(&poll_fd, 1, 20) <= 0)
            continue;
        struct connection *connection = mem_zalloc(sizeof *connection);
        connection->fake = fake;
        connection->fd = accept(fake->fd, NULL, NULL);
        connection->number = ++fake->connections;
        fake->running++;
        pthread_t thread;
        gw_assert(connection->fd >= 0);
        gw_assert(pthread_create(&thread, NULL, run_connection, connection) == 0);
        pthread_detach(thread);
    }
    return NULL;
}

void fake_http_start(struct fake_http *fake)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    pthread_mutex_init(&fake->lock, NULL);
    fake->stopping = false;
    fake->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    gw_assert(fake->fd >= 0);
    int on = 1;
    setsockopt(fake->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    address.sin_port = htons((uint16_t)fake->port); /* 0 the first time; later the same again */
    gw_assert(bind(fake->fd, (struct sockaddr *)&address, sizeof address) == 0);
    gw_assert(getsockname(fake->fd, (struct sockaddr *)&address, &size) == 0);
    fake->port = ntohs(address.sin_port);
    gw_assert(listen(fake->fd, 64) == 0);
    gw_assert(pthread_create(&fake->thread, NULL, run_server, fake) == 0);
}

void fake_http_stop(struct fake_http *fake)
{
    fake->stopping = true;
    pthread_join(fake->thread, NULL);
    close(fake->fd);
    while (fake->running)
        usleep(1000);
    pthread_mutex_destroy(&fake->lock);
}

void fake_reply_http(struct fake_reply *reply, int status, const char *headers, const char *body)
{
    buffer_printf(&reply->text, "HTTP/1.1 %d Whatever\r\n%sContent-Length: %zu\r\n\r\n%s", status,
                  headers ? headers : "", strlen(body), body);
}
