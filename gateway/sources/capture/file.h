/* SPDX-License-Identifier: Apache-2.0
 *
 * Capture files (FORMAT.md): a writer that hands out bytes in their order, and a reader that goes on
 * behind damage and tells a cut file from a whole one. One thread for one object; what is read may be
 * hostile.
 */
#ifndef TIDEGATE_SOURCES_CAPTURE_FILE_H
#define TIDEGATE_SOURCES_CAPTURE_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/disk.h"
#include "base/err.h"
#include "base/identity.h"
#include "model/message.h"

enum {
    CAPTURE_HEADER_BYTES = 64,
    CAPTURE_FRAME_BYTES = 48,
    CAPTURE_BODY_MAX = 288 << 20, /* the largest MQTT packet and what stands with it */
};

struct capture_header {
    uint64_t id;
    struct identity gateway;
    int64_t made_ms, from_ms, to_ms;
};

/* ---- writing ---- */

struct capture_writer;
/* `put` takes the bytes: 0, or an error that the writer then passes on. */
int capture_writer_new(const struct capture_header *header,
                       int (*put)(void *arg, struct bytes in, struct err *err), void *arg,
                       struct capture_writer **out, struct err *err);
void capture_writer_free(struct capture_writer *writer); /* accepts null */
/* Bytes are copied. */
int capture_write(struct capture_writer *writer, const struct message *message, struct err *err);
/* These numbers were lost to damage. */
int capture_write_lost(struct capture_writer *writer, uint64_t first_seq, uint64_t count,
                       struct err *err);
/* The frame that is open, and the end. Nothing may follow. */
int capture_write_end(struct capture_writer *writer, struct err *err);
uint64_t capture_written(const struct capture_writer *writer); /* messages */

/* ---- reading ---- */

enum capture_read {
    CAPTURE_END = 0,     /* the end frame */
    CAPTURE_MESSAGE = 1, /* *message */
    CAPTURE_LOST = 2,    /* the exporting gateway had lost first .. first+count-1 (its numbers) */
    CAPTURE_DAMAGED = 3, /* bytes in this file are damaged: count messages are gone, where known */
    CAPTURE_CUT = 4,     /* the file ends without an end frame */
};

struct capture_item {
    struct message message; /* bytes are valid until the next call; seq is the old one */
    uint64_t index;         /* of the message in the file, from 0 */
    uint64_t first_seq, count;
};

struct capture_reader;
/* GW_ENOENT, GW_EIO, GW_ECORRUPT: no capture file; GW_EVERSION. */
int capture_reader_new(const struct disk *disk, const char *path, struct capture_reader **out,
                       struct err *err);
void capture_reader_free(struct capture_reader *reader); /* accepts null */
const struct capture_header *capture_reader_header(const struct capture_reader *reader);
/* Messages in the file, when its end frame is there; else false. */
bool capture_reader_total(const struct capture_reader *reader, uint64_t *total);
/* Pass over the messages below `index`; bodies of whole frames below are not read. */
void capture_reader_skip(struct capture_reader *reader, uint64_t index);
/* enum capture_read, or GW_EIO (calling again retries). END and CUT repeat. */
int capture_reader_next(struct capture_reader *reader, struct capture_item *out, struct err *err);

/* ---- a frame's header, for both ---- */

enum capture_kind { CAPTURE_KIND_MESSAGES = 1, CAPTURE_KIND_LOST = 2, CAPTURE_KIND_END = 3 };

struct capture_frame {
    uint8_t kind, codec; /* codec: 0 stored, 1 zstd */
    uint64_t first;
    uint32_t count, raw_bytes, stored_bytes, body_crc;
    uint64_t offset;
};
void capture_header_encode(const struct capture_header *header, uint8_t out[CAPTURE_HEADER_BYTES]);
int capture_header_decode(const uint8_t in[CAPTURE_HEADER_BYTES], struct capture_header *out,
                          struct err *err);
void capture_frame_encode(const struct capture_frame *frame, uint64_t id,
                          uint8_t out[CAPTURE_FRAME_BYTES]);
/* True when these bytes are the header of a frame at `offset` of that file. */
bool capture_frame_decode(const uint8_t in[CAPTURE_FRAME_BYTES], uint64_t id, uint64_t offset,
                          struct capture_frame *out);

#endif
