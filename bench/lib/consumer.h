/* SPDX-License-Identifier: Apache-2.0
 *
 * All partitions of a topic, read without a consumer group. Any mistake ends the program with its
 * text. One thread.
 */
#ifndef TIDEGATE_BENCH_CONSUMER_H
#define TIDEGATE_BENCH_CONSUMER_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>

struct bench_consumer {
    rd_kafka_t *client;
    int32_t partitions;
    int32_t at_end; /* partitions read to their end */
};

enum bench_begin { BENCH_EARLIEST, BENCH_LATEST };
void bench_consumer_init(struct bench_consumer *consumer, const char *brokers, const char *topic,
                         enum bench_begin begin);
void bench_consumer_fini(struct bench_consumer *consumer);
/* The next record, or null after wait_ms, or at the end of a partition. The caller destroys it. */
rd_kafka_message_t *bench_consumer_next(struct bench_consumer *consumer, int wait_ms);

/* The leader's answer; waits for the topic to be there. */
int32_t bench_partitions(rd_kafka_t *client, const char *topic);

#endif
