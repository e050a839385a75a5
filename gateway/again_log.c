/* SPDX-License-Identifier: Apache-2.0
 *
 * A journal and, in memory, which raw sequence numbers each of its batches is about: about fifty
 * bytes for each batch that is kept.
 */
#include "again_log.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"

enum { SEGMENT_BYTES = 16 << 20 };

struct entry {
    uint64_t number;                            /* in this log */
    uint64_t first, last;                       /* of the raw log, both inclusive */
    uint64_t supersedes_first, supersedes_last; /* 0, 0: only what has the same keys */
};

struct again_log {
    struct again_options options;
    char *dir;
    _Atomic bool stopping;
    pthread_mutex_t lock;
    struct journal *journal; /* null: there is none yet */
    bool indexed;
    struct entry *entries; /* by number, ascending */
    size_t count, capacity;
};

/* ---- life ---- */

static int log_open(struct again_log *log, struct err *err)
{
    struct journal_recovery found;
    struct journal_options options = {
        .disk = log->options.disk,
        .dir = log->dir,
        .kind = JOURNAL_READINGS,
        .identity = log->options.identity,
        .segment_bytes = log->options.segment_bytes ? log->options.segment_bytes : SEGMENT_BYTES,
        .max_bytes = log->options.max_bytes,
        .reserve_bytes = log->options.reserve_bytes,
        .compression_level = 1,
    };
    if (log->journal)
        return 0;
    int rc = journal_open(&log->journal, &options, &found, err);
    return rc ? err_wrap(err, rc, "what was decoded again") : 0;
}

int again_log_new(const struct again_options *options, struct again_log **out, struct err *err)
{
    struct disk_stat stat;
    struct again_log *log = mem_zalloc(sizeof *log);
    *log = (struct again_log){.options = *options, .dir = mem_strdup(options->dir)};
    log->options.dir = log->dir;
    pthread_mutex_init(&log->lock, NULL);
    int rc = 0;
    if (options->disk->stat(options->disk, log->dir, &stat) == 0)
        rc = log_open(log, err);
    if (rc) {
        again_log_free(log);
        log = NULL;
    }
    *out = log;
    return rc;
}

void again_log_free(struct again_log *log)
{
    if (log == NULL)
        return;
    journal_close(log->journal);
    pthread_mutex_destroy(&log->lock);
    free(log->entries);
    free(log->dir);
    free(log);
}

/* ---- the index; with the lock held ---- */

static void entry_add(struct again_log *log, uint64_t number, const struct batch *batch)
{
    if (log->count == log->capacity) {
        log->capacity = log->capacity ? log->capacity * 2 : 64;
        log->entries = mem_realloc(log->entries, log->capacity * sizeof *log->entries);
    }
    log->entries[log->count++] = (struct entry){number, batch->first_seq, batch->last_seq,
                                                batch->supersedes_first, batch->supersedes_last};
}

static void damage_tell(const struct again_log *log, uint64_t number, const char *why)
{
    log_event(LOG_ERROR, "again_damaged", "dir=%s number=%" PRIu64 " why=\"%s\"", log->dir, number,
              why);
}

static int index_read(struct again_log *log, struct err *err)
{
    if (log->indexed)
        return 0;
    struct journal_reader *reader = NULL;
    struct extent extent;
    int rc = 0;
    log->count = 0;
    if (log->journal)
        rc = journal_reader_new(log->journal, 0, &reader, err);
    while (rc == 0 && reader && (rc = journal_reader_next(reader, &extent, err)) > 0) {
        struct batch *batch = NULL;
        struct err why;
        if (rc == JOURNAL_DAMAGED || extent.kind != EXTENT_BATCH)
            damage_tell(log, extent.first_seq, "lost");
        else if (batch_decode(extent.body, &batch, &why))
            damage_tell(log, extent.first_seq, why.text);
        else
            entry_add(log, extent.first_seq, batch);
        batch_release(batch);
        rc = log->stopping ? err_set(err, GW_ECLOSED, "stopped") : 0;
    }
    journal_reader_free(reader);
    log->indexed = rc == 0;
    return rc;
}

int again_log_index(struct again_log *log, struct err *err)
{
    pthread_mutex_lock(&log->lock);
    int rc = index_read(log, err);
    pthread_mutex_unlock(&log->lock);
    return rc;
}

void again_log_stop(struct again_log *log)
{
    log->stopping = true;
}

/* ---- writing ---- */

static int append(struct again_log *log, const struct batch *batch, const struct buffer *body,
                  struct err *err)
{
    int rc = index_read(log, err);
    if (rc == 0)
        rc = log_open(log, err);
    if (rc)
        return rc;
    struct extent extent = {
        .first_seq = journal_next_seq(log->journal),
        .seq_count = 1,
        .generation = batch->generation,
        .kind = EXTENT_BATCH,
        .replay = true,
        .received_min_ms = batch->received_min_ms,
        .received_max_ms = batch->received_max_ms,
        .body = buffer_bytes(body),
    };
    rc = journal_append(log->journal, &extent, err);
    if (rc == 0)
        entry_add(log, extent.first_seq, batch);
    return rc;
}

int again_log_append(struct again_log *log, const struct batch *batch, struct err *err)
{
    struct buffer body = {0};
    batch_encode(batch, &body);
    pthread_mutex_lock(&log->lock);
    int rc = append(log, batch, &body, err);
    pthread_mutex_unlock(&log->lock);
    buffer_fini(&body);
    return rc;
}

/* ---- reading ---- */

void again_reader_init(struct again_reader *reader, struct again_log *log)
{
    *reader = (struct again_reader){.log = log};
}

static void leave(struct again_reader *reader)
{
    journal_reader_free(reader->reader);
    reader->reader = NULL;
}

void again_reader_fini(struct again_reader *reader)
{
    leave(reader);
    free(reader->numbers);
    *reader = (struct again_reader){0};
}

int again_reader_find(struct again_reader *reader, uint64_t first, uint64_t last, struct err *err)
{
    struct again_log *log = reader->log;
    reader->count = reader->at = 0;
    pthread_mutex_lock(&log->lock);
    int rc = index_read(log, err);
    for (size_t i = 0; rc == 0 && i < log->count; i++) {
        const struct entry *entry = &log->entries[i];
        if (entry->last < first || entry->first > last)
            continue;
        if (reader->count == reader->capacity) {
            reader->capacity = reader->capacity ? reader->capacity * 2 : 16;
            reader->numbers =
                mem_realloc(reader->numbers, reader->capacity * sizeof *reader->numbers);
        }
        reader->numbers[reader->count++] = entry->number;
    }
    pthread_mutex_unlock(&log->lock);
    return rc;
}

/* The extent of that number, or what the reader found instead. */
static int extent_read(struct again_reader *reader, uint64_t number, struct extent *out,
                       struct err *err)
{
    if (reader->reader == NULL || reader->reader_next != number) {
        leave(reader);
        int rc = journal_reader_new(reader->log->journal, number, &reader->reader, err);
        if (rc)
            return rc;
    }
    reader->reader_next = number + 1;
    int rc = journal_reader_next(reader->reader, out, err);
    if (rc != JOURNAL_EXTENT || out->first_seq != number)
        leave(reader);
    return rc;
}

int again_reader_next(struct again_reader *reader, struct batch **out, struct err *err)
{
    while (reader->at < reader->count) {
        struct extent extent;
        uint64_t number = reader->numbers[reader->at];
        int rc = extent_read(reader, number, &extent, err);
        if (rc < 0)
            return rc;
        reader->at++;
        if (number < journal_first_seq(reader->log->journal))
            continue; /* retention took it meanwhile: later batches supersede it */
        if (rc != JOURNAL_EXTENT || extent.first_seq != number || extent.kind != EXTENT_BATCH)
            return err_set(err, GW_ECORRUPT, "batch %" PRIu64 " of %s is lost", number,
                           reader->log->dir);
        if (batch_decode(extent.body, out, err))
            return err_wrap(err, GW_ECORRUPT, "batch %" PRIu64 " of %s", number, reader->log->dir);
        return 1;
    }
    return 0;
}

/* ---- retention ---- */

/* Later batches that supersede whole ranges cover it. They follow the batches of the reading log, so
 * one alone mostly does. */
static bool is_superseded(const struct again_log *log, size_t index)
{
    const struct entry *old = &log->entries[index];
    uint64_t from = old->first;
    bool moved = true;
    while (moved && from <= old->last) {
        moved = false;
        for (size_t i = index + 1; i < log->count && !moved; i++) {
            const struct entry *entry = &log->entries[i];
            moved = entry->supersedes_last && entry->supersedes_first <= from &&
                    entry->supersedes_last >= from;
            if (moved)
                from = entry->supersedes_last + 1;
        }
    }
    return from > old->last;
}

void again_log_retain(struct again_log *log, uint64_t first_kept_seq)
{
    struct err err;
    if (pthread_mutex_trylock(&log->lock)) /* it is being read or written: the next time */
        return;
    if (log->journal && log->indexed) {
        size_t gone = 0;
        while (gone < log->count &&
               (log->entries[gone].last < first_kept_seq || is_superseded(log, gone)))
            gone++;
        uint64_t keep =
            gone < log->count ? log->entries[gone].number : journal_next_seq(log->journal);
        if (gone && journal_retain(log->journal, keep, 0, 0, clock_wall_ms(), &err))
            log_event(LOG_WARN, "again_retention_failed", "why=\"%s\"", err.text);
        uint64_t first = journal_first_seq(log->journal);
        for (gone = 0; gone < log->count && log->entries[gone].number < first;)
            gone++;
        log->count -= gone;
        memmove(log->entries, log->entries + gone, log->count * sizeof *log->entries);
    }
    pthread_mutex_unlock(&log->lock);
}

uint64_t again_log_bytes(struct again_log *log)
{
    pthread_mutex_lock(&log->lock);
    uint64_t bytes = log->journal ? journal_bytes(log->journal) : 0;
    pthread_mutex_unlock(&log->lock);
    return bytes;
}
