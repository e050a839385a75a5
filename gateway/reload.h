/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading configuration, credentials and certificates again while the gateway runs. Main thread.
 */
#ifndef TIDEGATE_RELOAD_H
#define TIDEGATE_RELOAD_H

#include <uv.h>

#include "config/config.h"

/* Who may publish, from the configuration; on an error the old rules stay. */
int reload_access(struct access *access, const struct config *config, struct err *err);
/* SIGHUP; signal->data is the gateway. */
void reload_on_signal(uv_signal_t *signal, int number);

#endif
