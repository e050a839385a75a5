/* SPDX-License-Identifier: Apache-2.0
 *
 * Asking the brokers about our topics, and creating them where the operator wants that. Blocks: on the
 * worker, or in start().
 */
#ifndef TIDEGATE_SINKS_KAFKA_TOPICS_H
#define TIDEGATE_SINKS_KAFKA_TOPICS_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>

#include "base/err.h"
#include "sinks/kafka/options.h"

struct topic_wish {
    rd_kafka_topic_t *topic;
    bool compacted; /* made so when it is created; one partition */
};

/* What came of asking. */
struct topic_answer {
    int32_t partitions;      /* 0: no answer that could be used */
    enum sink_reason reason; /* when 0 */
    struct err err;
};

/* At most about timeout_ms. */
void topic_ask(rd_kafka_t *handle, const struct topic_wish *wish,
               const struct kafka_sink_options *options, int timeout_ms,
               struct topic_answer *answer);

/* The reason that an error of librdkafka or a broker stands for. */
enum sink_reason reason_of_error(rd_kafka_resp_err_t error);

#endif
