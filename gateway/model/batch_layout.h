/* SPDX-License-Identifier: Apache-2.0
 *
 * How a batch lies in memory: one allocation for everything. For batch.c (which builds) and
 * batch_encode.c (which reads back) only.
 */
#ifndef TIDEGATE_MODEL_BATCH_LAYOUT_H
#define TIDEGATE_MODEL_BATCH_LAYOUT_H

#include "model/batch.h"

/* A batch with one reference and room for so much; numbers are zero, strings[] is not filled. */
struct batch *batch_layout(uint32_t rows, uint32_t rejects, uint32_t strings, size_t string_bytes);
/* Point strings[index] at the next `size` bytes of string_data from *offset on, and move it. */
void batch_layout_string(struct batch *batch, uint32_t index, size_t *offset, size_t size);

#endif
