/* SPDX-License-Identifier: Apache-2.0
 *
 * Retention by age and size, in whole days: what a reader asks for is a range of days. Separate, so
 * that the one place that removes readings for good is easy to find.
 */
#include "sinks/parquet/retain.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"

enum { MS_PER_DAY = 86400000 };

bool retain_due(const struct store *store, const struct retain_policy *policy, int64_t *day)
{
    if (store->day_count == 0)
        return false;
    const struct store_day *oldest = &store->days[0];
    bool too_old =
        policy->keep_ms && (oldest->day + 1) * MS_PER_DAY <= policy->now_ms - policy->keep_ms;
    bool too_large =
        policy->keep_bytes && store->bytes > policy->keep_bytes && store->day_count > 1;
    /* A folder with nothing of ours in it is not ours to remove. */
    *day = oldest->day;
    return (too_old || too_large) && oldest->file_count > 0;
}

/* The folder holds other names too: only our files go, one by one. */
static int remove_files(struct store *store, const struct store_day *day)
{
    int result = 0;
    for (size_t i = 0; i < day->file_count && result == 0; i++) {
        char *path = store_file_path(store, day->day, &day->files[i].range);
        result = store->disk->unlink(store->disk, path);
        free(path);
    }
    return result;
}

/* Out of the tree by one rename, so that no reader finds half a day. */
static int remove_folder(struct store *store, const char *folder)
{
    char *gone = mem_printf("%s/gone.%" PRId64, store->work, clock_monotonic_ns());
    int result = store->disk->rename(store->disk, folder, gone);
    if (result == 0)
        result = store->disk->sync_dir(store->disk, store->path);
    if (result == 0)
        result = store_remove_dir(store, gone);
    free(gone);
    return result;
}

int retain_remove_day(struct store *store, int64_t number, struct err *err)
{
    int result = store_read_day(store, number, err);
    if (result < 0)
        return result;
    struct store_day *day = store_find_day(store, number);
    char *folder = store_day_path(store, number);
    uint64_t bytes = day->bytes;
    size_t files = day->file_count;
    result =
        day->foreign || !store->exchange ? remove_files(store, day) : remove_folder(store, folder);
    if (result < 0)
        result = store_error(err, result, "remove", folder);
    else
        log_event(LOG_INFO, "parquet_day_removed", "path=%s files=%zu bytes=%" PRIu64, folder,
                  files, bytes);
    struct err ignored;
    if (result == 0 && !day->foreign)
        store_forget_day(store, number);
    else
        store_read_day(store, number, &ignored);
    free(folder);
    return result;
}
