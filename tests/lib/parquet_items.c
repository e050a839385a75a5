/* SPDX-License-Identifier: Apache-2.0
 *
 * Lists of readings, and what files made from them in the plain way hold.
 */
#include "lib/parquet_items.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/parquet_tally.h"
#include "lib/sink_lane.h"
#include "lib/temp_dir.h"
#include "sinks/parquet/unit.h"

void items_add(struct items *list, struct item item)
{
    gw_assert(list->count < ITEMS_MAX);
    list->items[list->count++] = item;
}

struct items items_of_messages(uint64_t first_seq, uint32_t count)
{
    struct items list = {0};
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t device = 0; device < 2; device++)
            items_add(&list, (struct item){.seq = first_seq + i,
                                           .device = (i * 7 + device) % 13,
                                           .ts_ms = ITEMS_MIDNIGHT +
                                                    (i % 2 ? 1000 : -1000) * (int64_t)(i + 1),
                                           .value = (int64_t)(first_seq + i) * 10 + device});
    return list;
}

static struct batch_row row_of(const struct item *item, char device[16])
{
    snprintf(device, 16, "%08u", item->device);
    return (struct batch_row){
        .vendor = bytes_text(item->device % 2 ? "acme" : "zenith"),
        .device = bytes_text(device),
        .metric = bytes_text("volume.total"),
        .unit = bytes_text("m3"),
        .ts_ms = item->ts_ms,
        .unscaled = item->value,
        .scale = 3,
        .has_value = !item->withdrawn,
        .quality = item->withdrawn ? QUALITY_BAD : QUALITY_GOOD,
        .flags = (item->value % 5 == 0 ? FLAG_LATE : 0) | (item->withdrawn ? FLAG_WITHDRAWN : 0),
        .seq = item->seq,
        .received_ms = item->ts_ms + 1500,
    };
}

struct batch *items_batch(const struct item *items, uint32_t count, uint32_t generation)
{
    struct batch_builder *builder = batch_builder_new();
    uint64_t first = UINT64_MAX, last = 0;
    for (uint32_t i = 0; i < count; i++) {
        char device[16];
        struct batch_row row = row_of(&items[i], device);
        batch_builder_add(builder, &row);
        first = row.seq < first ? row.seq : first;
        last = row.seq > last ? row.seq : last;
    }
    struct batch *batch = batch_builder_finish(builder);
    batch->first_seq = first;
    batch->last_seq = last;
    batch->generation = generation;
    batch_builder_free(builder);
    return batch;
}

struct unit *items_unit(const struct item *items, uint32_t count, bool replay)
{
    struct unit *unit = mem_zalloc(sizeof *unit);
    unit->batches = mem_alloc(2 * sizeof *unit->batches);
    unit->batches[0] = items_batch(items, count, replay ? 2 : 1);
    unit->batches[0]->replay = replay;
    unit->batch_count = 1;
    unit->first_seq = unit->batches[0]->first_seq;
    unit->last_seq = unit->batches[0]->last_seq;
    unit->generation = unit->batches[0]->generation;
    unit->replay = replay;
    unit->rows = count;
    return unit;
}

void items_apply(struct items *list, const struct item *items, uint32_t count)
{
    struct items before = *list;
    list->count = 0;
    for (uint32_t i = 0; i < before.count; i++) {
        const struct item *old = &before.items[i];
        bool replaced = false;
        for (uint32_t k = 0; k < count; k++)
            replaced |= items[k].seq == old->seq && items[k].device == old->device &&
                        items[k].ts_ms == old->ts_ms;
        if (!replaced)
            items_add(list, *old);
    }
    for (uint32_t k = 0; k < count; k++)
        if (!items[k].withdrawn)
            items_add(list, items[k]);
}

/* The same readings by a unit of a lane. */
static struct tally tally_wanted(const struct items *list, bool scaled)
{
    struct temp_dir dir;
    struct store store;
    struct unit_result result;
    struct err err = {0};
    const struct parquet_options options = {
        .scaled = scaled, .zstd_level = 1, .row_group_rows = 1000, .page_rows = 1000};
    temp_dir_make(&dir);
    char *path = mem_printf("%s/parquet", dir.path);
    assert_int_equal(
        store_open(&store, &disk_real, path, (struct identity){0x0123456789abcdef}, 1, &err), 0);
    if (list->count) {
        struct unit *unit = items_unit(list->items, list->count, false);
        assert_int_equal(unit_store(&store, unit, &options, &result, &err), 0);
        unit_result_fini(&result);
        test_unit_free(unit);
    }
    store_close(&store);
    struct tally tally = tally_of(path);
    free(path);
    temp_dir_remove(&dir);
    return tally;
}

void assert_items(const char *path, const struct items *list, bool scaled)
{
    struct tally found = tally_of(path), wanted = tally_wanted(list, scaled);
    assert_int_equal(found.rows, wanted.rows);
    assert_int_equal(found.unsorted, 0);
    for (uint64_t seq = 0; seq < TALLY_SEQ_MAX; seq++)
        assert_int_equal(found.seen[seq], wanted.seen[seq]);
    assert_true(found.digest == wanted.digest);
    tally_fini(&found);
    tally_fini(&wanted);
}
