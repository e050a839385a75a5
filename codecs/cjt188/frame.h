/* SPDX-License-Identifier: Apache-2.0
 *
 * The link frame of CJ/T 188 and the fields in it: where it begins, whether it is whole, and BCD.
 * Knows nothing of readings. Any thread.
 *
 *     68 T A0..A6 C L DATA[L] CS 16      T: meter type, A: address low byte first, C: control
 */
#ifndef TIDEGATE_CODECS_CJT188_FRAME_H
#define TIDEGATE_CODECS_CJT188_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

enum { CJT188_ADDRESS_SIZE = 7 };

struct cjt188_frame {
    size_t offset; /* of its 68 in the payload */
    uint8_t type;
    uint8_t address[CJT188_ADDRESS_SIZE]; /* as printed on the meter: high byte first */
    uint8_t control;
    struct bytes data; /* DI, SER and what follows; in an error reply SER and status */
};

struct cjt188_scan {
    struct bytes payload;
    size_t at;
    size_t bad_checksum_at; /* of the first frame with all but the right checksum */
    bool bad_checksum;
};

/* The next whole frame at or behind scan->at, and scan->at behind it; false when there is none.
 * Whatever stands before, between and behind frames is passed over. */
bool cjt188_next(struct cjt188_scan *scan, struct cjt188_frame *out);

/* A BCD number, low byte first. */
enum cjt188_bcd { CJT188_BCD_OK, CJT188_BCD_FILL, CJT188_BCD_BAD };
/* FILL: every byte is FF (the meter has no such field). BAD: a digit above nine. At most 9 bytes.*/
enum cjt188_bcd cjt188_bcd(struct bytes in, int64_t *out);

/* A clock of seven BCD bytes: ss mm HH DD MM YY CC, or the same high byte first, which is told by
 * a century of 19 or 20 in the first byte and none in the last. *ms is local civil time taken as
 * UTC. NONE: all bytes 00 or all FF. */
enum cjt188_clock { CJT188_CLOCK_OK, CJT188_CLOCK_NONE, CJT188_CLOCK_BAD };
enum { CJT188_CLOCK_SIZE = 7 };
enum cjt188_clock cjt188_clock(const uint8_t in[CJT188_CLOCK_SIZE], int64_t *ms);

#endif
