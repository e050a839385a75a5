/* SPDX-License-Identifier: Apache-2.0
 *
 * A raw log in memory for tests of the listener: the same functions as journal/rawlog.h, a thread
 * that plays the journal, and a tap to hold what is submitted. Included by one file of a test
 * program; as it defines every function of rawlog.h that the listener uses, the linker leaves the
 * real one out.
 *
 * Records are kept decoded, in the order of commits, for the test to look at. Any thread.
 */
#ifndef TIDEGATE_TESTS_FAKE_RAWLOG_H
#define TIDEGATE_TESTS_FAKE_RAWLOG_H

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "journal/rawlog.h"

struct fake_record {
    enum record_kind kind;
    char vendor[80], client[80], topic[300];
    uint8_t payload[300];
    uint8_t properties[300];
    size_t payload_size, properties_size;
    uint8_t flags, protocol;
    uint16_t packet_id;
    uint32_t expiry_s;
    uint64_t seq;
};

struct fake_chunk {
    struct chunk chunk; /* first */
    struct fake_record *records;
    size_t count, capacity;
};

struct sessions {
    struct session_state states[16];
    uint64_t count;
};

struct rawlog {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    bool stop, tap_open;
    struct chunk *first, **last;
    int chunks_max, chunks_out; /* chunk_acquire gives null beyond the max */
    uint64_t chunk_bytes;
    int64_t commit_us; /* how long the disk takes */
    struct fake_record *log;
    size_t log_count, log_capacity;
    uint64_t next_seq, commits;
    struct sessions recovered;
};

/* ---- what the listener calls ---- */

struct chunk *chunk_acquire(struct rawlog *rawlog)
{
    pthread_mutex_lock(&rawlog->lock);
    bool room = rawlog->chunks_out < rawlog->chunks_max;
    rawlog->chunks_out += room;
    pthread_mutex_unlock(&rawlog->lock);
    if (!room)
        return NULL;
    struct fake_chunk *chunk = mem_zalloc(sizeof *chunk);
    return &chunk->chunk;
}

void chunk_release(struct rawlog *rawlog, struct chunk *chunk)
{
    struct fake_chunk *fake = (struct fake_chunk *)chunk;
    pthread_mutex_lock(&rawlog->lock);
    rawlog->chunks_out--;
    pthread_cond_broadcast(&rawlog->changed);
    pthread_mutex_unlock(&rawlog->lock);
    buffer_fini(&chunk->body);
    free(fake->records);
    free(fake);
}

static inline struct fake_record *fake_add(struct chunk *chunk, enum record_kind kind,
                                           struct bytes vendor, struct bytes client, size_t size)
{
    struct fake_chunk *fake = (struct fake_chunk *)chunk;
    if (fake->count == fake->capacity) {
        fake->capacity = fake->capacity ? fake->capacity * 2 : 16;
        fake->records = mem_realloc(fake->records, fake->capacity * sizeof *fake->records);
    }
    struct fake_record *record = &fake->records[fake->count++];
    memset(record, 0, sizeof *record);
    record->kind = kind;
    snprintf(record->vendor, sizeof record->vendor, "%.*s", (int)vendor.size,
             (const char *)vendor.data);
    snprintf(record->client, sizeof record->client, "%.*s", (int)client.size,
             (const char *)client.data);
    buffer_reserve(&chunk->body, size);
    chunk->body.size += size;
    chunk->record_count++;
    return record;
}

void chunk_add_message(struct chunk *chunk, const struct message *message)
{
    struct fake_record *record =
        fake_add(chunk, RECORD_MESSAGE, message->vendor, message->client,
                 message->topic.size + message->payload.size + message->properties.size + 8);
    snprintf(record->topic, sizeof record->topic, "%.*s", (int)message->topic.size,
             (const char *)message->topic.data);
    record->payload_size = message->payload.size;
    size_t size = message->payload.size < sizeof record->payload ? message->payload.size
                                                                 : sizeof record->payload;
    if (size)
        memcpy(record->payload, message->payload.data, size);
    record->properties_size = message->properties.size;
    size = message->properties.size < sizeof record->properties ? message->properties.size
                                                                : sizeof record->properties;
    if (size)
        memcpy(record->properties, message->properties.data, size);
    record->flags = message->flags;
    record->protocol = message->protocol;
    record->packet_id = message->packet_id;
    chunk->message_count++;
    chunk->message_bytes += message->topic.size + message->payload.size;
}

void chunk_add_session(struct chunk *chunk, const struct session_record *in)
{
    struct fake_record *record = fake_add(chunk, in->kind, in->vendor, in->client, 16);
    record->packet_id = in->packet_id;
    record->expiry_s = in->expiry_s;
}

void rawlog_submit(struct rawlog *rawlog, struct chunk *chunk)
{
    gw_assert(chunk->record_count > 0 && chunk->done != NULL);
    pthread_mutex_lock(&rawlog->lock);
    chunk->next = NULL;
    *rawlog->last = chunk;
    rawlog->last = &chunk->next;
    pthread_cond_broadcast(&rawlog->changed);
    pthread_mutex_unlock(&rawlog->lock);
}

uint64_t rawlog_chunk_bytes(const struct rawlog *rawlog)
{
    return rawlog->chunk_bytes;
}

uint64_t rawlog_memory_bytes(const struct rawlog *rawlog)
{
    return (uint64_t)rawlog->chunks_max * rawlog->chunk_bytes;
}

const struct sessions *rawlog_sessions(const struct rawlog *rawlog)
{
    return &rawlog->recovered;
}

void sessions_each(const struct sessions *sessions,
                   void (*each)(void *arg, const struct session_state *state), void *arg)
{
    for (uint64_t i = 0; i < sessions->count; i++)
        each(arg, &sessions->states[i]);
}

/* ---- what the test calls ---- */

static inline void fake_keep(struct rawlog *rawlog, struct fake_chunk *fake)
{
    size_t need = rawlog->log_count + fake->count;
    if (need > rawlog->log_capacity) {
        rawlog->log_capacity = need * 2;
        rawlog->log = mem_realloc(rawlog->log, rawlog->log_capacity * sizeof *rawlog->log);
    }
    fake->chunk.first_seq = rawlog->next_seq;
    for (size_t i = 0; i < fake->count; i++) {
        if (fake->records[i].kind == RECORD_MESSAGE)
            fake->records[i].seq = rawlog->next_seq++;
        rawlog->log[rawlog->log_count++] = fake->records[i];
    }
}

static inline void *fake_run(void *arg)
{
    struct rawlog *rawlog = arg;
    pthread_mutex_lock(&rawlog->lock);
    while (!rawlog->stop) {
        if (rawlog->first == NULL || !rawlog->tap_open) {
            pthread_cond_wait(&rawlog->changed, &rawlog->lock);
            continue;
        }
        struct chunk *chunk = rawlog->first;
        rawlog->first = NULL;
        rawlog->last = &rawlog->first;
        for (struct chunk *at = chunk; at; at = at->next)
            fake_keep(rawlog, (struct fake_chunk *)at);
        rawlog->commits++;
        pthread_cond_broadcast(&rawlog->changed);
        int64_t commit_us = rawlog->commit_us;
        pthread_mutex_unlock(&rawlog->lock);
        if (commit_us)
            nanosleep(&(struct timespec){.tv_nsec = commit_us * 1000}, NULL);
        while (chunk) {
            struct chunk *next = chunk->next;
            chunk->done(chunk);
            chunk = next;
        }
        pthread_mutex_lock(&rawlog->lock);
    }
    pthread_mutex_unlock(&rawlog->lock);
    return NULL;
}

static inline struct rawlog *fake_rawlog_new(void)
{
    struct rawlog *rawlog = mem_zalloc(sizeof *rawlog);
    pthread_mutex_init(&rawlog->lock, NULL);
    pthread_cond_init(&rawlog->changed, NULL);
    rawlog->last = &rawlog->first;
    rawlog->tap_open = true;
    rawlog->chunks_max = 64;
    rawlog->chunk_bytes = 65536;
    rawlog->next_seq = 1;
    pthread_create(&rawlog->thread, NULL, fake_run, rawlog);
    return rawlog;
}

/* Closed: nothing becomes durable. */
static inline void fake_rawlog_tap(struct rawlog *rawlog, bool open)
{
    pthread_mutex_lock(&rawlog->lock);
    rawlog->tap_open = open;
    pthread_cond_broadcast(&rawlog->changed);
    pthread_mutex_unlock(&rawlog->lock);
}

/* What was submitted and is not durable is lost, as by a power cut; its done() never comes. */
static inline void fake_rawlog_free(struct rawlog *rawlog)
{
    pthread_mutex_lock(&rawlog->lock);
    rawlog->stop = true;
    pthread_cond_broadcast(&rawlog->changed);
    pthread_mutex_unlock(&rawlog->lock);
    pthread_join(rawlog->thread, NULL);
    free(rawlog->log);
    free(rawlog);
}

#endif
