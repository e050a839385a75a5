/* SPDX-License-Identifier: Apache-2.0
 *
 * A column of texts on the wire, as String or as LowCardinality(String). Separate from the block
 * because here only numbers of texts are known, not readings. One thread.
 */
#ifndef TIDEGATE_SINKS_CLICKHOUSE_TEXT_COLUMN_H
#define TIDEGATE_SINKS_CLICKHOUSE_TEXT_COLUMN_H

#include "base/bytes.h"

/* Rows as numbers of texts. */
struct text_column {
    const uint32_t *numbers; /* of each row, below text_count */
    uint32_t rows;
    const struct bytes *texts;
    uint32_t text_count;
};

/* Memory for dictionaries, kept between columns. */
struct text_scratch {
    uint32_t *place; /* of each text in the dictionary, + 1; all 0 between columns */
    uint32_t *used;  /* texts in the dictionary, in the order of first sight */
    uint32_t capacity;
};
void text_scratch_fini(struct text_scratch *scratch); /* accepts a zeroed object */

void text_column_string(const struct text_column *column, struct buffer *out);
void text_column_low_cardinality(const struct text_column *column, struct text_scratch *scratch,
                                 struct buffer *out);

#endif
