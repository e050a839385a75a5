/* SPDX-License-Identifier: Apache-2.0
 *
 * The position topic of exactly_once: how far each gateway's sink has come, written in the same
 * transaction as the readings. Key `<identity>/<sink>`, value a line of text, so that kcat shows it:
 *
 *     version=1 next=2001 first=1 last=2000 generation=1 instance=1f00ba4000000001
 *
 * `next` is the first sequence number that is not stored, `first` and `last` the bounds of the unit
 * that was stored with it (0: none yet), `instance` the process that wrote it. Calls that ask
 * brokers block for about timeout_ms at most: on the worker, or in start().
 */
#ifndef TIDEGATE_SINKS_KAFKA_POSITION_H
#define TIDEGATE_SINKS_KAFKA_POSITION_H

#include <librdkafka/rdkafka.h>

#include "sinks/kafka/options.h"

struct position {
    uint64_t next_seq;
    uint64_t first_seq, last_seq;
    uint32_t generation;
    uint64_t instance;
};

void position_format(const struct position *position, struct buffer *out);
/* GW_ECORRUPT: not of this form; GW_EVERSION: of a newer one. */
int position_parse(struct bytes in, struct position *out);

/* `<identity>/<sink>`, the caller frees it. */
char *position_key(const struct sink_host *host);

/* The topic must be compacted, or the brokers throw positions away: GW_EINVAL. When they do not tell
 * us, that is logged and believed. GW_EIO: no answer. */
int position_topic_check(rd_kafka_t *handle, const char *topic, int timeout_ms, struct err *err);

/* The last committed position under our key. Begin only when earlier transactions of ours have ended
 * (init_transactions). 0, GW_ENOENT: there is none, GW_EIO: not known now. */
int position_read(const struct kafka_sink_options *options, const struct sink_host *host,
                  rd_kafka_t *producer, int32_t partitions, int timeout_ms,
                  const _Atomic bool *stop, struct position *out, struct err *err);

#endif
