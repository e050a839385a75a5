/* SPDX-License-Identifier: Apache-2.0
 *
 * Can this sink write where it is told to? Asked without a gateway (`tidegate doctor`); separate from the
 * lane, of which nothing runs then. Caller's thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "sinks/parquet/options.h"

/* The folder, or the nearest one above it that is there, takes files of ours. */
void parquet_probe(const void *options, struct sink_host *host, sink_tell *tell, void *arg)
{
    const struct parquet_sink_options *parquet = options;
    char *path = parquet->path[0] == '/' ? mem_strdup(parquet->path)
                                         : mem_printf("%s/%s", host->data_dir, parquet->path);
    char *folder = mem_strdup(path), why[300] = "";
    struct disk_stat stat;
    for (char *slash; host->disk->stat(host->disk, folder, &stat) == -ENOENT &&
                      (slash = strrchr(folder, '/')) != NULL && slash != folder;)
        *slash = '\0';
    if (access(folder, W_OK | X_OK))
        snprintf(why, sizeof why, "no files can be made in %s: %s", folder, strerror(errno));
    struct sink_finding finding = {.what = path,
                                   .why = why[0] ? why : NULL,
                                   .reason = SINK_REASON_DISK,
                                   .seen = "files can be made there"};
    tell(arg, &finding);
    free(folder);
    free(path);
}
