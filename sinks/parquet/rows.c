/* SPDX-License-Identifier: Apache-2.0
 *
 * Readings in the columns of a file, and their order. Separate because the writer, the reader and
 * the merge all stand on it. One thread.
 */
#include "sinks/parquet/rows.h"

#include <stdlib.h>

#include "base/utf8.h"
#include "model/decimal.h"

enum { ROWS_FIRST = 256, DIGIT_BITS = 16 };
/* Years 1 to 9999: what the name of a folder can say. */
enum { MS_PER_DAY = 86400000, DAY_MIN = -719162, DAY_MAX = 2932896 };

int64_t day_of_ms(int64_t ms)
{
    int64_t day = ms / MS_PER_DAY - (ms % MS_PER_DAY < 0);
    return day < DAY_MIN ? DAY_MIN : day > DAY_MAX ? DAY_MAX : day;
}

/* ---- columns ---- */

void rows_init(struct rows *rows, bool scaled)
{
    *rows = (struct rows){.scaled = scaled};
    string_table_init(&rows->strings);
}

void rows_fini(struct rows *rows)
{
    for (int i = 0; i < TEXT_COUNT; i++)
        free(rows->text[i]);
    free(rows->ts);
    free(rows->value);
    free(rows->seq);
    free(rows->received);
    free(rows->scale);
    free(rows->has_value);
    free(rows->rank);
    string_table_fini(&rows->strings);
    *rows = (struct rows){0};
}

void rows_clear(struct rows *rows)
{
    rows->count = 0;
    string_table_clear(&rows->strings);
}

static void grow(struct rows *rows)
{
    uint32_t capacity = rows->capacity ? rows->capacity * 2 : ROWS_FIRST;
    gw_assert(capacity <= ROWS_MAX);
    for (int i = 0; i < TEXT_COUNT; i++)
        rows->text[i] = mem_realloc(rows->text[i], capacity * sizeof *rows->text[i]);
    rows->ts = mem_realloc(rows->ts, capacity * sizeof *rows->ts);
    rows->value = mem_realloc(rows->value, capacity * sizeof *rows->value);
    rows->seq = mem_realloc(rows->seq, capacity * sizeof *rows->seq);
    rows->received = mem_realloc(rows->received, capacity * sizeof *rows->received);
    rows->scale = mem_realloc(rows->scale, capacity);
    rows->has_value = mem_realloc(rows->has_value, capacity);
    rows->capacity = capacity;
}

uint32_t rows_add(struct rows *rows)
{
    if (rows->count == rows->capacity)
        grow(rows);
    return rows->count++;
}

uint32_t rows_extend(struct rows *rows, uint32_t more)
{
    gw_assert(more <= ROWS_MAX - rows->count);
    while (rows->capacity - rows->count < more)
        grow(rows);
    uint32_t first = rows->count;
    rows->count += more;
    return first;
}

uint32_t rows_text(struct rows *rows, struct bytes in, uint32_t guess)
{
    if (utf8_valid(in))
        return string_table_add(&rows->strings, in, guess);
    struct buffer repaired = {0};
    utf8_repair(in, &repaired);
    uint32_t number = string_table_add(&rows->strings, buffer_bytes(&repaired), guess);
    buffer_fini(&repaired);
    return number;
}

/* ---- from other rows ---- */

/* The bits of the nearest double of an exact decimal. */
static uint64_t as_double(const struct rows *rows, uint32_t row)
{
    if (!rows->has_value[row])
        return 0;
    double value =
        decimal_to_double((struct decimal){(int64_t)rows->value[row], (int8_t)-rows->scale[row]});
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

void rows_copier_begin(struct rows_copier *copier, struct rows *to, const struct rows *from)
{
    uint32_t count = from->strings.count;
    gw_assert(from->scaled || !to->scaled);
    if (count > copier->capacity) {
        copier->capacity = count;
        copier->number = mem_realloc(copier->number, count * sizeof *copier->number);
    }
    memset(copier->number, 0xff, count * sizeof *copier->number);
    copier->to = to;
    copier->from = from;
}

void rows_copier_fini(struct rows_copier *copier)
{
    free(copier->number);
    *copier = (struct rows_copier){0};
}

static uint32_t copy_text(struct rows_copier *copier, uint32_t text)
{
    uint32_t *number = &copier->number[text];
    if (*number == UINT32_MAX)
        *number = string_table_add(&copier->to->strings,
                                   string_table_at(&copier->from->strings, text), 0);
    return *number;
}

void rows_prefetch(const struct rows *rows, uint32_t row)
{
    gw_assert(row < rows->count);
    for (int i = 0; i < TEXT_COUNT; i++)
        __builtin_prefetch(&rows->text[i][row]);
    __builtin_prefetch(&rows->ts[row]);
    __builtin_prefetch(&rows->value[row]);
    __builtin_prefetch(&rows->seq[row]);
    __builtin_prefetch(&rows->received[row]);
    __builtin_prefetch(&rows->scale[row]);
    __builtin_prefetch(&rows->has_value[row]);
}

void rows_copy(struct rows_copier *copier, uint32_t row)
{
    const struct rows *from = copier->from;
    struct rows *to = copier->to;
    gw_assert(row < from->count);
    uint32_t at = rows_add(to);
    for (int i = 0; i < TEXT_COUNT; i++)
        to->text[i][at] = copy_text(copier, from->text[i][row]);
    to->ts[at] = from->ts[row];
    to->value[at] = to->scaled == from->scaled ? from->value[row] : as_double(from, row);
    to->seq[at] = from->seq[row];
    to->received[at] = from->received[row];
    to->scale[at] = from->scale[row];
    to->has_value[at] = from->has_value[row];
}

/* ---- from batches ---- */

/* Numbers of a batch's strings in our table, found when first needed. */
struct mapping {
    struct rows *rows;
    const struct batch *batch;
    uint32_t *number; /* UINT32_MAX: not yet */
};

static uint32_t map_string(struct mapping *mapping, uint32_t string)
{
    if (mapping->number[string] == UINT32_MAX)
        mapping->number[string] = rows_text(mapping->rows, mapping->batch->strings[string], 0);
    return mapping->number[string];
}

static uint32_t map_flags(struct rows *rows, uint32_t flags, uint32_t guess)
{
    if (flags == 0)
        return 0;
    struct buffer names = {0};
    flags_format(flags, &names);
    uint32_t number = string_table_add(&rows->strings, buffer_bytes(&names), guess);
    buffer_fini(&names);
    return number;
}

static uint64_t value_bits(const struct rows *rows, const struct batch *batch, uint32_t row)
{
    if (!batch->has_value[row])
        return 0;
    if (rows->scaled)
        return (uint64_t)batch->unscaled[row];
    double value = batch_value(batch, row);
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static void add_batch_row(struct mapping *mapping, uint32_t row, struct bytes gateway)
{
    struct rows *rows = mapping->rows;
    const struct batch *batch = mapping->batch;
    uint32_t at = rows_add(rows);
    uint32_t before = at ? at - 1 : at;
    if (at == 0)
        for (int i = 0; i < TEXT_COUNT; i++)
            rows->text[i][0] = 0;
    rows->text[TEXT_VENDOR][at] = map_string(mapping, batch->vendor[row]);
    rows->text[TEXT_DEVICE][at] = map_string(mapping, batch->device[row]);
    rows->text[TEXT_METRIC][at] = map_string(mapping, batch->metric[row]);
    rows->text[TEXT_UNIT][at] = map_string(mapping, batch->unit[row]);
    rows->text[TEXT_QUALITY][at] =
        string_table_add(&rows->strings, bytes_text(quality_name(batch->quality[row])),
                         rows->text[TEXT_QUALITY][before]);
    rows->text[TEXT_FLAGS][at] = map_flags(rows, batch->flags[row], rows->text[TEXT_FLAGS][before]);
    rows->text[TEXT_TIME_SOURCE][at] =
        string_table_add(&rows->strings, bytes_text(time_source_name(batch->time_source[row])),
                         rows->text[TEXT_TIME_SOURCE][before]);
    rows->text[TEXT_GATEWAY][at] =
        string_table_add(&rows->strings, gateway, rows->text[TEXT_GATEWAY][before]);
    rows->ts[at] = batch->ts_ms[row];
    rows->value[at] = value_bits(rows, batch, row);
    rows->seq[at] = (int64_t)batch->seq[row];
    rows->received[at] = batch->received_ms[row];
    rows->scale[at] = batch->scale[row];
    rows->has_value[at] = batch->has_value[row];
}

static bool texts_fit(const struct batch *batch, uint32_t row, size_t text_max)
{
    return batch->strings[batch->device[row]].size <= text_max &&
           batch->strings[batch->metric[row]].size <= text_max &&
           batch->strings[batch->unit[row]].size <= text_max &&
           batch->strings[batch->vendor[row]].size <= text_max;
}

void rows_add_batch(struct rows *rows, const struct batch *batch, int64_t day, size_t text_max,
                    struct bytes gateway)
{
    struct mapping mapping = {rows, batch, mem_alloc(batch->string_count * sizeof(uint32_t))};
    memset(mapping.number, 0xff, batch->string_count * sizeof(uint32_t));
    for (uint32_t row = 0; row < batch->count; row++)
        if (day_of_ms(batch->ts_ms[row]) == day && texts_fit(batch, row, text_max))
            add_batch_row(&mapping, row, gateway);
    free(mapping.number);
}

/* ---- order ---- */

static int compare_strings(const void *a, const void *b, void *arg)
{
    const struct string_table *strings = arg;
    return bytes_compare(string_table_at(strings, *(const uint32_t *)a),
                         string_table_at(strings, *(const uint32_t *)b));
}

void rows_rank(struct rows *rows)
{
    uint32_t count = rows->strings.count;
    if (count > rows->rank_capacity) {
        rows->rank_capacity = count;
        rows->rank = mem_realloc(rows->rank, count * sizeof *rows->rank);
    }
    uint32_t *sorted = mem_alloc(count * sizeof *sorted);
    for (uint32_t i = 0; i < count; i++)
        sorted[i] = i;
    qsort_r(sorted, count, sizeof *sorted, compare_strings, &rows->strings);
    for (uint32_t i = 0; i < count; i++)
        rows->rank[sorted[i]] = i;
    free(sorted);
}

/* Counting sort by one key, lowest significance first: stable, and linear. */
struct sorter {
    uint32_t count;
    uint32_t *order, *next;
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
        starts[key] = at;
        at += size;
    }
    for (uint32_t i = 0; i < sorter->count; i++) {
        uint32_t row = sorter->order[i];
        sorter->next[starts[sorter->keys[row]]++] = row;
    }
    uint32_t *order = sorter->order;
    sorter->order = sorter->next;
    sorter->next = order;
}

static void sort_by_number(struct sorter *sorter, const int64_t *numbers)
{
    int64_t min = INT64_MAX, max = INT64_MIN;
    for (uint32_t i = 0; i < sorter->count; i++) {
        min = numbers[i] < min ? numbers[i] : min;
        max = numbers[i] > max ? numbers[i] : max;
    }
    uint64_t range = (uint64_t)max - (uint64_t)min;
    for (int shift = 0; shift < 64 && range >> shift; shift += DIGIT_BITS) {
        for (uint32_t i = 0; i < sorter->count; i++)
            sorter->keys[i] = (uint32_t)(((uint64_t)numbers[i] - (uint64_t)min) >> shift) &
                              ((1U << DIGIT_BITS) - 1);
        sort_by_keys(sorter, 1U << DIGIT_BITS);
    }
}

static void sort_by_text(struct sorter *sorter, const struct rows *rows, enum rows_text column)
{
    const uint32_t *text = rows->text[column];
    for (uint32_t i = 0; i < sorter->count; i++)
        sorter->keys[i] = rows->rank[text[i]];
    sort_by_keys(sorter, rows->strings.count);
}

static bool is_ascending(const int64_t *numbers, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++)
        if (numbers[i - 1] > numbers[i])
            return false;
    return true;
}

void rows_sort(const struct rows *rows, uint32_t *order)
{
    uint32_t count = rows->count;
    uint32_t key_count =
        rows->strings.count > 1U << DIGIT_BITS ? rows->strings.count : 1U << DIGIT_BITS;
    if (count == 0)
        return;
    uint32_t *memory = mem_alloc((3 * (size_t)count + key_count) * sizeof *memory);
    struct sorter sorter = {
        .count = count,
        .order = memory,
        .next = memory + count,
        .keys = memory + 2 * (size_t)count,
        .starts = memory + 3 * (size_t)count,
    };
    for (uint32_t i = 0; i < count; i++)
        sorter.order[i] = i;
    if (!is_ascending(rows->seq, count)) /* units come so; replays need not */
        sort_by_number(&sorter, rows->seq);
    sort_by_number(&sorter, rows->ts);
    sort_by_text(&sorter, rows, TEXT_METRIC);
    sort_by_text(&sorter, rows, TEXT_DEVICE);
    sort_by_text(&sorter, rows, TEXT_VENDOR);
    memcpy(order, sorter.order, count * sizeof *order);
    free(memory);
}

int rows_compare(const struct rows *a, uint32_t x, const struct rows *b, uint32_t y)
{
    for (int i = TEXT_VENDOR; i <= TEXT_METRIC; i++) {
        int order = bytes_compare(string_table_at(&a->strings, a->text[i][x]),
                                  string_table_at(&b->strings, b->text[i][y]));
        if (order)
            return order;
    }
    if (a->ts[x] != b->ts[y])
        return a->ts[x] < b->ts[y] ? -1 : 1;
    return (a->seq[x] > b->seq[y]) - (a->seq[x] < b->seq[y]);
}
