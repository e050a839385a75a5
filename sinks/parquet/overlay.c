/* SPDX-License-Identifier: Apache-2.0
 *
 * Two sorted runs into one file: what was there, a row group at a time, and the rows of a replay.
 * Separate from merge.c, where no row ever replaces another. One thread.
 */
#include "sinks/parquet/overlay.h"

#include <stdlib.h>

#include "sinks/parquet/reader.h"

/* The rows of a replay are picked in the order of the file out of the order of arrival: each is a miss
 * of the cache in every column, unless it is asked for in time. */
enum { AHEAD = 16 };

struct overlaying {
    struct parquet_reader *reader; /* null: no file */
    size_t next_group;
    struct rows old; /* the present group */
    uint32_t row;
    const struct overlay *overlay;
    uint32_t next;
    uint64_t withdrawn;
    struct rows out;
    struct rows_copier from_old, from_new;
    struct parquet_file *file;
    const struct parquet_options *options;
};

bool overlay_withdrawn(const struct rows *rows, uint32_t row)
{
    uint32_t flags = rows->text[TEXT_FLAGS][row];
    if (flags == 0)
        return false;
    struct bytes text = string_table_at(&rows->strings, flags);
    static const char name[] = "withdrawn";
    return memmem(text.data, text.size, name, sizeof name - 1) != NULL;
}

/* Make `row` a row of the file; false when it has no more. */
static int load(struct overlaying *at, bool *there, struct err *err)
{
    *there = at->row < at->old.count;
    if (*there || at->reader == NULL || at->next_group >= parquet_reader_groups(at->reader))
        return 0;
    rows_clear(&at->old);
    at->row = 0;
    *there = true;
    int status = parquet_reader_group(at->reader, at->next_group++, &at->old, err);
    if (status == 0)
        rows_copier_begin(&at->from_old, &at->out, &at->old);
    return status;
}

static int flush(struct overlaying *at, struct err *err)
{
    if (at->out.count == 0)
        return 0;
    rows_rank(&at->out);
    int status = parquet_file_add(at->file, &at->out, NULL, at->out.count, err);
    rows_clear(&at->out);
    rows_copier_begin(&at->from_old, &at->out, &at->old);
    rows_copier_begin(&at->from_new, &at->out, at->overlay->rows);
    return status;
}

static int emit(struct overlaying *at, struct rows_copier *from, uint32_t row, struct err *err)
{
    rows_copy(from, row);
    return at->out.count == at->options->row_group_rows ? flush(at, err) : 0;
}

/* The next row of the replay; those of one key are of one message, and all stand. */
static int take_new(struct overlaying *at, struct err *err)
{
    if (at->overlay->count - at->next > AHEAD)
        rows_prefetch(at->overlay->rows, at->overlay->order[at->next + AHEAD]);
    uint32_t row = at->overlay->order[at->next++];
    if (!overlay_withdrawn(at->overlay->rows, row))
        return emit(at, &at->from_new, row, err);
    at->withdrawn++;
    return 0;
}

static bool is_stopped(const struct parquet_options *options)
{
    return options->stop && atomic_load_explicit(options->stop, memory_order_relaxed);
}

static int combine(struct overlaying *at, struct overlay_result *result, struct err *err)
{
    for (;;) {
        bool old = false, new = at->next < at->overlay->count;
        int status = load(at, &old, err);
        if (status < 0 || (!old && !new))
            return status < 0 ? status : flush(at, err);
        int order = !old   ? 1
                    : !new ? -1
                           : rows_compare(&at->old, at->row, at->overlay->rows,
                                          at->overlay->order[at->next]);
        if (order < 0)
            status = emit(at, &at->from_old, at->row++, err);
        else if (order > 0)
            status = take_new(at, err);
        else {
            at->row++;
            result->dropped++;
        }
        if (status == 0 && is_stopped(at->options))
            status = err_set(err, GW_ECLOSED, "closing");
        if (status < 0)
            return status;
    }
}

static int check_count(const struct overlaying *at, const struct overlay_result *result,
                       struct err *err)
{
    uint64_t before = at->reader ? parquet_reader_rows(at->reader) : 0;
    if (before - result->dropped + at->overlay->count - at->withdrawn == result->rows)
        return 0;
    return err_set(err, GW_EIO, "a replay lost rows");
}

int overlay_file(const struct disk *disk, const char *path, const struct overlay *overlay,
                 const char *out, const struct parquet_options *options,
                 const struct file_range *range, struct overlay_result *result, struct err *err)
{
    struct parquet_options own = *options;
    struct overlaying at = {.overlay = overlay, .options = &own};
    *result = (struct overlay_result){0};
    gw_assert(overlay->rows->scaled);
    int status = path ? parquet_reader_open(&at.reader, disk, path, err) : 0;
    if (status < 0)
        return status;
    if (at.reader)
        own.scaled = parquet_reader_scaled(at.reader);
    rows_init(&at.old, own.scaled);
    rows_init(&at.out, own.scaled);
    rows_copier_begin(&at.from_new, &at.out, overlay->rows);
    status = parquet_file_new(&at.file, disk, out, &own, range, err);
    if (status == 0)
        status = combine(&at, result, err);
    if (status == 0) {
        result->rows = parquet_file_rows(at.file);
        status = check_count(&at, result, err);
    }
    if (status == 0)
        status = parquet_file_finish(at.file, err);
    if (status == 0)
        result->bytes = parquet_file_bytes(at.file);
    parquet_file_free(at.file);
    parquet_reader_close(at.reader);
    rows_fini(&at.old);
    rows_fini(&at.out);
    rows_copier_fini(&at.from_old);
    rows_copier_fini(&at.from_new);
    return status;
}
