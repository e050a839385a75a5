/* SPDX-License-Identifier: Apache-2.0
 *
 * The listening socket of the admin interface: bound by us, since libmicrohttpd takes no name and does not
 * say which port it got. Main thread.
 */
#include "admin/socket.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/address.h"

enum { SOCKET_BACKLOG = 128 };

static int socket_bind(const struct addrinfo *address)
{
    int one = 1;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (address->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    if (bind(fd, address->ai_addr, address->ai_addrlen) < 0 || listen(fd, SOCKET_BACKLOG) < 0) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    return fd;
}

int socket_open(const char *text, struct err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *list;
    char host[256] = "";
    const char *colon = strrchr(text, ':');
    size_t size = colon ? (size_t)(colon - text) : 0;
    bool brackets = size >= 2 && text[0] == '[' && colon[-1] == ']';
    if (colon == NULL || colon[1] == '\0' || size >= sizeof host)
        return err_set(err, GW_EINVAL, "admin: `%s` is not HOST:PORT", text);
    memcpy(host, text + brackets, size - 2 * (size_t)brackets);
    int rc = getaddrinfo(host[0] ? host : NULL, colon + 1, &hints, &list);
    if (rc)
        return err_set(err, GW_EINVAL, "admin: %s: %s", text, gai_strerror(rc));
    int fd = -EADDRNOTAVAIL;
    for (const struct addrinfo *address = list; address && fd < 0; address = address->ai_next)
        fd = socket_bind(address);
    freeaddrinfo(list);
    if (fd < 0)
        return err_set(err, GW_EIO,
                       "admin: listen on %s: %s; choose another with --admin HOST:PORT", text,
                       strerror(-fd));
    return fd;
}

int socket_port(int fd)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        return 0;
    if (address.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
    return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

bool socket_is_beyond(int fd)
{
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    if (getsockname(fd, (struct sockaddr *)&bound, &size) != 0)
        return true;
    struct address address = address_of((const struct sockaddr *)&bound);
    return !address_is_loopback(&address);
}
