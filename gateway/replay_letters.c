/* SPDX-License-Identifier: Apache-2.0
 *
 * Dead letters decoded by the present configuration, after a mapping was mended. Runs on the job's
 * thread.
 *
 * Each message stands for itself: what its meter sent before and after is not looked at, so a reading
 * may lack the flags `late`, `duplicate` or `reset` that it would have had in its place. What is sent
 * goes to the log of what was decoded again, like every other decoding.
 *
 * Letters of sinks stand in a log of their own, in the order of the refusals, and their messages have
 * readings in the reading log: what is no longer decoded is withdrawn there, as by REPLAY_AGAIN. That log
 * is small and comes second; a job that was stopped in it begins it anew.
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

static struct batch *rows_make(struct letters *letters, uint64_t first, uint64_t last,
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
    now->first_seq = first;
    now->last_seq = last;
    now->generation = letters->decoder.generation;
    return replay_batch_finish(letters->builder, now);
}

/* What was decoded of the messages first .. last goes out. */
static int decoded_send(struct letters *letters, uint64_t first, uint64_t last, struct err *err)
{
    uint64_t decoded, dead;
    int rc = 0;
    struct batch *now = decode_take(&letters->decoder.decode, &decoded, &dead);
    if (letters->decoded.count) {
        rc = held_read(letters, first, last, err);
        if (rc == 0)
            rc = replay_run_decoded(letters->run, rows_make(letters, first, last, now), err);
    }
    batch_release(now);
    held_clear(&letters->held);
    seq_set_clear(&letters->decoded);
    seq_set_clear(&letters->chosen);
    return rc;
}

static int extent_run(struct letters *letters, const struct extent *extent, struct err *err)
{
    struct deadletter_reader reader;
    struct deadletter letter;
    uint64_t before = 0;
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
    return decoded_send(letters, extent->first_seq, extent->first_seq + extent->seq_count - 1, err);
}

/* ---- letters of sinks ---- */

/* Its detail begins with "sink NAME: ". A dry run without a sink is about all of them. */
static bool is_of_sink(const struct replay_run *run, const struct deadletter *letter)
{
    const char *sink = run->job.request.sink;
    if (sink == NULL)
        return true;
    char *head = mem_printf("sink %.60s:", sink);
    size_t size = strlen(head);
    bool ours = letter->detail.size >= size && memcmp(letter->detail.data, head, size) == 0;
    free(head);
    return ours;
}

/* The rows of one message in the reading log, as what is held. GW_ECORRUPT: they cannot be read. */
static int readings_hold(struct letters *letters, uint64_t seq, struct err *err)
{
    struct journal_reader *reader;
    struct extent extent;
    struct batch *batch = NULL;
    int rc = journal_reader_new(letters->run->options->readings, seq, &reader, err);
    if (rc)
        return rc;
    rc = journal_reader_next(reader, &extent, err);
    bool here = rc > 0 && extent.first_seq <= seq;
    if (here && rc == JOURNAL_DAMAGED)
        rc = GW_ECORRUPT;
    if (here && rc == JOURNAL_EXTENT && extent.kind == EXTENT_BATCH)
        rc = batch_decode(extent.body, &batch, err);
    if (batch) {
        for (uint32_t row = 0; row < batch->count; row++)
            if (batch->seq[row] == seq)
                replay_row_copy(batch, row, letters->builder);
        held_add(&letters->held, replay_batch_finish(letters->builder, batch));
        batch_release(batch);
    }
    journal_reader_free(reader);
    return rc < 0 ? rc : 0;
}

static int refused_letter(struct letters *letters, const struct deadletter *letter, struct err *err)
{
    uint64_t seq = letter->message.seq;
    if (letter->message.received_ms == 0) { /* its bytes were gone when it was written */
        replay_run_damaged(letters->run, "refused", seq, 1);
        return 0;
    }
    if (!is_of_sink(letters->run, letter) || !letter_wanted(letters->run, letter))
        return 0;
    int rc = readings_hold(letters, seq, err);
    if (rc == GW_ECORRUPT) { /* what it gave before is not known, so it could not be taken back */
        replay_run_damaged(letters->run, "readings", seq, 1);
        return 0;
    }
    if (rc)
        return rc;
    letter_decode(letters, letter);
    return decoded_send(letters, seq, seq, err);
}

/* Numbers there count letters, one after the other: a gap is damage. */
static int refused_extent(struct letters *letters, const struct extent *extent, struct err *err)
{
    struct deadletter_reader reader;
    struct deadletter letter;
    uint64_t before = 0, read = 0;
    int rc = 0, got = 0;
    deadletter_reader_init(&reader, extent);
    while (rc == 0 && (got = deadletter_reader_next(&reader, &letter)) == 1) {
        if (letter.message.seq != before)
            rc = refused_letter(letters, &letter, err);
        before = letter.message.seq;
        read++;
    }
    if (got < 0 && read < extent->seq_count)
        replay_run_damaged(letters->run, "refused", extent->first_seq + read,
                           extent->seq_count - read);
    return rc;
}

/* 0 and *out null: no sink has refused anything. The gateway writes to that log; this only reads. */
static int refused_open(const struct replay_run *run, struct journal **out, struct err *err)
{
    struct disk_stat stat;
    struct journal_recovery found;
    const struct disk *disk = run->options->disk;
    const struct journal_options options = {
        .disk = disk,
        .dir = run->options->refused_dir,
        .kind = JOURNAL_DEAD,
        .segment_bytes = 1 << 20, /* of new ones: there will be none */
        .read_only = true,
    };
    *out = NULL;
    if (options.dir == NULL || disk->stat(disk, options.dir, &stat) < 0)
        return 0;
    return journal_open(out, &options, &found, err);
}

static int refused_run(struct letters *letters, struct err *err)
{
    struct replay_run *run = letters->run;
    struct journal *journal;
    struct journal_reader *reader = NULL;
    struct extent extent;
    int rc = refused_open(run, &journal, err);
    if (rc || journal == NULL)
        return rc;
    rc = journal_reader_new(journal, journal_first_seq(journal), &reader, err);
    while (rc == 0 && !run->stop && (rc = journal_reader_next(reader, &extent, err)) > 0) {
        if (rc == JOURNAL_DAMAGED)
            replay_run_damaged(run, "refused", extent.first_seq, extent.seq_count);
        rc = rc == JOURNAL_EXTENT && extent.kind == EXTENT_DEAD
                 ? refused_extent(letters, &extent, err)
                 : 0;
    }
    journal_reader_free(reader);
    journal_close(journal);
    return run->stop ? GW_ECLOSED : rc < 0 ? rc : 0;
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
    if (last) {
        rc = extents_run(letters, next, last, err);
        if (rc == 0)
            replay_run_passed(letters->run, last + 1);
    }
    if (rc == 0)
        rc = refused_run(letters, err);
    if (rc == 0)
        replay_run_passed(letters->run, last ? last + 1 : 0);
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
    rc = letters_run(letters, next, run->job.status.last_seq, err);
    free(letters);
    return rc;
}
