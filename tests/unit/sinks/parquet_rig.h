/* SPDX-License-Identifier: Apache-2.0
 *
 * A folder with a Parquet sink on it, for tests of replays. One thread.
 */
#ifndef TIDEGATE_TESTS_PARQUET_RIG_H
#define TIDEGATE_TESTS_PARQUET_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/parquet_items.h"
#include "lib/parquet_tally.h"
#include "lib/sink_lane.h"
#include "lib/temp_dir.h"
#include "sinks/parquet/parquet.h"

struct place {
    struct temp_dir dir;
    struct sink_lane lane;
    bool open;
};

static inline void open_place(struct place *place, const struct disk *disk, uint64_t cursor,
                              int value)
{
    struct err err = {0};
    sink_lane_init(&place->lane, &sink_parquet, disk, place->dir.path);
    struct parquet_sink_options *options = place->lane.options;
    options->min_free_bytes = 0;
    options->value = value;
    options->row_group_rows = 64;
    options->compact = false; /* merges run beside: where one is wanted it is asked for */
    if (sink_lane_start(&place->lane, cursor, &err) < 0)
        fail_msg("%s", err.text);
    place->open = true;
}

static inline void place_make(struct place *place)
{
    *place = (struct place){0};
    temp_dir_make(&place->dir);
    open_place(place, &disk_real, 1, PARQUET_VALUE_DOUBLE);
}

static inline void place_close(struct place *place)
{
    if (place->open)
        sink_lane_fini(&place->lane);
    place->open = false;
}

static inline void place_remove(struct place *place)
{
    place_close(place);
    temp_dir_remove(&place->dir);
}

static inline void place_again(struct place *place, uint64_t cursor, int value)
{
    place_close(place);
    open_place(place, &disk_real, cursor, value);
}

static inline void put(struct place *place, const struct item *items, uint32_t count, bool replay)
{
    struct unit *unit = items_unit(items, count, replay);
    if (place->lane.answer_count + 1 >= SINK_LANE_ANSWERS_MAX)
        place->lane.answer_count = 0;
    enum sink_answer answer = sink_lane_put(&place->lane, unit);
    if (answer != SINK_STORED)
        fail_msg("%s", place->lane.answers[place->lane.answer_count - 1].why);
    test_unit_free(unit);
}

static inline void put_list(struct place *place, const struct items *list, bool replay)
{
    put(place, list->items, list->count, replay);
}

/* Until nothing of replays waits any more, at most ten seconds. */
static inline void settle(struct place *place)
{
    for (int i = 0; i < 10000; i++) {
        struct buffer text = {0};
        sink_parquet.metrics(place->lane.sink, &text);
        buffer_u8(&text, 0);
        bool waits =
            strstr((const char *)text.data, "replay_waiting_rows{sink=\"parquet\"} 0\n") == NULL;
        buffer_fini(&text);
        if (!waits)
            return;
        uv_run(&place->lane.loop, UV_RUN_ONCE);
    }
    fail_msg("replays still wait");
}

static inline struct tally tally_place(const struct place *place)
{
    char *path = mem_printf("%s/parquet", place->dir.path);
    struct tally tally = tally_of(path);
    free(path);
    return tally;
}

static inline void assert_holds_as(const struct place *place, const struct items *list, int value)
{
    char *path = mem_printf("%s/parquet", place->dir.path);
    assert_items(path, list, value == PARQUET_VALUE_SCALED);
    free(path);
}

static inline void assert_holds(const struct place *place, const struct items *list)
{
    assert_holds_as(place, list, PARQUET_VALUE_DOUBLE);
}

#endif
