/* SPDX-License-Identifier: Apache-2.0
 *
 * One unit, one transaction (exactly_once). state.h holds its state; all calls but
 * transaction_recover are the lane's thread.
 */
#ifndef TIDEGATE_SINKS_KAFKA_TRANSACTION_H
#define TIDEGATE_SINKS_KAFKA_TRANSACTION_H

#include "sinks/kafka/position.h"
#include "sinks/kafka/producer.h"

/*     NONE --begin--> OPEN --all records reported--> POSITION --reported--> ENDING --commit--> NONE
 *                      '------ a record failed -----------'-------------------^ abort, or unknown */
enum transaction_phase {
    TRANSACTION_NONE,
    TRANSACTION_OPEN,
    TRANSACTION_POSITION, /* the position was given to the producer */
    TRANSACTION_ENDING,   /* the worker commits or aborts */
};

struct sink;
struct flight;

/* What the brokers say about us, with a producer that is ready for transactions. */
struct recovery {
    struct position position;
    bool found;
    enum sink_reason reason; /* of a failure */
};

/* Make the producer ready, and read where we are: after start, after each transaction of unknown
 * outcome. Blocks, timeout_ms for each of its steps. GW_EINVAL: the operator must act; GW_ECLOSED:
 * this producer will not do; other errors may pass. */
int transaction_recover(const struct kafka_sink_options *options, const struct sink_host *host,
                        rd_kafka_t *handle, int32_t partitions, int timeout_ms,
                        const _Atomic bool *stop, struct recovery *out, struct err *err);

/* Open one for the flight, when none is open. False: the sink drains. */
bool transaction_begin(struct sink *sink, struct flight *flight);
/* Every record of the flight was reported good: the position, then the end. */
void transaction_finish(struct sink *sink, struct flight *flight);
/* Every record was reported, and some failed: abort, then give the unit back. */
void transaction_abort(struct sink *sink);
/* start(): recover, claim the position for this process; *cursor from there. */
int transaction_start(struct sink *sink, uint64_t *cursor, struct err *err);
/* A producer is ready again, and says where we are. False: the unit was answered by that, or we are
 * fenced. */
bool transaction_resume(struct sink *sink, const struct recovery *recovery);

#endif
