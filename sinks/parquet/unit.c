/* SPDX-License-Identifier: Apache-2.0
 *
 * A unit, day by day. Rows of a day are gathered, sorted and written; a day that is there already, from
 * an attempt that was interrupted, is passed over. One thread at a time.
 */
#include "sinks/parquet/unit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

void unit_result_fini(struct unit_result *result)
{
    free(result->refusals);
    *result = (struct unit_result){0};
}

/* ---- days ---- */

static int compare_days(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void add_day(struct unit_days *days, int64_t day)
{
    for (size_t i = days->count; i > 0; i--)
        if (days->days[i - 1] == day)
            return;
    days->days = mem_realloc(days->days, (days->count + 1) * sizeof *days->days);
    days->days[days->count++] = day;
}

struct unit_days unit_days_of(struct batch *const *batches, uint32_t count)
{
    struct unit_days days = {0};
    int64_t last = INT64_MIN;
    for (uint32_t b = 0; b < count; b++) {
        const struct batch *batch = batches[b];
        for (uint32_t row = 0; row < batch->count; row++) {
            int64_t day = day_of_ms(batch->ts_ms[row]);
            if (day != last)
                add_day(&days, day);
            last = day;
        }
    }
    if (days.count)
        qsort(days.days, days.count, sizeof *days.days, compare_days);
    return days;
}

void unit_days_fini(struct unit_days *days)
{
    free(days->days);
    *days = (struct unit_days){0};
}

/* ---- rows that cannot be kept ---- */

static const char *too_long(const struct batch *batch, uint32_t row)
{
    if (batch->strings[batch->device[row]].size > TEXT_SIZE_MAX)
        return "device";
    if (batch->strings[batch->metric[row]].size > TEXT_SIZE_MAX)
        return "metric";
    if (batch->strings[batch->unit[row]].size > TEXT_SIZE_MAX)
        return "unit";
    return batch->strings[batch->vendor[row]].size > TEXT_SIZE_MAX ? "vendor" : NULL;
}

static void refuse(struct unit_result *result, uint64_t seq, const char *column)
{
    result->refusals =
        mem_realloc(result->refusals, (result->refusal_count + 1) * sizeof *result->refusals);
    struct sink_refusal *refusal = &result->refusals[result->refusal_count++];
    *refusal = (struct sink_refusal){.seq = seq, .reason = "too_long"};
    snprintf(refusal->detail, sizeof refusal->detail, "%s is longer than %d bytes", column,
             TEXT_SIZE_MAX);
}

/* Usually no string of a batch is that long, and no row needs a look. */
void unit_refusals(const struct unit *unit, struct unit_result *result)
{
    for (uint32_t b = 0; b < unit->batch_count; b++) {
        const struct batch *batch = unit->batches[b];
        bool any = false;
        for (uint32_t i = 0; i < batch->string_count; i++)
            any |= batch->strings[i].size > TEXT_SIZE_MAX;
        for (uint32_t row = 0; any && row < batch->count; row++) {
            const char *column = too_long(batch, row);
            if (column)
                refuse(result, batch->seq[row], column);
        }
    }
}

/* ---- the files ---- */

static int store_day(struct store *store, int64_t day, const struct unit *unit,
                     const struct file_range *range, const struct parquet_options *options,
                     struct unit_result *result, struct err *err)
{
    int there = store_has(store, day, range, err);
    if (there)
        return there < 0 ? there : 0;
    char text[IDENTITY_TEXT_SIZE];
    struct bytes gateway = bytes_text(identity_format(store->identity, text));
    struct rows rows;
    rows_init(&rows, options->scaled);
    for (uint32_t b = 0; b < unit->batch_count; b++)
        rows_add_batch(&rows, unit->batches[b], day, TEXT_SIZE_MAX, gateway);
    int status = 0;
    if (rows.count) {
        uint32_t *order = mem_alloc(rows.count * sizeof *order);
        rows_rank(&rows);
        rows_sort(&rows, order);
        uint64_t before = store->bytes;
        status = store_put(store, day, range, options, &rows, order, err);
        result->files += status == 0;
        result->rows += status == 0 ? rows.count : 0;
        result->bytes += store->bytes - before;
        free(order);
    }
    rows_fini(&rows);
    return status;
}

int unit_store(struct store *store, const struct unit *unit, const struct parquet_options *options,
               struct unit_result *result, struct err *err)
{
    struct file_range range = {unit->first_seq, unit->last_seq, unit->generation,
                               store->identity.bits, false};
    struct unit_days days = unit_days_of(unit->batches, unit->batch_count);
    int status = 0;
    *result = (struct unit_result){0};
    for (size_t i = 0; i < days.count && status == 0; i++)
        status = store_day(store, days.days[i], unit, &range, options, result, err);
    if (status == 0)
        unit_refusals(unit, result);
    unit_days_fini(&days);
    return status;
}
