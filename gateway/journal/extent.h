/* SPDX-License-Identifier: Apache-2.0
 *
 * The extent on disk: 96 bytes of header, the body, zeros up to the next multiple of 512. Header
 * and body each have a CRC-32C. The header names journal, segment, salt and its own offset, so
 * bytes of another file, another place or an older life of this file never pass. Pure but for
 * extent_load. FORMAT.md, "extent".
 */
#ifndef TIDEGATE_JOURNAL_EXTENT_H
#define TIDEGATE_JOURNAL_EXTENT_H

#include <stdint.h>

#include "base/bytes.h"
#include "journal/journal.h"

enum {
    EXTENT_HEADER_BYTES = 96,
    /* Extents begin at sectors: a torn write of one never touches a sector of the one before, which
     * was acknowledged; and a search for the next valid header looks at few places. */
    EXTENT_ALIGN = 512,
    /* The largest MQTT packet and what we add to it. */
    EXTENT_BODY_MAX = 288 << 20,
};

enum extent_codec { EXTENT_STORED = 0, EXTENT_ZSTD = 1 };

/* Where an extent stands; part of what its header says. */
struct extent_place {
    struct identity identity;
    uint64_t salt; /* 0: not known, any passes */
    uint64_t segment;
    uint64_t offset;
};

struct extent_header {
    struct extent_place place;
    uint64_t first_seq;
    uint32_t seq_count;
    uint32_t generation;
    int64_t received_min_ms, received_max_ms;
    uint32_t stored_bytes; /* of the body, without the zeros behind it */
    uint32_t raw_bytes;    /* of the body, uncompressed */
    uint8_t kind;
    uint8_t codec;
    bool replay;
    uint32_t body_crc; /* over the stored body and the zeros behind it */
};

/* Header, body and zeros. */
static inline uint64_t extent_disk_bytes(uint64_t stored_bytes)
{
    return (EXTENT_HEADER_BYTES + stored_bytes + EXTENT_ALIGN - 1) / EXTENT_ALIGN * EXTENT_ALIGN;
}

/* Lay the body out in `out` (cleared before), with room for the header in front and zeros behind;
 * fills stored_bytes, raw_bytes, codec and body_crc. `zstd` null: stored. GW_ELIMIT: too large. */
struct ZSTD_CCtx_s;
int extent_body_encode(struct extent_header *header, const struct bytes *parts, uint32_t count,
                       struct ZSTD_CCtx_s *zstd, struct buffer *out, struct err *err);
void extent_header_encode(const struct extent_header *header, uint8_t out[EXTENT_HEADER_BYTES]);
/* True when these bytes are the header of an extent that stands at `place`. */
bool extent_header_decode(const uint8_t in[EXTENT_HEADER_BYTES], const struct extent_place *place,
                          struct extent_header *out);

/* Memory to read bodies into; a zeroed object is ready. */
struct extent_loader {
    struct buffer stored, raw;
    struct ZSTD_DCtx_s *zstd;
};
void extent_loader_fini(struct extent_loader *loader);
/* Read the body and check it: 0, GW_ECORRUPT, or GW_EIO. *body is valid until the next load. */
int extent_load(struct extent_loader *loader, const struct disk *disk, int fd,
                const struct extent_header *header, struct bytes *body);

#endif
