/* SPDX-License-Identifier: Apache-2.0
 *
 * What a folder of Parquet files should hold, as a list of readings, and units of them; for tests of
 * replays. One thread.
 */
#ifndef TIDEGATE_TESTS_PARQUET_ITEMS_H
#define TIDEGATE_TESTS_PARQUET_ITEMS_H

#include "sinks/sink.h"

enum { ITEMS_MAX = 1200, ITEMS_DAY = 20413 /* 2025-11-21 */ };
static const int64_t ITEMS_MIDNIGHT = ITEMS_DAY * INT64_C(86400000);

struct item {
    uint64_t seq;
    uint32_t device;
    int64_t ts_ms;
    int64_t value;
    bool withdrawn;
};

struct items {
    struct item items[ITEMS_MAX];
    uint32_t count;
};

/* `count` messages of two readings each, before and after ITEMS_MIDNIGHT by turns. */
struct items items_of_messages(uint64_t first_seq, uint32_t count);
void items_add(struct items *list, struct item item);
/* What the list says after these were replayed. */
void items_apply(struct items *list, const struct item *items, uint32_t count);

/* Generation 2 for replays, else 1; freed by test_unit_free. There is room for one more batch. */
struct unit *items_unit(const struct item *items, uint32_t count, bool replay);
struct batch *items_batch(const struct item *items, uint32_t count, uint32_t generation);

/* All files below `path` together hold the list, every column of it. */
void assert_items(const char *path, const struct items *list, bool scaled);

#endif
