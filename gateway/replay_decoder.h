/* SPDX-License-Identifier: Apache-2.0
 *
 * A decoder of a replay's own: the code of the live one (decode.h) with a router and a memory of its
 * own, from the configuration of the moment it was made, which it holds. The replay's thread.
 */
#ifndef TIDEGATE_REPLAY_DECODER_H
#define TIDEGATE_REPLAY_DECODER_H

#include "decode.h"
#include "replay.h"

struct replay_decoder {
    const struct replays_options *options;
    struct config *config; /* with a reference */
    uint32_t generation;
    struct router *router;
    struct normaliser *normaliser;
    struct decode decode;
};
/* The memory is empty. */
int replay_decoder_init(struct replay_decoder *decoder, const struct replays_options *options,
                        struct err *err);
void replay_decoder_fini(struct replay_decoder *decoder); /* accepts a zeroed object */
/* The configuration was replaced meanwhile by one that decodes differently. */
bool replay_decoder_is_old(const struct replay_decoder *decoder);

/* Loads the memory of the live decoder before message `seq` when it is right for this decoder, and
 * returns from where on to decode without output; what came before is in the memory.
 *
 * A save is right when the configuration that it was made with is the present one. Any other would
 * compare the new readings with the old decoding: after a unit was mended every counter would seem to
 * fall, after a time zone was mended every reading would seem to be late. Then the memory begins
 * empty a day before, so that every meter that reports daily is known in its new decoding when the
 * span begins; the first reading of others has no history, and lacks flags such as `late` or
 * `reset`, which is no wrong word about it. */
uint64_t replay_decoder_remember(struct replay_decoder *decoder, uint64_t seq);

#endif
