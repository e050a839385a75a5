/* SPDX-License-Identifier: Apache-2.0
 *
 * The walk over extents. Where a header is not valid, every later sector is tried; a header counts
 * only with its own offset, segment, salt and a sequence number that goes on, so nothing a client
 * put into a payload can pass for one. The thread of whoever walks.
 */
#include "journal/scan.h"

#include <stdlib.h>

#include "base/crc32c.h"

enum { WINDOW_BYTES = 256 << 10 };

static bool acceptable(const struct scan *scan, const struct extent_header *header)
{
    uint64_t end_seq = header->first_seq + header->seq_count;
    return header->first_seq >= scan->expected_seq && end_seq >= header->first_seq &&
           (scan->void_seq == 0 || end_seq <= scan->void_seq) &&
           extent_disk_bytes(header->stored_bytes) <= scan->limit - header->place.offset;
}

static bool valid_at(struct scan *scan, const uint8_t *raw, uint64_t offset,
                     struct extent_header *out)
{
    scan->place.offset = offset;
    return extent_header_decode(raw, &scan->place, out) && acceptable(scan, out);
}

static void pass(struct scan *scan, const struct extent_header *found)
{
    scan->place.offset += extent_disk_bytes(found->stored_bytes);
    scan->expected_seq = found->first_seq + found->seq_count;
    /* The header of the segment was lost: its first good extent tells the salt. */
    if (scan->place.salt == 0)
        scan->place.salt = found->place.salt;
}

/* A header that is whole but of another place: old bytes of a file that was used before. */
static bool is_foreign(const uint8_t *raw)
{
    struct reader last = reader_of(bytes_of(raw + 92, 4));
    return memcmp(raw, "TGX1", 4) == 0 && reader_u32_le(&last) == crc32c(0, bytes_of(raw, 92));
}

static void note_bytes(struct scan *scan, const uint8_t *data, size_t size, uint64_t offset)
{
    /* Mostly the reserved zeros at the end of a segment: quick. */
    if (data[0] == 0 && memcmp(data, data + 1, size - 1) == 0)
        return;
    for (size_t i = size; i > 0; i--) {
        if (data[i - 1]) {
            scan->nonzero_end = offset + i;
            return;
        }
    }
}

/* Look at each sector of the window; 1 when one holds a valid header. */
static int search_window(struct scan *scan, const uint8_t *window, size_t size, uint64_t base,
                         struct extent_header *out)
{
    for (size_t at = 0; at < size; at += EXTENT_ALIGN) {
        size_t sector = size - at < EXTENT_ALIGN ? size - at : EXTENT_ALIGN;
        if (sector >= EXTENT_HEADER_BYTES) {
            if (valid_at(scan, window + at, base + at, out))
                return 1;
            scan->foreign |= is_foreign(window + at);
        }
        note_bytes(scan, window + at, sector, base + at);
    }
    return 0;
}

static int search(struct scan *scan, uint64_t from, struct extent_header *out)
{
    uint8_t *window = mem_alloc(WINDOW_BYTES);
    int rc = 0;
    while (rc == 0 && from < scan->limit) {
        uint64_t left = scan->limit - from;
        size_t size = left < WINDOW_BYTES ? (size_t)left : WINDOW_BYTES;
        if (disk_read_all(scan->disk, scan->fd, window, size, from) < 0)
            rc = GW_EIO;
        else
            rc = search_window(scan, window, size, from, out);
        from += size;
    }
    free(window);
    return rc;
}

int scan_next(struct scan *scan, struct extent_header *out)
{
    uint64_t start = scan->place.offset;
    uint8_t raw[EXTENT_HEADER_BYTES];
    scan->skipped = 0;
    scan->skipped_from = start;
    scan->nonzero_end = 0;
    scan->foreign = false;
    if (start >= scan->limit)
        return 0;
    if (scan->limit - start >= EXTENT_HEADER_BYTES) {
        if (disk_read_all(scan->disk, scan->fd, raw, sizeof raw, start) < 0)
            return GW_EIO;
        if (valid_at(scan, raw, start, out)) {
            pass(scan, out);
            return 1;
        }
    }
    int rc = search(scan, start, out);
    if (rc < 0) {
        scan->place.offset = start;
        return rc;
    }
    scan->skipped = (rc == 1 ? out->place.offset : scan->limit) - start;
    if (rc == 1)
        pass(scan, out);
    else
        scan->place.offset = start;
    return rc;
}
