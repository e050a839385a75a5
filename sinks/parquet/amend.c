/* SPDX-License-Identifier: Apache-2.0
 *
 * A replay, day by day and file by file. The rows of a day are sorted, shared out to the files whose
 * ranges hold them and to the gaps between, and each file is written anew. One thread at a time.
 */
#include "sinks/parquet/amend.h"

#include <errno.h>
#include <stdlib.h>

#include "sinks/parquet/overlay.h"

/* One day. Place 2i is the gap before our i-th file, place 2i + 1 is that file. */
struct amend {
    struct store *store;
    int64_t day;
    struct batch *const *batches;
    uint32_t batch_count;
    struct rows rows;
    uint32_t *batch_start;    /* first row of each batch */
    uint32_t *order, count;   /* rows that count, sorted; then also by place */
    struct file_range *files; /* ours, by sequence number */
    size_t file_count;
    uint32_t *ends; /* of each place in `order` */
    struct unit_result *result;
};

/* ---- rows ---- */

static bool same_key(const struct rows *rows, uint32_t a, uint32_t b)
{
    return rows->seq[a] == rows->seq[b] && rows->ts[a] == rows->ts[b] &&
           rows->text[TEXT_VENDOR][a] == rows->text[TEXT_VENDOR][b] &&
           rows->text[TEXT_DEVICE][a] == rows->text[TEXT_DEVICE][b] &&
           rows->text[TEXT_METRIC][a] == rows->text[TEXT_METRIC][b];
}

static void gather(struct amend *amend)
{
    char text[IDENTITY_TEXT_SIZE];
    struct bytes gateway = bytes_text(identity_format(amend->store->identity, text));
    rows_init(&amend->rows, true);
    amend->batch_start = mem_alloc(amend->batch_count * sizeof *amend->batch_start);
    for (uint32_t b = 0; b < amend->batch_count; b++) {
        amend->batch_start[b] = amend->rows.count;
        rows_add_batch(&amend->rows, amend->batches[b], amend->day, TEXT_SIZE_MAX, gateway);
    }
}

/* The first row of the batch that row came with. */
static uint32_t start_of(const struct amend *amend, uint32_t row)
{
    uint32_t low = 0, high = amend->batch_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (amend->batch_start[middle] <= row)
            low = middle;
        else
            high = middle;
    }
    return amend->batch_start[low];
}

/* Of the rows of one key, from[0..count), only those of the last batch stand; and what that batch
 * yields it does not withdraw. Returns how many it wrote to `to`. */
static uint32_t settle_key(const struct amend *amend, const uint32_t *from, uint32_t count,
                           uint32_t *to)
{
    uint32_t start = start_of(amend, from[count - 1]), kept = 0, withdrawn = UINT32_MAX;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = from[i];
        if (row < start)
            continue;
        if (overlay_withdrawn(&amend->rows, row))
            withdrawn = row;
        else
            to[kept++] = row;
    }
    if (kept == 0)
        to[kept++] = withdrawn;
    return kept;
}

static void sort_rows(struct amend *amend)
{
    uint32_t count = amend->rows.count;
    uint32_t *order = amend->order = mem_alloc(count * sizeof *order);
    rows_rank(&amend->rows);
    rows_sort(&amend->rows, order);
    for (uint32_t i = 0, next; i < count; i = next) {
        for (next = i + 1; next < count && same_key(&amend->rows, order[i], order[next]); next++)
            ;
        if (next == i + 1)
            order[amend->count++] = order[i];
        else
            amend->count += settle_key(amend, order + i, next - i, order + amend->count);
    }
}

/* ---- places ---- */

static void list_files(struct amend *amend)
{
    const struct store_day *day = store_find_day(amend->store, amend->day);
    size_t count = day ? day->file_count : 0;
    amend->files = mem_alloc(count * sizeof *amend->files);
    for (size_t i = 0; i < count; i++)
        if (day->files[i].range.gateway == amend->store->identity.bits)
            amend->files[amend->file_count++] = day->files[i].range;
}

static uint32_t place_of(const struct amend *amend, uint64_t seq)
{
    size_t low = 0, high = amend->file_count; /* files before `low` end before seq */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (amend->files[middle].last_seq < seq)
            low = middle + 1;
        else
            high = middle;
    }
    bool inside = low < amend->file_count && amend->files[low].first_seq <= seq;
    return (uint32_t)(2 * low) + inside;
}

/* Stable, so each place's rows stay sorted. */
static void share_out(struct amend *amend)
{
    size_t places = 2 * amend->file_count + 1;
    uint32_t *sorted = mem_alloc(amend->count * sizeof *sorted);
    uint32_t *place = mem_alloc(amend->count * sizeof *place);
    amend->ends = mem_zalloc((places + 1) * sizeof *amend->ends);
    for (uint32_t i = 0; i < amend->count; i++) {
        place[i] = place_of(amend, (uint64_t)amend->rows.seq[amend->order[i]]);
        amend->ends[place[i] + 1]++;
    }
    for (size_t p = 1; p <= places; p++)
        amend->ends[p] += amend->ends[p - 1];
    for (uint32_t i = 0; i < amend->count; i++) /* ends[p] is where p's next row goes */
        sorted[amend->ends[place[i]]++] = amend->order[i];
    free(place);
    free(amend->order);
    amend->order = sorted;
}

/* ---- files ---- */

/* What a file of these rows alone would cover; false when they are all withdrawn. */
static bool range_of(const struct amend *amend, const struct overlay *overlay,
                     struct file_range *range)
{
    *range = (struct file_range){.first_seq = UINT64_MAX,
                                 .generation = amend->batches[0]->generation,
                                 .gateway = amend->store->identity.bits,
                                 .replay = true};
    for (uint32_t i = 0; i < overlay->count; i++) {
        uint32_t row = overlay->order[i];
        uint64_t seq = (uint64_t)overlay->rows->seq[row];
        if (overlay_withdrawn(overlay->rows, row))
            continue;
        range->first_seq = seq < range->first_seq ? seq : range->first_seq;
        range->last_seq = seq > range->last_seq ? seq : range->last_seq;
    }
    return range->first_seq <= range->last_seq;
}

static int put_place(struct amend *amend, size_t place, const struct parquet_options *options,
                     struct err *err)
{
    uint32_t begin = place ? amend->ends[place - 1] : 0, end = amend->ends[place];
    struct overlay overlay = {&amend->rows, amend->order + begin, end - begin};
    struct overlay_result done;
    struct file_range range;
    bool there = place % 2;
    if (there)
        range = amend->files[place / 2];
    else if (!range_of(amend, &overlay, &range))
        return 0;
    struct store *store = amend->store;
    char *path = store_file_path(store, amend->day, &range);
    char *temporary = mem_printf("%s.tmp", path);
    int status = store_make_day(store, amend->day, err);
    if (status == 0) {
        store->disk->unlink(store->disk, temporary); /* of an attempt that failed */
        status = overlay_file(store->disk, there ? path : NULL, &overlay, temporary, options,
                              &range, &done, err);
    }
    if (status == 0)
        status = store_place(store, amend->day, &range, temporary, done.bytes, err);
    if (status < 0) {
        store->disk->unlink(store->disk, temporary);
    } else {
        amend->result->files++;
        amend->result->bytes += done.bytes;
    }
    free(temporary);
    free(path);
    return status;
}

/* The files as they are on disk: an attempt that failed may have left one more. */
static int look_at_day(struct amend *amend, struct err *err)
{
    struct store *store = amend->store;
    struct disk_stat stat = {0};
    char *folder = store_day_path(store, amend->day);
    int status = store->disk->stat(store->disk, folder, &stat);
    bool there = status == 0;
    if (status == -ENOENT)
        status = 0;
    else if (status == 0 && store_find_day(store, amend->day) == NULL)
        status = store->disk->sync_dir(store->disk, store->path); /* as store_make_day would */
    if (status < 0)
        status = store_error(err, status, "look at", folder);
    if (there && status == 0)
        status = store_read_day(store, amend->day, err);
    /* Where folders cannot be exchanged, a merge that was interrupted may have left a file beside what
     * it was made of: then ranges would overlap. */
    if (there && status == 0)
        status = store_drop_contained(store, amend->day, err);
    free(folder);
    return status;
}

static int amend_day(struct amend *amend, const struct parquet_options *options, struct err *err)
{
    int status = look_at_day(amend, err);
    if (status < 0)
        return status;
    gather(amend);
    sort_rows(amend);
    list_files(amend);
    share_out(amend);
    for (size_t place = 0; place <= 2 * amend->file_count && status == 0; place++)
        if (amend->ends[place] > (place ? amend->ends[place - 1] : 0))
            status = put_place(amend, place, options, err);
    amend->result->rows += status == 0 ? amend->count : 0;
    free(amend->ends);
    free(amend->files);
    free(amend->order);
    free(amend->batch_start);
    rows_fini(&amend->rows);
    return status;
}

int amend_store(struct store *store, struct batch *const *batches, uint32_t count,
                const struct parquet_options *options, struct unit_result *result, struct err *err)
{
    struct unit_days days = unit_days_of(batches, count);
    int status = 0;
    *result = (struct unit_result){0};
    for (size_t i = 0; i < days.count && status == 0; i++) {
        struct amend amend = {
            .store = store,
            .day = days.days[i],
            .batches = batches,
            .batch_count = count,
            .result = result,
        };
        status = amend_day(&amend, options, err);
    }
    unit_days_fini(&days);
    return status;
}
