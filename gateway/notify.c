/* SPDX-License-Identifier: Apache-2.0
 *
 * See notify.h. Nothing here waits or fails: the socket does not block, and a manager that does not
 * hear is no reason to stop.
 */
#include "notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

enum { TEXT_SIZE = 512, TOLD_EARLIER = 2 };

static struct {
    int fd; /* connected; -1: nobody listens */
    int64_t watchdog_ms;
    int64_t alive_ms; /* when that was last said */
} notify = {.fd = -1};

/* ---- where to ---- */

/* A path, or with '@' a name in the abstract name space. */
static int address_of(const char *text, struct sockaddr_un *address, socklen_t *size)
{
    size_t length = strlen(text);
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if ((text[0] != '/' && text[0] != '@') || text[1] == '\0' || length >= sizeof address->sun_path)
        return GW_EINVAL;
    memcpy(address->sun_path, text, length);
    if (text[0] == '@')
        address->sun_path[0] = '\0';
    *size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (text[0] == '/'));
    return 0;
}

static int64_t watchdog_of(const char *interval_us, const char *pid)
{
    if (interval_us == NULL || (pid && strtoll(pid, NULL, 10) != getpid()))
        return 0;
    int64_t us = strtoll(interval_us, NULL, 10);
    return us > 0 ? us / 1000 : 0;
}

static int socket_connect(const char *text, struct err *err)
{
    struct sockaddr_un address;
    socklen_t size;
    if (address_of(text, &address, &size))
        return err_set(err, GW_EINVAL, "NOTIFY_SOCKET: `%s` is no path and no @name", text);
    notify.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (notify.fd < 0 || connect(notify.fd, (struct sockaddr *)&address, size) < 0) {
        int rc = err_set(err, GW_EIO, "NOTIFY_SOCKET: %s: %s", text, strerror(errno));
        notify_close();
        return rc;
    }
    return 0;
}

int notify_open(struct err *err)
{
    const char *text = getenv("NOTIFY_SOCKET");
    int rc = 0;
    notify_close();
    notify.watchdog_ms = watchdog_of(getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"));
    notify.alive_ms = 0;
    if (text)
        rc = socket_connect(text, err);
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    return rc;
}

void notify_close(void)
{
    if (notify.fd >= 0)
        close(notify.fd);
    notify.fd = -1;
}

bool notify_listened(void)
{
    return notify.fd >= 0;
}

/* ---- what is said ---- */

static void say(const char *text)
{
    if (notify.fd >= 0)
        (void)!send(notify.fd, text, strlen(text), MSG_NOSIGNAL);
}

void notify_status(const char *format, ...)
{
    char text[TEXT_SIZE] = "STATUS=";
    size_t used = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + used, sizeof text - used, format, arguments);
    va_end(arguments);
    for (char *at = text; *at; at++)
        if (*at == '\n') /* would begin another assignment */
            *at = ' ';
    say(text);
}

void notify_ready(void)
{
    say("READY=1");
}

void notify_reloading(void)
{
    char text[TEXT_SIZE];
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
             clock_monotonic_ns() / 1000);
    say(text);
}

void notify_stopping(void)
{
    say("STOPPING=1");
}

void notify_extend(int64_t ms)
{
    char text[TEXT_SIZE];
    snprintf(text, sizeof text, "EXTEND_TIMEOUT_USEC=%" PRId64, ms * 1000);
    say(text);
}

void notify_alive(int64_t now_ms)
{
    if (notify.watchdog_ms == 0 ||
        (notify.alive_ms && now_ms - notify.alive_ms < notify.watchdog_ms / TOLD_EARLIER))
        return;
    notify.alive_ms = now_ms;
    say("WATCHDOG=1");
}
