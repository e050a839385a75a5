/* SPDX-License-Identifier: Apache-2.0
 *
 * What we remember of servers across our own restarts: when each was started, by our clock. A server
 * that was restarted while we were down may have lost what it confirmed before. A small text file in
 * the data folder, a line a server. The lane's thread.
 */
#ifndef TIDEGATE_SINKS_CLICKHOUSE_MEMORY_H
#define TIDEGATE_SINKS_CLICKHOUSE_MEMORY_H

#include "base/disk.h"
#include "sinks/clickhouse/hosts.h"

/* Sets started_wall_s of the hosts that stand in the file. No file: no host does. */
void ch_memory_load(struct ch_hosts *hosts, const struct disk *disk, const char *path);
/* What `uptime_s` of now says about the start of the host; true when it is another start than the
 * one remembered. *changed is set when the file should be written. */
bool ch_memory_take(struct ch_host *host, int64_t uptime_s, int64_t wall_ms, bool *changed);
int ch_memory_save(const struct ch_hosts *hosts, const struct disk *disk, const char *path);

#endif
