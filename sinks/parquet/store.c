/* SPDX-License-Identifier: Apache-2.0
 *
 * The folder of files. A file appears by rename, after its sync and before its folder's, so that a
 * reader finds it complete or not at all, whatever happens. Separate from the sink, which knows
 * lanes and threads. One thread at a time.
 */
#include "sinks/parquet/store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"

int store_error(struct err *err, int negative_errno, const char *what, const char *path)
{
    bool full = negative_errno == -ENOSPC || negative_errno == -EDQUOT;
    return err_set(err, full ? GW_EFULL : GW_EIO, "%s %s: %s", what, path,
                   strerror(-negative_errno));
}

/* ---- names ---- */

char *store_day_path(const struct store *store, int64_t day)
{
    char name[DAY_NAME_SIZE];
    return mem_printf("%s/%s", store->path, day_name_format(day, name));
}

char *store_file_path(const struct store *store, int64_t day, const struct file_range *range)
{
    char day_name[DAY_NAME_SIZE], name[FILE_NAME_SIZE];
    return mem_printf("%s/%s/%s", store->path, day_name_format(day, day_name),
                      file_name_format(range, name));
}

/* ---- what is there ---- */

static void forget_files(struct store *store, struct store_day *day)
{
    store->bytes -= day->bytes;
    store->file_count -= day->file_count;
    free(day->files);
    *day = (struct store_day){.day = day->day, .changed_ms = day->changed_ms};
}

void store_forget_day(struct store *store, int64_t day)
{
    struct store_day *found = store_find_day(store, day);
    if (found == NULL)
        return;
    forget_files(store, found);
    size_t after = store->day_count - (size_t)(found - store->days) - 1;
    memmove(found, found + 1, after * sizeof *found);
    store->day_count--;
}

struct store_day *store_find_day(const struct store *store, int64_t day)
{
    for (size_t i = 0; i < store->day_count; i++)
        if (store->days[i].day == day)
            return &store->days[i];
    return NULL;
}

static struct store_day *add_day(struct store *store, int64_t day)
{
    struct store_day *found = store_find_day(store, day);
    if (found)
        return found;
    store->days = mem_realloc(store->days, (store->day_count + 1) * sizeof *store->days);
    size_t at = store->day_count++;
    for (; at > 0 && store->days[at - 1].day > day; at--)
        store->days[at] = store->days[at - 1];
    store->days[at] = (struct store_day){.day = day};
    return &store->days[at];
}

static void add_file(struct store *store, struct store_day *day, const struct store_file *file)
{
    day->files = mem_realloc(day->files, (day->file_count + 1) * sizeof *day->files);
    size_t at = day->file_count++;
    for (; at > 0 && day->files[at - 1].range.gateway == file->range.gateway &&
           day->files[at - 1].range.first_seq > file->range.first_seq;
         at--)
        day->files[at] = day->files[at - 1];
    day->files[at] = *file;
    day->bytes += file->bytes;
    store->bytes += file->bytes;
    store->file_count++;
}

/* One name of a day's folder. */
static int take_name(struct store *store, struct store_day *day, const char *folder,
                     const char *name, struct err *err)
{
    struct store_file file = {0};
    char *path = mem_printf("%s/%s", folder, name);
    int result = 0;
    if (store->opening && file_name_is_temporary(name)) {
        result = store->disk->unlink(store->disk, path);
        log_event(LOG_INFO, "parquet_temporary_removed", "path=%s", path);
    } else if (file_name_parse(name, &file.range)) {
        struct disk_stat stat = {0};
        result = store->disk->stat(store->disk, path, &stat);
        file.bytes = stat.size;
        if (result == 0)
            add_file(store, day, &file);
    } else if (!file_name_is_temporary(name)) {
        day->foreign = true;
    }
    if (result < 0)
        store_error(err, result, "look at", path);
    free(path);
    return result < 0 ? GW_EIO : 0;
}

int store_read_day(struct store *store, int64_t number, struct err *err)
{
    struct store_day *day = add_day(store, number);
    forget_files(store, day);
    char *folder = store_day_path(store, number);
    struct disk_names names = {0};
    int result = store->disk->list(store->disk, folder, &names);
    if (result < 0)
        result = store_error(err, result, "list", folder);
    for (size_t i = 0; i < names.count && result == 0; i++)
        result = take_name(store, day, folder, names.names[i], err);
    disk_names_fini(&names);
    free(folder);
    return result;
}

/* ---- removing ---- */

int store_remove_dir(const struct store *store, const char *path)
{
    struct disk_names names = {0};
    int result = store->disk->list(store->disk, path, &names);
    for (size_t i = 0; i < names.count && result == 0; i++) {
        char *file = mem_printf("%s/%s", path, names.names[i]);
        result = store->disk->unlink(store->disk, file);
        free(file);
    }
    disk_names_fini(&names);
    return result < 0 ? result : store->disk->rmdir(store->disk, path);
}

static bool contains(const struct file_range *a, const struct file_range *b)
{
    return a->gateway == b->gateway && a->generation == b->generation && a->replay == b->replay &&
           a->first_seq <= b->first_seq && a->last_seq >= b->last_seq &&
           (a->first_seq < b->first_seq || a->last_seq > b->last_seq);
}

static bool is_contained(const struct store_day *day, const struct file_range *range)
{
    for (size_t i = 0; i < day->file_count; i++)
        if (contains(&day->files[i].range, range))
            return true;
    return false;
}

int store_drop_contained(struct store *store, int64_t number, struct err *err)
{
    struct store_day *day = store_find_day(store, number);
    char *folder = store_day_path(store, number);
    bool synced = false;
    int result = 0;
    for (size_t i = 0; i < day->file_count && result == 0; i++) {
        const struct file_range range = day->files[i].range;
        if (range.gateway != store->identity.bits || !is_contained(day, &range))
            continue;
        /* The larger file must be sure before the smaller goes. */
        if (!synced)
            result = store->disk->sync_dir(store->disk, folder);
        synced = true;
        char *path = store_file_path(store, number, &range);
        if (result == 0)
            result = store->disk->unlink(store->disk, path);
        if (result < 0)
            result = store_error(err, result, "remove", path);
        free(path);
    }
    free(folder);
    return result < 0 || !synced ? result : store_read_day(store, number, err);
}

void store_close(struct store *store)
{
    if (store->disk && store->lock_fd >= 0)
        store->disk->close(store->disk, store->lock_fd);
    for (size_t i = 0; i < store->day_count; i++)
        free(store->days[i].files);
    free(store->days);
    free(store->damaged);
    free(store->path);
    free(store->work);
    *store = (struct store){.lock_fd = -1};
}

/* ---- putting a file there ---- */

int store_has(const struct store *store, int64_t day, const struct file_range *range,
              struct err *err)
{
    const struct store_day *found = store_find_day(store, day);
    for (size_t i = 0; found && i < found->file_count; i++) {
        const struct file_range *other = &found->files[i].range;
        if (other->gateway != range->gateway || other->generation != range->generation ||
            other->replay != range->replay || other->last_seq < range->first_seq ||
            other->first_seq > range->last_seq)
            continue;
        /* A merged file contains the ranges of what it was made of. */
        if (other->first_seq <= range->first_seq && other->last_seq >= range->last_seq)
            return 1;
        char name[FILE_NAME_SIZE];
        return err_set(err, GW_EINVAL,
                       "%s holds %s, which is not a part of this journal from %" PRIu64
                       " on: the journal's volume was restored or wiped. To go on, stop, and give "
                       "the journal a new identity: tidegate journal new-identity",
                       store->path, file_name_format(other, name), range->first_seq);
    }
    return 0;
}

static int write_rows(struct parquet_file *file, const struct parquet_options *options,
                      const struct rows *rows, const uint32_t *order, struct err *err)
{
    int result = 0;
    for (uint32_t at = 0; at < rows->count && result == 0; at += options->row_group_rows) {
        uint32_t left = rows->count - at;
        result =
            parquet_file_add(file, rows, order + at,
                             left < options->row_group_rows ? left : options->row_group_rows, err);
    }
    return result < 0 ? result : parquet_file_finish(file, err);
}

int store_make_day(struct store *store, int64_t day, struct err *err)
{
    if (store_find_day(store, day))
        return 0;
    char *folder = store_day_path(store, day);
    int result = store->disk->mkdir(store->disk, folder);
    if (result == 0 || result == -EEXIST)
        result = store->disk->sync_dir(store->disk, store->path);
    if (result < 0)
        result = store_error(err, result, "make folder", folder);
    free(folder);
    return result;
}

/* The list, after a file appeared or took another's place. */
static void note_file(struct store *store, int64_t number, const struct store_file *file)
{
    struct store_day *day = add_day(store, number);
    day->changed_ms = clock_monotonic_ms();
    for (size_t i = 0; i < day->file_count; i++) {
        if (!file_range_equal(&day->files[i].range, &file->range))
            continue;
        day->bytes += file->bytes - day->files[i].bytes;
        store->bytes += file->bytes - day->files[i].bytes;
        day->files[i].bytes = file->bytes;
        return;
    }
    add_file(store, day, file);
}

/* Sync before rename: after a crash the final name must never show a file that is not whole. */
int store_place(struct store *store, int64_t day, const struct file_range *range,
                const char *temporary, uint64_t bytes, struct err *err)
{
    char *folder = store_day_path(store, day);
    char *path = store_file_path(store, day, range);
    int result = store->disk->rename(store->disk, temporary, path);
    if (result < 0) {
        result = store_error(err, result, "rename to", path);
    } else {
        result = store->disk->sync_dir(store->disk, folder);
        if (result < 0)
            result = store_error(err, result, "sync", folder);
    }
    if (result == 0)
        note_file(store, day, &(struct store_file){*range, bytes});
    free(path);
    free(folder);
    return result;
}

int store_put(struct store *store, int64_t day, const struct file_range *range,
              const struct parquet_options *options, const struct rows *rows, const uint32_t *order,
              struct err *err)
{
    char *path = store_file_path(store, day, range);
    char *temporary = mem_printf("%s.tmp", path);
    struct parquet_file *file = NULL;
    int result = store_make_day(store, day, err);
    if (result == 0) {
        store->disk->unlink(store->disk, temporary); /* of an attempt that failed */
        result = parquet_file_new(&file, store->disk, temporary, options, range, err);
    }
    if (result == 0)
        result = write_rows(file, options, rows, order, err);
    if (result == 0)
        result = store_place(store, day, range, temporary, parquet_file_bytes(file), err);
    if (result < 0)
        store->disk->unlink(store->disk, temporary);
    parquet_file_free(file);
    free(temporary);
    free(path);
    return result;
}
