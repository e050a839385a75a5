/* SPDX-License-Identifier: Apache-2.0
 *
 * The journal thread: takes all chunks that wait, makes them one extent, has it synced, answers.
 *
 *     wait for chunks -> take a group -> append (again and again while the disk is full or failing)
 *         -> apply session records -> done() for each chunk, in order -> wait ...
 *
 * A group that could not be stored is kept and tried again, so nothing is lost and the order stays;
 * what comes meanwhile waits behind it, within the memory of the chunk pool.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "journal/rawlog_state.h"
#include "journal/record.h"
#include "journal/sessions.h"
#include "journal/state.h"

enum { BACKOFF_MIN_MS = 50, BACKOFF_MAX_MS = 1000 };

/* Chunks that become one extent. */
struct group {
    struct chunk *first;
    uint32_t count;
    uint32_t messages;
    uint64_t bytes;
};

/* ---- opening ---- */

static void snapshot(void *arg, struct buffer *out)
{
    const struct rawlog *rawlog = arg;
    sessions_snapshot(rawlog->sessions, out);
}

/* Session records are applied; messages are passed over. */
static int apply_records(struct rawlog *rawlog, struct record_reader *reader)
{
    enum record_kind kind;
    struct message message;
    struct session_record session;
    int rc;
    while ((rc = record_reader_next(reader, &kind, &message, &session)) == 1)
        if (kind != RECORD_MESSAGE)
            sessions_apply(rawlog->sessions, &session);
    return rc;
}

static int apply_extent(struct rawlog *rawlog, const struct extent *extent)
{
    struct record_reader reader;
    record_reader_init(&reader, extent);
    return apply_records(rawlog, &reader);
}

static int rebuild_sessions(struct rawlog *rawlog, struct err *err)
{
    struct journal_reader *reader;
    int rc = journal_reader_at_snapshot(rawlog->journal, &reader, err);
    if (rc < 0)
        return rc;
    struct extent extent;
    while ((rc = journal_reader_next(reader, &extent, err)) > 0) {
        bool records = rc == JOURNAL_EXTENT &&
                       (extent.kind == EXTENT_RECORDS || extent.kind == EXTENT_SNAPSHOT);
        /* Each snapshot stands for all before it. */
        if (rc == JOURNAL_EXTENT && extent.kind == EXTENT_SNAPSHOT) {
            sessions_free(rawlog->sessions);
            rawlog->sessions = sessions_new();
        }
        if (rc == JOURNAL_DAMAGED || (records && apply_extent(rawlog, &extent) < 0))
            log_event(LOG_ERROR, "sessions_incomplete", "first_seq=%" PRIu64 " seqs=%" PRIu32,
                      extent.first_seq, extent.seq_count);
    }
    journal_reader_free(reader);
    return rc;
}

static void latest_received(void *arg, const struct journal_segment_info *info)
{
    struct rawlog *rawlog = arg;
    if (info->received_max_ms > rawlog->received_ms)
        rawlog->received_ms = info->received_max_ms;
}

static struct rawlog *rawlog_new(const struct rawlog_options *options)
{
    struct rawlog *rawlog = mem_zalloc(sizeof *rawlog);
    rawlog->options = *options;
    rawlog->options.journal.kind = JOURNAL_RAW;
    rawlog->options.journal.snapshot = snapshot;
    rawlog->options.journal.snapshot_arg = rawlog;
    rawlog->sessions = sessions_new();
    rawlog->waiting_end = &rawlog->waiting;
    rawlog->parts = mem_zalloc(2 * GROUP_CHUNKS_MAX * sizeof *rawlog->parts);
    rawlog->frames = mem_zalloc(GROUP_CHUNKS_MAX * sizeof *rawlog->frames);
    chunk_pool_init(&rawlog->pool, options->chunk_bytes, options->memory_bytes);
    pthread_mutex_init(&rawlog->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&rawlog->changed, &attr);
    pthread_condattr_destroy(&attr);
    return rawlog;
}

int rawlog_open(struct rawlog **out, const struct rawlog_options *options,
                struct journal_recovery *recovery, struct err *err)
{
    *out = NULL;
    if (options->chunk_bytes < 1024 || options->extent_bytes < options->chunk_bytes ||
        options->memory_bytes < 4 * options->chunk_bytes)
        return err_set(err, GW_EINVAL,
                       "raw log: wanted are chunk_bytes >= 1024, extent_bytes >= chunk_bytes, "
                       "memory_bytes >= 4 * chunk_bytes");
    struct rawlog *rawlog = rawlog_new(options);
    int rc = journal_open(&rawlog->journal, &rawlog->options.journal, recovery, err);
    if (rc == 0)
        rc = rebuild_sessions(rawlog, err);
    if (rc < 0) {
        rawlog_close(rawlog);
        return rc;
    }
    journal_segments(rawlog->journal, latest_received, rawlog);
    *out = rawlog;
    return 0;
}

/* ---- the queue ---- */

void rawlog_submit(struct rawlog *rawlog, struct chunk *chunk)
{
    gw_assert(chunk->done != NULL);
    chunk_pool_recount(&rawlog->pool, chunk);
    atomic_fetch_add_explicit(&rawlog->stats.chunks_waiting, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&rawlog->stats.bytes_waiting, chunk->body.size, memory_order_relaxed);
    chunk->next = NULL;
    pthread_mutex_lock(&rawlog->lock);
    bool was_empty = rawlog->waiting == NULL;
    *rawlog->waiting_end = chunk;
    rawlog->waiting_end = &chunk->next;
    if (was_empty)
        pthread_cond_broadcast(&rawlog->changed);
    pthread_mutex_unlock(&rawlog->lock);
}

/* With the lock held: as many as fit into one extent, at least one. */
static void take_waiting(struct rawlog *rawlog, struct group *group)
{
    *group = (struct group){.first = rawlog->waiting};
    struct chunk **end = &rawlog->waiting;
    while (
        *end && group->count < GROUP_CHUNKS_MAX &&
        (group->count == 0 || group->bytes + (*end)->body.size <= rawlog->options.extent_bytes)) {
        group->count++;
        group->bytes += (*end)->body.size;
        group->messages += (*end)->message_count;
        end = &(*end)->next;
    }
    rawlog->waiting = *end;
    *end = NULL;
    if (rawlog->waiting == NULL)
        rawlog->waiting_end = &rawlog->waiting;
}

/* False when the thread shall end: stopping, and nothing waits. */
static bool next_group(struct rawlog *rawlog, struct group *group)
{
    pthread_mutex_lock(&rawlog->lock);
    while (rawlog->waiting == NULL && !rawlog->stopping)
        pthread_cond_wait(&rawlog->changed, &rawlog->lock);
    bool any = rawlog->waiting != NULL;
    if (any)
        take_waiting(rawlog, group);
    pthread_mutex_unlock(&rawlog->lock);
    return any;
}

/* Between two tries; false when the time to stop is over. */
static bool wait_before_retry(struct rawlog *rawlog, int64_t backoff_ms)
{
    int64_t now = clock_monotonic_ns();
    int64_t until = now + backoff_ms * 1000000;
    pthread_mutex_lock(&rawlog->lock);
    int rc = 0;
    while (rc == 0 && !(rawlog->stopping && until > rawlog->stop_deadline_ns)) {
        struct timespec deadline = {until / 1000000000, until % 1000000000};
        rc = pthread_cond_timedwait(&rawlog->changed, &rawlog->lock, &deadline);
    }
    bool go_on = !(rawlog->stopping && until > rawlog->stop_deadline_ns);
    pthread_mutex_unlock(&rawlog->lock);
    return go_on;
}

/* ---- one commit ---- */

static void lay_out(struct rawlog *rawlog, const struct group *group, struct extent *extent)
{
    *extent = (struct extent){
        .first_seq = journal_next_seq(rawlog->journal),
        .seq_count = group->messages,
        .kind = EXTENT_RECORDS,
    };
    uint64_t seq = extent->first_seq;
    uint32_t index = 0;
    for (struct chunk *chunk = group->first; chunk; chunk = chunk->next, index++) {
        if (chunk->message_count) {
            /* The wall clock may jump back; received times never do. */
            if (chunk->received_ms > rawlog->received_ms)
                rawlog->received_ms = chunk->received_ms;
            if (extent->received_min_ms == 0)
                extent->received_min_ms = rawlog->received_ms;
            extent->received_max_ms = rawlog->received_ms;
        }
        chunk->first_seq = seq;
        seq += chunk->message_count;
        chunk->received_ms = rawlog->received_ms;
        uint8_t *frame = rawlog->frames[index];
        size_t size =
            frame_encode(frame, chunk->message_count, chunk->received_ms, chunk->body.size);
        rawlog->parts[2 * index] = bytes_of(frame, size);
        rawlog->parts[2 * index + 1] = buffer_bytes(&chunk->body);
    }
}

static void tell_health(struct rawlog *rawlog, enum rawlog_health health, const char *why)
{
    enum rawlog_health before = (enum rawlog_health)atomic_exchange(&rawlog->health, (int)health);
    if (before == health)
        return;
    if (health == RAWLOG_OK)
        log_event(LOG_WARN, "journal_resumed", "dir=%s", rawlog->options.journal.dir);
    else
        log_event(LOG_ERROR, health == RAWLOG_FULL ? "journal_full" : "journal_failing",
                  "no message is acknowledged until it is better; why=\"%s\"", why);
}

/* True when the group is durable; false when stopping came first. */
static bool store(struct rawlog *rawlog, const struct group *group, const struct extent *extent)
{
    int64_t backoff_ms = BACKOFF_MIN_MS;
    struct err err;
    for (;;) {
        int rc =
            journal_append_parts(rawlog->journal, extent, rawlog->parts, 2 * group->count, &err);
        if (rc == 0)
            break;
        if (rc != GW_EFULL) /* no room is an answer, not a failure */
            atomic_fetch_add_explicit(&rawlog->stats.failures, 1, memory_order_relaxed);
        tell_health(rawlog, rc == GW_EFULL ? RAWLOG_FULL : RAWLOG_FAILING, err.text);
        if (!wait_before_retry(rawlog, backoff_ms))
            return false;
        backoff_ms = backoff_ms * 2 < BACKOFF_MAX_MS ? backoff_ms * 2 : BACKOFF_MAX_MS;
    }
    tell_health(rawlog, RAWLOG_OK, "");
    return true;
}

static void count_commit(struct rawlog *rawlog, const struct group *group, int64_t took_ns)
{
    struct rawlog_stats *stats = &rawlog->stats;
    uint64_t bytes = 0;
    for (const struct chunk *chunk = group->first; chunk; chunk = chunk->next)
        bytes += chunk->message_bytes;
    uint64_t took_us = (uint64_t)took_ns / 1000;
    size_t bucket = took_us ? (size_t)(64 - __builtin_clzll(took_us)) : 0;
    size_t last = array_count(stats->commit_us_bucket) - 1;
    const struct {
        _Atomic uint64_t *counter;
        uint64_t by;
    } rows[] = {
        {&stats->messages, group->messages},
        {&stats->message_bytes, bytes},
        {&stats->extents, 1},
        {&stats->extent_bytes, group->bytes},
        {&stats->disk_bytes, rawlog->journal->out.size},
        {&stats->syncs, 1},
        {&stats->commit_ns_sum, (uint64_t)took_ns},
        {&stats->commit_us_bucket[bucket < last ? bucket : last], 1},
        {&stats->chunks_waiting, -(uint64_t)group->count},
        {&stats->bytes_waiting, -group->bytes},
    };
    for (size_t i = 0; i < array_count(rows); i++)
        atomic_fetch_add_explicit(rows[i].counter, rows[i].by, memory_order_relaxed);
}

/* Session records in log order, before anybody hears that they are durable. */
static void apply_group(struct rawlog *rawlog, const struct group *group)
{
    for (const struct chunk *chunk = group->first; chunk; chunk = chunk->next) {
        if (chunk->record_count == chunk->message_count)
            continue;
        uint64_t end_seq = chunk->first_seq + chunk->message_count;
        struct record_reader reader = {
            .chunk = reader_of(buffer_bytes(&chunk->body)),
            .seq = chunk->first_seq,
            .chunk_end_seq = end_seq,
            .end_seq = end_seq,
        };
        gw_assert(apply_records(rawlog, &reader) == 0);
    }
}

static void answer(const struct group *group)
{
    struct chunk *chunk = group->first;
    while (chunk) {
        struct chunk *next = chunk->next; /* done() may give the chunk away */
        chunk->next = NULL;
        chunk->done(chunk);
        chunk = next;
    }
}

/* Back to the front of the queue: they were not stored. */
static void put_back(struct rawlog *rawlog, const struct group *group)
{
    struct chunk *last = group->first;
    while (last->next)
        last = last->next;
    pthread_mutex_lock(&rawlog->lock);
    last->next = rawlog->waiting;
    if (rawlog->waiting == NULL)
        rawlog->waiting_end = &last->next;
    rawlog->waiting = group->first;
    pthread_mutex_unlock(&rawlog->lock);
}

static bool commit(struct rawlog *rawlog, struct group *group)
{
    struct extent extent;
    lay_out(rawlog, group, &extent);
    int64_t begun = clock_monotonic_ns();
    if (!store(rawlog, group, &extent)) {
        put_back(rawlog, group);
        return false;
    }
    count_commit(rawlog, group, clock_monotonic_ns() - begun);
    apply_group(rawlog, group);
    answer(group);
    return true;
}

static void *run(void *arg)
{
    struct rawlog *rawlog = arg;
    struct group group;
    while (next_group(rawlog, &group) && commit(rawlog, &group))
        continue;
    pthread_mutex_lock(&rawlog->lock);
    rawlog->ended = true;
    pthread_cond_broadcast(&rawlog->changed);
    pthread_mutex_unlock(&rawlog->lock);
    return NULL;
}

/* ---- life ---- */

int rawlog_start(struct rawlog *rawlog, struct err *err)
{
    int rc = pthread_create(&rawlog->thread, NULL, run, rawlog);
    if (rc)
        return err_set(err, GW_ELIMIT, "start the journal thread: %s", strerror(rc));
    pthread_setname_np(rawlog->thread, "journal");
    rawlog->started = true;
    return 0;
}

bool rawlog_stop(struct rawlog *rawlog, int64_t timeout_ms)
{
    pthread_mutex_lock(&rawlog->lock);
    rawlog->stopping = true;
    rawlog->stop_deadline_ns = clock_monotonic_ns() + timeout_ms * 1000000;
    struct timespec deadline = {rawlog->stop_deadline_ns / 1000000000,
                                rawlog->stop_deadline_ns % 1000000000};
    pthread_cond_broadcast(&rawlog->changed);
    int rc = 0;
    while (rawlog->started && !rawlog->ended && rc == 0)
        rc = pthread_cond_timedwait(&rawlog->changed, &rawlog->lock, &deadline);
    bool ended = !rawlog->started || rawlog->ended;
    bool stored = ended && rawlog->waiting == NULL;
    pthread_mutex_unlock(&rawlog->lock);
    if (ended && rawlog->started) {
        pthread_join(rawlog->thread, NULL);
        rawlog->started = false;
    }
    return stored;
}

void rawlog_close(struct rawlog *rawlog)
{
    if (rawlog == NULL)
        return;
    if (rawlog->started) {
        /* It hangs in a disk call that does not return: its memory must stay until exit. */
        log_event(LOG_ERROR, "journal_stuck", "dir=%s", rawlog->options.journal.dir);
        return;
    }
    journal_close(rawlog->journal);
    while (rawlog->waiting) {
        struct chunk *chunk = rawlog->waiting;
        rawlog->waiting = chunk->next;
        chunk_free(chunk);
    }
    sessions_free(rawlog->sessions);
    chunk_pool_fini(&rawlog->pool);
    pthread_mutex_destroy(&rawlog->lock);
    pthread_cond_destroy(&rawlog->changed);
    free(rawlog->parts);
    free(rawlog->frames);
    free(rawlog);
}

const struct sessions *rawlog_sessions(const struct rawlog *rawlog)
{
    return rawlog->sessions;
}

struct journal *rawlog_journal(struct rawlog *rawlog)
{
    return rawlog->journal;
}

enum rawlog_health rawlog_health(const struct rawlog *rawlog)
{
    return (enum rawlog_health)atomic_load(&rawlog->health);
}

struct rawlog_stats *rawlog_stats(struct rawlog *rawlog)
{
    return &rawlog->stats;
}

uint64_t rawlog_chunk_bytes(const struct rawlog *rawlog)
{
    return rawlog->options.chunk_bytes;
}

uint64_t rawlog_memory_bytes(const struct rawlog *rawlog)
{
    return rawlog->options.memory_bytes;
}
