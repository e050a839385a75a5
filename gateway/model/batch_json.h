/* SPDX-License-Identifier: Apache-2.0
 *
 * One row of a batch as a JSON object on one line, keys as the columns of a reading (DESIGN 7):
 * ts and received RFC 3339 UTC with milliseconds, value the exact decimal as a JSON number or
 * null, flags an array of names. `decode` and `tail` print these; other programs rely on them.
 */
#ifndef TIDEGATE_MODEL_BATCH_JSON_H
#define TIDEGATE_MODEL_BATCH_JSON_H

#include "base/json_text.h"
#include "model/batch.h"

/* Appends the object and '\n'. `gateway` is the journal's identity as text. Invalid UTF-8 in
 * strings becomes U+FFFD. */
void batch_row_json(const struct batch *batch, uint32_t row, const char *gateway,
                    struct buffer *out);

#endif
