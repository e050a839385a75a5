/* SPDX-License-Identifier: Apache-2.0
 *
 * Dead letters decoded by the present configuration, after a mapping was mended. Runs on the job's
 * thread.
 *
 * Each message stands for itself: what its meter sent before and after is not looked at, so a reading
 * may lack the flags `late`, `duplicate` or `reset` that it would have had in its place. What is sent
 * goes to the log of what was decoded again, like every other decoding.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "deadletter.h"
#include "raw_messages.h"
#include "replay_decoder.h"
#include "replay_diff.h"
#include "replay_run.h"
#include "replay_span.h"
#include "sources/access.h"

enum { REASONS_MAX = REPLAY_EXAMPLES_MAX, REASON_BYTES = 48 };

struct letters {
    struct replay_run *run;
    struct replay_decoder decoder;
    struct raw_messages messages;
    struct again_reader again;
    struct held held;
    struct seq_set decoded, chosen;
    struct batch_builder *builder;
    struct {
        char reason[REASON_BYTES];
        uint64_t count;
    } reasons[REASONS_MAX];
    size_t reason_count;
};

/* ---- which letters ---- */

static bool matches(const char *wanted, struct bytes has)
{
    return wanted == NULL || bytes_equal_text(has, wanted);
}

static bool letter_wanted(const struct replay_run *run, const struct deadletter *letter)
{
    const struct replay_request *request = &run->job.request;
    const struct message *message = &letter->message;
    /* A letter without a route has no vendor yet: its readings will tell. */
    return message->received_ms >= request->from_ms && message->received_ms < request->to_ms &&
           matches(request->reason, letter->reason) &&
           (message->vendor.size == 0 || matches(request->vendor, message->vendor)) &&
           (request->topic == NULL ||
            access_topic_matches(bytes_text(request->topic), message->topic));
}

/* ---- decoding ---- */

static void letter_decode(struct letters *letters, const struct deadletter *letter)
{
    const struct replay_request *request = &letters->run->job.request;
    struct message message;
    struct err err;
    /* As it arrived, if it is still there: the letter has the vendor of the old route. */
    if (raw_messages_find(&letters->messages, letter->message.seq, &message, &err))
        message = letter->message;
    decode_message(&letters->decoder.decode, &message);
    seq_set_add(&letters->decoded, letter->message.seq);
    if (request->device == NULL && (request->vendor == NULL || letter->message.vendor.size))
        seq_set_add(&letters->chosen, letter->message.seq);
}

static void reason_count(struct letters *letters, struct bytes reason)
{
    size_t at = 0;
    letters->run->counts.failed++;
    for (; at < letters->reason_count; at++)
        if (bytes_equal_text(reason, letters->reasons[at].reason))
            break;
    if (at == REASONS_MAX)
        return;
    if (at == letters->reason_count) {
        letters->reason_count++;
        snprintf(letters->reasons[at].reason, REASON_BYTES, "%.*s", (int)reason.size,
                 (const char *)reason.data);
    }
    letters->reasons[at].count++;
}

static void failures_count(struct letters *letters, const struct batch *now)
{
    for (uint32_t i = 0; i < now->reject_count; i++) {
        const struct reject *reject = &now->rejects[i];
        if (reject->stage != STAGE_EMPTY && seq_set_has(&letters->chosen, reject->seq))
            reason_count(letters, now->strings[reject->reason]);
    }
}

static void reasons_tell(struct letters *letters)
{
    for (size_t i = 0; i < letters->reason_count; i++) {
        char line[REASON_BYTES + 64];
        snprintf(line, sizeof line, "reason=%s count=%" PRIu64, letters->reasons[i].reason,
                 letters->reasons[i].count);
        replay_run_example(letters->run, line);
    }
}

/* ---- an extent ---- */

static int held_read(struct letters *letters, uint64_t first, uint64_t last, struct err *err)
{
    struct batch *batch;
    unsigned attempts = 0;
    int rc = again_reader_find(&letters->again, first, last, err);
    while (rc == 0 && (rc = again_reader_next(&letters->again, &batch, err)) != 0) {
        if (rc == 1)
            held_add(&letters->held, batch);
        else if (rc == GW_ECORRUPT)
            replay_run_damaged(letters->run, "again", first, last + 1 - first);
        else if (!replay_run_retry(letters->run, &attempts, err->text))
            return rc;
        rc = 0;
    }
    return rc;
}

static struct batch *rows_make(struct letters *letters, const struct extent *extent,
                               struct batch *now)
{
    struct replay_run *run = letters->run;
    struct replay_diff diff = {
        .filter = &run->filter,
        .now = now,
        .held = &letters->held,
        .decoded = &letters->decoded,
        .chosen = {&letters->chosen},
    };
    seq_set_seal(&letters->decoded);
    if (run->filter.vendor || run->filter.device)
        replay_diff_names(&diff, &run->filter, &letters->chosen);
    seq_set_seal(&letters->chosen);
    replay_diff_rows(&diff, letters->builder);
    run->counts.changed += diff.changed;
    failures_count(letters, now);
    now->first_seq = extent->first_seq;
    now->last_seq = extent->first_seq + extent->seq_count - 1;
    now->generation = letters->decoder.generation;
    return replay_batch_finish(letters->builder, now);
}

static int extent_run(struct letters *letters, const struct extent *extent, struct err *err)
{
    struct deadletter_reader reader;
    struct deadletter letter;
    uint64_t before = 0, decoded, dead;
    int got;
    deadletter_reader_init(&reader, extent);
    while ((got = deadletter_reader_next(&reader, &letter)) == 1) {
        if (letter.message.seq != before && letter_wanted(letters->run, &letter))
            letter_decode(letters, &letter);
        before = letter.message.seq;
    }
    if (got < 0)
        replay_run_damaged(letters->run, "dead", before + 1,
                           extent->first_seq + extent->seq_count - before - 1);
    struct batch *now = decode_take(&letters->decoder.decode, &decoded, &dead);
    int rc = 0;
    if (letters->decoded.count) {
        rc = held_read(letters, extent->first_seq, extent->first_seq + extent->seq_count - 1, err);
        if (rc == 0)
            rc = replay_run_decoded(letters->run, rows_make(letters, extent, now), err);
    }
    batch_release(now);
    held_clear(&letters->held);
    seq_set_clear(&letters->decoded);
    seq_set_clear(&letters->chosen);
    return rc;
}

/* ---- the job ---- */

/* Messages without a letter between two extents look like a gap, and damage does, too: the journal's
 * own line in the log tells them apart. */
static int extents_run(struct letters *letters, uint64_t next, uint64_t last, struct err *err)
{
    struct replay_run *run = letters->run;
    struct journal_reader *reader;
    struct extent extent;
    unsigned attempts = 0;
    int rc = journal_reader_new(run->options->dead, next, &reader, err);
    if (rc)
        return rc;
    while (!run->stop && (rc = journal_reader_next(reader, &extent, err)) != 0) {
        if (rc < 0) {
            if (replay_run_retry(run, &attempts, err->text))
                continue;
            break;
        }
        if (extent.first_seq > last)
            break;
        attempts = 0;
        if (rc == JOURNAL_EXTENT && extent.kind == EXTENT_DEAD &&
            replay_overlaps(run->filter.from_ms, run->filter.to_ms, extent.received_min_ms,
                            extent.received_max_ms) &&
            (rc = extent_run(letters, &extent, err)) != 0)
            break;
        replay_run_passed(run, extent.first_seq + extent.seq_count);
    }
    journal_reader_free(reader);
    return run->stop ? GW_ECLOSED : rc < 0 ? rc : 0;
}

static int letters_run(struct letters *letters, uint64_t next, uint64_t last, struct err *err)
{
    int rc = replay_decoder_init(&letters->decoder, letters->run->options, err);
    if (rc)
        return rc;
    raw_messages_init(&letters->messages, letters->run->options->raw);
    again_reader_init(&letters->again, letters->run->again);
    letters->builder = batch_builder_new();
    rc = extents_run(letters, next, last, err);
    if (rc == 0)
        replay_run_passed(letters->run, last + 1);
    reasons_tell(letters);
    batch_builder_free(letters->builder);
    seq_set_fini(&letters->decoded);
    seq_set_fini(&letters->chosen);
    held_fini(&letters->held);
    again_reader_fini(&letters->again);
    raw_messages_fini(&letters->messages);
    replay_decoder_fini(&letters->decoder);
    return rc;
}

int replay_letters_run(struct replay_run *run, struct err *err)
{
    struct replay_span span;
    unsigned attempts = 0;
    int rc;
    while ((rc = replay_span_find(run->options->dead, run->filter.from_ms, run->filter.to_ms, true,
                                  &run->stop, &span, err)) != 0 &&
           rc != GW_ECLOSED && replay_run_retry(run, &attempts, err->text)) {
    }
    if (rc)
        return run->stop ? GW_ECLOSED : rc;
    uint64_t next = replay_run_spanned(run, span.first_seq, span.last_seq);
    struct letters *letters = mem_zalloc(sizeof *letters);
    letters->run = run;
    rc = run->job.status.last_seq ? letters_run(letters, next, run->job.status.last_seq, err) : 0;
    free(letters);
    return rc;
}
