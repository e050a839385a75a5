/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading -> row: canonical unit by exact conversion, UTC time, quality with reasons.
 *
 * The normaliser remembers, per (vendor, device, metric), the newest reading: that is how it tells
 * a late, a repeated and a falling one. This memory is bounded (the series heard of longest ago
 * goes first) and is saved with the decode position. Same memory and same readings, same rows:
 * nothing here asks a clock. One thread.
 */
#ifndef TIDEGATE_NORMALISE_H
#define TIDEGATE_NORMALISE_H

#include <stdint.h>

#include "base/err.h"
#include "base/zone.h"
#include "model/batch.h"
#include "model/metric.h"
#include "model/reading.h"

struct normaliser_options {
    const struct vocabulary *vocabulary; /* outlives the normaliser, or the next set_options */
    uint64_t series_max;
    int64_t late_max_ms;  /* a device time further back than this is implausible: 400 days */
    int64_t ahead_max_ms; /* or further ahead: 10 minutes */
};

struct normaliser;
struct normaliser *normaliser_new(const struct normaliser_options *options);
void normaliser_free(struct normaliser *normaliser);
/* What a new configuration says, from the next message on; the memory and its bound stay. */
void normaliser_set_options(struct normaliser *normaliser,
                            const struct normaliser_options *options);

/* Where the readings came from. */
struct normalise_context {
    struct bytes vendor;
    const struct zone *zone;
    uint64_t seq;
    int64_t received_ms;
};

/* Adds one row a reading to `out`; returns the number added. Rows are never dropped: what cannot be
 * converted is kept as sent and flagged. A name that cannot stand in a store (empty, longer than
 * 128 bytes, control characters, invalid UTF-8) makes the message refused: returns -1, adds
 * nothing, changes no memory, and fills reason (fixed word) and detail. */
int normalise(struct normaliser *normaliser, const struct normalise_context *context,
              const struct readings *readings, struct batch_builder *out, const char **reason,
              char detail[200]);

/* The memory as bytes (appended) and back. GW_ECORRUPT or GW_EVERSION: start empty instead. */
void normaliser_save(const struct normaliser *normaliser, struct buffer *out);
int normaliser_load(struct normaliser *normaliser, struct bytes saved, struct err *err);
uint64_t normaliser_series(const struct normaliser *normaliser);

#endif
