/* SPDX-License-Identifier: Apache-2.0
 *
 * The audit log's queue and thread. add(): the entry becomes text under a lock and goes behind the
 * queue; nobody waits for more than that. The thread takes the queue whole, appends it with one
 * write, syncs, and tries again, ever more slowly, while the disk refuses; meanwhile the queue
 * fills to its bound, and what finds it full is counted. Files: audit_file.c; what repeats:
 * audit_limit.c.
 */
#include "base/audit_log.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/audit_entry.h"
#include "base/audit_file.h"
#include "base/audit_limit.h"
#include "base/clock.h"
#include "base/log.h"

enum { QUEUE_BYTES = 256 * 1024, RETRY_FIRST_MS = 1000, RETRY_MOST_MS = 60000 };

struct audit_log {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake; /* an entry, or the end */
    struct audit_limit limit;
    struct buffer queue;
    uint64_t queued;      /* entries in it */
    uint64_t lost_untold; /* found it full */
    bool closing;
    _Atomic uint64_t lost;
    _Atomic uint64_t written;
    _Atomic bool failing;
    /* The thread's own. */
    struct audit_file file;
    struct buffer batch; /* taken from the queue, not yet synced */
    uint64_t batched;
    int64_t retry_ms; /* 0: the last try was good */
};

/* ---- any thread ---- */

/* Lock held. */
static void put(struct audit_log *log, struct bytes lines, uint64_t count)
{
    if (log->queue.size + lines.size > QUEUE_BYTES) {
        log->lost_untold += count;
        atomic_fetch_add(&log->lost, count);
        return;
    }
    buffer_add_bytes(&log->queue, lines);
    log->queued += count;
    pthread_cond_signal(&log->wake);
}

/* Lock held. What the minute before counted comes before what begins the next one. */
static void tell_counts(struct audit_log *log, bool now)
{
    struct buffer lines = {0};
    size_t count =
        audit_limit_tell(&log->limit, clock_monotonic_ms(), clock_wall_ms(), now, &lines);
    if (count)
        put(log, buffer_bytes(&lines), count);
    buffer_fini(&lines);
}

void audit_log_add(struct audit_log *log, const struct audit_entry *entry)
{
    if (log == NULL)
        return;
    struct buffer members = {0}, line = {0};
    audit_entry_members(entry, &members);
    audit_line(clock_wall_ms(), buffer_bytes(&members), (struct audit_count){0}, &line);
    pthread_mutex_lock(&log->lock);
    tell_counts(log, false);
    bool first = log->limit.count == 0;
    if (audit_limit_pass(&log->limit, entry, buffer_bytes(&members)))
        put(log, buffer_bytes(&line), 1);
    if (first)
        pthread_cond_signal(&log->wake); /* it now has counts to tell some time */
    pthread_mutex_unlock(&log->lock);
    buffer_fini(&members);
    buffer_fini(&line);
}

uint64_t audit_log_lost(const struct audit_log *log)
{
    return log ? atomic_load(&log->lost) : 0;
}

uint64_t audit_log_written(const struct audit_log *log)
{
    return log ? atomic_load(&log->written) : 0;
}

bool audit_log_failing(const struct audit_log *log)
{
    return log && atomic_load(&log->failing);
}

/* ---- the thread ---- */

/* Lock held; gives it back while waiting. Returns when there is something to do. */
static void wait_for_work(struct audit_log *log, int64_t most_ms)
{
    struct timespec until;
    if (most_ms < 0) {
        pthread_cond_wait(&log->wake, &log->lock);
        return;
    }
    int64_t at = clock_monotonic_ms() + most_ms;
    until = (struct timespec){at / 1000, at % 1000 * 1000000};
    pthread_cond_timedwait(&log->wake, &log->lock, &until);
}

/* Lock held. While the disk refuses, what waits stays in the queue, which has a bound. */
static void take_queue(struct audit_log *log)
{
    if (log->batch.size)
        return;
    struct buffer empty = log->batch;
    log->batch = log->queue;
    log->batched = log->queued;
    log->queue = empty;
    log->queued = 0;
    if (log->lost_untold == 0)
        return;
    static const char members[] =
        ",\"what\":\"audit_log\",\"result\":\"failed\",\"why\":\"the queue was full\"";
    audit_line(clock_wall_ms(), bytes_text(members), (struct audit_count){"lost", log->lost_untold},
               &log->batch);
    log->lost_untold = 0;
}

static void tell_trouble(struct audit_log *log, int rc, const struct err *err)
{
    bool before = atomic_exchange(&log->failing, rc != 0);
    if (rc && !before)
        log_event(LOG_ERROR, "audit_log_failed",
                  "why=\"%s\" do=\"entries wait in memory, then are counted; make room or mend the "
                  "disk\"",
                  err->text);
    if (rc == 0 && before)
        log_event(LOG_INFO, "audit_log_again", "lost=%" PRIu64, atomic_load(&log->lost));
}

static void write_batch(struct audit_log *log)
{
    struct err err;
    int rc = audit_file_append(&log->file, clock_wall_ms(), buffer_bytes(&log->batch), &err);
    tell_trouble(log, rc, &err);
    if (rc) {
        log->retry_ms = log->retry_ms ? log->retry_ms * 2 : RETRY_FIRST_MS;
        log->retry_ms = log->retry_ms > RETRY_MOST_MS ? RETRY_MOST_MS : log->retry_ms;
        return;
    }
    log->retry_ms = 0;
    atomic_fetch_add(&log->written, log->batched);
    buffer_clear(&log->batch);
    log->batched = 0;
}

/* The deadline of the next try; an entry that comes does not bring it forward. */
static void wait_to_retry(struct audit_log *log)
{
    int64_t until = clock_monotonic_ms() + log->retry_ms;
    while (!log->closing && clock_monotonic_ms() < until)
        wait_for_work(log, until - clock_monotonic_ms());
}

static void *run(void *arg)
{
    struct audit_log *log = arg;
    pthread_mutex_lock(&log->lock);
    for (;;) {
        tell_counts(log, log->closing);
        bool last = log->closing;
        take_queue(log);
        pthread_mutex_unlock(&log->lock);
        if (log->batch.size)
            write_batch(log);
        pthread_mutex_lock(&log->lock);
        if (last && (log->retry_ms || log->queue.size == 0))
            break;
        if (log->retry_ms)
            wait_to_retry(log);
        else if (log->queue.size == 0 && !log->closing)
            wait_for_work(log, audit_limit_wait_ms(&log->limit, clock_monotonic_ms()));
    }
    pthread_mutex_unlock(&log->lock);
    return NULL;
}

/* ---- life ---- */

static void init_locks(struct audit_log *log)
{
    pthread_condattr_t attr;
    pthread_mutex_init(&log->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&log->wake, &attr);
    pthread_condattr_destroy(&attr);
}

static void free_log(struct audit_log *log)
{
    pthread_cond_destroy(&log->wake);
    pthread_mutex_destroy(&log->lock);
    audit_limit_fini(&log->limit);
    audit_file_fini(&log->file);
    buffer_fini(&log->queue);
    buffer_fini(&log->batch);
    free(log);
}

int audit_log_open(struct audit_log **out, const struct audit_log_options *options, struct err *err)
{
    struct audit_log *log = mem_zalloc(sizeof *log);
    init_locks(log);
    int rc = audit_file_init(&log->file, options, err);
    /* Nothing yet: does it open at all? A full disk is no reason not to start. */
    if (rc == 0)
        rc = audit_file_append(&log->file, clock_wall_ms(), (struct bytes){0}, err);
    if (rc == GW_EFULL)
        rc = 0;
    if (rc == 0 && pthread_create(&log->thread, NULL, run, log))
        rc = err_set(err, GW_EIO, "audit log: no thread");
    if (rc) {
        free_log(log);
        return rc;
    }
    *out = log;
    return 0;
}

void audit_log_close(struct audit_log *log)
{
    if (log == NULL)
        return;
    pthread_mutex_lock(&log->lock);
    log->closing = true;
    pthread_cond_signal(&log->wake);
    pthread_mutex_unlock(&log->lock);
    pthread_join(log->thread, NULL);
    uint64_t left = log->batched + log->queued;
    if (left)
        log_event(LOG_ERROR, "audit_log_lost", "entries=%" PRIu64 " why=\"the disk refused them\"",
                  left);
    free_log(log);
}

int audit_log_append(const struct audit_log_options *options, const struct audit_entry *entry,
                     struct err *err)
{
    struct audit_file file;
    struct buffer line = {0};
    int64_t now = clock_wall_ms();
    audit_entry_line(entry, now, (struct audit_count){0}, &line);
    int rc = audit_file_init(&file, options, err);
    if (rc == 0)
        rc = audit_file_append(&file, now, buffer_bytes(&line), err);
    audit_file_fini(&file);
    buffer_fini(&line);
    return rc;
}
