/* SPDX-License-Identifier: Apache-2.0
 *
 * The life of the decoder: catch up in silence, then for ever: take an extent, add its rows to the
 * batch, store the batch when it is large or old enough. What can fail is storing, and then the
 * same batch is tried again until it is stored: nothing is skipped and nothing is decoded twice.
 */
#include "decoder.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "decode.h"
#include "decode_state.h"
#include "vendor_tally.h"

enum { RETRY_MS_MIN = 50, RETRY_MS_MAX = 2000, PAUSE_SLICE_MS = 20, POLL_MS = 100 };

struct decoder {
    struct decoder_options options;
    const struct config *config;
    struct router *router;
    struct normaliser *normaliser;
    struct decode decode;
    struct journal_reader *reader;
    uint64_t position; /* the next raw sequence number to decode */
    uint64_t raw_bytes_since_save;
    struct batch_totals totals;

    /* the batch that is being filled */
    uint64_t batch_first;
    uint32_t batch_generation;
    int64_t batch_since_ms; /* monotonic; 0: empty */
    uint64_t batch_damaged;
    int64_t received_min_ms, received_max_ms;

    pthread_t thread;
    bool started;
    bool read_failed;
    _Atomic bool save_wanted;
    _Atomic bool stopping;
    _Atomic int64_t stop_at_ms; /* monotonic */

    /* decoder_reload hands a configuration over and waits for it to be taken */
    pthread_mutex_t reload_lock;
    pthread_cond_t reload_done;
    const struct config *reload_config;
    struct router *reload_router;
    uint32_t reload_generation;

    struct decoder_stats stats;
    struct vendor_tally *tally;
};

/* ---- the batch ---- */

static bool batch_pending(const struct decoder *decoder)
{
    return decoder->batch_since_ms != 0;
}

static void batch_cover(struct decoder *decoder, const struct extent *extent)
{
    if (!batch_pending(decoder)) {
        decoder->batch_first = extent->first_seq;
        decoder->batch_generation = decoder->stats.generation;
        decoder->batch_since_ms = clock_monotonic_ms();
        decoder->received_min_ms = decoder->received_max_ms = 0;
        decoder->batch_damaged = 0;
    }
    if (extent->received_max_ms) {
        if (decoder->received_min_ms == 0)
            decoder->received_min_ms = extent->received_min_ms;
        decoder->received_max_ms = extent->received_max_ms;
    }
    decoder->position = extent->first_seq + extent->seq_count;
}

static struct batch *batch_finish(struct decoder *decoder)
{
    uint64_t decoded, dead;
    struct batch *batch = decode_take(&decoder->decode, &decoded, &dead);
    decoder->totals.decoded += decoded;
    decoder->totals.dead += dead;
    decoder->totals.quarantined += decoder->batch_damaged;
    decoder->totals.readings += batch->count;
    batch->first_seq = decoder->batch_first;
    batch->last_seq = decoder->position - 1;
    batch->generation = decoder->batch_generation;
    batch->received_min_ms = decoder->received_min_ms;
    batch->received_max_ms = decoder->received_max_ms;
    batch->totals = decoder->totals;
    decoder->batch_since_ms = 0;
    return batch;
}

/* ---- a new configuration ---- */

static void reload_take(struct decoder *decoder)
{
    pthread_mutex_lock(&decoder->reload_lock);
    if (decoder->reload_router) {
        router_free(decoder->router);
        decoder->router = decoder->reload_router;
        decoder->config = decoder->reload_config;
        decoder->decode.router = decoder->router;
        vendor_tally_configure(decoder->tally, decoder->config);
        struct normaliser_options normal = decode_normaliser_options(decoder->config);
        normaliser_set_options(decoder->normaliser, &normal);
        decoder->stats.generation = decoder->reload_generation;
        decoder->reload_router = NULL;
        pthread_cond_broadcast(&decoder->reload_done);
    }
    pthread_mutex_unlock(&decoder->reload_lock);
}

static bool reload_waits(struct decoder *decoder)
{
    pthread_mutex_lock(&decoder->reload_lock);
    bool waits = decoder->reload_router != NULL;
    pthread_mutex_unlock(&decoder->reload_lock);
    return waits;
}

/* ---- storing ---- */

static void retention_make_room(struct decoder *decoder, struct journal *journal)
{
    /* Dead letters have no cursor: their oldest make room for the newest. */
    if (journal != decoder->options.dead)
        return;
    struct err err;
    uint64_t limit = decoder->config->journal.dead_bytes;
    uint64_t keep = journal_bytes(journal) > limit ? limit / 2 : journal_bytes(journal) / 2;
    if (journal_retain(journal, journal_next_seq(journal), 0, keep ? keep : 1, clock_wall_ms(),
                       &err))
        log_event(LOG_WARN, "deadletter_retention_failed", "why=\"%s\"", err.text);
}

/* Shorter when the gateway stops meanwhile: stopping has a deadline. */
static void pause_ms(const struct decoder *decoder, int64_t ms)
{
    int64_t until = clock_monotonic_ms() + ms;
    while (clock_monotonic_ms() < until &&
           !(decoder->stopping && clock_monotonic_ms() >= decoder->stop_at_ms)) {
        struct timespec span = {0, PAUSE_SLICE_MS * 1000000};
        nanosleep(&span, NULL);
    }
}

/* Append until it is durable. False only when the gateway stops first: then nothing was stored, and
 * the next start decodes the same messages again. */
static bool store(struct decoder *decoder, struct journal *journal, const char *name,
                  const struct extent *extent)
{
    int64_t wait_ms = RETRY_MS_MIN;
    struct err err;
    int rc;
    while ((rc = journal_append(journal, extent, &err)) < 0) {
        if (wait_ms == RETRY_MS_MIN)
            log_event(LOG_ERROR, "decoder_waits", "log=%s seq=%llu why=\"%s\"", name,
                      (unsigned long long)extent->first_seq, err.text);
        decoder->stats.health = DECODER_WAITING;
        if (decoder->stopping && clock_monotonic_ms() >= decoder->stop_at_ms)
            return false;
        if (rc == GW_EFULL)
            retention_make_room(decoder, journal);
        /* The extent is made: what comes with a new configuration does not touch it. And whoever
         * reloads must not wait for room, which only he can make (retention is on his thread). */
        reload_take(decoder);
        pause_ms(decoder, wait_ms);
        wait_ms = wait_ms * 2 < RETRY_MS_MAX ? wait_ms * 2 : RETRY_MS_MAX;
    }
    if (decoder->stats.health != DECODER_OK)
        log_event(LOG_INFO, "decoder_goes_on", "log=%s", name);
    decoder->stats.health = DECODER_OK;
    return true;
}

/* The letters so far, of messages below `next_seq`. */
static bool store_letters(void *arg, uint64_t next_seq)
{
    struct decoder *decoder = arg;
    struct decode *decode = &decoder->decode;
    if (decode->letters.size == 0)
        return true;
    uint64_t first = journal_next_seq(decoder->options.dead);
    if (first < decoder->batch_first)
        first = decoder->batch_first;
    struct extent extent = {
        .first_seq = first,
        .seq_count = (uint32_t)(next_seq - first),
        .generation = decoder->batch_generation,
        .kind = EXTENT_DEAD,
        .received_min_ms = decoder->received_min_ms,
        .received_max_ms = decoder->received_max_ms,
        .body = buffer_bytes(&decode->letters),
    };
    if (!store(decoder, decoder->options.dead, "dead", &extent))
        return false;
    buffer_clear(&decode->letters);
    return true;
}

static bool store_batch(struct decoder *decoder, struct batch *batch)
{
    struct buffer body = {0};
    batch_encode(batch, &body);
    struct extent extent = {
        .first_seq = batch->first_seq,
        .seq_count = (uint32_t)(batch->last_seq + 1 - batch->first_seq),
        .generation = batch->generation,
        .kind = EXTENT_BATCH,
        .received_min_ms = batch->received_min_ms,
        .received_max_ms = batch->received_max_ms,
        .body = buffer_bytes(&body),
    };
    bool stored = store(decoder, decoder->options.readings, "readings", &extent);
    decoder->stats.batch_bytes += stored ? body.size : 0;
    if (stored && decoder->options.recent)
        recent_add(decoder->options.recent, batch);
    buffer_fini(&body);
    return stored;
}

static void stats_publish(struct decoder *decoder)
{
    struct decoder_stats *stats = &decoder->stats;
    stats->decoded = decoder->totals.decoded;
    stats->dead = decoder->totals.dead;
    stats->quarantined = decoder->totals.quarantined;
    stats->readings = decoder->totals.readings;
    stats->series = normaliser_series(decoder->normaliser);
}

/* False: the gateway stops and the batch could not be stored. */
static bool batch_flush(struct decoder *decoder)
{
    struct batch *batch = batch_finish(decoder);
    bool stored = batch->last_seq < batch->first_seq || /* session records only */
                  (store_letters(decoder, batch->last_seq + 1) && store_batch(decoder, batch));
    if (stored) {
        decoder->stats.batches++;
        vendor_tally_add(decoder->tally, batch);
        stats_publish(decoder);
    }
    batch_release(batch);
    return stored;
}

/* ---- memory ---- */

static void state_save(struct decoder *decoder)
{
    struct err err;
    const struct decoder_options *options = &decoder->options;
    decoder->raw_bytes_since_save = 0;
    if (decode_state_save(options->disk, options->state_dir, journal_identity(options->raw),
                          decoder->position, decoder->normaliser, &err)) {
        log_event(LOG_WARN, "decode_state_not_saved", "why=\"%s\"", err.text);
        return;
    }
    /* The raw log need not be kept for older saves: if it were, the oldest save would wait for the
     * log and the log for the save. */
    decoder->stats.saved_seq = decoder->position;
    decode_state_trim(options->disk, options->state_dir, journal_first_seq(options->raw));
}

/* Decode from the newest save to the end of the reading log, so that the memory is what it was
 * there. The rows are thrown away: they are in the reading log. */
static int catch_up(struct decoder *decoder, uint64_t end, struct err *err)
{
    const struct decoder_options *options = &decoder->options;
    uint64_t from = decode_state_load(options->disk, options->state_dir,
                                      journal_identity(options->raw), end, decoder->normaliser);
    decoder->stats.saved_seq = from;
    if (from == 0)
        from = journal_first_seq(options->raw);
    int rc = journal_reader_new(options->raw, from, &decoder->reader, err);
    decoder->position = from;
    decoder->decode.letters_from = UINT64_MAX; /* they are stored */
    while (rc == 0 && decoder->position < end) {
        struct extent extent;
        int got = journal_reader_next(decoder->reader, &extent, err);
        if (got < 0)
            return err_wrap(err, got, "decoder: reading the raw log");
        if (got == JOURNAL_END)
            break;
        if (got == JOURNAL_EXTENT && extent.kind == EXTENT_RECORDS &&
            decode_extent(&decoder->decode, &extent, err))
            log_event(LOG_ERROR, "decode_extent_damaged", "why=\"%s\"", err->text);
        decoder->position = extent.first_seq + extent.seq_count;
        uint64_t decoded, dead;
        batch_release(decode_take(&decoder->decode, &decoded, &dead));
    }
    /* Damage that came since may reach over the end: the reader is behind it now. */
    if (decoder->position > end) {
        struct extent lost = {.first_seq = end, .seq_count = (uint32_t)(decoder->position - end)};
        batch_cover(decoder, &lost);
        decoder->batch_damaged += lost.seq_count;
    } else {
        decoder->position = end;
    }
    return rc;
}

/* The totals stand in the newest batch. */
static int totals_load(struct decoder *decoder, uint64_t end, struct err *err)
{
    if (end <= 1 || end <= journal_first_seq(decoder->options.readings))
        return 0;
    struct journal_reader *reader;
    int rc = journal_reader_new(decoder->options.readings, end - 1, &reader, err);
    if (rc)
        return rc;
    struct extent extent;
    while ((rc = journal_reader_next(reader, &extent, err)) > 0) {
        struct batch *batch;
        if (rc != JOURNAL_EXTENT || extent.kind != EXTENT_BATCH)
            continue;
        rc = batch_decode(extent.body, &batch, err);
        if (rc)
            break;
        decoder->totals = batch->totals;
        batch_release(batch);
    }
    journal_reader_free(reader);
    return rc < 0 ? err_wrap(err, rc, "decoder: the last batch of the reading log") : 0;
}

/* ---- the thread ---- */

/* False: the gateway stops and its dead letters could not be stored. */
static bool take_extent(struct decoder *decoder, enum journal_read got, const struct extent *extent)
{
    batch_cover(decoder, extent);
    decoder->raw_bytes_since_save += extent->body.size;
    if (got == JOURNAL_DAMAGED) {
        decoder->batch_damaged += extent->seq_count;
        return true;
    }
    if (extent->kind != EXTENT_RECORDS)
        return true;
    struct err err;
    const struct decode *decode = &decoder->decode;
    uint64_t before = decode->decoded + decode->dead;
    int rc = decode_extent(&decoder->decode, extent, &err);
    if (rc == 0)
        return true;
    log_event(LOG_ERROR, rc == GW_EFULL ? "decoder_stops" : "decode_extent_damaged", "why=\"%s\"",
              err.text);
    decoder->batch_damaged += extent->seq_count - (decode->decoded + decode->dead - before);
    return rc != GW_EFULL;
}

static bool is_cut(const struct decoder *decoder, uint64_t seq)
{
    for (size_t i = 0; i < decoder->options.cut_count; i++)
        if (decoder->options.cuts[i] == seq)
            return true;
    return false;
}

static bool batch_due(const struct decoder *decoder)
{
    if (!batch_pending(decoder))
        return false;
    if (is_cut(decoder, decoder->position))
        return true;
    const struct config_decode *limits = &decoder->config->decode;
    return decoder->decode.row_count >= (uint64_t)limits->batch_rows ||
           decoder->decode.letters.size >= DECODE_LETTERS_MAX ||
           clock_monotonic_ms() - decoder->batch_since_ms >= limits->batch_age_ms;
}

static void read_failed(struct decoder *decoder, const char *why)
{
    if (!decoder->read_failed)
        log_event(LOG_ERROR, "decoder_read_failed", "why=\"%s\"", why);
    decoder->read_failed = true;
    decoder->stats.health = DECODER_WAITING;
    pause_ms(decoder, RETRY_MS_MAX);
}

static void read_goes_on(struct decoder *decoder)
{
    log_event(LOG_INFO, "decoder_reads_on", "seq=%llu", (unsigned long long)decoder->position);
    decoder->read_failed = false;
    decoder->stats.health = DECODER_OK;
}

static void save_when_due(struct decoder *decoder)
{
    bool wanted = atomic_exchange(&decoder->save_wanted, false);
    if (decoder->raw_bytes_since_save > (wanted ? 0 : decoder->options.save_bytes))
        state_save(decoder);
}

/* One extent, or a short wait for one. False: the end, or the stop has no more time. */
static bool decoder_step(struct decoder *decoder)
{
    struct err err;
    struct extent extent;
    bool stopping = decoder->stopping;
    int got = journal_reader_next(decoder->reader, &extent, &err);
    if (got < 0)
        read_failed(decoder, err.text);
    else if (decoder->read_failed)
        read_goes_on(decoder);
    if (got > 0 && !take_extent(decoder, (enum journal_read)got, &extent))
        return false;
    bool flush = batch_due(decoder) || (batch_pending(decoder) && stopping && got == JOURNAL_END) ||
                 (batch_pending(decoder) && reload_waits(decoder));
    if (flush && !batch_flush(decoder))
        return false;
    if (!batch_pending(decoder)) {
        reload_take(decoder);
        save_when_due(decoder);
    }
    if (stopping && (got == JOURNAL_END || clock_monotonic_ms() >= decoder->stop_at_ms))
        return false;
    if (got == JOURNAL_END)
        journal_wait(decoder->options.raw, decoder->position,
                     batch_pending(decoder) ? 20 : POLL_MS);
    return true;
}

static void *decoder_main(void *arg)
{
    struct decoder *decoder = arg;
    while (decoder_step(decoder))
        ;
    reload_take(decoder);
    /* A batch that is pending now was not stored: the memory has seen its messages, so it belongs
     * to no position on disk and must not be saved. */
    if (!batch_pending(decoder) && decoder->stats.health == DECODER_OK &&
        decoder->raw_bytes_since_save)
        state_save(decoder);
    return NULL;
}

/* ---- life ---- */

int decoder_new(const struct decoder_options *options, const struct config *config,
                struct decoder **out, struct err *err)
{
    struct decoder *decoder = mem_zalloc(sizeof *decoder);
    decoder->options = *options;
    decoder->config = config;
    decoder->tally = vendor_tally_new(clock_wall_ms());
    vendor_tally_configure(decoder->tally, config);
    pthread_mutex_init(&decoder->reload_lock, NULL);
    pthread_cond_init(&decoder->reload_done, NULL);
    struct normaliser_options normal = decode_normaliser_options(config);
    decoder->normaliser = normaliser_new(&normal);
    decode_init(&decoder->decode, NULL, decoder->normaliser, (size_t)config->decode.readings_max);
    uint32_t generation = 0;
    uint64_t end = journal_next_seq(options->readings);
    int rc = router_new(config, &decoder->router, err);
    decoder->decode.router = decoder->router;
    if (rc == 0)
        rc = decode_generation(options->disk, options->state_dir, config->digest, &generation, err);
    decoder->stats.generation = generation;
    if (rc == 0)
        rc = totals_load(decoder, end, err);
    if (rc == 0)
        rc = catch_up(decoder, end, err);
    if (rc) {
        decoder_free(decoder);
        return rc;
    }
    decoder->decode.letters_from = journal_next_seq(options->dead);
    decoder->decode.letters_full = store_letters;
    decoder->decode.letters_arg = decoder;
    stats_publish(decoder);
    *out = decoder;
    return 0;
}

int decoder_start(struct decoder *decoder, struct err *err)
{
    if (pthread_create(&decoder->thread, NULL, decoder_main, decoder))
        return err_set(err, GW_ELIMIT, "decoder: no thread can be made");
    pthread_setname_np(decoder->thread, "decoder");
    decoder->started = true;
    return 0;
}

int decoder_reload(struct decoder *decoder, const struct config *config, struct err *err)
{
    struct router *router;
    uint32_t generation;
    int rc = router_new(config, &router, err);
    if (rc)
        return rc;
    rc = decode_generation(decoder->options.disk, decoder->options.state_dir, config->digest,
                           &generation, err);
    if (rc) {
        router_free(router);
        return rc;
    }
    pthread_mutex_lock(&decoder->reload_lock);
    decoder->reload_config = config;
    decoder->reload_generation = generation;
    decoder->reload_router = router;
    journal_wake(decoder->options.raw);
    while (decoder->reload_router)
        pthread_cond_wait(&decoder->reload_done, &decoder->reload_lock);
    pthread_mutex_unlock(&decoder->reload_lock);
    return 0;
}

void decoder_save_soon(struct decoder *decoder)
{
    decoder->save_wanted = true;
}

void decoder_stop(struct decoder *decoder, int64_t timeout_ms)
{
    if (!decoder->started)
        return;
    decoder->stop_at_ms = clock_monotonic_ms() + timeout_ms;
    decoder->stopping = true;
    journal_wake(decoder->options.raw);
    pthread_join(decoder->thread, NULL);
    decoder->started = false;
}

void decoder_free(struct decoder *decoder)
{
    if (decoder == NULL)
        return;
    if (decoder->reader)
        journal_reader_free(decoder->reader);
    decode_fini(&decoder->decode);
    normaliser_free(decoder->normaliser);
    router_free(decoder->router);
    vendor_tally_free(decoder->tally);
    pthread_cond_destroy(&decoder->reload_done);
    pthread_mutex_destroy(&decoder->reload_lock);
    free(decoder);
}

const struct decoder_stats *decoder_stats(const struct decoder *decoder)
{
    return &decoder->stats;
}

struct vendor_tally *decoder_tally(const struct decoder *decoder)
{
    return decoder->tally;
}
