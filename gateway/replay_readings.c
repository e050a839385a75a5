/* SPDX-License-Identifier: Apache-2.0
 *
 * History as the reading log has it: batch by batch, the rows that were asked for, and of messages
 * that were decoded again since, the newest decoding. Runs on the job's thread.
 *
 * Most batches pass as they were read: nothing is copied when no filter applies and nothing was
 * decoded again. A replay sends readings only: dead letters, which stand in the same batches, are
 * dropped.
 */
#include <inttypes.h>

#include "replay_held.h"
#include "replay_run.h"
#include "replay_span.h"

struct sender {
    struct replay_run *run;
    struct replay_topics topics;
    struct again_reader again;
    struct held held;
    struct batch_builder *builder;
};

static void sender_init(struct sender *sender, struct replay_run *run)
{
    *sender = (struct sender){.run = run, .builder = batch_builder_new()};
    replay_topics_init(&sender->topics, run->options->raw, run->filter.topic);
    again_reader_init(&sender->again, run->again);
}

static void sender_fini(struct sender *sender)
{
    replay_topics_fini(&sender->topics);
    again_reader_fini(&sender->again);
    held_fini(&sender->held);
    batch_builder_free(sender->builder);
}

/* The rows of one batch that pass and stay; `held` null: all stay. */
static struct batch *rows_choose(struct sender *sender, const struct batch *batch, size_t index,
                                 uint64_t first, uint64_t last)
{
    struct replay_rows rows = replay_rows_of(&sender->run->filter, batch, &sender->topics.found);
    bool overlaid = sender->held.batch_count > 0;
    if (overlaid)
        held_look_into(&sender->held, batch);
    for (uint32_t row = 0; row < batch->count; row++)
        if (batch->seq[row] >= first && batch->seq[row] <= last && replay_rows_has(&rows, row) &&
            (!overlaid || held_slot(&sender->held, index, row)))
            replay_row_copy(batch, row, sender->builder);
    struct batch *chosen = replay_batch_finish(sender->builder, batch);
    chosen->first_seq = first;
    chosen->last_seq = last;
    return chosen;
}

/* What was decoded again of these messages, over `batch`. */
static int overlay(struct sender *sender, struct batch *batch, struct err *err)
{
    struct batch *newer;
    int rc;
    held_clear(&sender->held);
    held_add(&sender->held, batch_acquire(batch));
    while ((rc = again_reader_next(&sender->again, &newer, err)) != 0) {
        if (rc == 1)
            held_add(&sender->held, newer);
        else if (rc == GW_ECORRUPT)
            replay_run_damaged(sender->run, "again", batch->first_seq,
                               batch->last_seq + 1 - batch->first_seq);
        else
            return rc;
    }
    return 0;
}

/* False: stopped. */
static bool send_overlaid(struct sender *sender)
{
    bool goes_on = true;
    uint64_t first = sender->held.batches[0]->first_seq;
    uint64_t last = sender->held.batches[0]->last_seq;
    for (size_t i = 0; i < sender->held.batch_count && goes_on; i++)
        goes_on = replay_run_put(sender->run,
                                 rows_choose(sender, sender->held.batches[i], i, first, last));
    held_clear(&sender->held);
    return goes_on;
}

static int topics_find(struct sender *sender, const struct batch *batch, struct err *err)
{
    if (sender->run->filter.topic == NULL)
        return 0;
    int rc = replay_topics_find(&sender->topics, batch->first_seq, batch->last_seq, err);
    if (rc == 0 && sender->topics.lost)
        replay_run_damaged(sender->run, "raw", batch->first_seq, sender->topics.lost);
    return rc;
}

/* Takes the reference over. GW_ECLOSED: stopped. */
static int send_batch(struct sender *sender, struct batch *batch, struct err *err)
{
    const struct replay_filter *filter = &sender->run->filter;
    int rc = again_reader_find(&sender->again, batch->first_seq, batch->last_seq, err);
    if (rc == 0)
        rc = topics_find(sender, batch, err);
    if (rc == 0 && sender->again.count)
        rc = overlay(sender, batch, err);
    bool goes_on = true;
    if (rc) {
        held_clear(&sender->held);
    } else if (sender->again.count) {
        goes_on = send_overlaid(sender);
    } else if (replay_filter_takes_all(filter, batch)) {
        batch->replay = true; /* nobody else has it yet */
        batch->reject_count = 0;
        return replay_run_put(sender->run, batch) ? 0 : GW_ECLOSED;
    } else {
        goes_on = replay_run_put(sender->run,
                                 rows_choose(sender, batch, 0, batch->first_seq, batch->last_seq));
    }
    batch_release(batch);
    return rc ? rc : goes_on ? 0 : GW_ECLOSED;
}

/* One extent of the reading log. The same again after an error. */
static int take_extent(struct sender *sender, int got, const struct extent *extent, struct err *err)
{
    struct replay_run *run = sender->run;
    struct batch *batch;
    uint64_t count = extent->seq_count;
    if (got == JOURNAL_DAMAGED) {
        replay_run_damaged(run, "readings", extent->first_seq, count);
        return 0;
    }
    if (extent->kind != EXTENT_BATCH ||
        !replay_overlaps(run->filter.from_ms, run->filter.to_ms, extent->received_min_ms,
                         extent->received_max_ms))
        return 0;
    if (batch_decode(extent->body, &batch, err)) {
        replay_run_damaged(run, "readings", extent->first_seq, count);
        return 0;
    }
    if (batch->first_seq != extent->first_seq || batch->last_seq + 1 != extent->first_seq + count) {
        replay_run_damaged(run, "readings", extent->first_seq, count);
        batch_release(batch);
        return 0;
    }
    return send_batch(sender, batch, err);
}

/* A part of a damaged range may lie before the position or behind the end. */
static void clip(struct extent *extent, uint64_t next, uint64_t last)
{
    uint64_t end = extent->first_seq + extent->seq_count;
    if (extent->first_seq < next)
        extent->first_seq = next;
    if (end > last + 1)
        end = last + 1;
    extent->seq_count = end > extent->first_seq ? (uint32_t)(end - extent->first_seq) : 0;
}

/* From `next` to the end, until something cannot be read. *next: where to try again. */
static int send_all(struct sender *sender, uint64_t *next, uint64_t last, struct err *err)
{
    struct replay_run *run = sender->run;
    struct journal_reader *reader;
    struct extent extent;
    int rc = journal_reader_new(run->options->readings, *next, &reader, err);
    if (rc)
        return rc;
    while (*next <= last && !run->stop && (rc = journal_reader_next(reader, &extent, err)) > 0) {
        uint64_t end = extent.first_seq + extent.seq_count;
        if (extent.first_seq > last)
            break;
        const struct replay_counts counts = run->counts;
        if (rc == JOURNAL_DAMAGED)
            clip(&extent, *next, last);
        else if (extent.first_seq > *next) /* retention took it while the job stood still */
            replay_run_damaged(run, "readings", *next, extent.first_seq - *next);
        rc = extent.seq_count ? take_extent(sender, rc, &extent, err) : 0;
        if (rc) {
            run->counts = counts; /* it is taken again */
            break;
        }
        *next = end <= last ? end : last + 1;
        replay_run_passed(run, *next);
    }
    journal_reader_free(reader);
    return rc < 0 ? rc : run->stop ? GW_ECLOSED : 0;
}

int replay_readings_run(struct replay_run *run, struct err *err)
{
    struct replay_span span;
    unsigned attempts = 0;
    int rc;
    while ((rc = replay_span_find(run->options->readings, run->filter.from_ms, run->filter.to_ms,
                                  false, &run->stop, &span, err)) != 0 &&
           rc != GW_ECLOSED && replay_run_retry(run, &attempts, err->text)) {
    }
    if (rc)
        return run->stop ? GW_ECLOSED : rc;
    uint64_t next = replay_run_spanned(run, span.first_seq, span.last_seq);
    uint64_t last = run->job.status.last_seq;
    if (last == 0)
        return 0;
    struct sender sender;
    sender_init(&sender, run);
    uint64_t before = next;
    while ((rc = send_all(&sender, &next, last, err)) != 0 && rc != GW_ECLOSED) {
        attempts = next > before ? 0 : attempts;
        before = next;
        if (!replay_run_retry(run, &attempts, err->text))
            break;
    }
    if (rc == 0)
        replay_run_passed(run, last + 1);
    sender_fini(&sender);
    return run->stop ? GW_ECLOSED : rc;
}
