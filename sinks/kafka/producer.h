/* SPDX-License-Identifier: Apache-2.0
 *
 * One producer of librdkafka on a loop: records go in, reports come out. It knows topics, partitions
 * and the limit of its queue, and nothing of units. A producer that failed for good is given to the
 * worker, which ends it beside the loop, and a new one is made.
 *
 * Everything on the lane's thread, but for the calls that say otherwise.
 */
#ifndef TIDEGATE_SINKS_KAFKA_PRODUCER_H
#define TIDEGATE_SINKS_KAFKA_PRODUCER_H

#include <librdkafka/rdkafka.h>
#include <uv.h>

#include "base/bytes.h"
#include "base/err.h"
#include "sinks/kafka/worker.h"

enum producer_topic {
    TOPIC_READINGS,
    TOPIC_EVENTS,
    TOPIC_DEADLETTERS,
    TOPIC_POSITION,
    TOPIC_COUNT,
};

struct producer_hooks {
    /* What became of the record of that token; 0: the brokers have it. Must not send. */
    void (*report)(void *arg, uint64_t token, rd_kafka_resp_err_t error);
    /* Reports came, all there were for now. */
    void (*served)(void *arg);
    /* Something about connections; nothing was lost. */
    void (*trouble)(void *arg, rd_kafka_resp_err_t error, const char *why);
    void *arg;
};

/* Records of one topic, made ready by records.c; `at` are taken. */
struct slice {
    enum producer_topic topic;
    rd_kafka_message_t *messages; /* by partition, a device's in their order */
    uint32_t count, at;
};

struct producer;
/* Takes conf over, also on failure. Names are borrowed for the call; null: no such topic. */
int producer_new(struct producer **out, rd_kafka_conf_t *conf, uv_loop_t *loop,
                 const char *const names[TOPIC_COUNT], const struct producer_hooks *hooks,
                 struct err *err);
/* No hook is called any more; the worker ends it, then gone(arg). */
void producer_retire(struct producer *producer, struct worker *worker, void (*gone)(void *arg),
                     void *arg);

/* Wait for reports and take them, outside the loop: for start(). */
void producer_serve(struct producer *producer, int timeout_ms);

/* Give as much of a slice as the queue takes; true: all of it. When not, served() comes as soon as
 * there is room. What is refused at once is reported from inside. */
bool producer_send(struct producer *producer, struct slice *slice);
/* One record with headers, which are taken over when it returns 0. GW_EFULL: as above. What is
 * refused at once is reported from inside, and then the result is 0. */
int producer_send_one(struct producer *producer, enum producer_topic topic, struct bytes key,
                      struct bytes value, rd_kafka_headers_t *headers, uint64_t token);
/* Records given and not reported. */
uint64_t producer_queued(const struct producer *producer);
/* Forget what was not sent; its reports come with an error. `sent` also what is under way. */
void producer_purge(struct producer *producer, bool sent);
/* The fatal error, or 0. */
rd_kafka_resp_err_t producer_fatal(const struct producer *producer, char *why, size_t size);

/* 0: not known yet. */
int32_t producer_partitions(const struct producer *producer, enum producer_topic topic);
void producer_set_partitions(struct producer *producer, enum producer_topic topic, int32_t count);

/* For calls on the worker; valid until retired. */
rd_kafka_t *producer_handle(struct producer *producer);
rd_kafka_topic_t *producer_topic(struct producer *producer, enum producer_topic topic);

#endif
