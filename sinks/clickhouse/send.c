/* SPDX-License-Identifier: Apache-2.0
 *
 * Units to blocks, blocks to replicas, answers to the lane. The life of a part:
 *
 *   WAITING -> SENT -> STORED
 *      ^        |-> WAITING  at another replica, with the same bytes
 *      |        |-> CHECKING -> WAITING  piece by piece, when the table is as we know it
 *      |        '-> FAILED   the unit is answered RETRY when none of its parts is under way
 *      '------------'        when the lane brings it again: what is STORED is not sent again
 *
 * The lane's thread.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "sinks/clickhouse/state.h"

enum { BLOCK_RAW_BYTES_MAX = 64 << 20 };

static void count(_Atomic uint64_t *counter, uint64_t more)
{
    atomic_fetch_add_explicit(counter, more, memory_order_relaxed);
}

/* ---- the lists ---- */

static void queue_push(struct sink *sink, struct ch_part *part)
{
    part->state = CH_PART_WAITING;
    part->next = NULL;
    *sink->queue_end = part;
    sink->queue_end = &part->next;
}

static void queue_take(struct sink *sink, struct ch_part **link)
{
    struct ch_part *part = *link;
    *link = part->next;
    if (sink->queue_end == &part->next)
        sink->queue_end = link;
    part->next = NULL;
}

static void works_add(struct sink *sink, struct ch_work *work)
{
    struct ch_work **link = &sink->works;
    while (*link)
        link = &(*link)->next;
    *link = work;
}

static void works_drop(struct sink *sink, struct ch_work *work)
{
    struct ch_work **link = &sink->works;
    while (*link != work)
        link = &(*link)->next;
    *link = work->next;
    ch_work_free(work);
}

/* Kept between a RETRY and the next write. Blocks of an earlier epoch are void; beyond one for each
 * unit that may be open, the oldest go. */
static void works_drop_stale(struct sink *sink)
{
    uint32_t kept = 0;
    for (struct ch_work *work = sink->works; work; work = work->next)
        kept += work->unit == NULL;
    for (struct ch_work *work = sink->works, *next; work; work = next) {
        next = work->next;
        if (work->unit || (work->epoch == sink->epoch && kept <= sink->options->open_units))
            continue;
        works_drop(sink, work);
        kept--;
    }
}

static struct ch_work *works_find_kept(struct sink *sink, const struct unit *unit)
{
    for (struct ch_work *work = sink->works; work; work = work->next)
        if (work->unit == NULL && ch_work_is(work, unit))
            return work;
    return NULL;
}

/* ---- the answer to the lane ---- */

static const struct ch_verdict *worst_verdict(const struct ch_work *work)
{
    const struct ch_verdict *worst = NULL;
    for (uint32_t i = 0; i < work->part_count; i++) {
        const struct ch_part *part = &work->parts[i];
        if (part->state != CH_PART_FAILED)
            continue;
        if (worst == NULL ||
            (part->verdict.reason >= SINK_REASON_OPERATOR && worst->reason < SINK_REASON_OPERATOR))
            worst = &part->verdict;
    }
    return worst;
}

/* The work leaves before the answer: from inside it the lane may write the next unit. */
static void answer_stored(struct sink *sink, struct ch_work *work)
{
    struct unit *unit = work->unit;
    struct sink_refusal *refusals = work->refusals;
    struct sink_result result = {
        .answer = SINK_STORED,
        .refusals = refusals,
        .refusal_count = work->refusal_count,
    };
    count(&sink->refused, work->refusal_count);
    work->refusals = NULL;
    works_drop(sink, work);
    sink->host->answer(sink->host, unit, &result);
    free(refusals);
}

static void answer_retry(struct sink *sink, struct ch_work *work, enum sink_reason reason,
                         const char *why)
{
    struct unit *unit = work->unit;
    work->unit = NULL;
    sink_retry(sink->host, unit, reason, why);
}

static void answer_if_done(struct sink *sink, struct ch_work *work)
{
    bool failed = false;
    for (uint32_t i = 0; i < work->part_count; i++) {
        failed |= work->parts[i].state == CH_PART_FAILED;
        if (work->parts[i].state != CH_PART_FAILED && work->parts[i].state != CH_PART_STORED)
            return;
    }
    if (!failed) {
        answer_stored(sink, work);
        return;
    }
    struct ch_verdict verdict = *worst_verdict(work);
    answer_retry(sink, work, verdict.reason, verdict.why);
}

/* ---- a part ---- */

static void part_fail(struct sink *sink, struct ch_part *part)
{
    part->state = CH_PART_FAILED;
    answer_if_done(sink, part->work);
}

static void part_done(struct sink *sink, struct ch_part *part)
{
    part->state = CH_PART_STORED;
    block_fini(&part->block);
    part->block = (struct block){0};
    answer_if_done(sink, part->work);
}

/* Rows that fail alone are dead letters only if the table took others since the first failure: a
 * table that takes nothing is not a matter of rows. */
static void part_end_bisect(struct sink *sink, struct ch_part *part)
{
    bool takes_others = sink->shards[part->shard].stored_ms >= part->content_failed_ms;
    bool overflow = part->bisect->overflow;
    uint32_t found = part->bisect->found_count;
    if (takes_others && !overflow) {
        log_event(LOG_WARN, "clickhouse_rows_rejected", "sink=%s count=%u code=%d why=\"%s\"",
                  sink->host->name, found, part->verdict.code, part->verdict.why);
        ch_part_refuse_found(part);
        ch_part_end_bisect(part, false);
        part_done(sink, part);
        return;
    }
    struct ch_verdict last = part->verdict;
    snprintf(part->verdict.why, sizeof part->verdict.why, "%s: %.250s",
             overflow ? "too many rows are rejected" : "no row is taken", last.why);
    part->verdict.reason = SINK_REASON_SCHEMA;
    ch_part_end_bisect(part, true); /* the next attempt begins with the whole, as after a restart */
    part_fail(sink, part);
}

static void part_next_piece(struct sink *sink, struct ch_part *part)
{
    if (ch_part_next_piece(part)) {
        part->tried = 0;
        queue_push(sink, part);
    } else {
        part_end_bisect(sink, part);
    }
}

static void on_stored(struct sink *sink, struct ch_part *part)
{
    int64_t now = clock_monotonic_ms();
    ch_host_answered(part->host);
    part->host->confirmed_at_ms = now;
    sink->shards[part->shard].stored_ms = now;
    if (part->work->copy.last_seq > sink->confirmed_through)
        sink->confirmed_through = part->work->copy.last_seq;
    count(&part->host->blocks, 1);
    count(&sink->blocks, 1);
    count(&sink->rows, part->block.rows);
    count(&sink->bytes, part->block.body.size);
    count(&sink->small_blocks, part->block.rows < SPLIT_SMALL);
    if (part->bisect == NULL) {
        part_done(sink, part);
        return;
    }
    bisect_stored(part->bisect);
    part_next_piece(sink, part);
}

static void on_content(struct sink *sink, struct ch_part *part)
{
    ch_host_answered(part->host);
    if (part->bisect) {
        bisect_failed(part->bisect);
        part_next_piece(sink, part);
        return;
    }
    part->state = CH_PART_CHECKING;
    if (part->content_failed_ms == 0)
        part->content_failed_ms = clock_monotonic_ms();
    ch_watch_want(sink, part->host, CH_PROBE_TABLE);
}

static void on_failed(struct sink *sink, struct ch_part *part)
{
    const struct ch_verdict *verdict = &part->verdict;
    int64_t now = clock_monotonic_ms();
    if (verdict->elsewhere)
        ch_host_failed(part->host, now);
    if (verdict->recheck || verdict->lost)
        ch_watch_want(sink, part->host, verdict->recheck ? CH_PROBE_TABLE : CH_PROBE_UPTIME);
    part->tried |= ch_hosts_bit(&sink->hosts, part->host);
    if (verdict->elsewhere && ch_hosts_pick(&sink->hosts, part->shard, part->tried, now)) {
        count(&sink->failovers, 1);
        queue_push(sink, part);
        return;
    }
    part_fail(sink, part);
}

static void on_answer(struct http_request *request, const struct http_answer *answer)
{
    struct ch_part *part = container_of(request, struct ch_part, request);
    struct sink *sink = part->work->sink;
    struct ch_verdict verdict;
    sink->shards[part->shard].sending--;
    ch_judge_insert(answer, part->host->name, &verdict);
    if (verdict.outcome == CH_STORED) {
        on_stored(sink, part);
    } else {
        part->verdict = verdict;
        if (verdict.outcome == CH_CONTENT)
            on_content(sink, part);
        else
            on_failed(sink, part);
    }
    ch_send_more(sink);
}

/* ---- sending ---- */

static void part_send(struct sink *sink, struct ch_part *part, struct ch_host *host)
{
    struct buffer query = {0}, url = {0};
    const struct table_shape *shape = &part->work->shapes[part->shard];
    const struct unit *unit = &part->work->copy;
    bool again = unit->replay || unit->first_seq <= sink->again_through;
    table_insert_query(shape, host->database, sink->options->table, &query);
    buffer_printf(&url, "%s/?query=", host->base);
    http_escape(&url, buffer_bytes(&query));
    table_insert_settings(&host->shape, part->block.token, again, &url);
    if (sink->options->insert_quorum)
        buffer_printf(&url, "&insert_quorum=%" PRId64, sink->options->insert_quorum);
    buffer_u8(&url, '\0');
    count(&sink->resent, part->attempts++ > 0);
    if (unit->last_seq > sink->sent_through)
        sink->sent_through = unit->last_seq;
    part->host = host;
    part->state = CH_PART_SENT;
    part->request = (struct http_request){
        .url = (const char *)url.data,
        .body = buffer_bytes(&part->block.body),
        .done = on_answer,
    };
    sink->shards[part->shard].sending++;
    http_send(sink->client, &part->request);
    buffer_fini(&url);
    buffer_fini(&query);
}

/* No replica has a table that fits, or none is left in this attempt. */
static void part_has_no_host(struct sink *sink, struct ch_part *part)
{
    if (part->tried == 0) {
        const struct ch_host *host = ch_hosts_first(&sink->hosts, part->shard);
        part->verdict = (struct ch_verdict){.outcome = CH_RETRY, .reason = host->reason};
        snprintf(part->verdict.why, sizeof part->verdict.why, "%s", host->why);
    }
    part_fail(sink, part);
}

/* Servers before 20 take one block with a quorum at a time. */
static uint32_t sending_max(const struct sink *sink, uint32_t shard)
{
    bool alone = sink->options->insert_quorum && sink->shapes[shard].major < 21;
    return alone ? 1 : (uint32_t)sink->options->connections;
}

/* The first part whose shard has room leaves the queue. */
static struct ch_part *queue_next(struct sink *sink)
{
    for (struct ch_part **link = &sink->queue; *link; link = &(*link)->next) {
        struct ch_part *part = *link;
        if (sink->shards[part->shard].sending >= sending_max(sink, part->shard))
            continue;
        queue_take(sink, link);
        return part;
    }
    return NULL;
}

static void queue_parts(struct sink *sink, struct ch_work *work)
{
    for (uint32_t i = 0; i < work->part_count; i++) {
        struct ch_part *part = &work->parts[i];
        part->tried = 0;
        if (part->state != CH_PART_STORED)
            queue_push(sink, part);
    }
    answer_if_done(sink, work); /* a unit without readings */
}

/* One is free whenever a job may begin. */
static struct block_encoder *encoder_lend(struct sink *sink)
{
    for (int i = 0; i < CH_JOBS_MAX; i++) {
        struct block_encoder *encoder = sink->encoders[i];
        sink->encoders[i] = NULL;
        if (encoder)
            return encoder;
    }
    return block_encoder_new(sink->host->identity);
}

static void encoder_take_back(struct sink *sink, struct block_encoder *encoder)
{
    int i = 0;
    while (sink->encoders[i])
        i++;
    gw_assert(i < CH_JOBS_MAX);
    sink->encoders[i] = encoder;
}

void ch_send_rest(struct sink *sink)
{
    for (int i = 0; sink->works == NULL && i < CH_JOBS_MAX; i++) {
        block_encoder_free(sink->encoders[i]);
        sink->encoders[i] = NULL;
    }
}

static void on_encoded(struct ch_work *work)
{
    struct sink *sink = work->sink;
    sink->encoding--;
    encoder_take_back(sink, work->encoder);
    if (sink->closing) {
        works_drop(sink, work);
        ch_sink_finish_closing(sink);
        return;
    }
    queue_parts(sink, work);
    ch_send_more(sink);
}

void ch_send_more(struct sink *sink)
{
    struct ch_part *part;
    for (struct ch_work *work = sink->works; work && sink->encoding < CH_JOBS_MAX;
         work = work->next)
        if (!work->encoding && !work->encoded) {
            sink->encoding++;
            ch_work_encode(work, sink->host->loop, encoder_lend(sink), on_encoded);
        }
    while (!sink->closing && (part = queue_next(sink))) {
        struct ch_host *host =
            ch_hosts_pick(&sink->hosts, part->shard, part->tried, clock_monotonic_ms());
        if (host)
            part_send(sink, part, host);
        else
            part_has_no_host(sink, part);
    }
}

static struct ch_work *begin_work(struct sink *sink, struct unit *unit)
{
    struct split_limits limits = {
        .shards = sink->hosts.shards,
        .rows_max = (uint32_t)sink->options->block_rows,
        .bytes_max = BLOCK_RAW_BYTES_MAX,
        .ts_min_ms = INT64_MIN,
        .ts_max_ms = INT64_MAX,
    };
    for (uint32_t i = 0; i < limits.shards; i++) {
        if (sink->shapes[i].ts_min_ms > limits.ts_min_ms)
            limits.ts_min_ms = sink->shapes[i].ts_min_ms;
        if (sink->shapes[i].ts_max_ms < limits.ts_max_ms)
            limits.ts_max_ms = sink->shapes[i].ts_max_ms;
    }
    struct ch_work *work = ch_work_new(unit, &limits, sink->shapes, sink->host->identity);
    work->sink = sink;
    work->epoch = sink->epoch;
    works_add(sink, work);
    return work;
}

/* Called from write(): nothing is answered, nothing sent; the kick does that. */
void ch_send_unit(struct sink *sink, struct unit *unit)
{
    works_drop_stale(sink);
    struct ch_work *work = works_find_kept(sink, unit);
    bool kept = work != NULL;
    if (!kept)
        work = begin_work(sink, unit);
    work->unit = unit;
    if (kept)
        queue_parts(sink, work);
}

/* ---- a table was looked at ---- */

static struct ch_part *find_checking(struct sink *sink, const struct ch_host *host)
{
    for (struct ch_work *work = sink->works; work; work = work->next)
        /* A pool thread is at the parts of one that is being encoded. */
        for (uint32_t i = 0; work->encoded && i < work->part_count; i++)
            if (work->parts[i].state == CH_PART_CHECKING && work->parts[i].host == host)
                return &work->parts[i];
    return NULL;
}

void ch_send_checked(struct sink *sink, struct ch_host *host, const struct ch_probe *probe)
{
    struct ch_part *part;
    while ((part = find_checking(sink, host))) {
        struct ch_verdict *verdict = &part->verdict;
        if (probe->result == 0 && part->work->epoch == sink->epoch) {
            count(&sink->bisected, 1);
            part_next_piece(sink, part);
            continue;
        }
        verdict->reason = probe->result < 0 ? probe->reason : SINK_REASON_SCHEMA;
        snprintf(verdict->why, sizeof verdict->why, "%.300s",
                 probe->result < 0 ? probe->err.text : "the table was changed: made again");
        part_fail(sink, part);
    }
    ch_send_more(sink);
}

/* ---- closing ---- */

void ch_send_give_up(struct sink *sink)
{
    sink->queue = NULL;
    sink->queue_end = &sink->queue;
    for (struct ch_work *work = sink->works, *next; work; work = next) {
        struct unit *unit = work->unit;
        next = work->next;
        work->unit = NULL;
        if (!work->encoding)
            works_drop(sink, work);
        if (unit)
            sink_closed(sink->host, unit);
    }
}
