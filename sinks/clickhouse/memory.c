/* SPDX-License-Identifier: Apache-2.0
 *
 * Lines of "BASE/DATABASE SECONDS", seconds since 1970. A line that is not understood is as good as
 * none: then the age of the server decides.
 */
#include "sinks/clickhouse/memory.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* Clocks that are set, and rounding; a server needs longer to start after a crash of its machine. */
enum { SLACK_S = 10, DRIFT_S = 2, FILE_MAX = 256 * 1024 };

static void take_line(struct ch_hosts *hosts, char *line)
{
    char *space = strchr(line, ' ');
    if (space == NULL)
        return;
    *space = '\0';
    for (uint32_t i = 0; i < hosts->count; i++) {
        struct ch_host *host = &hosts->hosts[i];
        size_t size = strlen(host->base);
        if (strncmp(line, host->base, size) == 0 && line[size] == '/' &&
            strcmp(line + size + 1, host->database) == 0)
            host->started_wall_s = strtoll(space + 1, NULL, 10);
    }
}

void ch_memory_load(struct ch_hosts *hosts, const struct disk *disk, const char *path)
{
    struct buffer text = {0};
    if (disk_read_file(disk, path, FILE_MAX, &text) == 0) {
        buffer_u8(&text, '\0');
        char *rest = NULL;
        for (char *line = strtok_r((char *)text.data, "\n", &rest); line;
             line = strtok_r(NULL, "\n", &rest))
            take_line(hosts, line);
    }
    buffer_fini(&text);
}

bool ch_memory_take(struct ch_host *host, int64_t uptime_s, int64_t wall_ms, bool *changed)
{
    int64_t started = wall_ms / 1000 - uptime_s, before = host->started_wall_s;
    int64_t moved = started - before;
    if (before && moved >= -DRIFT_S && moved <= DRIFT_S)
        return false;
    host->started_wall_s = started;
    *changed = true;
    return before != 0 && moved > SLACK_S;
}

int ch_memory_save(const struct ch_hosts *hosts, const struct disk *disk, const char *path)
{
    struct buffer text = {0};
    for (uint32_t i = 0; i < hosts->count; i++)
        if (hosts->hosts[i].started_wall_s)
            buffer_printf(&text, "%s/%s %" PRId64 "\n", hosts->hosts[i].base,
                          hosts->hosts[i].database, hosts->hosts[i].started_wall_s);
    int result = disk_replace_file(disk, path, buffer_bytes(&text));
    buffer_fini(&text);
    return result;
}
