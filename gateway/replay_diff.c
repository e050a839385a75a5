/* SPDX-License-Identifier: Apache-2.0
 *
 * Two passes: what is there now finds its counterpart among what is held; what is held and was not
 * found is withdrawn.
 */
#include "replay_diff.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "model/decimal.h"

/* ---- which messages ---- */

void replay_diff_names(struct replay_diff *diff, const struct replay_filter *names,
                       struct seq_set *out)
{
    struct replay_filter filter = *names;
    filter.topic = NULL;
    struct replay_rows rows = replay_rows_of(&filter, diff->now, NULL);
    for (uint32_t row = 0; row < diff->now->count; row++)
        if (replay_rows_has(&rows, row))
            seq_set_add(out, diff->now->seq[row]);
    for (size_t i = 0; i < diff->held->batch_count; i++) {
        const struct batch *batch = diff->held->batches[i];
        rows = replay_rows_of(&filter, batch, NULL);
        for (uint32_t row = 0; row < batch->count; row++)
            if (replay_rows_has(&rows, row))
                seq_set_add(out, batch->seq[row]);
    }
}

static bool is_chosen(const struct replay_diff *diff, const struct batch *batch, uint32_t row)
{
    if (batch->received_ms[row] < diff->filter->from_ms ||
        batch->received_ms[row] >= diff->filter->to_ms)
        return false;
    for (int i = 0; i < 2; i++)
        if (diff->chosen[i] && !seq_set_has(diff->chosen[i], batch->seq[row]))
            return false;
    return true;
}

/* ---- what changed ---- */

static bool same_string(const struct batch *a, uint32_t left, const struct batch *b, uint32_t right)
{
    return bytes_equal(a->strings[left], b->strings[right]);
}

static struct decimal value_of(const struct batch *batch, uint32_t row)
{
    return (struct decimal){batch->unscaled[row], (int8_t)-batch->scale[row]};
}

static bool same_reading(const struct batch *a, uint32_t left, const struct batch *b,
                         uint32_t right)
{
    if ((a->flags[left] ^ b->flags[right]) & FLAG_WITHDRAWN)
        return false;
    if (a->has_value[left] != b->has_value[right] || a->quality[left] != b->quality[right] ||
        !same_string(a, a->unit[left], b, b->unit[right]))
        return false;
    return !a->has_value[left] || decimal_compare(value_of(a, left), value_of(b, right)) == 0;
}

/* ---- examples ---- */

static void side_format(const struct batch *batch, uint32_t row, struct buffer *out)
{
    if (batch == NULL || batch->flags[row] & FLAG_WITHDRAWN) {
        buffer_add_text(out, batch ? "withdrawn" : "nothing");
        return;
    }
    char number[DECIMAL_TEXT_SIZE];
    buffer_add_text(out,
                    batch->has_value[row] ? decimal_format(value_of(batch, row), number) : "null");
    if (batch->strings[batch->unit[row]].size)
        buffer_u8(out, ' ');
    buffer_add_bytes(out, batch->strings[batch->unit[row]]);
    buffer_printf(out, " %s", quality_name((enum quality)batch->quality[row]));
}

static void example_tell(struct replay_diff *diff, const struct batch *before, uint32_t old,
                         const struct batch *now, uint32_t row)
{
    diff->changed++;
    if (diff->example == NULL)
        return;
    const struct batch *any = now ? now : before;
    uint32_t at = now ? row : old;
    struct buffer line = {0};
    char time[CLOCK_TEXT_SIZE];
    buffer_printf(&line, "seq=%" PRIu64 " ", any->seq[at]);
    buffer_add_bytes(&line, any->strings[any->vendor[at]]);
    buffer_u8(&line, '/');
    buffer_add_bytes(&line, any->strings[any->device[at]]);
    buffer_u8(&line, ' ');
    buffer_add_bytes(&line, any->strings[any->metric[at]]);
    buffer_printf(&line, " %s: ", clock_format_ms(any->ts_ms[at], time));
    side_format(before, old, &line);
    buffer_add_text(&line, " -> ");
    if (now)
        side_format(now, row, &line);
    else
        buffer_add_text(&line, "withdrawn");
    buffer_u8(&line, 0);
    if (!diff->example(diff->example_arg, (const char *)line.data))
        diff->example = NULL;
    buffer_fini(&line);
}

/* ---- what goes ---- */

struct gone {
    uint64_t seq;
    uint32_t batch, row;
};
struct gone_list {
    struct gone *items;
    size_t count, capacity;
};

static void gone_add(struct gone_list *list, struct gone gone)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? list->capacity * 2 : 64;
        list->items = mem_realloc(list->items, list->capacity * sizeof *list->items);
    }
    list->items[list->count++] = gone;
}

static int by_seq(const void *a, const void *b)
{
    const struct gone *left = a, *right = b;
    if (left->seq != right->seq)
        return left->seq < right->seq ? -1 : 1;
    if (left->batch != right->batch)
        return left->batch < right->batch ? -1 : 1;
    return (left->row > right->row) - (left->row < right->row);
}

static void gone_collect(struct replay_diff *diff, struct gone_list *list)
{
    for (size_t i = 0; i < diff->held->batch_count; i++) {
        const struct batch *batch = diff->held->batches[i];
        held_look_into(diff->held, batch);
        for (uint32_t row = 0; row < batch->count; row++) {
            if (!is_chosen(diff, batch, row) || !seq_set_has(diff->decoded, batch->seq[row]))
                continue;
            const struct held_slot *slot = held_slot(diff->held, i, row);
            if (slot && !slot->found)
                gone_add(list, (struct gone){batch->seq[row], (uint32_t)i, row});
        }
    }
    if (list->count)
        qsort(list->items, list->count, sizeof *list->items, by_seq);
}

/* The same key, and nothing in it: null, bad, withdrawn; the unit stays. What is withdrawn already
 * goes once more, because another sink may not have heard of it. */
static void gone_send(struct replay_diff *diff, const struct gone *gone, struct batch_builder *to)
{
    const struct batch *batch = diff->held->batches[gone->batch];
    uint32_t row = gone->row;
    if (!(batch->flags[row] & FLAG_WITHDRAWN))
        example_tell(diff, batch, row, NULL, 0);
    struct batch_row copy = {
        .vendor = batch->strings[batch->vendor[row]],
        .device = batch->strings[batch->device[row]],
        .metric = batch->strings[batch->metric[row]],
        .unit = batch->strings[batch->unit[row]],
        .ts_ms = batch->ts_ms[row],
        .scale = batch->scale[row],
        .quality = QUALITY_BAD,
        .time_source = (enum time_source)batch->time_source[row],
        .flags = FLAG_WITHDRAWN,
        .seq = batch->seq[row],
        .received_ms = batch->received_ms[row],
    };
    batch_builder_add(to, &copy);
}

/* ---- all of it ---- */

/* What was held under the key of a row of `now`. */
struct before {
    const struct batch *batch; /* null: nothing */
    uint32_t row;
    bool chosen;
};

static struct before *find_all(struct replay_diff *diff)
{
    const struct batch *now = diff->now;
    struct before *all = mem_alloc((now->count + 1) * sizeof *all);
    held_look_into(diff->held, now);
    for (uint32_t row = 0; row < now->count; row++) {
        const struct held_slot *slot = held_find(diff->held, now, row);
        all[row] = (struct before){.chosen = is_chosen(diff, now, row)};
        if (slot) {
            all[row].batch = diff->held->batches[slot->batch];
            all[row].row = slot->row;
        }
    }
    return all;
}

static void row_send(struct replay_diff *diff, uint32_t row, const struct before *before,
                     struct batch_builder *to)
{
    if (before->batch == NULL || !same_reading(diff->now, row, before->batch, before->row))
        example_tell(diff, before->batch, before->row, diff->now, row);
    replay_row_copy(diff->now, row, to);
}

void replay_diff_rows(struct replay_diff *diff, struct batch_builder *to)
{
    struct gone_list gone = {NULL, 0, 0};
    const struct batch *now = diff->now;
    size_t next = 0;
    diff->changed = 0;
    diff->whole = true;
    struct before *before = find_all(diff);
    gone_collect(diff, &gone);
    for (uint32_t row = 0; row < now->count; row++) {
        diff->whole = diff->whole && before[row].chosen;
        if (!before[row].chosen)
            continue;
        for (; next < gone.count && gone.items[next].seq <= now->seq[row]; next++)
            gone_send(diff, &gone.items[next], to);
        row_send(diff, row, &before[row], to);
    }
    for (; next < gone.count; next++)
        gone_send(diff, &gone.items[next], to);
    free(before);
    free(gone.items);
}
