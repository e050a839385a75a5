/* SPDX-License-Identifier: Apache-2.0
 *
 * Two steps: the table of segments tells which of them overlap, then the extents of the first and of
 * the last of these tell where the span begins and ends in them. Separate, because everything that
 * is asked for by time goes through it.
 */
#include "replay_span.h"

#include <stdlib.h>

struct rows {
    struct journal_segment_info *items;
    size_t count;
};

static void on_segment(void *arg, const struct journal_segment_info *info)
{
    struct rows *rows = arg;
    rows->items = mem_realloc(rows->items, (rows->count + 1) * sizeof *rows->items);
    rows->items[rows->count++] = *info;
}

/* Where the segment ends: where the next begins, because its own end may be damaged. */
static uint64_t segment_end(const struct rows *rows, size_t index)
{
    const struct journal_segment_info *info = &rows->items[index];
    uint64_t end = index + 1 < rows->count ? rows->items[index + 1].first_seq : info->next_seq;
    return end > info->first_seq ? end : info->first_seq;
}

struct search {
    struct journal *log;
    int64_t from_ms, to_ms;
    bool may_miss;
    const _Atomic bool *stop;
};

static bool segment_may_hold(const struct search *search, const struct rows *rows, size_t index)
{
    const struct journal_segment_info *info = &rows->items[index];
    if (segment_end(rows, index) == info->first_seq)
        return false;
    /* No times although it has numbers: all that it holds may be damaged. */
    return info->received_max_ms == 0 ||
           replay_overlaps(search->from_ms, search->to_ms, info->received_min_ms,
                           info->received_max_ms);
}

/* The first extent of the segment that may hold something, and the end of the last; 0, 0: none. */
static int segment_search(const struct search *search, const struct rows *rows, size_t index,
                          bool first_only, struct replay_span *out, struct err *err)
{
    uint64_t begin = rows->items[index].first_seq;
    uint64_t end = segment_end(rows, index);
    struct journal_reader *reader;
    struct extent extent;
    *out = (struct replay_span){0, 0};
    int rc = journal_reader_new(search->log, begin, &reader, err);
    if (rc)
        return rc;
    while ((rc = journal_reader_next(reader, &extent, err)) > 0 && extent.first_seq < end) {
        if (*search->stop) {
            rc = err_set(err, GW_ECLOSED, "stopped");
            break;
        }
        bool holds = rc == JOURNAL_DAMAGED
                         ? !search->may_miss
                         : replay_overlaps(search->from_ms, search->to_ms, extent.received_min_ms,
                                           extent.received_max_ms);
        if (!holds || extent.seq_count == 0)
            continue;
        if (out->first_seq == 0)
            out->first_seq = extent.first_seq;
        out->last_seq = extent.first_seq + extent.seq_count - 1;
        if (first_only)
            break;
    }
    journal_reader_free(reader);
    return rc < 0 ? rc : 0;
}

static int rows_search(const struct search *search, const struct rows *rows,
                       struct replay_span *out, struct err *err)
{
    struct replay_span found = {0, 0};
    int rc = 0;
    size_t first = 0;
    for (; first < rows->count && rc == 0 && found.first_seq == 0; first++)
        if (segment_may_hold(search, rows, first))
            rc = segment_search(search, rows, first, true, &found, err);
    if (rc || found.first_seq == 0)
        return rc;
    out->first_seq = found.first_seq;
    found = (struct replay_span){0, 0};
    for (size_t i = rows->count; i >= first && rc == 0 && found.last_seq == 0; i--)
        if (segment_may_hold(search, rows, i - 1))
            rc = segment_search(search, rows, i - 1, false, &found, err);
    out->last_seq = found.last_seq > out->first_seq ? found.last_seq : out->first_seq;
    return rc;
}

int replay_span_find(struct journal *log, int64_t from_ms, int64_t to_ms, bool may_miss,
                     const _Atomic bool *stop, struct replay_span *out, struct err *err)
{
    const struct search search = {log, from_ms, to_ms, may_miss, stop};
    struct rows rows = {NULL, 0};
    *out = (struct replay_span){0, 0};
    journal_segments(log, on_segment, &rows);
    int rc = rows_search(&search, &rows, out, err);
    if (rc)
        *out = (struct replay_span){0, 0};
    free(rows.items);
    return rc;
}

uint64_t replay_span_before(struct journal *raw, uint64_t first_seq, int64_t age_ms,
                            uint64_t bytes_max)
{
    struct rows rows = {NULL, 0};
    journal_segments(raw, on_segment, &rows);
    uint64_t from = first_seq;
    uint64_t bytes = 0;
    int64_t oldest_ms = INT64_MIN;
    for (size_t i = rows.count; i-- > 0;) {
        const struct journal_segment_info *info = &rows.items[i];
        if (info->first_seq >= first_seq)
            continue;
        if (oldest_ms == INT64_MIN && info->received_max_ms)
            oldest_ms = info->received_max_ms - age_ms;
        bytes += info->bytes_used;
        /* The segment that holds first_seq is read from its beginning, however large it is. */
        if (from != first_seq && (bytes > bytes_max || info->received_max_ms < oldest_ms))
            break;
        from = info->first_seq;
    }
    free(rows.items);
    return from;
}
