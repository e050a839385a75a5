/* SPDX-License-Identifier: Apache-2.0
 *
 * A reading as a codec gives it: exact value, the unit as it was sent, the time as it was sent.
 * The normaliser turns it into a row of a batch (model/batch.h).
 */
#ifndef TIDEGATE_MODEL_READING_H
#define TIDEGATE_MODEL_READING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "model/decimal.h"
#include "model/quality.h"

enum reading_time {
    READING_TIME_NONE,  /* the payload has none: the receive time is used */
    READING_TIME_UTC,   /* ts_ms is UTC */
    READING_TIME_LOCAL, /* ts_ms is civil time taken as UTC; the vendor's zone decides */
};

/* All bytes live in the arena of the `struct readings` they stand in, or in static memory. */
struct reading {
    struct bytes device; /* as printed on the meter, leading zeros kept; never empty */
    struct bytes metric; /* vocabulary name, or the payload's own name */
    struct bytes unit;   /* as sent, "" when none was sent */
    struct decimal value;
    bool has_value;    /* false: the value is null, and quality says why */
    bool unit_implied; /* no unit in the payload, and the format says it is the canonical one */
    enum reading_time time;
    int64_t ts_ms;
    enum time_source time_source; /* DEVICE or PLATFORM when `time` is not NONE */
    enum quality quality;
    uint32_t flags; /* enum reading_flag, what the codec knows */
};

/* What one message gave: a bounded list. One thread. */
struct readings {
    struct arena arena; /* strings of the readings; reset with the list */
    struct reading *items;
    size_t count;
    size_t capacity;
    size_t count_max; /* a message that gives more is refused (FULL) */
};

void readings_init(struct readings *readings, size_t count_max);
void readings_fini(struct readings *readings);
void readings_reset(struct readings *readings);
/* A zeroed reading at the end, or null when count_max is reached. Valid until the next call. */
struct reading *readings_add(struct readings *readings);

#endif
