/* SPDX-License-Identifier: Apache-2.0
 *
 * ClickHouse's compressed frames, as `decompress=1` takes them:
 *   checksum 16 | method u8 | size u32 (payload + 9) | raw size u32 | payload
 * with CityHash128 of everything behind the checksum. A body is any number of frames. One thread.
 */
#ifndef TIDEGATE_SINKS_CLICKHOUSE_FRAME_H
#define TIDEGATE_SINKS_CLICKHOUSE_FRAME_H

#include "base/bytes.h"
#include "base/err.h"

enum frame_method { FRAME_NONE = 0x02, FRAME_ZSTD = 0x90 };
enum { FRAME_HEADER_SIZE = 25, FRAME_RAW_MAX = 1 << 20 };

struct framer;
struct framer *framer_new(enum frame_method method, int level);
void framer_free(struct framer *framer); /* accepts null */
/* Append `raw` in frames of at most FRAME_RAW_MAX. All are of one method, also where another were
 * smaller: servers refuse a body of mixed methods. */
void framer_add(struct framer *framer, struct bytes raw, struct buffer *out);

/* All frames of `in` back to bytes, appended; GW_ECORRUPT. For tests and tools. */
int frame_decode(struct bytes in, struct buffer *out, struct err *err);

#endif
