/* SPDX-License-Identifier: Apache-2.0
 *
 * The newest reading of every series (vendor, device, metric): the normaliser's memory.
 *
 * A bounded table. When it is full, the eighth of it that was heard of longest ago goes at once,
 * so that a reading costs one search and touches no list. Everything in it follows from the
 * readings alone: the same readings, or a save and the readings behind it, give the same table.
 * One thread.
 */
#ifndef TIDEGATE_SERIES_H
#define TIDEGATE_SERIES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"

/* A name by its hash. 128 bits: among 10^9 series the chance of one mistaken pair is 10^-21. */
struct series_key {
    uint64_t high, low;
};

struct series {
    struct series_key key;
    uint64_t heard; /* raw sequence number of the last message about it */
    int64_t ts_ms;  /* of the newest reading */
    int64_t unscaled;
    uint8_t scale;
    bool has_value;
    bool raw; /* not in the canonical unit, or bad: no counter is compared with it */
};

struct series_table;
struct series_table *series_table_new(uint64_t count_max);
void series_table_free(struct series_table *table);
uint64_t series_table_count(const struct series_table *table);

/* Each part at most SERIES_PART_MAX bytes. */
enum { SERIES_PART_MAX = 128 };
struct series_key series_key_of(struct bytes vendor, struct bytes device, struct bytes metric);

/* The series of `key`, heard of now; *fresh tells that it was not there and is zeroed but for the
 * key. Valid until the next call. */
struct series *series_table_touch(struct series_table *table, struct series_key key, uint64_t heard,
                                  bool *fresh);

/* A table of many series does not fit the cache, and the two reads of a search wait for memory.
 * These only start them: the first as soon as a key is known, the second a few keys later. */
void series_table_expect(const struct series_table *table, struct series_key key);
void series_table_expect_soon(const struct series_table *table, struct series_key key);

/* As bytes (appended) and back. Load replaces everything; after an error the table is empty. */
void series_table_save(const struct series_table *table, struct buffer *out);
int series_table_load(struct series_table *table, struct bytes saved, struct err *err);

#endif
