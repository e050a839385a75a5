/* SPDX-License-Identifier: Apache-2.0
 *
 * The segment file: its name, its header (written twice, in halves of the first 4096 bytes), and
 * how one is made. FORMAT.md, "segment".
 */
#ifndef TIDEGATE_JOURNAL_SEGMENT_H
#define TIDEGATE_JOURNAL_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/disk.h"
#include "base/err.h"
#include "base/identity.h"
#include "journal/journal.h"

enum {
    SEGMENT_HEADER_BYTES = 4096, /* extents begin here */
    SEGMENT_HALF_BYTES = 2048,
    SEGMENT_VERSION = 1,
};

struct segment_header {
    enum journal_kind kind;
    struct identity identity;
    uint64_t number;
    uint64_t salt;       /* random, never 0 */
    uint64_t first_seq;  /* what older segments hold from there on is void */
    uint64_t before;     /* number of the segment before, 0: none */
    uint64_t before_end; /* what it holds from this offset on is void */
    int64_t made_ms;
    /* What the segment before holds, so that opening need not walk all of a long log. */
    uint64_t before_extents;
    int64_t before_received_min_ms, before_received_max_ms;
};

/* What is known of a segment while the journal is open. Guarded by the journal's lock. */
struct segment {
    struct segment_header header;
    uint64_t next_seq;  /* behind its last extent */
    uint64_t void_seq;  /* what it holds from there on a successor has made void; 0: nothing */
    uint64_t end;       /* offset: everything below is durable */
    uint64_t allocated; /* size of the file */
    uint64_t extents;
    int64_t received_min_ms, received_max_ms;
    bool sealed; /* nothing is appended any more */
    bool damaged;
};

/* DIR/00000000000000000017.log; the caller frees it. */
char *segment_path(const char *dir, uint64_t number, const char *suffix);
/* The number in a segment's file name; 0 when it is none. */
uint64_t segment_number(const char *name);

void segment_header_encode(const struct segment_header *header, uint8_t out[SEGMENT_HEADER_BYTES]);
/* From either half: 0, GW_ECORRUPT (neither half is good), GW_EVERSION. *damaged: one half is bad. */
int segment_header_decode(const uint8_t in[SEGMENT_HEADER_BYTES], struct segment_header *out,
                          bool *damaged, struct err *err);

/* Make the file: reserved to `size`, holding `head` (header and perhaps first extent), synced, and
 * its name synced too. Returns an open descriptor; *grows: the file system cannot reserve.
 * GW_EFULL: no room, nothing is left behind. GW_EIO. */
int segment_make(const struct disk *disk, const char *dir, uint64_t number, uint64_t size,
                 struct bytes head, bool *grows, struct err *err);

#endif
