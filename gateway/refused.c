/* SPDX-License-Identifier: Apache-2.0
 *
 * Find the message, wrap it as a dead letter, append. Any thread, under the lock.
 */
#include "refused.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "deadletter.h"
#include "raw_messages.h"

enum { REFUSED_SEGMENT_BYTES = 4 << 20 };

struct refused {
    const struct disk *disk;
    char *dir;
    struct journal *raw;
    struct journal *log; /* null until the first refusal, or the first look for old ones */
    pthread_mutex_t lock;
};

struct refused *refused_new(const struct disk *disk, const char *dir, struct journal *raw)
{
    struct refused *refused = mem_zalloc(sizeof *refused);
    *refused = (struct refused){.disk = disk, .dir = mem_strdup(dir), .raw = raw};
    pthread_mutex_init(&refused->lock, NULL);
    return refused;
}

void refused_free(struct refused *refused)
{
    if (refused == NULL)
        return;
    journal_close(refused->log);
    pthread_mutex_destroy(&refused->lock);
    free(refused->dir);
    free(refused);
}

static int log_open(struct refused *refused, struct err *err)
{
    if (refused->log)
        return 0;
    struct journal_recovery found;
    struct journal_options options = {
        .disk = refused->disk,
        .dir = refused->dir,
        .kind = JOURNAL_DEAD,
        .identity = journal_identity(refused->raw),
        .segment_bytes = REFUSED_SEGMENT_BYTES,
        .compression_level = 1,
    };
    return journal_open(&refused->log, &options, &found, err);
}

/* Retention keeps what a lane has not confirmed, so the message is there, unless its extent was
 * damaged, or the lane was parked: then the letter goes without its bytes. */
static void letter_add(struct raw_messages *messages, struct deadletter *letter,
                       struct buffer *body)
{
    struct message message;
    struct err err;
    if (raw_messages_find(messages, letter->message.seq, &message, &err) == 0) {
        message.vendor = letter->message.vendor;
        letter->message = message;
    }
    deadletter_encode(letter, body);
}

/* The vendor as routed stands with the rows. */
static struct bytes vendor_of(const struct unit *unit, uint64_t seq)
{
    for (uint32_t i = 0; i < unit->batch_count; i++) {
        const struct batch *batch = unit->batches[i];
        if (seq < batch->first_seq || seq > batch->last_seq)
            continue;
        for (uint32_t row = 0; row < batch->count; row++)
            if (batch->seq[row] == seq)
                return batch->strings[batch->vendor[row]];
    }
    return bytes_text("");
}

static bool told_before(const struct sink_refusal *rows, size_t index)
{
    return index > 0 && rows[index - 1].seq == rows[index].seq &&
           strcmp(rows[index - 1].reason, rows[index].reason) == 0;
}

static uint32_t letters_add(const struct refused *refused, const char *sink,
                            const struct unit *unit, const struct sink_refusal *rows, size_t count,
                            struct buffer *body)
{
    uint32_t letters = 0;
    struct raw_messages messages;
    raw_messages_init(&messages, refused->raw);
    for (size_t i = 0; i < count; i++) {
        if (told_before(rows, i))
            continue;
        char detail[280];
        snprintf(detail, sizeof detail, "sink %.60s: %s", sink, rows[i].detail);
        struct deadletter letter = {
            .message = {.seq = rows[i].seq, .vendor = vendor_of(unit, rows[i].seq)},
            .stage = STAGE_SINK,
            .codec = bytes_text(""),
            .reason = bytes_text(rows[i].reason),
            .detail = bytes_text(detail),
        };
        letter_add(&messages, &letter, body);
        letters++;
    }
    raw_messages_fini(&messages);
    return letters;
}

int refused_store(struct refused *refused, const char *sink, const struct unit *unit,
                  const struct sink_refusal *rows, size_t count, struct err *err)
{
    if (count == 0)
        return 0;
    pthread_mutex_lock(&refused->lock);
    int rc = log_open(refused, err);
    if (rc == 0) {
        struct buffer body = {0};
        int64_t now = clock_wall_ms();
        struct extent extent = {
            .first_seq = journal_next_seq(refused->log),
            .seq_count = letters_add(refused, sink, unit, rows, count, &body),
            .generation = unit->generation,
            .kind = EXTENT_DEAD,
            .received_min_ms = now,
            .received_max_ms = now,
        };
        extent.body = buffer_bytes(&body);
        rc = journal_append(refused->log, &extent, err);
        buffer_fini(&body);
    }
    pthread_mutex_unlock(&refused->lock);
    return rc ? err_wrap(err, rc, "dead letters of sink %s", sink) : 0;
}

void refused_retain(struct refused *refused, int64_t keep_ms, uint64_t keep_bytes)
{
    struct disk_stat stat;
    struct err err;
    pthread_mutex_lock(&refused->lock);
    if (refused->log == NULL && refused->disk->stat(refused->disk, refused->dir, &stat) == 0)
        log_open(refused, &err);
    if (refused->log)
        journal_retain(refused->log, journal_next_seq(refused->log), keep_ms, keep_bytes,
                       clock_wall_ms(), &err);
    pthread_mutex_unlock(&refused->lock);
}
