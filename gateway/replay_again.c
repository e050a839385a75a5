/* SPDX-License-Identifier: Apache-2.0
 *
 * History decoded again: the raw log by the present configuration, piece by piece. A piece ends where
 * a batch of the reading log ends, so what stood there before is at hand whole: the readings that
 * were stored, those of later decodings over them, and those that are decoded now. Runs on the job's
 * thread.
 *
 * What is sent is written to the log of what was decoded again (again_log.h) before the lane gets it:
 * a store may have it from the first moment on, and then the log must say so.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/log.h"
#include "replay_decoder.h"
#include "replay_diff.h"
#include "replay_run.h"
#include "replay_span.h"

/* A batch of the reading log that was read and not used. */
struct item {
    uint64_t first, end; /* end exclusive; 0: none */
    struct batch *batch; /* null: the range is damaged */
};

struct again {
    struct replay_run *run;
    uint64_t last; /* of the span */
    struct replay_decoder decoder;
    struct journal_reader *raw, *readings;
    uint64_t raw_next; /* decoded up to here */
    bool raw_ended, readings_ended;
    struct item item;

    /* the piece at hand */
    uint64_t first;
    struct again_reader again;
    struct held held;
    struct seq_set decoded, topics, names;
    struct batch_builder *builder;
};

/* ---- reading, each call until it succeeds ---- */

/* enum journal_read, or an error: stopped, or tried too often. */
static int read_next(struct again *again, struct journal_reader *reader, struct extent *out,
                     struct err *err)
{
    unsigned attempts = 0;
    int rc;
    while ((rc = journal_reader_next(reader, out, err)) < 0)
        if (!replay_run_retry(again->run, &attempts, err->text))
            break;
    return rc;
}

static uint64_t end_of(const struct extent *extent)
{
    return extent->first_seq + extent->seq_count;
}

static void item_drop(struct again *again)
{
    batch_release(again->item.batch);
    again->item = (struct item){0};
}

/* The next batch of the reading log, or a range of it that is lost, into `item`. */
static int item_read(struct again *again, struct err *err)
{
    struct extent extent;
    struct err why;
    int rc;
    while ((rc = read_next(again, again->readings, &extent, err)) > 0) {
        if (end_of(&extent) <= again->first ||
            (rc == JOURNAL_EXTENT && extent.kind != EXTENT_BATCH))
            continue;
        again->item = (struct item){.first = extent.first_seq, .end = end_of(&extent)};
        if (rc == JOURNAL_EXTENT && batch_decode(extent.body, &again->item.batch, &why))
            again->item.batch = NULL;
        return 0;
    }
    again->readings_ended = rc == 0;
    return rc;
}

/* What was stored of these messages. Where the reading log is damaged nobody knows: nothing is taken
 * away there. */
static int item_use(struct again *again, uint64_t *end, struct err *err)
{
    struct item *item = &again->item;
    if (item->end > *end)
        *end = item->end;
    if (item->batch) {
        held_add(&again->held, item->batch);
    } else {
        uint64_t first = item->first > again->first ? item->first : again->first;
        uint64_t stop = item->end <= again->last ? item->end : again->last + 1;
        if (stop > first)
            replay_run_damaged(again->run, "readings", first, stop - first);
    }
    *item = (struct item){0};
    return again->readings_ended ? 0 : item_read(again, err);
}

/* ---- decoding ---- */

static void raw_lost(struct again *again, uint64_t first, uint64_t end)
{
    if (end > again->last + 1)
        end = again->last + 1;
    if (first < again->first)
        first = again->first;
    if (end > first)
        replay_run_damaged(again->run, "raw", first, end - first);
}

static void extent_decode(struct again *again, const struct extent *extent)
{
    struct err err;
    struct decode *decode = &again->decoder.decode;
    uint64_t before = decode->decoded + decode->dead;
    int rc = decode_extent(decode, extent, &err);
    uint64_t walked = decode->decoded + decode->dead - before;
    for (uint64_t i = 0; i < walked; i++)
        seq_set_add(&again->decoded, extent->first_seq + i);
    if (again->run->filter.topic)
        replay_topics_add(extent, again->run->filter.topic, extent->first_seq, end_of(extent) - 1,
                          &again->topics);
    if (rc)
        raw_lost(again, extent->first_seq + walked, end_of(extent));
}

/* One extent of the raw log. */
static int raw_read(struct again *again, struct err *err)
{
    struct extent extent;
    int rc = read_next(again, again->raw, &extent, err);
    again->raw_ended = rc == 0;
    if (rc <= 0 || end_of(&extent) <= again->raw_next)
        return rc < 0 ? rc : 0;
    if (rc == JOURNAL_DAMAGED) {
        raw_lost(again, again->raw_next, end_of(&extent));
    } else {
        if (extent.first_seq > again->raw_next) /* retention took what was before */
            raw_lost(again, again->raw_next, extent.first_seq);
        if (extent.kind == EXTENT_RECORDS && extent.seq_count)
            extent_decode(again, &extent);
    }
    again->raw_next = end_of(&extent);
    return 0;
}

/* ---- start ---- */

static void warm_set(struct replay_run *run, uint64_t seq)
{
    pthread_mutex_lock(&run->lock);
    run->warm_seq = seq;
    pthread_mutex_unlock(&run->lock);
}

static void readers_free(struct again *again)
{
    journal_reader_free(again->raw);
    journal_reader_free(again->readings);
    again->raw = again->readings = NULL;
    item_drop(again);
}

/* Decode without output up to where the piece begins. */
static int warm_up(struct again *again, struct err *err)
{
    int rc = 0;
    again->raw_ended = false;
    while (rc == 0 && again->raw_next < again->first && !again->raw_ended && !again->run->stop) {
        struct extent extent;
        rc = read_next(again, again->raw, &extent, err);
        again->raw_ended = rc == 0;
        if (rc == JOURNAL_EXTENT && extent.kind == EXTENT_RECORDS) {
            struct err damaged; /* told when it is decoded for the span, if it is in it */
            uint64_t decoded, dead;
            decode_extent(&again->decoder.decode, &extent, &damaged);
            batch_release(decode_take(&again->decoder.decode, &decoded, &dead));
        }
        if (rc > 0 && end_of(&extent) > again->raw_next)
            again->raw_next = end_of(&extent);
        rc = rc < 0 ? rc : 0;
    }
    return again->run->stop ? GW_ECLOSED : rc;
}

/* Everything anew, so that the piece that begins at `next` can be decoded. */
static int begin_at(struct again *again, uint64_t next, struct err *err)
{
    const struct replays_options *options = again->run->options;
    readers_free(again);
    replay_decoder_fini(&again->decoder);
    again->first = next;
    int rc = replay_decoder_init(&again->decoder, options, err);
    if (rc)
        return rc;
    again->raw_next = replay_decoder_remember(&again->decoder, next);
    warm_set(again->run, again->raw_next);
    rc = journal_reader_new(options->raw, again->raw_next, &again->raw, err);
    if (rc == 0)
        rc = journal_reader_new(options->readings, next, &again->readings, err);
    if (rc == 0)
        rc = warm_up(again, err);
    warm_set(again->run, 0);
    again->raw_next = again->raw_next < next ? next : again->raw_next;
    again->readings_ended = false;
    return rc ? rc : item_read(again, err);
}

/* ---- a piece ---- */

/* Decode on until both logs have a boundary. *end: where. */
static int piece_read(struct again *again, uint64_t *end, struct err *err)
{
    int rc = 0;
    *end = again->first;
    if (again->item.end && again->item.first <= again->first)
        rc = item_use(again, end, err);
    while (rc == 0 && !again->raw_ended && !again->run->stop) {
        if (again->raw_next < *end || again->raw_next == again->first) {
            rc = raw_read(again, err);
        } else if (again->item.end && again->item.first < again->raw_next) {
            rc = item_use(again, end, err);
        } else if (again->raw_next > *end) {
            *end = again->raw_next;
        } else {
            break;
        }
    }
    if (*end < again->raw_next)
        *end = again->raw_next;
    return again->run->stop ? GW_ECLOSED : rc;
}

static int held_complete(struct again *again, uint64_t end, struct err *err)
{
    struct batch *batch;
    unsigned attempts = 0;
    int rc = again_reader_find(&again->again, again->first, end - 1, err);
    while (rc == 0 && (rc = again_reader_next(&again->again, &batch, err)) != 0) {
        if (rc == 1)
            held_add(&again->held, batch);
        else if (rc == GW_ECORRUPT)
            replay_run_damaged(again->run, "again", again->first, end - again->first);
        else if (!replay_run_retry(again->run, &attempts, err->text))
            return rc;
        rc = 0;
    }
    return rc;
}

static bool on_example(void *arg, const char *line)
{
    return replay_run_example(arg, line);
}

/* What is to be sent of the piece. */
static struct batch *piece_compare(struct again *again, uint64_t end, struct batch *now)
{
    struct replay_run *run = again->run;
    const struct replay_filter *filter = &run->filter;
    struct replay_diff diff = {
        .filter = filter,
        .now = now,
        .held = &again->held,
        .decoded = &again->decoded,
        .example = on_example,
        .example_arg = run,
    };
    seq_set_seal(&again->decoded);
    if (filter->topic) {
        seq_set_seal(&again->topics);
        diff.chosen[0] = &again->topics;
    }
    if (filter->vendor || filter->device) {
        replay_diff_names(&diff, filter, &again->names);
        seq_set_seal(&again->names);
        diff.chosen[1] = &again->names;
    }
    replay_diff_rows(&diff, again->builder);
    run->counts.changed += diff.changed;
    now->first_seq = again->first;
    now->last_seq = end - 1;
    now->generation = again->decoder.generation;
    struct batch *out = replay_batch_finish(again->builder, now);
    if (diff.whole && again->decoded.count == end - again->first && !filter->topic &&
        !diff.chosen[1]) {
        out->supersedes_first = again->first;
        out->supersedes_last = end - 1;
    }
    return out;
}

static void piece_clear(struct again *again)
{
    held_clear(&again->held);
    seq_set_clear(&again->decoded);
    seq_set_clear(&again->topics);
    seq_set_clear(&again->names);
}

static int piece_run(struct again *again, struct err *err)
{
    uint64_t end = again->first;
    uint64_t decoded, dead;
    int rc = piece_read(again, &end, err);
    struct batch *now = decode_take(&again->decoder.decode, &decoded, &dead);
    if (rc == 0 && end > again->first)
        rc = held_complete(again, end, err);
    if (rc == 0 && end > again->first)
        rc = replay_run_decoded(again->run, piece_compare(again, end, now), err);
    batch_release(now);
    piece_clear(again);
    if (rc)
        return rc;
    if (end == again->first) { /* the raw log ends here, whatever the span said */
        end = again->last + 1;
        raw_lost(again, again->first, end);
    }
    again->first = end;
    replay_run_passed(again->run, end);
    return 0;
}

/* ---- the job ---- */

/* The span in the raw log; what the live decoder has not reached yet is decoded by the present
 * configuration anyhow. */
static int span_find(struct replay_run *run, struct replay_span *span, struct err *err)
{
    const struct replays_options *options = run->options;
    unsigned attempts = 0;
    int rc;
    while ((rc = replay_span_find(options->raw, run->filter.from_ms, run->filter.to_ms, false,
                                  &run->stop, span, err)) != 0 &&
           rc != GW_ECLOSED && replay_run_retry(run, &attempts, err->text)) {
    }
    uint64_t end = journal_next_seq(options->readings);
    if (span->last_seq >= end)
        span->last_seq = end - 1;
    if (span->last_seq < span->first_seq)
        *span = (struct replay_span){0, 0};
    return rc;
}

static int pieces_run(struct again *again, uint64_t next, struct err *err)
{
    int rc = begin_at(again, next, err);
    while (rc == 0 && again->first <= again->last && !again->run->stop) {
        rc = piece_run(again, err);
        if (rc == 0 && again->first <= again->last && replay_decoder_is_old(&again->decoder)) {
            log_event(LOG_WARN, "replay_configuration_changed",
                      "id=%s from_seq=%" PRIu64 " why=\"what is before was decoded by the old "
                      "configuration: begin another replay for it\"",
                      again->run->job.status.id, again->first);
            rc = begin_at(again, again->first, err);
        }
    }
    return again->run->stop ? GW_ECLOSED : rc;
}

int replay_again_run(struct replay_run *run, struct err *err)
{
    struct replay_span span;
    int rc = span_find(run, &span, err);
    if (rc)
        return run->stop ? GW_ECLOSED : rc;
    uint64_t next = replay_run_spanned(run, span.first_seq, span.last_seq);
    struct again again = {.run = run, .last = run->job.status.last_seq};
    if (again.last == 0)
        return 0;
    again.builder = batch_builder_new();
    again_reader_init(&again.again, run->again);
    rc = next <= again.last ? pieces_run(&again, next, err) : 0;
    readers_free(&again);
    replay_decoder_fini(&again.decoder);
    again_reader_fini(&again.again);
    held_fini(&again.held);
    seq_set_fini(&again.decoded);
    seq_set_fini(&again.topics);
    seq_set_fini(&again.names);
    batch_builder_free(again.builder);
    return rc;
}
