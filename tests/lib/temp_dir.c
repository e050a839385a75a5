/* SPDX-License-Identifier: Apache-2.0
 *
 * Temporary folders of tests.
 */
#include "lib/temp_dir.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/disk.h"

/* In memory where there is room: thousands of syncs of a test need no real disk. */
static const char *base_dir(void)
{
    const char *base = getenv("TMPDIR");
    if (base && *base)
        return base;
    struct disk_space space;
    if (access("/dev/shm", W_OK) == 0 && disk_real.space(&disk_real, "/dev/shm", &space) == 0 &&
        space.available > 512 << 20)
        return "/dev/shm";
    return "/tmp";
}

void temp_dir_make(struct temp_dir *dir)
{
    int size = snprintf(dir->path, sizeof dir->path, "%s/tidegate-test-XXXXXX", base_dir());
    gw_assert(size < (int)sizeof dir->path && mkdtemp(dir->path) != NULL);
}

void temp_dir_clear(const char *path)
{
    const struct disk *disk = &disk_real;
    struct disk_names names;
    if (disk->list(disk, path, &names) < 0)
        return;
    for (size_t i = 0; i < names.count; i++) {
        char *inner = mem_printf("%s/%s", path, names.names[i]);
        if (disk->unlink(disk, inner) < 0) {
            temp_dir_clear(inner);
            disk->rmdir(disk, inner);
        }
        free(inner);
    }
    disk_names_fini(&names);
}

void temp_dir_remove(struct temp_dir *dir)
{
    temp_dir_clear(dir->path);
    disk_real.rmdir(&disk_real, dir->path);
}
