/* SPDX-License-Identifier: Apache-2.0
 *
 * A time is found by the segments' receive times first, then extent by extent in one segment. Receive
 * times may fall where the clock was set back, so the search is for the first extent that holds
 * something at or after the time: what comes behind it is sent whatever its time.
 */
#include "lane_begin.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/log.h"
#include "model/batch.h"

/* ---- one extent ---- */

struct look {
    struct journal_reader *reader;
    struct extent extent;
};

/* The extent that holds `seq`; false when it cannot be read. */
static bool look_at(struct look *look, struct journal *journal, uint64_t seq)
{
    struct err err;
    *look = (struct look){0};
    if (seq < journal_first_seq(journal) || seq >= journal_next_seq(journal) ||
        journal_reader_new(journal, seq, &look->reader, &err))
        return false;
    return journal_reader_next(look->reader, &look->extent, &err) == JOURNAL_EXTENT &&
           look->extent.first_seq <= seq;
}

/* Its totals before or after it. */
static bool totals_at(struct journal *readings, uint64_t seq, bool after, uint64_t *out)
{
    struct look look;
    struct batch *batch;
    struct err err;
    bool found = look_at(&look, readings, seq) && look.extent.kind == EXTENT_BATCH &&
                 batch_decode(look.extent.body, &batch, &err) == 0;
    if (found) {
        *out = batch->totals.readings;
        for (uint32_t row = 0; row < batch->count; row++)
            *out -= after ? batch->seq[row] > seq : batch->seq[row] >= seq;
        batch_release(batch);
    }
    journal_reader_free(look.reader);
    return found;
}

uint64_t lane_readings_at(struct journal *readings, uint64_t seq)
{
    uint64_t total = 0;
    if (seq > 1 && totals_at(readings, seq - 1, true, &total))
        return total;
    totals_at(readings, seq, false, &total);
    return total;
}

void lane_received(struct journal *readings, uint64_t first_seq, uint64_t last_seq,
                   int64_t *earliest_ms, int64_t *latest_ms)
{
    struct look first, last;
    *earliest_ms = look_at(&first, readings, first_seq) ? first.extent.received_min_ms : 0;
    *latest_ms = look_at(&last, readings, last_seq) ? last.extent.received_max_ms : 0;
    journal_reader_free(first.reader);
    journal_reader_free(last.reader);
}

/* ---- the first position ---- */

struct search {
    int64_t time_ms;
    uint64_t seq; /* 0: no segment holds it */
};

static void search_row(void *arg, const struct journal_segment_info *info)
{
    struct search *search = arg;
    if (search->seq == 0 && info->received_max_ms >= search->time_ms)
        search->seq = info->first_seq;
}

/* The first extent that was received at or after the time, else `end`. */
static int find_time(struct journal *readings, int64_t time_ms, uint64_t end, uint64_t *out,
                     struct err *err)
{
    struct search search = {.time_ms = time_ms};
    struct journal_reader *reader;
    struct extent extent;
    *out = end;
    journal_segments(readings, search_row, &search);
    if (search.seq == 0)
        return 0;
    int got = journal_reader_new(readings, search.seq, &reader, err);
    if (got)
        return got;
    while ((got = journal_reader_next(reader, &extent, err)) > 0) {
        if (got == JOURNAL_EXTENT && extent.received_max_ms >= time_ms) {
            *out = extent.first_seq;
            break;
        }
    }
    journal_reader_free(reader);
    return got < 0 ? got : 0;
}

static const char *start_text(const struct config_sink *sink, char out[CLOCK_TEXT_SIZE])
{
    switch (sink->start) {
    case START_EARLIEST: return "earliest";
    case START_LATEST: return "latest";
    case START_TIME: break;
    }
    return clock_format_ms(sink->start_ms, out);
}

int lane_begin(const struct config_sink *sink, struct journal *readings, uint64_t received_end,
               struct cursor_state *out, struct err *err)
{
    uint64_t end = journal_next_seq(readings);
    uint64_t seq = journal_first_seq(readings);
    int rc = 0;
    /* What was received and is not decoded yet is not after the latest; it may be after a time. */
    if (sink->start == START_LATEST)
        seq = end > received_end ? end : received_end;
    if (sink->start == START_TIME)
        rc = find_time(readings, sink->start_ms, end, &seq, err);
    if (rc)
        return rc;
    char time[CLOCK_TEXT_SIZE];
    log_event(LOG_INFO, "lane_begins",
              "sink=%s start=%s first_seq=%" PRIu64 " kept_from=%" PRIu64 " next_seq=%" PRIu64,
              sink->name, start_text(sink, time), seq, journal_first_seq(readings), end);
    *out = (struct cursor_state){.next_seq = seq, .settled_seq = seq};
    return 0;
}
