/* SPDX-License-Identifier: Apache-2.0
 *
 * Which partition a key is in: also asked by who looks for a record later. Any thread.
 */
#ifndef TIDEGATE_SINKS_KAFKA_PARTITION_H
#define TIDEGATE_SINKS_KAFKA_PARTITION_H

#include <stdint.h>

#include "base/bytes.h"

/* As Kafka's own clients place a key. */
int32_t partition_of_key(struct bytes key, int32_t partitions);

#endif
