/* SPDX-License-Identifier: Apache-2.0
 *
 * Dead letters of STAGE_SINK: messages with a reading that a destination will never take. They
 * stand in a log of their own beside the decoder's dead letters, because they come later and in
 * another order: its sequence numbers only count letters. The folder is made with the first one.
 * Any thread, a lock inside.
 */
#ifndef TIDEGATE_REFUSED_H
#define TIDEGATE_REFUSED_H

#include "base/disk.h"
#include "base/err.h"
#include "journal/journal.h"
#include "sinks/sink.h"

struct refused;
/* `raw` outlives it: the messages are read from there. */
struct refused *refused_new(const struct disk *disk, const char *dir, struct journal *raw);
void refused_free(struct refused *refused); /* accepts null */

/* Store the messages of these rows, whole; 0 means durable. A message with several refused rows of
 * one reason is one letter. After a crash a unit comes again, and then its letters stand twice. */
int refused_store(struct refused *refused, const char *sink, const struct unit *unit,
                  const struct sink_refusal *rows, size_t count, struct err *err);

/* Limits as of the decoder's dead letters. */
void refused_retain(struct refused *refused, int64_t keep_ms, uint64_t keep_bytes);

#endif
