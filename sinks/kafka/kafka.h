/* SPDX-License-Identifier: Apache-2.0
 *
 * The sink that produces readings, events and dead letters to Kafka. README.md says what it promises.
 */
#ifndef TIDEGATE_SINKS_KAFKA_KAFKA_H
#define TIDEGATE_SINKS_KAFKA_KAFKA_H

#include "sinks/sink.h"

extern const struct sink_type sink_kafka;

#endif
