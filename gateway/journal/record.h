/* SPDX-License-Identifier: Apache-2.0
 *
 * Records of the raw log: the form on disk of messages and session records, and of the frame that
 * holds the records of one chunk. FORMAT.md, "records". The encoders that sources use are
 * chunk_add_message and chunk_add_session (rawlog.h).
 */
#ifndef TIDEGATE_JOURNAL_RECORD_H
#define TIDEGATE_JOURNAL_RECORD_H

#include "journal/rawlog.h"

enum { FRAME_HEADER_MAX = 40 };

/* The frame in front of a chunk's records; returns its size. */
size_t frame_encode(uint8_t out[FRAME_HEADER_MAX], uint32_t message_count, int64_t received_ms,
                    size_t records_bytes);

#endif
