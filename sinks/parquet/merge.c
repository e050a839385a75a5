/* SPDX-License-Identifier: Apache-2.0
 *
 * Merge of sorted files by a heap of their next rows. Rows of one key keep the order of the inputs.
 * One thread; it does not touch the store, so units can be written meanwhile.
 */
#include "sinks/parquet/merge.h"

#include <stdlib.h>

#include "sinks/parquet/reader.h"

struct input {
    struct parquet_reader *reader;
    size_t next_group;
    struct rows rows; /* the present group */
    uint32_t row;
    struct rows_copier copier; /* to merge->out */
};

struct merge {
    struct input inputs[MERGE_INPUTS_MAX];
    size_t count;
    size_t heap[MERGE_INPUTS_MAX]; /* inputs that have a row, the smallest first */
    size_t heap_count;
    struct rows out;
    struct parquet_file *file;
};

/* ---- heap ---- */

static bool comes_before(const struct merge *merge, size_t a, size_t b)
{
    const struct input *x = &merge->inputs[a], *y = &merge->inputs[b];
    int order = rows_compare(&x->rows, x->row, &y->rows, y->row);
    return order < 0 || (order == 0 && a < b);
}

static void sift_down(struct merge *merge, size_t at)
{
    for (;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2; child++)
            if (child < merge->heap_count &&
                comes_before(merge, merge->heap[child], merge->heap[least]))
                least = child;
        if (least == at)
            return;
        size_t input = merge->heap[at];
        merge->heap[at] = merge->heap[least];
        merge->heap[least] = input;
        at = least;
    }
}

/* ---- input ---- */

/* Make inputs[i].row a row, reading the next group if need be; false when there is none. */
static int load(struct merge *merge, struct input *input, bool *there, struct err *err)
{
    *there = input->row < input->rows.count;
    if (*there || input->next_group >= parquet_reader_groups(input->reader))
        return 0;
    rows_clear(&input->rows);
    input->row = 0;
    *there = true;
    int status = parquet_reader_group(input->reader, input->next_group++, &input->rows, err);
    if (status == 0)
        rows_copier_begin(&input->copier, &merge->out, &input->rows);
    return status;
}

static int open_inputs(struct merge *merge, const struct disk *disk, char *const *paths,
                       size_t count, struct merge_result *result, struct err *err)
{
    int status = 0;
    for (size_t i = 0; i < count && status == 0; i++) {
        struct input *input = &merge->inputs[i];
        result->damaged = i;
        status = parquet_reader_open(&input->reader, disk, paths[i], err);
        if (status < 0)
            break;
        merge->count = i + 1;
        bool scaled = parquet_reader_scaled(input->reader), there = false;
        rows_init(&input->rows, scaled);
        if (i == 0)
            rows_init(&merge->out, scaled);
        if (scaled != parquet_reader_scaled(merge->inputs[0].reader))
            return err_set(err, GW_EINVAL, "%s has another form of value", paths[i]);
        status = load(merge, input, &there, err);
        if (there)
            merge->heap[merge->heap_count++] = i;
    }
    for (size_t i = merge->heap_count; i > 0 && status == 0; i--)
        sift_down(merge, i - 1);
    return status;
}

/* ---- output ---- */

static int flush(struct merge *merge, struct err *err)
{
    if (merge->out.count == 0)
        return 0;
    rows_rank(&merge->out);
    int status = parquet_file_add(merge->file, &merge->out, NULL, merge->out.count, err);
    rows_clear(&merge->out);
    for (size_t i = 0; i < merge->count; i++)
        rows_copier_begin(&merge->inputs[i].copier, &merge->out, &merge->inputs[i].rows);
    return status;
}

/* The smallest row to the output, and its input on to the next. */
static int step(struct merge *merge, struct merge_result *result, struct err *err)
{
    size_t number = merge->heap[0];
    struct input *input = &merge->inputs[number];
    bool there = false;
    rows_copy(&input->copier, input->row++);
    int status = load(merge, input, &there, err);
    if (status < 0) {
        result->damaged = number;
        return status;
    }
    if (!there)
        merge->heap[0] = merge->heap[--merge->heap_count];
    sift_down(merge, 0);
    return 0;
}

static bool is_stopped(const struct parquet_options *options)
{
    return options->stop && atomic_load_explicit(options->stop, memory_order_relaxed);
}

static int merge_rows(struct merge *merge, const struct parquet_options *options,
                      struct merge_result *result, struct err *err)
{
    int status = 0;
    while (merge->heap_count && status == 0) {
        if (is_stopped(options))
            return err_set(err, GW_ECLOSED, "closing");
        status = step(merge, result, err);
        if (status == 0 && merge->out.count == options->row_group_rows)
            status = flush(merge, err);
    }
    return status < 0 ? status : flush(merge, err);
}

static int check_count(const struct merge *merge, struct err *err)
{
    uint64_t rows = 0;
    for (size_t i = 0; i < merge->count; i++)
        rows += parquet_reader_rows(merge->inputs[i].reader);
    if (rows == parquet_file_rows(merge->file))
        return 0;
    return err_set(err, GW_EIO, "a merge lost rows");
}

int merge_files(const struct disk *disk, char *const *inputs, size_t count, const char *out,
                const struct parquet_options *options, const struct file_range *range,
                struct merge_result *result, struct err *err)
{
    gw_assert(count > 0 && count <= MERGE_INPUTS_MAX);
    struct merge *merge = mem_zalloc(sizeof *merge);
    struct parquet_options own = *options;
    *result = (struct merge_result){0};
    int status = open_inputs(merge, disk, inputs, count, result, err);
    if (status == 0) {
        own.scaled = parquet_reader_scaled(merge->inputs[0].reader);
        status = parquet_file_new(&merge->file, disk, out, &own, range, err);
    }
    if (status == 0)
        status = merge_rows(merge, &own, result, err);
    if (status == 0)
        status = check_count(merge, err);
    if (status == 0)
        status = parquet_file_finish(merge->file, err);
    if (status == 0) {
        result->rows = parquet_file_rows(merge->file);
        result->bytes = parquet_file_bytes(merge->file);
    }
    parquet_file_free(merge->file);
    for (size_t i = 0; i < merge->count; i++) {
        parquet_reader_close(merge->inputs[i].reader);
        rows_fini(&merge->inputs[i].rows);
        rows_copier_fini(&merge->inputs[i].copier);
    }
    rows_fini(&merge->out);
    free(merge);
    return status;
}
