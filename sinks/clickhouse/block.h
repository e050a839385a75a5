/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of a split -> one Native block, in compressed frames: the body of an INSERT. Exactly one
 * block, so that a body cut anywhere is an error to every server (a cut between blocks is success).
 * The same rows give the same bytes. One thread.
 */
#ifndef TIDEGATE_SINKS_CLICKHOUSE_BLOCK_H
#define TIDEGATE_SINKS_CLICKHOUSE_BLOCK_H

#include "base/identity.h"
#include "sinks/clickhouse/split.h"
#include "sinks/clickhouse/table.h"

enum { BLOCK_TOKEN_SIZE = 33 };

struct block {
    struct buffer body; /* frames; send with decompress=1 and Content-Length */
    uint32_t rows;
    size_t raw_size;              /* before compression */
    char token[BLOCK_TOKEN_SIZE]; /* XXH3-128 of the block before compression, hexadecimal */
};
void block_fini(struct block *block); /* accepts a zeroed object */

/* Scratch memory and the compressor, kept between blocks. */
struct block_encoder;
struct block_encoder *block_encoder_new(struct identity gateway);
void block_encoder_free(struct block_encoder *encoder); /* accepts null */
/* Rows [first, first+count) of the split, count > 0: a part, or a piece of one. Replaces what *out
 * holds and keeps its memory. */
void block_encode(struct block_encoder *encoder, const struct table_shape *shape,
                  const struct split *split, uint32_t first, uint32_t count, struct block *out);

#endif
