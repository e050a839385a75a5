/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of a unit -> records for produce_batch: packed value, key, partition, in one buffer that is
 * used again and again. Sorted by partition, because the library takes a run of one partition under
 * one lock. One thread.
 */
#ifndef TIDEGATE_SINKS_KAFKA_RECORDS_H
#define TIDEGATE_SINKS_KAFKA_RECORDS_H

#include "sinks/kafka/flight.h"
#include "sinks/kafka/options.h"
#include "sinks/kafka/partition.h"
#include "sinks/kafka/producer.h"

/* A slice: large enough to pay, small enough to stay in the cache while it is copied. */
enum { SLICE_RECORDS = 2048 };

struct records;
struct records *records_new(struct identity gateway, const struct kafka_sink_options *options);
void records_free(struct records *records); /* accepts null */
/* Readings or events of a flight; valid until the next call. */
void records_fill(struct records *records, const struct flight *flight, const uint64_t *refs,
                  uint32_t count, int32_t partitions, struct slice *out);
/* One record: value and key, valid until the next call. */
void records_one(struct records *records, const struct flight *flight, uint64_t ref,
                 struct bytes *key, struct bytes *value);

#endif
