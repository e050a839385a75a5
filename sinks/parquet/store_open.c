/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening the folder: folders, lock, what a crash left, and whether what is there can be ours. Separate
 * from store.c because it runs once, and is most of what recovery means here. One thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "sinks/parquet/store.h"

static int read_days(struct store *store, struct err *err)
{
    struct disk_names names = {0};
    int result = store->disk->list(store->disk, store->path, &names);
    if (result < 0)
        result = store_error(err, result, "list", store->path);
    for (size_t i = 0; i < names.count && result == 0; i++) {
        int64_t day;
        if (day_name_parse(names.names[i], &day))
            result = store_read_day(store, day, err);
    }
    disk_names_fini(&names);
    return result;
}

static const char lock_name[] = "lock";

/* Whatever lies in the work folder is an unfinished day that nobody has seen, or an old one that was
 * exchanged for a new one: the tree is whole without it. */
static int clear_work(struct store *store, struct err *err)
{
    struct disk_names names = {0};
    int result = store->disk->list(store->disk, store->work, &names);
    for (size_t i = 0; i < names.count && result == 0; i++) {
        if (strcmp(names.names[i], lock_name) == 0 || strcmp(names.names[i], STORE_PENDING) == 0)
            continue;
        char *path = mem_printf("%s/%s", store->work, names.names[i]);
        struct disk_stat stat = {0};
        result = store->disk->stat(store->disk, path, &stat);
        if (result == 0)
            result = stat.directory ? store_remove_dir(store, path)
                                    : store->disk->unlink(store->disk, path);
        free(path);
    }
    disk_names_fini(&names);
    return result < 0 ? store_error(err, result, "clear", store->work) : 0;
}

/* Whether a changed day can be exchanged whole is asked of the file system once, with empty folders. */
static int probe_exchange(struct store *store, struct err *err)
{
    char *here = mem_printf("%s/.probe", store->path);
    char *there = mem_printf("%s/probe", store->work);
    store->disk->rmdir(store->disk, here); /* of a crash */
    int result = store->disk->mkdir(store->disk, here);
    if (result == 0)
        result = store->disk->mkdir(store->disk, there);
    if (result < 0)
        result = store_error(err, result, "make folder", here);
    else
        store->exchange = store->disk->exchange(store->disk, here, there) == 0;
    store->disk->rmdir(store->disk, here);
    store->disk->rmdir(store->disk, there);
    if (result == 0 && !store->exchange)
        log_event(LOG_WARN, "parquet_no_exchange",
                  "path=%s why=\"the file system cannot exchange folders: while files are merged, "
                  "a reader may see readings twice for a moment\"",
                  store->path);
    free(here);
    free(there);
    return result;
}

/* Without exchange a crash may leave a merged file beside what it was made of. */
static int drop_merged(struct store *store, struct err *err)
{
    int result = 0;
    for (size_t i = 0; i < store->day_count && result == 0; i++)
        result = store_drop_contained(store, store->days[i].day, err);
    return result;
}

static int take_lock(struct store *store, struct err *err)
{
    char *path = mem_printf("%s/%s", store->work, lock_name);
    int fd = store->disk->open(store->disk, path, O_RDWR | O_CREAT);
    int result = fd < 0 ? store_error(err, fd, "open", path) : 0;
    if (fd >= 0) {
        store->lock_fd = fd;
        int locked = store->disk->lock(store->disk, fd);
        if (locked == -EWOULDBLOCK)
            result = err_set(err, GW_ELOCKED,
                             "%s is in use by another sink or gateway: give each "
                             "a path of its own",
                             store->path);
        else if (locked < 0)
            result = store_error(err, locked, "lock", path);
    }
    free(path);
    return result;
}

static int make_folders(struct store *store, struct err *err)
{
    const char *const paths[] = {store->path, store->work};
    for (size_t i = 0; i < array_count(paths); i++) {
        int result = disk_make_dirs(store->disk, paths[i]);
        if (result == -EACCES || result == -ENOTDIR || result == -EPERM)
            return err_set(err, GW_EINVAL,
                           "make folder %s: %s; give the sink a `path` that it may "
                           "write to",
                           paths[i], strerror(-result));
        if (result < 0)
            return store_error(err, result, "make folder", paths[i]);
    }
    return 0;
}

/* A crash between the rename of a file and the confirmation leaves files of one unit, the first one
 * from the cursor on. Anything else beyond the cursor was written by a journal that knew more than
 * ours does (invariant 5). */
static int check_ahead(const struct store *store, uint64_t cursor, struct err *err)
{
    const struct file_range *begun = NULL;
    for (size_t d = 0; d < store->day_count; d++) {
        for (size_t f = 0; f < store->days[d].file_count; f++) {
            const struct file_range *range = &store->days[d].files[f].range;
            if (range->gateway != store->identity.bits || range->last_seq < cursor || range->replay)
                continue;
            if (begun == NULL)
                begun = range;
            if (range->first_seq >= cursor && range->first_seq == begun->first_seq &&
                range->last_seq == begun->last_seq && range->generation == begun->generation)
                continue;
            char name[FILE_NAME_SIZE];
            return err_set(
                err, GW_EINVAL,
                "%s holds %s, which is ahead of this journal (its next number is %" PRIu64
                "): the journal's volume was restored or wiped. To go on without "
                "overwriting, give the journal a new identity: tidegate journal "
                "new-identity",
                store->path, file_name_format(range, name), cursor);
        }
    }
    return 0;
}

/* The crash may have come between the rename and the sync of the folder; the unit will be found stored
 * when it comes again, so what it relies on is synced now. */
static int settle_begun(const struct store *store, uint64_t cursor, struct err *err)
{
    int result = 0;
    for (size_t d = 0; d < store->day_count && result == 0; d++) {
        bool begun = false;
        for (size_t f = 0; f < store->days[d].file_count; f++)
            begun |= store->days[d].files[f].range.last_seq >= cursor;
        if (!begun)
            continue;
        char *folder = store_day_path(store, store->days[d].day);
        result = store->disk->sync_dir(store->disk, folder);
        if (result == 0)
            result = store->disk->sync_dir(store->disk, store->path);
        if (result < 0)
            result = store_error(err, result, "sync", folder);
        free(folder);
    }
    return result;
}

int store_open(struct store *store, const struct disk *disk, const char *path,
               struct identity identity, uint64_t cursor, struct err *err)
{
    *store = (struct store){.disk = disk, .identity = identity, .lock_fd = -1, .opening = true};
    store->path = mem_strdup(path);
    store->work = mem_printf("%s.work", path);
    int result = make_folders(store, err);
    if (result == 0)
        result = take_lock(store, err);
    if (result == 0)
        result = clear_work(store, err);
    if (result == 0)
        result = probe_exchange(store, err);
    if (result == 0)
        result = read_days(store, err);
    if (result == 0)
        result = drop_merged(store, err);
    if (result == 0)
        result = check_ahead(store, cursor, err);
    if (result == 0)
        result = settle_begun(store, cursor, err);
    store->opening = false;
    if (result < 0)
        store_close(store);
    return result;
}
