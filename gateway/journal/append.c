/* SPDX-License-Identifier: Apache-2.0
 *
 * Appending: lay out, have a segment with room, write, sync, tell. A segment whose write or sync
 * failed is given up at once (invariant 3): its descriptor is closed and never used again, and the
 * next segment's header says up to where it is to be believed. The appender's thread.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "journal/state.h"

/* ---- the end of a segment ---- */

static void close_current(struct journal *journal)
{
    const struct disk *disk = journal->options.disk;
    int rc = disk->close(disk, journal->fd);
    pthread_mutex_lock(&journal->lock);
    journal->current->sealed = true;
    pthread_mutex_unlock(&journal->lock);
    /* All it holds was synced before: the error is told, nothing hangs on it. */
    if (rc < 0)
        log_event(LOG_WARN, "journal_close_failed", "segment=%" PRIu64 " why=\"%s\"",
                  journal->current->header.number, strerror(-rc));
    journal->fd = -1;
    journal->current = NULL;
}

void journal_rotate(struct journal *journal)
{
    const struct disk *disk = journal->options.disk;
    struct segment *segment = journal->current;
    if (segment == NULL)
        return;
    /* Give back what was reserved and not used. When it fails there are zeros, which recovery
     * knows. */
    if (segment->end < segment->allocated && disk->truncate(disk, journal->fd, segment->end) == 0) {
        pthread_mutex_lock(&journal->lock);
        journal->allocated -= segment->allocated - segment->end;
        segment->allocated = segment->end;
        pthread_mutex_unlock(&journal->lock);
    }
    close_current(journal);
}

static int give_up(struct journal *journal, const char *what, int rc, struct err *err)
{
    uint64_t number = journal->current->header.number;
    close_current(journal);
    return err_set(err, GW_EIO, "%s segment %" PRIu64 " of %s: %s", what, number, journal->dir,
                   strerror(-rc));
}

/* ---- a new segment ---- */

static void head_header(struct journal *journal, uint64_t first_seq, struct segment_header *out)
{
    *out = (struct segment_header){
        .kind = journal->options.kind,
        .identity = journal->identity,
        .number = journal->next_number,
        .salt = identity_random().bits,
        .first_seq = first_seq,
        .made_ms = clock_wall_ms(),
    };
    pthread_mutex_lock(&journal->lock);
    if (journal->count) {
        const struct segment *before = journal->segments[journal->count - 1];
        out->before = before->header.number;
        out->before_end = before->end;
        out->before_extents = before->extents;
        out->before_received_min_ms = before->received_min_ms;
        out->before_received_max_ms = before->received_max_ms;
    }
    pthread_mutex_unlock(&journal->lock);
}

/* Append the snapshot extent to journal->head; false when the journal has none. */
static int head_snapshot(struct journal *journal, const struct segment_header *segment,
                         struct err *err)
{
    struct buffer body = {0};
    struct buffer laid = {0};
    journal->options.snapshot(journal->options.snapshot_arg, &body);
    struct extent_header header = {
        .place = {segment->identity, segment->salt, segment->number, SEGMENT_HEADER_BYTES},
        .first_seq = segment->first_seq,
        .kind = EXTENT_SNAPSHOT,
    };
    struct bytes part = buffer_bytes(&body);
    int rc = extent_body_encode(&header, &part, 1, journal->zstd, &laid, err);
    if (rc == 0) {
        extent_header_encode(&header, laid.data);
        buffer_add_bytes(&journal->head, buffer_bytes(&laid));
    }
    buffer_fini(&laid);
    buffer_fini(&body);
    return rc;
}

/* Room for `size` more bytes of disk: the operator's limits, before the disk's own. */
static int check_room(struct journal *journal, uint64_t size, struct err *err)
{
    const struct journal_options *options = &journal->options;
    uint64_t used = journal_bytes(journal);
    if (options->max_bytes && used + size > options->max_bytes)
        return err_set(err, GW_EFULL,
                       "%s has %" PRIu64 " bytes and may have %" PRIu64
                       ": what is kept for a sink or for replay leaves no room",
                       journal->dir, used, options->max_bytes);
    struct disk_space space;
    if (options->disk->space(options->disk, journal->dir, &space) == 0 &&
        space.available < options->reserve_bytes + size)
        return err_set(err, GW_EFULL,
                       "%s: %" PRIu64 " bytes are free, %" PRIu64 " are kept in reserve",
                       journal->dir, space.available, options->reserve_bytes);
    return 0;
}

static int new_segment(struct journal *journal, uint64_t need, struct err *err)
{
    struct segment segment = {.next_seq = journal_next_seq(journal)};
    head_header(journal, segment.next_seq, &segment.header);
    buffer_clear(&journal->head);
    segment_header_encode(&segment.header, buffer_reserve(&journal->head, SEGMENT_HEADER_BYTES));
    journal->head.size = SEGMENT_HEADER_BYTES;
    int rc = journal->options.snapshot ? head_snapshot(journal, &segment.header, err) : 0;
    if (rc < 0)
        return rc;
    segment.end = journal->head.size;
    segment.extents = journal->options.snapshot ? 1 : 0;
    segment.allocated = segment.end + need > journal->options.segment_bytes
                            ? segment.end + need
                            : journal->options.segment_bytes;
    rc = check_room(journal, segment.allocated, err);
    if (rc < 0)
        return rc;
    rc = segment_make(journal->options.disk, journal->dir, segment.header.number, segment.allocated,
                      buffer_bytes(&journal->head), &journal->grows, err);
    if (rc < 0)
        return rc;
    journal->next_number++;
    journal->fd = rc;
    journal->current = journal_add_segment(journal, &segment);
    return 0;
}

/* ---- the append ---- */

static int have_room(struct journal *journal, uint64_t size, struct err *err)
{
    if (journal->current && journal->current->end + size > journal->current->allocated)
        journal_rotate(journal);
    if (journal->current == NULL)
        return new_segment(journal, size, err);
    return journal->grows ? check_room(journal, size, err) : 0;
}

static int write_and_sync(struct journal *journal, struct err *err)
{
    const struct disk *disk = journal->options.disk;
#ifdef TIDEGATE_MUTANT_ACK_BEFORE_SYNC
    disk->datasync(disk, journal->fd); /* mutant: only the append before this one is synced */
#endif
    int rc = disk_write_all(disk, journal->fd, buffer_bytes(&journal->out), journal->current->end);
    if (rc < 0)
        return give_up(journal, "write", rc, err);
#if !defined(TIDEGATE_MUTANT_NO_SYNC) && !defined(TIDEGATE_MUTANT_ACK_BEFORE_SYNC)
    rc = disk->datasync(disk, journal->fd);
#endif
    return rc < 0 ? give_up(journal, "sync", rc, err) : 0;
}

static void widen(struct segment *segment, const struct extent_header *header)
{
    if (header->received_max_ms == 0)
        return;
    if (segment->received_min_ms == 0 || header->received_min_ms < segment->received_min_ms)
        segment->received_min_ms = header->received_min_ms;
    if (header->received_max_ms > segment->received_max_ms)
        segment->received_max_ms = header->received_max_ms;
}

/* It is durable: from here on others see it. */
static void tell(struct journal *journal, const struct extent_header *header)
{
    struct segment *segment = journal->current;
    pthread_mutex_lock(&journal->lock);
    segment->end += journal->out.size;
    segment->next_seq = header->first_seq + header->seq_count;
    segment->extents++;
    widen(segment, header);
    atomic_store(&journal->next_seq, segment->next_seq);
    pthread_cond_broadcast(&journal->grown);
    size_t watchers = journal->watcher_count;
    pthread_mutex_unlock(&journal->lock);
    for (size_t i = 0; i < watchers; i++)
        journal->watchers[i].on_append(journal->watchers[i].arg);
}

static int check_extent(const struct journal *journal, const struct extent *extent, struct err *err)
{
    gw_assert(!journal->options.read_only);
    if (extent->first_seq < journal_next_seq(journal) || extent->first_seq > UINT64_MAX / 2)
        return err_set(err, GW_EINVAL, "sequence %" PRIu64 " is taken, the next is %" PRIu64,
                       extent->first_seq, journal_next_seq(journal));
    return 0;
}

int journal_append_parts(struct journal *journal, const struct extent *extent,
                         const struct bytes *parts, uint32_t count, struct err *err)
{
    struct extent_header header = {
        .first_seq = extent->first_seq,
        .seq_count = extent->seq_count,
        .generation = extent->generation,
        .kind = (uint8_t)extent->kind,
        .replay = extent->replay,
        .received_min_ms = extent->received_min_ms,
        .received_max_ms = extent->received_max_ms,
    };
    int rc = check_extent(journal, extent, err);
    if (rc == 0)
        rc = extent_body_encode(&header, parts, count, journal->zstd, &journal->out, err);
    if (rc == 0)
        rc = have_room(journal, journal->out.size, err);
    if (rc < 0)
        return rc;
    header.place = (struct extent_place){journal->identity, journal->current->header.salt,
                                         journal->current->header.number, journal->current->end};
    extent_header_encode(&header, journal->out.data);
    rc = write_and_sync(journal, err);
    if (rc == 0)
        tell(journal, &header);
    /* One huge extent must not stay in memory for ever. */
    if (journal->out.capacity > 32 << 20)
        buffer_fini(&journal->out);
    return rc;
}

int journal_append(struct journal *journal, const struct extent *extent, struct err *err)
{
    return journal_append_parts(journal, extent, &extent->body, 1, err);
}
