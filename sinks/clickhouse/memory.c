/* SPDX-License-Identifier: Apache-2.0
 *
 * Lines of "BASE/DATABASE SECONDS", seconds since 1970, and one of "again SEQ". A line that is not understood is as good as
 * none: then the age of the server decides.
 */
#include "sinks/clickhouse/memory.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

static const char again[] = "again"; /* no address */

/* Clocks that are set, and rounding; a server needs longer to start after a crash of its machine. */
enum { SLACK_S = 10, DRIFT_S = 2, FILE_MAX = 256 * 1024 };

static struct ch_host *host_find(struct ch_hosts *hosts, const char *name)
{
    for (uint32_t i = 0; i < hosts->count; i++) {
        struct ch_host *host = &hosts->hosts[i];
        size_t size = strlen(host->base);
        if (strncmp(name, host->base, size) == 0 && name[size] == '/' &&
            strcmp(name + size + 1, host->database) == 0)
            return host;
    }
    return NULL;
}

static void take_line(struct ch_hosts *hosts, char *line, struct ch_memory *out)
{
    char *space = strchr(line, ' ');
    if (space == NULL)
        return;
    *space = '\0';
    struct ch_host *host = host_find(hosts, line);
    if (host)
        host->started_wall_s = strtoll(space + 1, NULL, 10);
    else if (strcmp(line, again) == 0)
        out->again_through = strtoull(space + 1, NULL, 10);
    else
        out->has_stranger = true;
}

void ch_memory_load(struct ch_hosts *hosts, const struct disk *disk, const char *path,
                    struct ch_memory *out)
{
    struct buffer text = {0};
    *out = (struct ch_memory){0};
    if (disk_read_file(disk, path, FILE_MAX, &text) == 0) {
        buffer_u8(&text, '\0');
        char *rest = NULL;
        for (char *line = strtok_r((char *)text.data, "\n", &rest); line;
             line = strtok_r(NULL, "\n", &rest))
            take_line(hosts, line, out);
    }
    buffer_fini(&text);
}

static int64_t moved(const struct ch_host *host, int64_t uptime_s, int64_t wall_ms)
{
    return wall_ms / 1000 - uptime_s - host->started_wall_s;
}

bool ch_memory_restarted(const struct ch_host *host, int64_t uptime_s, int64_t wall_ms)
{
    return host->started_wall_s != 0 && moved(host, uptime_s, wall_ms) > SLACK_S;
}

bool ch_memory_take(struct ch_host *host, int64_t uptime_s, int64_t wall_ms)
{
    int64_t by = moved(host, uptime_s, wall_ms);
    if (host->started_wall_s && by >= -DRIFT_S && by <= DRIFT_S)
        return false;
    host->started_wall_s += by;
    return true;
}

int ch_memory_save(const struct ch_hosts *hosts, uint64_t again_through, const struct disk *disk,
                   const char *path)
{
    struct buffer text = {0};
    if (again_through)
        buffer_printf(&text, "%s %" PRIu64 "\n", again, again_through);
    for (uint32_t i = 0; i < hosts->count; i++)
        if (hosts->hosts[i].started_wall_s)
            buffer_printf(&text, "%s/%s %" PRId64 "\n", hosts->hosts[i].base,
                          hosts->hosts[i].database, hosts->hosts[i].started_wall_s);
    int result = disk_replace_file(disk, path, buffer_bytes(&text));
    buffer_fini(&text);
    return result;
}
