/* SPDX-License-Identifier: Apache-2.0
 *
 * The options of a kafka sink, and how they become properties of librdkafka.
 */
#ifndef TIDEGATE_SINKS_KAFKA_OPTIONS_H
#define TIDEGATE_SINKS_KAFKA_OPTIONS_H

#include <librdkafka/rdkafka.h>

#include "sinks/sink.h"

enum kafka_delivery { KAFKA_AT_LEAST_ONCE = 0, KAFKA_EXACTLY_ONCE = 1 };
enum kafka_framing { KAFKA_FRAMING_RAW = 0, KAFKA_FRAMING_CONFLUENT = 1 };

/* Section of a `kafka` sink. */
struct kafka_sink_options {
    char *brokers;
    int delivery; /* enum kafka_delivery */
    char *topic_readings, *topic_events, *topic_deadletters, *topic_position;
    bool create_topics;
    int64_t create_partitions, create_replication;
    bool position_new;
    int framing; /* enum kafka_framing */
    int64_t schema_id_readings, schema_id_events;
    int64_t linger_ms;
    int compression;
    uint64_t memory_bytes;
    int64_t unit_rows, unit_age_ms, units;
    int64_t transaction_timeout_ms;
    char *client_id;
    bool tls;
    char *tls_ca_file, *tls_certificate_file, *tls_key_file, *tls_key_password_file;
    int sasl_mechanism;
    char *sasl_user, *sasl_password_file;
    struct option_map properties;
};

extern const struct option kafka_option_rows[];

/* What cannot be right whatever the brokers say. */
int kafka_options_check(const struct kafka_sink_options *options, struct err *err);
/* What `properties` may not say: GW_EINVAL with the reason, never with a secret. */
int kafka_properties_check(const struct kafka_sink_options *options, struct err *err);

/* Messages that may wait in the producer, by the memory option. */
uint32_t kafka_queue_messages(const struct kafka_sink_options *options);

/* "tidegate-<identity>-<sink>", the caller frees it; null for at_least_once. */
char *kafka_transactional_id(const struct kafka_sink_options *options,
                             const struct sink_host *host);
/* A configuration for a producer, or for the reader of the position topic. Reads the files of
 * secrets, each time anew, so that a changed password is taken up by the next client. Each property
 * is checked by librdkafka; GW_EINVAL names the one that is wrong. transactional_id may be null. The
 * caller destroys *out, or gives it to rd_kafka_new. */
int kafka_conf_producer(const struct kafka_sink_options *options, const struct sink_host *host,
                        const char *transactional_id, rd_kafka_conf_t **out, struct err *err);
int kafka_conf_reader(const struct kafka_sink_options *options, const struct sink_host *host,
                      rd_kafka_conf_t **out, struct err *err);

#endif
