/* SPDX-License-Identifier: Apache-2.0
 *
 * How a decoder for history starts. Separate from decoder.c: that one has a log to write and a
 * memory to save, this one has neither.
 */
#include "replay_decoder.h"

#include "base/log.h"
#include "decode_state.h"
#include "replay_span.h"

static const int64_t warm_up_ms = 25LL * 3600 * 1000;
static const uint64_t warm_up_bytes = 1ULL << 30;

int replay_decoder_init(struct replay_decoder *decoder, const struct replays_options *options,
                        struct err *err)
{
    *decoder = (struct replay_decoder){.options = options};
    decoder->config = options->config(options->arg, &decoder->generation);
    int rc = router_new(decoder->config, &decoder->router, err);
    if (rc) {
        config_free(decoder->config);
        *decoder = (struct replay_decoder){0};
        return rc;
    }
    const struct normaliser_options normal = decode_normaliser_options(decoder->config);
    decoder->normaliser = normaliser_new(&normal);
    decode_init(&decoder->decode, decoder->router, decoder->normaliser,
                (size_t)decoder->config->decode.readings_max);
    decoder->decode.letters_from = UINT64_MAX; /* they were stored when they came */
    return 0;
}

void replay_decoder_fini(struct replay_decoder *decoder)
{
    if (decoder->config == NULL)
        return;
    decode_fini(&decoder->decode);
    normaliser_free(decoder->normaliser);
    router_free(decoder->router);
    config_free(decoder->config);
    *decoder = (struct replay_decoder){0};
}

bool replay_decoder_is_old(const struct replay_decoder *decoder)
{
    uint32_t generation;
    config_free(decoder->options->config(decoder->options->arg, &generation));
    return generation != decoder->generation;
}

/* The generation of the batch that holds `seq`; 0: not known. */
static uint32_t generation_at(struct journal *readings, uint64_t seq)
{
    struct journal_reader *reader;
    struct extent extent;
    struct err err;
    uint32_t generation = 0;
    if (seq < journal_first_seq(readings) || journal_reader_new(readings, seq, &reader, &err))
        return 0;
    if (journal_reader_next(reader, &extent, &err) == JOURNAL_EXTENT && extent.first_seq <= seq &&
        extent.kind == EXTENT_BATCH)
        generation = extent.generation;
    journal_reader_free(reader);
    return generation;
}

static void forget_all(struct replay_decoder *decoder)
{
    const struct normaliser_options normal = decode_normaliser_options(decoder->config);
    normaliser_free(decoder->normaliser);
    decoder->normaliser = normaliser_new(&normal);
    decoder->decode.normaliser = decoder->normaliser;
}

uint64_t replay_decoder_remember(struct replay_decoder *decoder, uint64_t seq)
{
    const struct replays_options *options = decoder->options;
    uint64_t saved = decode_state_load(options->disk, options->state_dir,
                                       journal_identity(options->raw), seq, decoder->normaliser);
    if (saved > 1 && generation_at(options->readings, saved - 1) == decoder->generation)
        return saved;
    if (saved)
        forget_all(decoder);
    return replay_span_before(options->raw, seq, warm_up_ms, warm_up_bytes);
}
