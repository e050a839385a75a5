/* SPDX-License-Identifier: Apache-2.0
 *
 * What we remember of servers across our own restarts: when each was started, by our clock. A server
 * that was restarted while we were down may have lost what it confirmed before, and may know its
 * blocks all the same. A small text file in the data folder, a line a server. The lane's thread.
 */
#ifndef TIDEGATE_SINKS_CLICKHOUSE_MEMORY_H
#define TIDEGATE_SINKS_CLICKHOUSE_MEMORY_H

#include "base/disk.h"
#include "sinks/clickhouse/hosts.h"

struct ch_memory {
    uint64_t
        again_through; /* what is sent up to there, a server may have lost and know as stored */
    bool has_stranger; /* a server that `url` does not name any more */
};

/* Sets started_wall_s of the hosts that stand in the file. No file: no host does. */
void ch_memory_load(struct ch_hosts *hosts, const struct disk *disk, const char *path,
                    struct ch_memory *out);
/* Does `uptime_s` of now tell of another start than the one remembered? */
bool ch_memory_restarted(const struct ch_host *host, int64_t uptime_s, int64_t wall_ms);
/* Remember it. True when the file should be written. */
bool ch_memory_take(struct ch_host *host, int64_t uptime_s, int64_t wall_ms);
int ch_memory_save(const struct ch_hosts *hosts, uint64_t again_through, const struct disk *disk,
                   const char *path);

#endif
