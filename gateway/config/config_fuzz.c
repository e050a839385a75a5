/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzz target: any text as a configuration. It is read or refused with a sentence; nothing it names
 * is opened.
 */
#include <errno.h>

#include "config/load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int stat_refuse(const struct disk *disk, const char *path, struct disk_stat *out)
{
    (void)disk;
    (void)path;
    (void)out;
    return -ENOENT;
}

static int open_refuse(const struct disk *disk, const char *path, int flags)
{
    (void)disk;
    (void)path;
    (void)flags;
    return -ENOENT;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct disk no_disk = {.stat = stat_refuse, .open = open_refuse};
    struct buffer errors = {0};
    struct config *config;
    if (config_parse(bytes_of(data, size), NULL, "fuzz", &no_disk, &config, &errors) == 0) {
        gw_assert(config->route_count > 0 && config->sink_count > 0);
        config_free(config);
    } else {
        gw_assert(errors.size > 0);
    }
    buffer_fini(&errors);
    return 0;
}
