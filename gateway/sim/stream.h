/* SPDX-License-Identifier: Apache-2.0
 *
 * The row of messages that a population of meters makes: who reads when, which payload, and the
 * faults that were ordered. No network, no clock: the same options give the same row. One thread.
 */
#ifndef TIDEGATE_SIM_STREAM_H
#define TIDEGATE_SIM_STREAM_H

#include "sim/publisher.h"

enum message_kind { MESSAGE_READING, MESSAGE_DUPLICATE, MESSAGE_LATE, MESSAGE_GARBAGE };
const char *message_kind_name(enum message_kind kind);

struct sim_message {
    enum message_kind kind;
    uint64_t number; /* from 1, in the order of sending */
    uint64_t meter;  /* index */
    uint64_t device; /* the number on the meter */
    const struct publisher_vendor *vendor;
    int64_t ts_ms;  /* as a reader should understand it */
    int64_t litres; /* -1: garbage */
    struct buffer topic, payload;
};

struct stream;
struct stream *stream_new(const struct publisher_options *options);
void stream_free(struct stream *stream);
/* The next message, valid until the next call; null at the end. */
const struct sim_message *stream_next(struct stream *stream);
/* No more new readings; what is held back as late still comes. */
void stream_end(struct stream *stream);
/* Nothing more at all. */
void stream_stop(struct stream *stream);
uint64_t stream_resets(const struct stream *stream);

#endif
