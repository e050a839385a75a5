/* SPDX-License-Identifier: Apache-2.0
 *
 * Retire a data folder's journal. Used by `tidegate journal new-identity` only. Main thread.
 */
#include "renew.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "base/clock.h"

static int fail(struct err *err, const char *what, int rc)
{
    return err_set(err, rc == -ENOENT ? GW_ENOENT : GW_EIO, "%s: %s", what, strerror(-rc));
}

/* The raw log may be what was lost: its folder is made again, but only beside other logs. */
static int lock_open(const struct disk *disk, const char *data, const char *path)
{
    struct disk_stat info;
    char *journal = mem_printf("%s/journal", data);
    char *raw = mem_printf("%s/raw", journal);
    int rc = disk->stat(disk, journal, &info);
    if (rc == 0)
        rc = disk_make_dirs(disk, raw);
    free(raw);
    free(journal);
    return rc < 0 ? rc : disk->open(disk, path, O_RDWR | O_CREAT);
}

/* The raw log's lock is the gateway's: whoever has it may move the folder. */
static int lock_take(const struct disk *disk, const char *data, int *fd, struct err *err)
{
    char *path = mem_printf("%s/journal/raw/lock", data);
    int rc = *fd = lock_open(disk, data, path);
    if (rc < 0) {
        rc = fail(err, path, rc);
    } else if ((rc = disk->lock(disk, *fd)) < 0) {
        rc = err_set(err, GW_ELOCKED, "%s: a gateway runs on this folder; stop it first", path);
        disk->close(disk, *fd);
    }
    free(path);
    return rc < 0 ? rc : 0;
}

static int part_move(const struct disk *disk, const char *data, const char *part,
                     const char *to_folder, struct err *err)
{
    char *from = mem_printf("%s/%s", data, part);
    char *to = mem_printf("%s/%s", to_folder, part);
    int rc = disk->rename(disk, from, to);
    rc = rc == 0 || rc == -ENOENT ? 0 : fail(err, from, rc);
    free(from);
    free(to);
    return rc;
}

int data_renew(const struct disk *disk, const char *data, struct buffer *where, struct err *err)
{
    /* The journal goes last: a crash in between leaves cursors and replays that are gone, never
     * those of another journal. */
    static const char *const parts[] = {"cursors", "replays", "state", "journal"};
    int fd;
    int rc = lock_take(disk, data, &fd, err);
    if (rc)
        return rc;
    char *folder = mem_printf("%s/retired/%lld", data, (long long)clock_wall_ms());
    rc = disk_make_dirs(disk, folder);
    rc = rc < 0 ? fail(err, folder, rc) : 0;
    for (size_t i = 0; i < array_count(parts) && rc == 0; i++)
        rc = part_move(disk, data, parts[i], folder, err);
    if (rc == 0 &&
        ((rc = disk->sync_dir(disk, folder)) < 0 || (rc = disk->sync_dir(disk, data)) < 0))
        rc = fail(err, folder, rc);
    if (rc == 0)
        buffer_add_text(where, folder);
    free(folder);
    disk->close(disk, fd);
    return rc;
}
