/* SPDX-License-Identifier: Apache-2.0
 *
 * Raw extent -> rows: route, decode, normalise, for each message of an extent in order. This is the
 * one place where decoding happens; live, at start-up and when history is decoded again it is the
 * same code. One thread.
 */
#ifndef TIDEGATE_DECODE_H
#define TIDEGATE_DECODE_H

#include "config/config.h"
#include "journal/journal.h"
#include "model/batch.h"
#include "normalise.h"
#include "route.h"

struct decode {
    const struct router *router;   /* borrowed */
    struct normaliser *normaliser; /* borrowed */
    struct readings readings;      /* of the message at hand */
    struct batch_builder *rows;    /* what the present batch holds so far */
    struct buffer letters;         /* dead letters of the present batch, encoded */
    uint64_t letters_from;         /* letters below this sequence number are stored already */
    uint64_t decoded, dead;        /* messages since the last decode_take */
    uint64_t row_count;
    /* Asked between two messages when `letters` holds this much or more: many messages of one
     * extent may share one long topic there, and each letter has its own copy. Stores and clears
     * them; false: it cannot, and decoding ends. Null: never asked. */
    bool (*letters_full)(void *arg, uint64_t next_seq);
    void *letters_arg;
};

enum { DECODE_LETTERS_MAX = 16 << 20 };

/* What a configuration says to the normaliser. */
struct normaliser_options decode_normaliser_options(const struct config *config);

/* `router` and `normaliser` outlive it or are replaced by the owner between extents. */
void decode_init(struct decode *decode, const struct router *router, struct normaliser *normaliser,
                 size_t readings_max);
void decode_fini(struct decode *decode);

/* All messages of one extent. GW_ECORRUPT when the records cannot be walked to the end (a bug or
 * memory damage: the extent's checksum was right); what came before stays. GW_EFULL: letters_full
 * said no. */
int decode_extent(struct decode *decode, const struct extent *extent, struct err *err);

/* One message, as decode_extent does it for each. */
void decode_message(struct decode *decode, const struct message *message);

/* The rows so far as a batch, and the counts; the decode is empty again. `letters` stays for the
 * caller to store and clear. */
struct batch *decode_take(struct decode *decode, uint64_t *decoded, uint64_t *dead);

#endif
