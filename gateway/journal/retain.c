/* SPDX-License-Identifier: Apache-2.0
 *
 * Retention: whole segments go, from the oldest on, when nobody needs them and they are old enough
 * or the log is too large. The newest always stays: it carries the sequence number on, and the
 * sessions. Any thread; one retention at a time.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "journal/state.h"

struct rule {
    uint64_t keep_from_seq;
    int64_t keep_ms;
    uint64_t keep_bytes;
    int64_t now_ms;
};

/* With the lock held. */
static bool may_go(const struct journal *journal, const struct rule *rule)
{
    if (journal->count < 2)
        return false;
    const struct segment *oldest = journal->segments[0];
    /* The successor's header is asked as well: it tells up to where this one was ever believed,
     * when its own end is damaged. */
    if (oldest->next_seq > rule->keep_from_seq ||
        journal->segments[1]->header.first_seq > rule->keep_from_seq)
        return false;
    bool too_large = rule->keep_bytes && journal->allocated > rule->keep_bytes;
    bool too_old = rule->keep_ms && oldest->received_max_ms + rule->keep_ms < rule->now_ms;
    return too_large || too_old || (rule->keep_ms == 0 && rule->keep_bytes == 0);
}

static bool pick(struct journal *journal, const struct rule *rule, uint64_t *number)
{
    pthread_mutex_lock(&journal->lock);
    bool go = may_go(journal, rule);
    if (go)
        *number = journal->segments[0]->header.number;
    pthread_mutex_unlock(&journal->lock);
    return go;
}

/* The torn copy that recovery may have left beside it goes too. */
static int unlink_segment(const struct journal *journal, uint64_t number, struct err *err)
{
    const struct disk *disk = journal->options.disk;
    char *torn = segment_path(journal->dir, number, "torn");
    disk->unlink(disk, torn);
    free(torn);
    char *path = segment_path(journal->dir, number, "log");
    int rc = disk->unlink(disk, path);
    if (rc < 0 && rc != -ENOENT)
        rc = err_set(err, GW_EIO, "remove %s: %s", path, strerror(-rc));
    else
        rc = 0;
    free(path);
    return rc;
}

static void forget_oldest(struct journal *journal)
{
    pthread_mutex_lock(&journal->lock);
    struct segment *oldest = journal->segments[0];
    journal->allocated -= oldest->allocated;
    journal->count--;
    memmove(journal->segments, journal->segments + 1, journal->count * sizeof *journal->segments);
    pthread_mutex_unlock(&journal->lock);
    free(oldest);
}

int journal_retain(struct journal *journal, uint64_t keep_from_seq, int64_t keep_ms,
                   uint64_t keep_bytes, int64_t now_ms, struct err *err)
{
    const struct rule rule = {keep_from_seq, keep_ms, keep_bytes, now_ms};
    const struct disk *disk = journal->options.disk;
    uint64_t number = 0;
    uint64_t removed = 0;
    int rc = 0;
    gw_assert(!journal->options.read_only);
    pthread_mutex_lock(&journal->retain_lock);
    while (rc == 0 && pick(journal, &rule, &number)) {
        rc = unlink_segment(journal, number, err);
        if (rc == 0) {
            forget_oldest(journal);
            removed++;
        }
    }
    if (removed) {
        /* One sync for all: until then a crash brings segments back, which is harmless. */
        int synced = disk->sync_dir(disk, journal->dir);
        if (synced < 0 && rc == 0)
            rc = err_set(err, GW_EIO, "sync %s: %s", journal->dir, strerror(-synced));
        log_event(LOG_INFO, "journal_retained", "dir=%s removed=%" PRIu64 " first_seq=%" PRIu64,
                  journal->dir, removed, journal_first_seq(journal));
    }
    pthread_mutex_unlock(&journal->retain_lock);
    return rc;
}
