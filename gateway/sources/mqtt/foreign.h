/* SPDX-License-Identifier: Apache-2.0
 *
 * Who comes to the wrong port: told by its first bytes, so that it need not wait for a deadline, and
 * an operator sees whether that is a scanner or a vendor whose device has the wrong setting. Pure.
 */
#ifndef TIDEGATE_SOURCES_MQTT_FOREIGN_H
#define TIDEGATE_SOURCES_MQTT_FOREIGN_H

#include "base/bytes.h"

enum foreign {
    FOREIGN_MQTT,
    FOREIGN_TLS,
    FOREIGN_HTTP,
    FOREIGN_SSH,
    FOREIGN_PROXY, /* of a peer that is not listed */
    FOREIGN_OTHER,
    FOREIGN_KINDS,
};

/* Words for logs and metrics, as the rows of a table. */
#define FOREIGN_NAMES                                                                              \
    [FOREIGN_MQTT] = "mqtt", [FOREIGN_TLS] = "tls", [FOREIGN_HTTP] = "http",                       \
    [FOREIGN_SSH] = "ssh", [FOREIGN_PROXY] = "proxy", [FOREIGN_OTHER] = "other"
extern const char *const foreign_names[FOREIGN_KINDS];

enum foreign foreign_of(struct bytes first);

#endif
