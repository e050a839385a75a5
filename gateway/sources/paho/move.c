/* SPDX-License-Identifier: Apache-2.0
 *
 * From an intake file to the raw log. The source's thread, but for on_done. With the messages of
 * each chunk stands the position behind the last of them, so a crash anywhere between stores none of
 * them twice.
 *
 * While messages come they are moved every ROUND_MS, many at once: nobody waits for it, as the broker
 * has its acknowledgement already, and a wake-up for each would cost as much as receiving it. Only who
 * was seen empty twice is left to be woken by the worker.
 *
 * A vendor that passed its limits is held here: its messages stay in the file until that is full, and
 * then its worker does not return from its callback. Other brokers go on.
 */
#include <inttypes.h>

#include "base/clock.h"
#include "base/log.h"
#include "sources/paho/state.h"
#include "sources/stat.h"

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
    if (paho->mail_open && paho->mail_wanted)
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
        if (worker->seat)
            stat_sub(&worker->seat->unacked_bytes, flight->bytes);
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
    worker->flights[at] =
        (struct flight){.chunk = chunk, .end = end, .bytes = chunk->message_bytes};
    pthread_mutex_unlock(&paho->lock);
    worker->flight_count++;
    rawlog_submit(paho->place.rawlog, chunk);
}

/* Count it in, or say what holds it. By the vendor's policy a message of QoS 0 is dropped where it would
 * be held, and never unless it says so; *drop. */
static enum hold admit(struct broker_worker *worker, const struct message *message, int64_t now_ns,
                       bool *drop)
{
    size_t size = message->topic.size + message->payload.size;
    *drop = false;
    if (worker->vendor == NULL)
        return HOLD_NONE;
    enum hold hold =
        vendor_holds(worker->paho->place.vendors, worker->vendor, worker->seat, size, now_ns);
    if (hold == HOLD_NONE) {
        vendor_take(worker->vendor, worker->seat, size, now_ns);
        stat_add(&worker->seat->unacked_bytes, size);
    } else if ((message->flags & MESSAGE_QOS) == 0 && worker->vendor->qos0_drop) {
        stat_add(&worker->seat->dropped, 1);
        *drop = true;
        return HOLD_NONE;
    }
    return hold;
}

/* Fill one chunk until the file is empty or something holds; *end is where it reaches, and stays when
 * there is nothing. */
static enum hold chunk_fill(struct broker_worker *worker, struct chunk *chunk, uint64_t *end)
{
    struct message message;
    uint64_t full = rawlog_chunk_bytes(worker->paho->place.rawlog), next;
    int64_t now_ns = clock_monotonic_ns();
    while (chunk->body.size < full) {
        uint64_t begin = intake_taken(worker->intake);
        bool drop;
        switch (intake_take(worker->intake, &message, &next)) {
        case INTAKE_EMPTY: return HOLD_NONE;
        case INTAKE_DAMAGED:
            worker->damaged++;
            *end = next;
            return HOLD_NONE;
        case INTAKE_MESSAGE: break;
        }
        enum hold hold = admit(worker, &message, now_ns, &drop);
        if (hold != HOLD_NONE) {
            intake_untake(worker->intake, begin);
            return hold;
        }
        *end = next;
        if (drop)
            continue;
        message.client = bytes_text(worker->name);
        if (worker->broker && worker->broker->vendor)
            message.vendor = bytes_text(worker->broker->vendor);
        chunk_add_message(chunk, &message);
    }
    return HOLD_NONE;
}

static void hold_set(struct broker_worker *worker, enum hold hold)
{
    bool before = worker->hold != HOLD_NONE;
    worker->hold = (int)hold;
    if (worker->seat && before != (hold != HOLD_NONE))
        (before ? stat_sub : stat_add)(&worker->seat->held, 1);
    /* Nothing but the time ends this one; the others end with mail or a tick. */
    if (hold == HOLD_RATE)
        worker->paho->round_wanted = true;
}

/* Nothing in the file. A worker that was busy has something again in a moment. */
static bool sleeps(struct broker_worker *worker)
{
    if (!intake_empty(worker->intake))
        return false;
    if (worker->took) {
        worker->took = false;
        worker->paho->round_wanted = true;
        return true;
    }
    return intake_sleep(worker->intake);
}

static bool move(struct broker_worker *worker)
{
    struct paho *paho = worker->paho;
    for (;;) {
        if (paho->paused || worker->flight_count == FLIGHT_MAX)
            return true;
        if (sleeps(worker)) {
            hold_set(worker, HOLD_NONE);
            return false;
        }
        struct chunk *chunk = chunk_acquire(paho->place.rawlog);
        if (chunk == NULL) {
            hold_set(worker, HOLD_JOURNAL);
            return true;
        }
        uint64_t end = 0;
        enum hold hold = chunk_fill(worker, chunk, &end);
        worker->took = worker->took || end;
        if (end)
            send_off(worker, chunk, end);
        else
            chunk_release(paho->place.rawlog, chunk);
        hold_set(worker, hold);
        if (hold != HOLD_NONE)
            return true;
    }
}

bool worker_move(struct broker_worker *worker)
{
    struct paho *paho = worker->paho;
    land(worker);
    bool more = move(worker);
    if (worker->flight_count && (more || !paho->round_wanted)) {
        unsigned before = worker->flight_count;
        pthread_mutex_lock(&paho->lock);
        paho->mail_wanted = true;
        pthread_mutex_unlock(&paho->lock);
        land(worker); /* what was durable before that sent no mail */
        if (more && worker->flight_count < before)
            paho->round_wanted = true;
    }
    return more;
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
