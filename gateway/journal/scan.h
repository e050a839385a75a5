/* SPDX-License-Identifier: Apache-2.0
 *
 * Walks the extents of one file, and finds the next valid one behind damage. Recovery, readers and
 * verify all walk through here. Bounded by `limit`: it never loops, whatever the bytes.
 */
#ifndef TIDEGATE_JOURNAL_SCAN_H
#define TIDEGATE_JOURNAL_SCAN_H

#include "journal/extent.h"

struct scan {
    const struct disk *disk;
    int fd;
    struct extent_place place; /* identity, salt, segment; offset: where it looks next */
    uint64_t limit;            /* nothing is read from here on */
    uint64_t expected_seq;     /* an extent that begins below is not valid */
    uint64_t void_seq;         /* nor is one that holds this or more; 0: no such bound */
    /* Of the last call: bytes passed over before the extent, or up to the limit. */
    uint64_t skipped_from, skipped;
    uint64_t nonzero_end; /* behind the last byte among them that is not zero; 0: all are */
    bool foreign;         /* a whole header of another place or time was among them */
};

/* 1: *out stands at out->place.offset and the scan is behind it; 0: none up to the limit;
 * GW_EIO. */
int scan_next(struct scan *scan, struct extent_header *out);

#endif
