/* SPDX-License-Identifier: Apache-2.0
 *
 * Now or later? Putting rows into files costs what the files are large, so small files are amended
 * at once, and a large one when enough has come together, or when nothing more comes. One thread at
 * a time.
 */
#include "sinks/parquet/history.h"

#include <stdlib.h>

#include "base/clock.h"

/* What may be written anew for a row. Merged files have about one byte a row, fresh ones up to five. */
enum { BYTES_PER_ROW = 1, BYTES_AT_ONCE = 256 << 10 };

int history_open(struct history *history, struct store *store, struct err *err)
{
    *history = (struct history){.store = store};
    return pending_open(&history->pending, store, err);
}

void history_close(struct history *history)
{
    pending_close(&history->pending);
    *history = (struct history){0};
}

/* ---- what it costs ---- */

/* Bytes of our files that hold some of these messages on these days. */
static uint64_t bytes_touched(const struct store *store, const struct pending_unit *unit)
{
    uint64_t bytes = 0;
    for (size_t d = 0; d < store->day_count; d++) {
        const struct store_day *day = &store->days[d];
        if (day->day < unit->first_day || day->day > unit->last_day)
            continue;
        for (size_t f = 0; f < day->file_count; f++) {
            const struct file_range *range = &day->files[f].range;
            if (range->gateway == store->identity.bits && range->last_seq >= unit->first_seq &&
                range->first_seq <= unit->last_seq)
                bytes += day->files[f].bytes;
        }
    }
    return bytes;
}

static void join(struct pending_unit *all, const struct pending_unit *unit)
{
    all->first_seq = unit->first_seq < all->first_seq ? unit->first_seq : all->first_seq;
    all->last_seq = unit->last_seq > all->last_seq ? unit->last_seq : all->last_seq;
    all->first_day = unit->first_day < all->first_day ? unit->first_day : all->first_day;
    all->last_day = unit->last_day > all->last_day ? unit->last_day : all->last_day;
    all->rows += unit->rows;
}

static bool is_cheap(const struct history *history, const struct pending_unit *all)
{
    return bytes_touched(history->store, all) <= all->rows * BYTES_PER_ROW + BYTES_AT_ONCE;
}

static struct pending_unit everything(const struct history *history)
{
    struct pending_unit all = {
        .first_seq = UINT64_MAX, .first_day = INT64_MAX, .last_day = INT64_MIN};
    for (size_t i = 0; i < history->pending.count; i++)
        join(&all, &history->pending.units[i]);
    return all;
}

/* ---- putting it there ---- */

static int amend(struct history *history, struct batch *const *batches, uint32_t count,
                 int64_t last_day, const struct history_policy *policy,
                 const struct parquet_options *options, struct unit_result *result, struct err *err)
{
    struct parquet_options own = *options;
    if (last_day < policy->today - 1) /* nobody writes these files again */
        own.zstd_level = policy->zstd_closed;
    return amend_store(history->store, batches, count, &own, result, err);
}

int history_apply(struct history *history, const struct history_policy *policy,
                  const struct parquet_options *options, struct unit_result *result,
                  struct err *err)
{
    struct pending_batches batches;
    struct pending_unit all = everything(history);
    *result = (struct unit_result){0};
    int status =
        pending_load(&history->pending, policy->live_next, HISTORY_ROWS_MAX, &batches, err);
    if (status == 0)
        status = amend(history, batches.batches, batches.count, all.last_day, policy, options,
                       result, err);
    if (status == 0)
        status = pending_drop(&history->pending, batches.units, err);
    pending_batches_fini(&batches);
    history->failing = status < 0 && status != GW_ECLOSED;
    return status;
}

/* While what waits can be put into the files, and that is cheap or nothing more comes: until nothing
 * waits. So whoever hears that a replay is done finds all of it in the files. */
static int apply_now(struct history *history, const struct history_policy *policy,
                     const struct parquet_options *options, struct unit_result *result,
                     struct err *err)
{
    int status = 0;
    while (history->pending.count && status == 0) {
        struct pending_unit all = everything(history);
        if (all.last_seq >= policy->live_next || (policy->more_comes && !is_cheap(history, &all)))
            break;
        status = history_apply(history, policy, options, result, err);
    }
    return status;
}

int history_put(struct history *history, const struct unit *unit,
                const struct history_policy *policy, const struct parquet_options *options,
                struct unit_result *result, struct err *err)
{
    struct pending_unit what = pending_describe(unit);
    *result = (struct unit_result){0};
    /* What cannot be put into the files does not pile up: the operator hears of it by the lane. */
    if (history->failing && policy->may_amend) {
        int status = history_apply(history, policy, options, result, err);
        if (status < 0)
            return status;
    }
    bool alone = history->pending.count == 0 && !history->pending.unsure;
    int status = 0;
    if (what.rows == 0)
        return 0;
    if (alone && policy->may_amend && what.last_seq < policy->live_next && is_cheap(history, &what))
        return amend(history, unit->batches, unit->batch_count, what.last_day, policy, options,
                     result, err);
    status = pending_add(&history->pending, unit, err);
    history->last_put_ms = clock_monotonic_ms();
    if (status == 0 && policy->may_amend) {
        struct err ignored; /* it is durable, and tried again */
        if (apply_now(history, policy, options, result, &ignored) < 0)
            history->failing = true;
    }
    return status;
}

/* ---- when ---- */

bool history_touches(const struct history *history, int64_t day)
{
    for (size_t i = 0; i < history->pending.count; i++)
        if (history->pending.units[i].first_day <= day && history->pending.units[i].last_day >= day)
            return true;
    return false;
}

bool history_due(const struct history *history, uint64_t live_next, bool more, int64_t now_ms)
{
    const struct pending *pending = &history->pending;
    if (pending->count == 0 || pending->units[0].last_seq >= live_next)
        return false;
    return pending->rows >= HISTORY_ROWS_MAX ||
           (!more && now_ms - history->last_put_ms >= HISTORY_QUIET_MS);
}
