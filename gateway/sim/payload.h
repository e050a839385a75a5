/* SPDX-License-Identifier: Apache-2.0
 *
 * What makers send: a sample as plain JSON or as a CJ/T 188 frame, and garbage in both. Pure, but
 * for the random state. Any thread.
 */
#ifndef TIDEGATE_SIM_PAYLOAD_H
#define TIDEGATE_SIM_PAYLOAD_H

#include "base/bytes.h"
#include "sim/meter.h"

enum payload_format { PAYLOAD_JSON, PAYLOAD_CJT188 };
/* As in topics: "json", "cjt188". */
const char *payload_format_name(enum payload_format format);

/* Appended to `out`. *ts_ms gets the time that a reader should understand, which for a skewed clock
 * is wrong by eight hours, and for CJ/T 188 has whole seconds. */
void payload_write(enum payload_format format, const struct meter_sample *sample,
                   struct buffer *out, int64_t *ts_ms);
/* Spoils the payload so that no reader may accept it. */
void payload_spoil(enum payload_format format, uint64_t *random, struct buffer *payload);

#endif
