/* SPDX-License-Identifier: Apache-2.0
 *
 * The decoder thread: raw log -> batches -> reading log, and dead letters.
 *
 * A batch covers whole extents of one generation. Its dead letters are stored first, then the batch
 * itself; only then may a sink see it. When a log has no room the decoder waits: the raw log then
 * grows to its own bound and the sources stop reading (invariant 7).
 */
#ifndef TIDEGATE_DECODER_H
#define TIDEGATE_DECODER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/disk.h"
#include "config/config.h"
#include "journal/journal.h"
#include "recent.h"

struct decoder_options {
    const struct disk *disk;
    const char *state_dir; /* of the saves of its memory; exists */
    struct journal *raw, *readings, *dead;
    /* Where sinks had confirmed or begun units: when the end of the reading log was lost to damage
     * and is made again, batches end here as they did before. */
    const uint64_t *cuts;
    size_t cut_count;
    struct recent *recent; /* gets every batch that is stored; may be null */
    uint64_t save_bytes;   /* raw bytes between two saves: about a segment */
};

enum decoder_health { DECODER_OK = 0, DECODER_WAITING = 1 /* a log takes nothing now */ };

/* Any thread, by atomics. Totals count since the journal was made (invariant 9). */
struct decoder_stats {
    _Atomic uint64_t decoded, dead, quarantined, readings;
    _Atomic uint64_t batches, batch_bytes; /* since start */
    _Atomic uint64_t series;               /* that the normaliser remembers */
    _Atomic uint64_t saved_seq; /* position of the newest save of its memory: what raw log
                                   retention must keep */
    _Atomic uint32_t generation;
    _Atomic int health;
};

struct decoder;
/* Loads its memory and decodes forward, without output, to where the reading log ends. `config`
 * stays the caller's and outlives the decoder or the next decoder_reload. */
int decoder_new(const struct decoder_options *options, const struct config *config,
                struct decoder **out, struct err *err);
int decoder_start(struct decoder *decoder, struct err *err);
/* Take a new configuration between two extents; returns when the old one is no longer used. */
int decoder_reload(struct decoder *decoder, const struct config *config, struct err *err);
/* Save the memory when something came since the last save, so that the raw log before it may go.
 * Any thread. */
void decoder_save_soon(struct decoder *decoder);
/* Decode what is durable, within timeout_ms, save the memory, end the thread. */
void decoder_stop(struct decoder *decoder, int64_t timeout_ms);
void decoder_free(struct decoder *decoder); /* after stop; accepts null */
const struct decoder_stats *decoder_stats(const struct decoder *decoder);
/* By vendor, since start; any thread. */
struct vendor_tally *decoder_tally(const struct decoder *decoder);

#endif
