/* SPDX-License-Identifier: Apache-2.0
 *
 * Records that are no readings: dead letters with the payload as it came, and the headers that say
 * why; and the header of replayed readings. One thread.
 */
#ifndef TIDEGATE_SINKS_KAFKA_LETTERS_H
#define TIDEGATE_SINKS_KAFKA_LETTERS_H

#include <librdkafka/rdkafka.h>

#include "sinks/kafka/flight.h"

struct letter {
    struct bytes key, value; /* borrowed until the next host->message */
    rd_kafka_headers_t *headers;
};

/* The record of a message that gave no reading (RECORD_LETTER), or of one with a reading that Kafka
 * refused (RECORD_REFUSED). `bare`: without the payload, which is too large. GW_EIO: the message
 * cannot be read now. The caller owns the headers. */
int letter_make(struct letter *out, struct sink_host *host, const struct flight *flight,
                uint64_t ref, bool bare, struct err *err);

/* `tidegate-replay`: the generation in decimal. */
rd_kafka_headers_t *replay_headers(const struct flight *flight);

#endif
