/* SPDX-License-Identifier: Apache-2.0
 *
 * Units of replays that are durable and not in the files yet. A merged file holds a row of almost
 * every device in each of its row groups, so a unit costs as much as the file; what waits here goes
 * into it together. Also the place of units that are ahead of the lane. In order: what came later
 * counts. One thread at a time.
 */
#ifndef TIDEGATE_SINKS_PARQUET_PENDING_H
#define TIDEGATE_SINKS_PARQUET_PENDING_H

#include "sinks/parquet/store.h"
#include "sinks/sink.h"

struct pending_unit {
    uint64_t number; /* counts up; the file's name */
    uint64_t first_seq, last_seq, rows;
    int64_t first_day, last_day;
};

struct pending {
    const struct disk *disk;
    char *folder;
    uint64_t gateway;
    struct pending_unit *units; /* the oldest first */
    size_t count;
    uint64_t rows; /* of all */
    uint64_t next_number;
    bool unsure; /* a unit that was not confirmed may be there after a loss of power */
};

/* What a unit is, without a number. */
struct pending_unit pending_describe(const struct unit *unit);

/* Lists what waits in the store's work folder. After an error nothing is left to close. */
int pending_open(struct pending *pending, const struct store *store, struct err *err);
void pending_close(struct pending *pending); /* accepts a zeroed object, or twice */
/* Durable when it returns 0. */
int pending_add(struct pending *pending, const struct unit *unit, struct err *err);

struct pending_batches {
    struct batch **batches;
    uint32_t count;
    size_t units; /* of the oldest, that they are of */
};
void pending_batches_fini(struct pending_batches *batches); /* accepts a zeroed object */
/* The oldest units below sequence number `below`, up to about rows_max rows but at least one. A unit
 * that is damaged is told and passed over: its part is empty. */
int pending_load(const struct pending *pending, uint64_t below, uint64_t rows_max,
                 struct pending_batches *out, struct err *err);
/* The first `units` are in the files. When this failed they come again, before anything newer. */
int pending_drop(struct pending *pending, size_t units, struct err *err);

#endif
