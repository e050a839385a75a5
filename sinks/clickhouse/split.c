/* SPDX-License-Identifier: Apache-2.0
 *
 * A unit into parts. Strings of all batches are put into one table and numbered by their order, so
 * that rows are sorted by numbers, and the block finds its dictionaries made. One thread.
 */
#include "sinks/clickhouse/split.h"

#include <stdio.h>
#include <stdlib.h>
#define XXH_STATIC_LINKING_ONLY /* the state on the stack */
#include <xxhash.h>

#include "base/utf8.h"

enum { MS_PER_DAY = 86400000, DIGIT_BITS = 16 };
/* Numbers and fixed words of a row in a block, as an upper bound. */
enum { ROW_FIXED_SIZE = 256 };

uint32_t shard_of(struct bytes vendor, struct bytes device, uint32_t shards)
{
    XXH64_state_t state;
    XXH64_reset(&state, 0);
    XXH64_update(&state, vendor.data, vendor.size);
    XXH64_update(&state, "/", 1);
    XXH64_update(&state, device.data, device.size);
    return (uint32_t)(XXH64_digest(&state) % shards);
}

uint64_t split_seq(const struct split *split, uint32_t index)
{
    gw_assert(index < split->row_count);
    const struct split_row *row = &split->rows[index];
    return split->unit->batches[row->batch]->seq[row->row];
}

static int64_t day_of(int64_t ms)
{
    return ms / MS_PER_DAY - (ms % MS_PER_DAY < 0);
}

/* ---- strings ---- */

/* The number of each string of each batch, first in our table, then by rank. */
struct numbering {
    uint32_t **of_batch; /* UINT32_MAX: no row has it */
};

static uint32_t table_put(struct string_table *table, struct bytes in)
{
    if (utf8_valid(in))
        return string_table_add(table, in, 0);
    struct buffer repaired = {0};
    utf8_repair(in, &repaired);
    uint32_t number = string_table_add(table, buffer_bytes(&repaired), 0);
    buffer_fini(&repaired);
    return number;
}

static void number_column(struct string_table *table, const struct batch *batch,
                          const uint32_t *column, uint32_t *numbers)
{
    for (uint32_t row = 0; row < batch->count; row++)
        if (numbers[column[row]] == UINT32_MAX)
            numbers[column[row]] = table_put(table, batch->strings[column[row]]);
}

static uint32_t *number_batch(struct string_table *table, const struct batch *batch)
{
    size_t size = batch->string_count * sizeof(uint32_t);
    uint32_t *numbers = mem_alloc(size + 1);
    if (size)
        memset(numbers, 0xff, size);
    number_column(table, batch, batch->vendor, numbers);
    number_column(table, batch, batch->device, numbers);
    number_column(table, batch, batch->metric, numbers);
    number_column(table, batch, batch->unit, numbers);
    return numbers;
}

static int compare_strings(const void *a, const void *b, void *arg)
{
    const struct string_table *table = arg;
    return bytes_compare(string_table_at(table, *(const uint32_t *)a),
                         string_table_at(table, *(const uint32_t *)b));
}

/* Fills split->strings, and ranks[number]. */
static uint32_t *rank_strings(struct split *split)
{
    uint32_t count = split->table.count;
    uint32_t *sorted = mem_alloc(count * sizeof *sorted);
    uint32_t *ranks = mem_alloc(count * sizeof *ranks);
    for (uint32_t i = 0; i < count; i++)
        sorted[i] = i;
    qsort_r(sorted, count, sizeof *sorted, compare_strings, &split->table);
    split->strings = mem_alloc(count * sizeof *split->strings);
    split->string_count = count;
    for (uint32_t i = 0; i < count; i++) {
        ranks[sorted[i]] = i;
        split->strings[i] = string_table_at(&split->table, sorted[i]);
    }
    free(sorted);
    return ranks;
}

static void numbering_init(struct numbering *numbering, struct split *split)
{
    const struct unit *unit = split->unit;
    string_table_init(&split->table);
    numbering->of_batch = mem_alloc((unit->batch_count + 1) * sizeof(uint32_t *));
    for (uint32_t b = 0; b < unit->batch_count; b++)
        numbering->of_batch[b] = number_batch(&split->table, unit->batches[b]);
    uint32_t *ranks = rank_strings(split);
    for (uint32_t b = 0; b < unit->batch_count; b++)
        for (uint32_t i = 0; i < unit->batches[b]->string_count; i++)
            if (numbering->of_batch[b][i] != UINT32_MAX)
                numbering->of_batch[b][i] = ranks[numbering->of_batch[b][i]];
    free(ranks);
}

static void numbering_fini(struct numbering *numbering, const struct unit *unit)
{
    for (uint32_t b = 0; b < unit->batch_count; b++)
        free(numbering->of_batch[b]);
    free(numbering->of_batch);
}

/* ---- rows ---- */

static void refuse(struct split *split, uint64_t seq, int64_t ts_ms)
{
    split->refusals =
        mem_realloc(split->refusals, (split->refusal_count + 1) * sizeof *split->refusals);
    struct sink_refusal *refusal = &split->refusals[split->refusal_count++];
    *refusal = (struct sink_refusal){.seq = seq, .reason = "time_range"};
    snprintf(refusal->detail, sizeof refusal->detail,
             "the table's time type cannot hold %lld ms since 1970", (long long)ts_ms);
}

static void gather_batch(struct split *split, uint32_t number, const uint32_t *numbers,
                         const struct split_limits *limits)
{
    const struct batch *batch = split->unit->batches[number];
    for (uint32_t row = 0; row < batch->count; row++) {
        int64_t ts = batch->ts_ms[row];
        if (ts < limits->ts_min_ms || ts > limits->ts_max_ms) {
            refuse(split, batch->seq[row], ts);
            continue;
        }
        split->rows[split->row_count++] = (struct split_row){
            .batch = number,
            .row = row,
            .vendor = numbers[batch->vendor[row]],
            .device = numbers[batch->device[row]],
            .metric = numbers[batch->metric[row]],
            .unit = numbers[batch->unit[row]],
            .ts_ms = ts,
        };
    }
}

/* ---- order ---- */

/* Counting sort by one key after the other, the least significant first: stable and linear. */
struct sorter {
    struct split_row *rows, *next;
    uint32_t count;
    uint32_t *keys;   /* of each row, below the key_count of a pass */
    uint32_t *starts; /* where rows of each key go next */
};

static void sort_by_keys(struct sorter *sorter, uint32_t key_count)
{
    uint32_t *starts = sorter->starts;
    memset(starts, 0, key_count * sizeof *starts);
    for (uint32_t i = 0; i < sorter->count; i++)
        starts[sorter->keys[i]]++;
    uint32_t at = 0;
    for (uint32_t key = 0; key < key_count; key++) {
        uint32_t size = starts[key];
        if (size == sorter->count)
            return; /* all have this key */
        starts[key] = at;
        at += size;
    }
    for (uint32_t i = 0; i < sorter->count; i++)
        sorter->next[starts[sorter->keys[i]]++] = sorter->rows[i];
    struct split_row *rows = sorter->rows;
    sorter->rows = sorter->next;
    sorter->next = rows;
}

static void sort_by_ts(struct sorter *sorter)
{
    int64_t min = INT64_MAX, max = INT64_MIN;
    for (uint32_t i = 0; i < sorter->count; i++) {
        min = sorter->rows[i].ts_ms < min ? sorter->rows[i].ts_ms : min;
        max = sorter->rows[i].ts_ms > max ? sorter->rows[i].ts_ms : max;
    }
    uint64_t range = (uint64_t)max - (uint64_t)min;
    for (int shift = 0; shift < 64 && range >> shift; shift += DIGIT_BITS) {
        for (uint32_t i = 0; i < sorter->count; i++)
            sorter->keys[i] =
                (uint32_t)(((uint64_t)sorter->rows[i].ts_ms - (uint64_t)min) >> shift) &
                ((1U << DIGIT_BITS) - 1);
        sort_by_keys(sorter, 1U << DIGIT_BITS);
    }
}

static void sort_by_names(struct sorter *sorter, uint32_t string_count)
{
    for (uint32_t i = 0; i < sorter->count; i++)
        sorter->keys[i] = sorter->rows[i].metric;
    sort_by_keys(sorter, string_count);
    for (uint32_t i = 0; i < sorter->count; i++)
        sorter->keys[i] = sorter->rows[i].device;
    sort_by_keys(sorter, string_count);
    for (uint32_t i = 0; i < sorter->count; i++)
        sorter->keys[i] = sorter->rows[i].vendor;
    sort_by_keys(sorter, string_count);
}

static void sort_by_day(struct sorter *sorter)
{
    int64_t min = INT64_MAX, max = INT64_MIN;
    for (uint32_t i = 0; i < sorter->count; i++) {
        int64_t day = day_of(sorter->rows[i].ts_ms);
        min = day < min ? day : min;
        max = day > max ? day : max;
    }
    for (int shift = 0; (uint64_t)(max - min) >> shift; shift += DIGIT_BITS) {
        for (uint32_t i = 0; i < sorter->count; i++)
            sorter->keys[i] = (uint32_t)((day_of(sorter->rows[i].ts_ms) - min) >> shift) &
                              ((1U << DIGIT_BITS) - 1);
        sort_by_keys(sorter, 1U << DIGIT_BITS);
    }
}

/* Rows of a device stand together by now, so each device is hashed about once. */
static void find_shards(const struct split *split, const struct split_row *rows, uint32_t count,
                        uint32_t shards, uint32_t *shard)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct split_row *row = &rows[i];
        if (i && row->device == row[-1].device && row->vendor == row[-1].vendor)
            shard[i] = shard[i - 1];
        else
            shard[i] = shard_of(split->strings[row->vendor], split->strings[row->device], shards);
    }
}

static void sort_rows(struct split *split, uint32_t shards)
{
    uint32_t count = split->row_count;
    uint32_t key_count =
        split->string_count > 1U << DIGIT_BITS ? split->string_count : 1U << DIGIT_BITS;
    struct sorter sorter = {
        .rows = split->rows,
        .next = mem_alloc((count + 1) * sizeof *sorter.next),
        .count = count,
        .keys = mem_alloc((count + (size_t)key_count) * sizeof *sorter.keys),
    };
    sorter.starts = sorter.keys + count;
    sort_by_ts(&sorter);
    sort_by_names(&sorter, split->string_count);
    sort_by_day(&sorter);
    if (shards > 1) {
        find_shards(split, sorter.rows, count, shards, sorter.keys);
        sort_by_keys(&sorter, shards);
    }
    split->rows = sorter.rows;
    free(sorter.next);
    free(sorter.keys);
}

/* ---- parts ---- */

static size_t row_size(const struct split *split, const struct split_row *row)
{
    return ROW_FIXED_SIZE + split->strings[row->vendor].size + split->strings[row->device].size +
           split->strings[row->metric].size + split->strings[row->unit].size;
}

static struct part *add_part(struct split *split, uint32_t *capacity)
{
    if (split->part_count == *capacity) {
        *capacity = *capacity ? *capacity * 2 : 16;
        split->parts = mem_realloc(split->parts, *capacity * sizeof *split->parts);
    }
    return &split->parts[split->part_count++];
}

static void cut_parts(struct split *split, const struct split_limits *limits)
{
    struct part *part = NULL;
    uint32_t capacity = 0, shard = 0;
    size_t part_size = 0;
    for (uint32_t i = 0; i < split->row_count; i++) {
        const struct split_row *row = &split->rows[i];
        if (i == 0 || row->device != row[-1].device || row->vendor != row[-1].vendor)
            shard =
                shard_of(split->strings[row->vendor], split->strings[row->device], limits->shards);
        int64_t day = day_of(row->ts_ms);
        size_t size = row_size(split, row);
        if (!part || part->shard != shard || part->day != day || part->count >= limits->rows_max ||
            part_size + size > limits->bytes_max) {
            part = add_part(split, &capacity);
            *part = (struct part){.shard = shard, .day = day, .first = i};
            part_size = 0;
        }
        part->count++;
        part_size += size;
    }
    for (uint32_t i = 0; i < split->part_count; i++)
        split->small_count += split->parts[i].count < SPLIT_SMALL;
}

/* ---- life ---- */

void split_init(struct split *split, const struct unit *unit, const struct split_limits *limits)
{
    gw_assert(limits->shards > 0 && limits->shards <= SPLIT_SHARDS_MAX && limits->rows_max > 0);
    *split = (struct split){.unit = unit};
    size_t rows = 0;
    for (uint32_t b = 0; b < unit->batch_count; b++)
        rows += unit->batches[b]->count;
    gw_assert(rows < UINT32_MAX);
    split->rows = mem_alloc((rows + 1) * sizeof *split->rows);
    struct numbering numbering;
    numbering_init(&numbering, split);
    for (uint32_t b = 0; b < unit->batch_count; b++)
        gather_batch(split, b, numbering.of_batch[b], limits);
    numbering_fini(&numbering, unit);
    if (split->row_count == 0)
        return;
    sort_rows(split, limits->shards);
    cut_parts(split, limits);
}

void split_fini(struct split *split)
{
    free(split->rows);
    free(split->parts);
    free(split->refusals);
    free(split->strings);
    if (split->unit)
        string_table_fini(&split->table);
    *split = (struct split){0};
}
