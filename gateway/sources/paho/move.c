/* SPDX-License-Identifier: Apache-2.0
 *
 * From an intake file to the raw log. The source's thread, but for on_done. With the messages of
 * each chunk stands the position behind the last of them, so a crash anywhere between stores none of
 * them twice.
 */
#include <inttypes.h>

#include "base/clock.h"
#include "base/log.h"
#include "sources/paho/state.h"

enum { SYNC_AFTER_MS = 1000 };

/* Journal thread. */
static void on_done(struct chunk *chunk)
{
    struct broker_worker *worker = chunk->owner;
    struct paho *paho = worker->paho;
    pthread_mutex_lock(&paho->lock);
    for (unsigned i = 0; i < FLIGHT_MAX; i++)
        if (worker->flights[i].chunk == chunk)
            worker->flights[i].durable = true;
    if (paho->mail_open)
        uv_async_send(&paho->mail);
    pthread_mutex_unlock(&paho->lock);
}

static void land(struct broker_worker *worker)
{
    struct paho *paho = worker->paho;
    while (worker->flight_count) {
        struct flight *flight = &worker->flights[worker->flight_first];
        pthread_mutex_lock(&paho->lock);
        bool durable = flight->durable;
        pthread_mutex_unlock(&paho->lock);
        if (!durable)
            return;
        intake_release(worker->intake, flight->end);
        chunk_release(paho->place.rawlog, flight->chunk);
        pthread_mutex_lock(&paho->lock);
        *flight = (struct flight){0};
        pthread_mutex_unlock(&paho->lock);
        worker->flight_first = (worker->flight_first + 1) % FLIGHT_MAX;
        worker->flight_count--;
        worker->moved_ms = clock_monotonic_ms();
        worker->synced_bytes = 0;
    }
}

static void send_off(struct broker_worker *worker, struct chunk *chunk, uint64_t end)
{
    struct paho *paho = worker->paho;
    struct session_record record = {
        .kind = RECORD_INTAKE, .client = bytes_text(worker->name), .position = end};
    chunk_add_session(chunk, &record);
    chunk->owner = worker;
    chunk->done = on_done;
    unsigned at = (worker->flight_first + worker->flight_count) % FLIGHT_MAX;
    pthread_mutex_lock(&paho->lock);
    worker->flights[at] = (struct flight){.chunk = chunk, .end = end};
    pthread_mutex_unlock(&paho->lock);
    worker->flight_count++;
    rawlog_submit(paho->place.rawlog, chunk);
}

/* Fill one chunk; *end is where it reaches. False: the file is empty. */
static bool chunk_fill(struct broker_worker *worker, struct chunk *chunk, uint64_t *end)
{
    struct message message;
    uint64_t full = rawlog_chunk_bytes(worker->paho->place.rawlog);
    while (chunk->body.size < full) {
        switch (intake_take(worker->intake, &message, end)) {
        case INTAKE_EMPTY: return false;
        case INTAKE_DAMAGED: worker->damaged++; return true;
        case INTAKE_MESSAGE: break;
        }
        message.client = bytes_text(worker->name);
        if (worker->broker && worker->broker->vendor)
            message.vendor = bytes_text(worker->broker->vendor);
        chunk_add_message(chunk, &message);
    }
    return true;
}

bool worker_move(struct broker_worker *worker)
{
    struct paho *paho = worker->paho;
    land(worker);
    for (;;) {
        if (paho->paused || worker->flight_count == FLIGHT_MAX)
            return true;
        if (intake_sleep(worker->intake))
            return false;
        struct chunk *chunk = chunk_acquire(paho->place.rawlog);
        if (chunk == NULL)
            return true;
        uint64_t end = 0;
        chunk_fill(worker, chunk, &end);
        if (end)
            send_off(worker, chunk, end);
        else
            chunk_release(paho->place.rawlog, chunk);
    }
}

void worker_sync_waiting(struct broker_worker *worker)
{
    struct err err;
    uint64_t waiting = intake_waiting_bytes(worker->intake);
    if (waiting == worker->synced_bytes || clock_monotonic_ms() - worker->moved_ms < SYNC_AFTER_MS)
        return;
    if (intake_sync(worker->intake, &err))
        log_event(LOG_WARN, "intake_sync_failed", "worker=%s why=\"%s\"", worker->name, err.text);
    worker->synced_bytes = waiting;
    worker->moved_ms = clock_monotonic_ms();
}
