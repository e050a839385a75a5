/* SPDX-License-Identifier: Apache-2.0
 *
 * A bare librdkafka producer with the settings of the kafka sink, for programs that the sink is
 * compared with. Any mistake ends the program with its text. One thread.
 */
#ifndef TIDEGATE_BENCH_PRODUCER_H
#define TIDEGATE_BENCH_PRODUCER_H

#include <librdkafka/rdkafka.h>

#include "base/bytes.h"

struct bench_producer {
    rd_kafka_t *client;
    rd_kafka_topic_t *topic;
    rd_kafka_queue_t *reports;
    int event;          /* readable when reports wait, once somebody asked for it */
    uint64_t delivered; /* reports without error */
};

void bench_producer_init(struct bench_producer *producer, const char *brokers, const char *topic,
                         const char *linger_ms);
void bench_producer_fini(struct bench_producer *producer);

/* An eventfd that can be read when reports wait; before serving, wake takes its count. */
int bench_producer_descriptor(struct bench_producer *producer);
void bench_producer_wake(struct bench_producer *producer);

/* The bytes are copied. False: the queue is full. */
bool bench_producer_send(struct bench_producer *producer, struct bytes key, struct bytes value,
                         void *opaque);
/* Take all reports that are there, waiting up to wait_ms for the first; on_delivered may be null. */
void bench_producer_serve(struct bench_producer *producer, int wait_ms,
                          void (*on_delivered)(void *arg, const rd_kafka_message_t *message),
                          void *arg);

/* "bench: ..." on standard error, exit code 1. */
_Noreturn void bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
rd_kafka_conf_t *bench_conf(const char *const (*pairs)[2], size_t count);

#endif
