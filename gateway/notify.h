/* SPDX-License-Identifier: Apache-2.0
 *
 * What the service manager is told: sd_notify(3), which is a datagram of lines KEY=VALUE to the
 * socket that $NOTIFY_SOCKET names. Written here because it is a page, and the library would be one
 * more for every image. Without that variable all of this does nothing. Main thread, but for
 * notify_status and notify_extend, which any thread may call.
 */
#ifndef TIDEGATE_NOTIFY_H
#define TIDEGATE_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, and takes them out of the environment, so that
 * child processes do not speak for us. Before any thread. GW_EINVAL: an address that cannot be one; the
 * rest then does nothing. */
int notify_open(struct err *err);
void notify_close(void);
bool notify_listened(void);

/* One sentence for `systemctl status`. */
void notify_status(const char *format, ...) __attribute__((format(printf, 1, 2)));
void notify_ready(void);
/* A reload begins; notify_ready ends it (systemd.service(5), Type=notify-reload). */
void notify_reloading(void);
void notify_stopping(void);
/* Start or end take longer: not before `ms` from now is it to give up. */
void notify_extend(int64_t ms);
/* All is well at this monotonic time. Sent when half of what the watchdog grants has passed since the
 * last; nothing without a watchdog. */
void notify_alive(int64_t now_ms);

#endif
