/* SPDX-License-Identifier: Apache-2.0
 *
 * Compaction. Files follow each other by sequence number, so a run of neighbours makes one file whose
 * range contains theirs; the names alone then tell, after any crash, what is in what. Threads as
 * compact.h says.
 */
#include "sinks/parquet/compact.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"

enum { CLOSED_RUN_MIN = 2 };

void compact_plan_fini(struct compact_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++)
        free(plan->paths[i]);
    free(plan->merged);
    *plan = (struct compact_plan){0};
}

/* ---- choose ---- */

struct run {
    size_t first, count;
    uint64_t bytes, largest;
};

static bool may_merge(const struct store *store, const struct compact_policy *policy,
                      const struct store_file *file)
{
    for (size_t i = 0; i < store->damaged_count; i++)
        if (file_range_equal(&store->damaged[i], &file->range))
            return false;
    return file->range.gateway == store->identity.bits && file->range.last_seq < policy->safe_below;
}

/* The longest run that begins at `first`. */
static struct run run_at(const struct store *store, const struct compact_policy *policy,
                         const struct store_day *day, size_t first, size_t count_max)
{
    struct run run = {.first = first};
    for (size_t i = first; i < day->file_count && run.count < count_max; i++) {
        const struct store_file *file = &day->files[i];
        if (!may_merge(store, policy, file) ||
            file->range.generation != day->files[first].range.generation ||
            file->range.replay != day->files[first].range.replay ||
            (run.count && run.bytes + file->bytes > COMPACT_FILE_BYTES))
            break;
        run.count++;
        run.bytes += file->bytes;
        run.largest = file->bytes > run.largest ? file->bytes : run.largest;
    }
    return run;
}

/* Today: when there are many, the cheapest row of neighbours. Small files come last, so what was
 * merged is merged again only among its like. */
static struct run choose_open(const struct store *store, const struct compact_policy *policy,
                              const struct store_day *day)
{
    struct run best = {0};
    if (day->file_count <= policy->files_max / 2)
        return best;
    size_t fan =
        policy->files_max / 4 < MERGE_INPUTS_MAX ? policy->files_max / 4 : MERGE_INPUTS_MAX;
    for (size_t i = 0; i < day->file_count; i++) {
        struct run run = run_at(store, policy, day, i, fan < 2 ? 2 : fan);
        if (run.count >= 2 && (best.count == 0 || run.count > best.count ||
                               (run.count == best.count && run.bytes < best.bytes)))
            best = run;
    }
    return best;
}

/* A large file is not written anew for every small one that comes late. */
static bool worth_it(const struct run *run)
{
    return run->count >= MERGE_INPUTS_MAX / 2 || run->bytes - run->largest >= run->largest / 8;
}

static struct run choose_closed(const struct store *store, const struct compact_policy *policy,
                                const struct store_day *day)
{
    for (size_t i = 0; i < day->file_count; i++) {
        struct run run = run_at(store, policy, day, i, MERGE_INPUTS_MAX);
        if (run.count >= CLOSED_RUN_MIN && worth_it(&run))
            return run;
    }
    return (struct run){0};
}

static struct run choose_in_day(const struct store *store, const struct compact_policy *policy,
                                const struct store_day *day)
{
    bool resting = day->changed_ms && policy->now_ms - day->changed_ms < policy->settle_ms;
    if (day->day >= policy->today - 1 || resting)
        return choose_open(store, policy, day);
    return choose_closed(store, policy, day);
}

static void make_plan(const struct store *store, const struct store_day *day, const struct run *run,
                      struct compact_plan *plan)
{
    char name[FILE_NAME_SIZE];
    *plan = (struct compact_plan){.day = day->day, .count = run->count};
    plan->range = day->files[run->first].range;
    plan->range.last_seq = day->files[run->first + run->count - 1].range.last_seq;
    for (size_t i = 0; i < run->count; i++) {
        plan->inputs[i] = day->files[run->first + i].range;
        plan->paths[i] = store_file_path(store, day->day, &plan->inputs[i]);
    }
    file_name_format(&plan->range, name);
    if (store->exchange && !day->foreign) {
        plan->merged = mem_printf("%s/%s.tmp", store->work, name);
    } else {
        char *path = store_file_path(store, day->day, &plan->range);
        plan->merged = mem_printf("%s.tmp", path);
        free(path);
    }
}

bool compact_choose(const struct store *store, const struct compact_policy *policy,
                    struct compact_plan *plan)
{
    for (size_t i = store->day_count; i > 0; i--) {
        const struct store_day *day = &store->days[i - 1];
        struct run run = choose_in_day(store, policy, day);
        if (run.count >= 2) {
            make_plan(store, day, &run, plan);
            return true;
        }
    }
    return false;
}

/* ---- merge ---- */

int compact_merge(const struct disk *disk, struct compact_plan *plan,
                  const struct parquet_options *options, struct err *err)
{
    disk->unlink(disk, plan->merged); /* of an attempt that failed */
    return merge_files(disk, plan->paths, plan->count, plan->merged, options, &plan->range,
                       &plan->result, err);
}

void compact_give_up(struct store *store, const struct compact_plan *plan, int status)
{
    store->disk->unlink(store->disk, plan->merged);
    /* Of two forms of value the other one is left alone too: its neighbours can still be merged. */
    if (status != GW_ECORRUPT && status != GW_EINVAL)
        return;
    store->damaged =
        mem_realloc(store->damaged, (store->damaged_count + 1) * sizeof *store->damaged);
    store->damaged[store->damaged_count++] = plan->inputs[plan->result.damaged];
}

/* ---- exchange ---- */

static bool is_input(const struct compact_plan *plan, const struct file_range *range)
{
    for (size_t i = 0; i < plan->count; i++)
        if (file_range_equal(&plan->inputs[i], range))
            return true;
    return false;
}

/* The new day: the merged file, and links to all that is kept. */
static int build_day(struct store *store, const struct compact_plan *plan, const char *folder,
                     struct err *err)
{
    const struct disk *disk = store->disk;
    const struct store_day *day = store_find_day(store, plan->day);
    char name[FILE_NAME_SIZE];
    int result = disk->mkdir(disk, folder);
    for (size_t i = 0; i < day->file_count && result == 0; i++) {
        if (is_input(plan, &day->files[i].range))
            continue;
        char *from = store_file_path(store, plan->day, &day->files[i].range);
        char *to = mem_printf("%s/%s", folder, file_name_format(&day->files[i].range, name));
        result = disk->link(disk, from, to);
        free(from);
        free(to);
    }
    if (result == 0) {
        char *to = mem_printf("%s/%s", folder, file_name_format(&plan->range, name));
        result = disk->rename(disk, plan->merged, to);
        free(to);
    }
    if (result == 0)
        result = disk->sync_dir(disk, folder);
    return result < 0 ? store_error(err, result, "build", folder) : 0;
}

static int exchange_day(struct store *store, const struct compact_plan *plan, char **old,
                        struct err *err)
{
    const struct disk *disk = store->disk;
    char name[DAY_NAME_SIZE];
    char *folder = mem_printf("%s/%s.%" PRId64, store->work, day_name_format(plan->day, name),
                              clock_monotonic_ns());
    char *day = store_day_path(store, plan->day);
    int result = build_day(store, plan, folder, err);
    if (result == 0) {
        result = disk->exchange(disk, day, folder);
        if (result < 0)
            store_error(err, result, "exchange", day);
    }
    if (result < 0) {
        store_remove_dir(store, folder);
        free(folder);
    } else {
        /* Both parents changed. Should this fail, either day is whole; then the old one is left for the
         * next start to remove. */
        result = disk->sync_dir(disk, store->path);
        if (result == 0)
            result = disk->sync_dir(disk, store->work);
        if (result < 0) {
            store_error(err, result, "sync", store->path);
            free(folder);
        } else {
            *old = folder;
        }
    }
    free(day);
    return result < 0 ? GW_EIO : 0;
}

/* Without exchange: the merged file appears, then its inputs go. Between the two a reader sees their
 * readings twice; the other way round a crash would lose them. */
static int replace_files(struct store *store, const struct compact_plan *plan, struct err *err)
{
    const struct disk *disk = store->disk;
    char *path = store_file_path(store, plan->day, &plan->range);
    int result = disk->rename(disk, plan->merged, path);
    if (result < 0)
        result = store_error(err, result, "rename to", path);
    if (result == 0)
        result = store_read_day(store, plan->day, err);
    if (result == 0)
        result = store_drop_contained(store, plan->day, err);
    free(path);
    return result;
}

int compact_exchange(struct store *store, const struct compact_plan *plan, char **old,
                     struct err *err)
{
    *old = NULL;
    char *work = mem_printf("%s/", store->work);
    bool in_work = strncmp(plan->merged, work, strlen(work)) == 0;
    free(work);
    int result = store_read_day(store, plan->day, err);
    if (result == 0 && !in_work)
        return replace_files(store, plan, err);
    /* A name that is not ours appeared meanwhile: such a folder is never exchanged. */
    if (result == 0 && store_find_day(store, plan->day)->foreign)
        result = err_set(err, GW_EFULL, "a name that is not ours appeared in the folder");
    if (result == 0)
        result = exchange_day(store, plan, old, err);
    struct err ignored;
    int listed = store_read_day(store, plan->day, &ignored);
    return result < 0 ? result : listed;
}
