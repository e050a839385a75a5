/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows by name and time, messages by topic. Separate from those who read batches, because live
 * batches, those decoded again and dead letters are chosen in the same way.
 */
#include "replay_filter.h"

#include "journal/rawlog.h"
#include "sources/access.h"

struct replay_filter replay_filter_of(const struct replay_request *request)
{
    return (struct replay_filter){
        .from_ms = request->from_ms,
        .to_ms = request->to_ms,
        .vendor = request->vendor,
        .device = request->device,
        .topic = request->topic,
    };
}

/* The rows are asked, not the bounds in the batch: these are of its first and last message, and
 * somebody may have set the clock between. */
static bool all_in_time(const struct replay_filter *filter, const struct batch *batch)
{
    bool out = false;
    for (uint32_t row = 0; row < batch->count; row++)
        out |=
            batch->received_ms[row] < filter->from_ms || batch->received_ms[row] >= filter->to_ms;
    return !out;
}

bool replay_filter_takes_all(const struct replay_filter *filter, const struct batch *batch)
{
    return filter->vendor == NULL && filter->device == NULL && filter->topic == NULL &&
           all_in_time(filter, batch);
}

/* False: the batch has no such string. */
static bool string_find(const struct batch *batch, const char *text, uint32_t *out)
{
    struct bytes wanted = bytes_text(text);
    for (*out = 0; *out < batch->string_count; ++*out)
        if (bytes_equal(batch->strings[*out], wanted))
            return true;
    return false;
}

struct replay_rows replay_rows_of(const struct replay_filter *filter, const struct batch *batch,
                                  const struct seq_set *topics)
{
    struct replay_rows rows = {
        .batch = batch,
        .from_ms = filter->from_ms,
        .to_ms = filter->to_ms,
        .any_vendor = filter->vendor == NULL,
        .any_device = filter->device == NULL,
        .topics = filter->topic ? topics : NULL,
    };
    if (filter->vendor)
        rows.none = !string_find(batch, filter->vendor, &rows.vendor);
    if (filter->device && !rows.none)
        rows.none = !string_find(batch, filter->device, &rows.device);
    return rows;
}

bool replay_rows_has(const struct replay_rows *rows, uint32_t row)
{
    const struct batch *batch = rows->batch;
    return !rows->none && batch->received_ms[row] >= rows->from_ms &&
           batch->received_ms[row] < rows->to_ms &&
           (rows->any_vendor || batch->vendor[row] == rows->vendor) &&
           (rows->any_device || batch->device[row] == rows->device) &&
           (rows->topics == NULL || seq_set_has(rows->topics, batch->seq[row]));
}

void replay_row_copy(const struct batch *from, uint32_t row, struct batch_builder *to)
{
    struct batch_row copy = {
        .vendor = from->strings[from->vendor[row]],
        .device = from->strings[from->device[row]],
        .metric = from->strings[from->metric[row]],
        .unit = from->strings[from->unit[row]],
        .ts_ms = from->ts_ms[row],
        .unscaled = from->unscaled[row],
        .scale = from->scale[row],
        .has_value = from->has_value[row],
        .quality = (enum quality)from->quality[row],
        .time_source = (enum time_source)from->time_source[row],
        .flags = from->flags[row],
        .seq = from->seq[row],
        .received_ms = from->received_ms[row],
    };
    batch_builder_add(to, &copy);
}

struct batch *replay_batch_finish(struct batch_builder *builder, const struct batch *from)
{
    struct batch *batch = batch_builder_finish(builder);
    batch->first_seq = from->first_seq;
    batch->last_seq = from->last_seq;
    batch->generation = from->generation;
    batch->received_min_ms = from->received_min_ms;
    batch->received_max_ms = from->received_max_ms;
    batch->replay = true;
    return batch;
}

/* ---- topics ---- */

enum { READ_ON_EXTENTS = 4 };

void replay_topics_init(struct replay_topics *topics, struct journal *raw, const char *filter)
{
    *topics = (struct replay_topics){.raw = raw, .filter = filter};
}

static void leave(struct replay_topics *topics)
{
    journal_reader_free(topics->reader);
    topics->reader = NULL;
    topics->extent = (struct extent){0};
}

void replay_topics_fini(struct replay_topics *topics)
{
    leave(topics);
    seq_set_fini(&topics->found);
}

void replay_topics_add(const struct extent *extent, const char *filter, uint64_t first,
                       uint64_t last, struct seq_set *found)
{
    struct record_reader records;
    struct message message;
    struct session_record session;
    enum record_kind kind;
    struct bytes wanted = bytes_text(filter);
    if (extent->kind != EXTENT_RECORDS)
        return;
    record_reader_init(&records, extent);
    while (record_reader_next(&records, &kind, &message, &session) > 0)
        if (kind == RECORD_MESSAGE && message.seq >= first && message.seq <= last &&
            access_topic_matches(wanted, message.topic))
            seq_set_add(found, message.seq);
}

static uint64_t end_of(const struct extent *extent)
{
    return extent->first_seq + extent->seq_count;
}

/* The part of first .. last that the extent at hand has or lost. */
static void use(struct replay_topics *topics, uint64_t *next, uint64_t last)
{
    const struct extent *extent = &topics->extent;
    uint64_t end = end_of(extent) <= last ? end_of(extent) : last + 1;
    if (extent->first_seq > *next) { /* retention took what is before */
        uint64_t begin = extent->first_seq <= last ? extent->first_seq : last + 1;
        topics->lost += begin - *next;
        *next = begin;
    }
    if (end <= *next)
        return;
    if (topics->damaged)
        topics->lost += end - *next;
    else
        replay_topics_add(extent, topics->filter, *next, last, &topics->found);
    *next = end;
}

/* Looking up the place is cheaper than reading on. */
static bool is_far(const struct replay_topics *topics, uint64_t first)
{
    const struct extent *extent = &topics->extent;
    return first > end_of(extent) + READ_ON_EXTENTS * (uint64_t)extent->seq_count;
}

int replay_topics_find(struct replay_topics *topics, uint64_t first, uint64_t last, struct err *err)
{
    uint64_t next = first;
    int got = JOURNAL_EXTENT;
    seq_set_clear(&topics->found);
    topics->lost = 0;
    if (topics->reader == NULL || topics->reader_seq > first || is_far(topics, first)) {
        leave(topics);
        int rc = journal_reader_new(topics->raw, first, &topics->reader, err);
        if (rc)
            return rc;
    }
    if (topics->extent.seq_count)
        use(topics, &next, last);
    while (next <= last && (got = journal_reader_next(topics->reader, &topics->extent, err)) > 0) {
        topics->damaged = got == JOURNAL_DAMAGED;
        topics->reader_seq = end_of(&topics->extent);
        if (end_of(&topics->extent) > next)
            use(topics, &next, last);
    }
    if (got < 0) {
        leave(topics);
        return got;
    }
    topics->lost += last + 1 - next;
    topics->reader_seq = last + 1;
    seq_set_seal(&topics->found);
    return 0;
}
