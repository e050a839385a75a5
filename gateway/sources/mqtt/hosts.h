/* SPDX-License-Identifier: Apache-2.0
 *
 * How many connections come from one address, and how many of these have not logged in. Shared by the
 * loops; one lock, held for some dozen instructions, and only where a limit is set. An IPv6 address
 * stands for its /64. Memory: 32 bytes for each address with a connection.
 */
#ifndef TIDEGATE_SOURCES_MQTT_HOSTS_H
#define TIDEGATE_SOURCES_MQTT_HOSTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"

struct hosts;

/* 0: no limit. */
struct hosts *hosts_new(uint64_t connections_max, uint64_t unnamed_max);
void hosts_free(struct hosts *hosts); /* accepts null */
/* One more, which has not logged in; false: too many, and not counted. */
bool hosts_open(struct hosts *hosts, const struct address *from);
/* One of them has logged in. */
void hosts_named(struct hosts *hosts, const struct address *from);
void hosts_closed(struct hosts *hosts, const struct address *from, bool named);
/* Addresses with a connection. */
uint64_t hosts_count(struct hosts *hosts);

#endif
