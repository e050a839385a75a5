/* SPDX-License-Identifier: Apache-2.0
 *
 * What the audit reads from the journal: read only, so a running gateway is not disturbed. A window ends
 * where the memory for its readings does, at a batch.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "cli/auditing.h"
#include "cli/folder.h"
#include "deadletter.h"
#include "journal/rawlog.h"

enum { DAY_MS = 86400000 };

static const struct folder_log again_log = {"again", JOURNAL_READINGS};

/* ---- the span ---- */

struct span {
    int64_t from_ms;
    uint64_t first_seq;
};

/* The oldest time that is known: of damage with no message before it. */
static void on_time(void *arg, const struct journal_segment_info *info)
{
    struct span *span = arg;
    if (info->received_min_ms && info->next_seq > span->first_seq && span->from_ms == 0)
        span->from_ms = info->received_min_ms;
}

static void on_segment(void *arg, const struct journal_segment_info *info)
{
    struct span *span = arg;
    if (info->received_max_ms && info->received_max_ms >= span->from_ms &&
        info->first_seq < span->first_seq)
        span->first_seq = info->first_seq;
}

static void span_find(struct auditing *auditing)
{
    uint64_t raw = journal_first_seq(auditing->raw);
    uint64_t readings = journal_first_seq(auditing->readings);
    int64_t days = auditing->options->days;
    auditing->first_seq = raw > readings ? raw : readings;
    auditing->end_seq = journal_next_seq(auditing->raw);
    if (days) {
        int64_t today = clock_wall_ms() / DAY_MS;
        struct span span = {.from_ms = (today - days + 1) * DAY_MS, .first_seq = auditing->end_seq};
        journal_segments(auditing->raw, on_segment, &span);
        if (span.first_seq > auditing->first_seq)
            auditing->first_seq = span.first_seq;
    }
    if (auditing->first_seq > auditing->end_seq)
        auditing->first_seq = auditing->end_seq;
}

static void day_find(struct auditing *auditing)
{
    struct span span = {.first_seq = auditing->first_seq};
    journal_segments(auditing->raw, on_time, &span);
    audit_received_about(auditing->audit, span.from_ms ? span.from_ms : clock_wall_ms());
}

int audit_logs_open(struct auditing *auditing, struct err *err)
{
    const char *data = auditing->options->data;
    char *folder = mem_printf("%s/cursors", data);
    int rc = cursor_list_read(&disk_real, folder, &auditing->cursors, err);
    free(folder);
    if (rc == 0)
        rc = folder_open(data, &folder_logs[0], &auditing->raw, err);
    if (rc == 0)
        rc = folder_open(data, &folder_logs[1], &auditing->readings, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < auditing->cursors.count; i++)
        if (!auditing->cursors.files[i].readable)
            return err_set(err, GW_ECORRUPT, "%s: %s", auditing->cursors.files[i].path,
                           auditing->cursors.files[i].err.text);
    span_find(auditing);
    rc = audit_new(&auditing->cursors, &auditing->audit, err);
    if (rc == 0)
        day_find(auditing);
    return rc;
}

void audit_logs_close(struct auditing *auditing)
{
    audit_free(auditing->audit);
    journal_close(auditing->readings);
    journal_close(auditing->raw);
    cursor_list_fini(&auditing->cursors);
}

/* ---- the window ---- */

/* One log from `from` to the window's end; damaged places are heard by `lost`. */
static int log_walk(struct auditing *auditing, struct journal *journal, uint64_t from,
                    int (*on_extent)(struct auditing *auditing, const struct extent *extent),
                    void (*lost)(struct audit *audit, uint64_t first_seq, uint64_t count),
                    struct err *err)
{
    struct journal_reader *reader;
    struct extent extent;
    int rc = journal_reader_new(journal, from, &reader, err);
    if (rc)
        return rc;
    while ((rc = journal_reader_next(reader, &extent, err)) > 0) {
        if (extent.first_seq >= audit_end(auditing->audit))
            break;
        if (rc == JOURNAL_EXTENT && on_extent(auditing, &extent) == 0)
            continue;
        lost(auditing->audit, extent.first_seq, extent.seq_count);
    }
    journal_reader_free(reader);
    return rc < 0 ? rc : 0;
}

static int on_readings(struct auditing *auditing, const struct extent *extent)
{
    struct batch *batch;
    struct err err;
    if (extent->kind != EXTENT_BATCH)
        return 0;
    if (audit_bytes(auditing->audit) > auditing->options->memory_bytes) {
        audit_cut(auditing->audit, extent->first_seq);
        return 0;
    }
    if (batch_decode(extent->body, &batch, &err))
        return GW_ECORRUPT;
    audit_batch(auditing->audit, batch);
    batch_release(batch);
    return 0;
}

static int on_raw(struct auditing *auditing, const struct extent *extent)
{
    struct record_reader reader;
    enum record_kind kind;
    struct message message;
    struct session_record session;
    int rc;
    if (extent->kind != EXTENT_RECORDS)
        return 0;
    record_reader_init(&reader, extent);
    while ((rc = record_reader_next(&reader, &kind, &message, &session)) == 1)
        if (kind == RECORD_MESSAGE) {
            audit_message(auditing->audit, &message);
            if (auditing->received_from_ms == 0) /* receive times never fall */
                auditing->received_from_ms = message.received_ms;
        }
    return rc;
}

static int on_again(void *arg, const struct extent *extent)
{
    struct auditing *auditing = arg;
    struct batch *batch;
    struct err err;
    if (extent->kind != EXTENT_BATCH)
        return 0;
    if (batch_decode(extent->body, &batch, &err))
        return GW_ECORRUPT;
    auditing->again += audit_again(auditing->audit, batch);
    batch_release(batch);
    return 0;
}

/* Its detail begins with "sink NAME: ". */
static void letter_take(struct auditing *auditing, const struct deadletter *letter)
{
    struct bytes detail = letter->detail;
    for (size_t i = 0; i < auditing->cursors.count; i++) {
        const char *name = auditing->cursors.files[i].name;
        size_t size = strlen(name);
        if (detail.size > size + 5 && memcmp(detail.data, "sink ", 5) == 0 &&
            memcmp(detail.data + 5, name, size) == 0 && detail.data[5 + size] == ':')
            audit_refused(auditing->audit, letter->message.seq, i);
    }
}

static int on_refused(void *arg, const struct extent *extent)
{
    struct deadletter_reader reader;
    struct deadletter letter;
    int rc;
    if (extent->kind != EXTENT_DEAD)
        return 0;
    deadletter_reader_init(&reader, extent);
    while ((rc = deadletter_reader_next(&reader, &letter)) == 1)
        letter_take(arg, &letter);
    return rc;
}

/* Logs that are there only after something happened, and whose numbers are not those of messages. */
static int whole_read(struct auditing *auditing, const struct folder_log *log,
                      int (*extent)(void *arg, const struct extent *extent), void *arg,
                      struct err *err)
{
    struct journal *journal;
    bool never = false;
    struct folder_walk walk = {.extent = extent, .arg = arg, .done = &never, .gaps_normal = true};
    int rc = folder_open(auditing->options->data, log, &journal, err);
    if (rc)
        return rc == GW_ENOENT ? 0 : rc;
    rc = folder_each(journal, journal_first_seq(journal), &walk, err);
    journal_close(journal);
    return rc;
}

int audit_logs_read(struct auditing *auditing, uint64_t first_seq, struct err *err)
{
    uint64_t left = auditing->end_seq - first_seq;
    auditing->received_from_ms = 0;
    audit_window(auditing->audit, first_seq,
                 first_seq + (left < AUDIT_WINDOW_MAX ? left : AUDIT_WINDOW_MAX));
    int rc = log_walk(auditing, auditing->readings, first_seq, on_readings, audit_hidden, err);
    audit_decoded_to(auditing->audit, journal_next_seq(auditing->readings));
    if (rc == 0)
        rc = whole_read(auditing, &again_log, on_again, auditing, err);
    if (rc == 0)
        rc = whole_read(auditing, &folder_refused, on_refused, auditing, err);
    audit_sealed(auditing->audit);
    return rc ? rc : log_walk(auditing, auditing->raw, first_seq, on_raw, audit_lost, err);
}

/* ---- once more ---- */

struct explaining {
    struct audit_absent *absent;
    size_t count;
    audit_explain *explain;
    void *arg;
};

static int by_message(const void *a, const void *b)
{
    const struct audit_absent *left = a, *right = b;
    return (left->seq > right->seq) - (left->seq < right->seq);
}

static void batch_explain(const struct explaining *explaining, const struct batch *batch)
{
    for (uint32_t row = 0; row < batch->count; row++) {
        const struct audit_absent wanted = {.seq = batch->seq[row]};
        struct audit_absent *found =
            bsearch(&wanted, explaining->absent, explaining->count, sizeof wanted, by_message);
        if (found == NULL)
            continue;
        const struct audit_key key = audit_key_of(batch, row);
        uint32_t hash = (uint32_t)audit_key_hash(&key);
        struct audit_absent *end = explaining->absent + explaining->count;
        while (found > explaining->absent && found[-1].seq == key.seq)
            found--;
        for (; found < end && found->seq == key.seq; found++)
            if (found->hash == hash && found->reason == ABSENT_LOST)
                explaining->explain(explaining->arg, found, &key, batch->received_ms[row]);
    }
}

static int on_explain(void *arg, const struct extent *extent)
{
    struct batch *batch;
    struct err err;
    if (extent->kind != EXTENT_BATCH)
        return 0;
    if (batch_decode(extent->body, &batch, &err))
        return GW_ECORRUPT;
    batch_explain(arg, batch);
    batch_release(batch);
    return 0;
}

/* Damage was told when the window was read. */
static int readings_explain(struct auditing *auditing, struct explaining *explaining,
                            struct err *err)
{
    struct journal_reader *reader;
    struct extent extent;
    uint64_t last = explaining->absent[explaining->count - 1].seq;
    int rc = journal_reader_new(auditing->readings, explaining->absent[0].seq, &reader, err);
    if (rc)
        return rc;
    while ((rc = journal_reader_next(reader, &extent, err)) > 0 && extent.first_seq <= last)
        if (rc == JOURNAL_EXTENT)
            on_explain(explaining, &extent);
    journal_reader_free(reader);
    return rc < 0 ? rc : 0;
}

int audit_logs_explain(struct auditing *auditing, struct audit_absent *absent, size_t count,
                       audit_explain *explain, void *arg, struct err *err)
{
    struct explaining explaining = {absent, count, explain, arg};
    if (count == 0)
        return 0;
    int rc = readings_explain(auditing, &explaining, err);
    return rc ? rc : whole_read(auditing, &again_log, on_explain, &explaining, err);
}
