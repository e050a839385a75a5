/* SPDX-License-Identifier: Apache-2.0
 *
 * librdkafka's mock brokers, for injecting errors, and a consumer that reads what came there. What a
 * real broker does is tested elsewhere. One thread.
 */
#ifndef TIDEGATE_TESTS_KAFKA_MOCK_H
#define TIDEGATE_TESTS_KAFKA_MOCK_H

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "base/bytes.h"

struct kafka_mock {
    rd_kafka_t *handle;
    rd_kafka_mock_cluster_t *cluster;
    const char *brokers;
};

struct kafka_record {
    int32_t partition;
    char *key, *value; /* owned, NUL behind */
    size_t key_size, value_size;
    char *headers; /* "name=value;name=value;" */
};

struct kafka_records {
    struct kafka_record *items;
    size_t count;
};

enum { KAFKA_MOCK_PARTITIONS = 4 };

void kafka_mock_init(struct kafka_mock *mock, int brokers);
void kafka_mock_fini(struct kafka_mock *mock);
void kafka_mock_topic(struct kafka_mock *mock, const char *name);
/* All of a topic, each partition in order. */
void kafka_mock_read(const struct kafka_mock *mock, const char *topic, struct kafka_records *out);
void kafka_records_fini(struct kafka_records *records);
/* The value of a header, in static memory until the next call, or null. */
const char *kafka_record_header(const struct kafka_record *record, const char *name);

#endif
