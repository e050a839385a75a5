/* SPDX-License-Identifier: Apache-2.0
 *
 * The journal's reader is made where it is needed first, and again where memory gave batches
 * meanwhile; while all comes from memory it is given up, because an open segment keeps its room on
 * disk after retention took it. The lane's thread.
 */
#include "lane_reader.h"

enum { HITS_WITHOUT_READER = 16 };

void lane_reader_init(struct lane_reader *reader, struct journal *readings, struct recent *recent)
{
    *reader = (struct lane_reader){.readings = readings, .recent = recent};
}

static void leave_log(struct lane_reader *reader)
{
    journal_reader_free(reader->reader);
    reader->reader = NULL;
}

void lane_reader_fini(struct lane_reader *reader)
{
    leave_log(reader);
}

void lane_reader_seek(struct lane_reader *reader, uint64_t next_seq)
{
    reader->next_seq = next_seq;
    if (reader->reader_seq != next_seq)
        leave_log(reader);
}

/* ---- a part of a batch ---- */

static void row_copy(const struct batch *batch, uint32_t row, struct batch_builder *to)
{
    struct batch_row copy = {
        .vendor = batch->strings[batch->vendor[row]],
        .device = batch->strings[batch->device[row]],
        .metric = batch->strings[batch->metric[row]],
        .unit = batch->strings[batch->unit[row]],
        .ts_ms = batch->ts_ms[row],
        .unscaled = batch->unscaled[row],
        .scale = batch->scale[row],
        .has_value = batch->has_value[row],
        .quality = (enum quality)batch->quality[row],
        .time_source = (enum time_source)batch->time_source[row],
        .flags = batch->flags[row],
        .seq = batch->seq[row],
        .received_ms = batch->received_ms[row],
    };
    batch_builder_add(to, &copy);
}

/* The same without what came from messages before `from_seq`; takes the reference over. What is
 * before is at the destination, which keeps its position itself and may have it anywhere. */
static struct batch *batch_from(struct batch *batch, uint64_t from_seq)
{
    struct batch_builder *builder = batch_builder_new();
    for (uint32_t row = 0; row < batch->count; row++)
        if (batch->seq[row] >= from_seq)
            row_copy(batch, row, builder);
    for (uint32_t i = 0; i < batch->reject_count; i++) {
        const struct reject *reject = &batch->rejects[i];
        if (reject->seq >= from_seq)
            batch_builder_reject(builder, reject->seq, (enum reject_stage)reject->stage,
                                 batch->strings[reject->vendor], batch->strings[reject->codec],
                                 reject->codec_version, batch->strings[reject->reason],
                                 batch->strings[reject->detail]);
    }
    struct batch *part = batch_builder_finish(builder);
    batch_builder_free(builder);
    part->first_seq = from_seq;
    part->last_seq = batch->last_seq;
    part->generation = batch->generation;
    part->replay = batch->replay;
    part->supersedes_first = batch->supersedes_first;
    part->supersedes_last = batch->supersedes_last;
    part->received_min_ms = batch->received_min_ms;
    part->received_max_ms = batch->received_max_ms;
    part->totals = batch->totals;
    batch_release(batch);
    return part;
}

/* ---- reading ---- */

static struct batch *from_memory(struct lane_reader *reader)
{
    struct batch *batch = reader->recent ? recent_find(reader->recent, reader->next_seq) : NULL;
    if (batch == NULL)
        return NULL;
    reader->next_seq = batch->last_seq + 1;
    if (reader->hits < HITS_WITHOUT_READER && ++reader->hits == HITS_WITHOUT_READER)
        leave_log(reader);
    return batch;
}

static int lost(struct lane_reader *reader, uint64_t end)
{
    reader->lost_first = reader->next_seq;
    reader->lost_count = end - reader->next_seq;
    reader->next_seq = end;
    return LANE_READ_LOST;
}

static int batch_take(struct lane_reader *reader, const struct extent *extent, uint64_t end,
                      struct batch **out, struct err *err)
{
    struct batch *batch;
    if (batch_decode(extent->body, &batch, err))
        return lost(reader, end);
    if (batch->first_seq != extent->first_seq || batch->last_seq + 1 != end) {
        batch_release(batch);
        err_set(err, GW_ECORRUPT, "the batch names other messages than its extent");
        return lost(reader, end);
    }
    *out = batch->first_seq < reader->next_seq ? batch_from(batch, reader->next_seq) : batch;
    reader->next_seq = end;
    return LANE_READ_BATCH;
}

static int from_log(struct lane_reader *reader, struct batch **out, struct err *err)
{
    if (reader->reader && reader->reader_seq != reader->next_seq)
        leave_log(reader);
    if (reader->reader == NULL) {
        int rc = journal_reader_new(reader->readings, reader->next_seq, &reader->reader, err);
        if (rc)
            return rc;
        reader->reader_seq = reader->next_seq;
    }
    reader->hits = 0;
    struct extent extent;
    int got;
    while ((got = journal_reader_next(reader->reader, &extent, err)) > 0) {
        uint64_t end = extent.first_seq + extent.seq_count;
        reader->reader_seq = end;
        if (got == JOURNAL_DAMAGED) {
            err_set(err, GW_ECORRUPT, "the reading log is damaged there");
            return lost(reader, end);
        }
        if (extent.kind == EXTENT_BATCH)
            return batch_take(reader, &extent, end, out, err);
        reader->next_seq = end;
    }
    return got;
}

int lane_reader_next(struct lane_reader *reader, struct batch **out, struct err *err)
{
    if (journal_next_seq(reader->readings) <= reader->next_seq)
        return LANE_READ_END;
    *out = from_memory(reader);
    return *out ? LANE_READ_BATCH : from_log(reader, out, err);
}
