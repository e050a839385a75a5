/* SPDX-License-Identifier: Apache-2.0
 *
 * The listening socket of the admin interface. Main thread.
 */
#ifndef TIDEGATE_ADMIN_SOCKET_H
#define TIDEGATE_ADMIN_SOCKET_H

#include <stdbool.h>

#include "base/err.h"

/* HOST:PORT or [HOST]:PORT; port 0 picks one. The descriptor, or GW_EINVAL, GW_EIO. */
int socket_open(const char *text, struct err *err);
int socket_port(int fd);
/* Can others than this machine reach it? What the socket says, whatever the name was that it was bound by. */
bool socket_is_beyond(int fd);

#endif
