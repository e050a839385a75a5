/* SPDX-License-Identifier: Apache-2.0
 *
 * A batch: many readings in columns, with the range of raw sequence numbers they came from.
 *
 * Built by one thread through `struct batch_builder`; read-only once made, and then any thread may
 * hold it by counted references. Strings stand once, in a table; columns hold their index. A batch
 * covers one or more whole extents of the raw log, all decoded in one generation. It also lists
 * the messages that gave no reading.
 */
#ifndef TIDEGATE_MODEL_BATCH_H
#define TIDEGATE_MODEL_BATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "model/quality.h"

/* Where a message ended that gave no reading. Numbers stand on disk. */
enum reject_stage {
    STAGE_ROUTE = 0,     /* no route for its topic */
    STAGE_DECODE = 1,    /* the codec refused it */
    STAGE_NORMALISE = 2, /* decoded, but none of it could be kept */
    STAGE_SINK = 3,      /* a destination refused its readings for good */
    STAGE_EMPTY = 4,     /* decoded well, and holds no reading (a request, an address reply): not
                            a dead letter */
    STAGE_COUNT
};
const char *stage_name(enum reject_stage stage);

struct reject {
    uint64_t seq;
    uint8_t stage;
    uint16_t codec_version;
    uint32_t vendor; /* string index: as routed, or from the login; "" when neither told */
    uint32_t codec;  /* string index, "" for STAGE_ROUTE */
    uint32_t reason; /* string index: a fixed word such as no_route, checksum, bad_json */
    uint32_t detail; /* string index: a sentence for people */
};

/* Counts since the journal was made, so that invariant 9 can be checked across restarts. */
struct batch_totals {
    uint64_t decoded;     /* messages decoded, with or without readings */
    uint64_t dead;        /* messages that became dead letters */
    uint64_t quarantined; /* sequence numbers lost to damage on disk */
    uint64_t readings;
};

struct batch {
    _Atomic uint32_t references;
    uint64_t first_seq, last_seq; /* both inclusive */
    uint32_t generation;
    bool replay; /* false: live */
    /* What it supersedes: readings of these sequence numbers decoded in generations below
     * `generation`. 0, 0: nothing (live batches). */
    uint64_t supersedes_first, supersedes_last;
    int64_t received_min_ms, received_max_ms; /* of its messages */
    struct batch_totals totals;               /* after this batch */

    uint32_t count;                            /* readings; each column below has this many */
    uint32_t *vendor, *device, *metric, *unit; /* string index */
    int64_t *ts_ms;
    int64_t *unscaled; /* value = unscaled * 10^-scale; 0 where has_value is 0 */
    uint8_t *scale;
    uint8_t *has_value;
    uint8_t *quality;
    uint8_t *time_source;
    uint32_t *flags;
    uint64_t *seq;
    int64_t *received_ms;

    uint32_t reject_count;
    struct reject *rejects;

    uint32_t string_count;
    struct bytes *strings; /* point into string_data; index 0 is "" */
    uint8_t *string_data;
    size_t bytes; /* memory that this batch holds, for budgets */
};

struct batch *batch_acquire(struct batch *batch);
void batch_release(struct batch *batch); /* accepts null */
/* The nearest double of a row; only where has_value. round(value, scale) is the decimal again for
 * mantissas below 10^15. */
double batch_value(const struct batch *batch, uint32_t row);

/* One row, for adding. Bytes are copied. */
struct batch_row {
    struct bytes vendor, device, metric, unit;
    int64_t ts_ms;
    int64_t unscaled;
    uint8_t scale;
    bool has_value;
    enum quality quality;
    enum time_source time_source;
    uint32_t flags;
    uint64_t seq;
    int64_t received_ms;
};

struct batch_builder;
struct batch_builder *batch_builder_new(void);
void batch_builder_free(struct batch_builder *builder);
void batch_builder_add(struct batch_builder *builder, const struct batch_row *row);
void batch_builder_reject(struct batch_builder *builder, uint64_t seq, enum reject_stage stage,
                          struct bytes vendor, struct bytes codec, uint16_t codec_version,
                          struct bytes reason, struct bytes detail);
uint32_t batch_builder_rows(const struct batch_builder *builder);
uint32_t batch_builder_rejects(const struct batch_builder *builder);
/* A batch with one reference; the builder is empty again. The caller sets the ranges, generation
 * and totals before anybody else sees it. */
struct batch *batch_builder_finish(struct batch_builder *builder);

/* Columns to bytes and back (gateway/journal/FORMAT.md, "batch"). Appends; GW_ECORRUPT with a text
 * for bytes that are no batch: they may be hostile, nothing in them is trusted. */
void batch_encode(const struct batch *batch, struct buffer *out);
int batch_decode(struct bytes in, struct batch **out, struct err *err);

#endif
