/* SPDX-License-Identifier: Apache-2.0
 *
 * One file is played; the source's thread, but for on_done.
 *
 *     read an item -> wait until it is due -> chunk -> rawlog_submit -> (journal thread) on_done
 *
 * With the messages of each chunk stands how far the file was taken, so a crash stores none of them
 * twice. A chunk has one receive time; messages of different times go in chunks of their own as long
 * as the raw log can take their times over.
 */
#include "sources/capture/player.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"

enum { RETRY_MS = 1000 };

/* ---- chunks on their way ---- */

/* Journal thread. */
static void on_done(struct chunk *chunk)
{
    struct flight *flight = chunk->owner;
    struct player *player = flight->player;
    struct capture *capture = player->capture;
    player->stored = flight->end;
    if (flight->asked_ms && chunk->received_ms != flight->asked_ms)
        player->restamped += flight->kept;
    int64_t given_ms = chunk->received_ms;
    chunk_release(capture->place.rawlog, chunk);
    pthread_mutex_lock(&capture->lock);
    if (given_ms > capture->floor_ms)
        capture->floor_ms = given_ms;
    flight->busy = false;
    capture->busy--;
    pthread_cond_broadcast(&capture->changed);
    pthread_mutex_unlock(&capture->lock);
}

void capture_wait_ms(struct capture *capture, int64_t ms)
{
    int64_t until = clock_monotonic_ns() + ms * 1000000;
    struct timespec deadline = {until / 1000000000, until % 1000000000};
    pthread_cond_timedwait(&capture->changed, &capture->lock, &deadline);
}

/* A free place for a chunk; null: closing. */
static struct flight *flight_take(struct capture *capture)
{
    struct flight *flight = NULL;
    pthread_mutex_lock(&capture->lock);
    while (!capture->closing && (capture->paused || capture->busy >= capture->flights_max))
        capture_wait_ms(capture, TICK_MS);
    for (unsigned i = 0; i < FLIGHT_MAX && !capture->closing && flight == NULL; i++)
        if (!capture->flights[i].busy)
            flight = &capture->flights[i];
    if (flight) {
        *flight = (struct flight){.busy = true};
        capture->busy++;
    }
    pthread_mutex_unlock(&capture->lock);
    return flight;
}

static void flight_give_back(struct capture *capture, struct flight *flight)
{
    pthread_mutex_lock(&capture->lock);
    flight->busy = false;
    capture->busy--;
    pthread_mutex_unlock(&capture->lock);
}

/* Null: closing. */
static struct chunk *chunk_wait(struct capture *capture)
{
    struct chunk *chunk;
    bool closing = false;
    while ((chunk = chunk_acquire(capture->place.rawlog)) == NULL && !closing) {
        pthread_mutex_lock(&capture->lock);
        if (!capture->closing)
            capture_wait_ms(capture, TICK_MS);
        closing = capture->closing;
        pthread_mutex_unlock(&capture->lock);
    }
    return chunk;
}

/* ---- the file ---- */

static void note_set(struct player *player, const char *text)
{
    pthread_mutex_lock(&player->capture->lock);
    snprintf(player->note, sizeof player->note, "%.*s", (int)sizeof player->note - 1, text);
    pthread_mutex_unlock(&player->capture->lock);
}

/* Closing, or the medium fails: then it is tried again, each second. */
static bool retry(struct player *player, const struct err *err)
{
    struct capture *capture = player->capture;
    bool told = player->note[0] != '\0';
    note_set(player, err->text);
    if (!told)
        log_event(LOG_ERROR, "capture_unreadable", "name=%s why=\"%s\"", player->name, err->text);
    pthread_mutex_lock(&capture->lock);
    int64_t until_ms = clock_monotonic_ms() + RETRY_MS;
    while (!capture->closing && clock_monotonic_ms() < until_ms)
        capture_wait_ms(capture, TICK_MS);
    bool go_on = !capture->closing;
    pthread_mutex_unlock(&capture->lock);
    return go_on;
}

static void told_lost(struct player *player)
{
    player->lost += player->item.count;
    log_event(LOG_WARN, "capture_lost",
              "name=%s first_seq=%" PRIu64 " count=%" PRIu64
              " why=\"the exporting gateway had lost them to damage on its disk\"",
              player->name, player->item.first_seq, player->item.count);
}

static void told_damaged(struct player *player)
{
    player->damaged += player->item.count;
    log_event(LOG_ERROR, "capture_damaged", "name=%s after_message=%" PRIu64 " count=%" PRIu64,
              player->name, player->item.index, player->item.count);
}

/* The next message stands in player->item, or there is none: false. */
static bool item_next(struct player *player)
{
    struct err err;
    player->has_item = false;
    for (;;) {
        int got = capture_reader_next(player->reader, &player->item, &err);
        switch (got) {
        case CAPTURE_MESSAGE: player->has_item = true; return true;
        case CAPTURE_LOST: told_lost(player); break;
        case CAPTURE_DAMAGED: told_damaged(player); break;
        case CAPTURE_END: return false;
        case CAPTURE_CUT:
            note_set(player, "the file ends before its end: it was cut; when it is whole, the next "
                             "start goes on from here");
            return false;
        default:
            if (!retry(player, &err))
                return false;
            note_set(player, "");
        }
    }
}

/* ---- time ---- */

/* How long until the message is due; 0: now. */
static int64_t due_in_ms(struct player *player)
{
    int64_t received_ms = player->item.message.received_ms;
    if (player->speed <= 0)
        return 0;
    if (!player->begun) {
        player->begun = true;
        player->begun_ns = clock_monotonic_ns();
        player->first_ms = received_ms;
    }
    double passed_ms = (double)(clock_monotonic_ns() - player->begun_ns) / 1e6;
    double wait = ((double)received_ms - (double)player->first_ms) / player->speed - passed_ms;
    return wait < 1 ? 0 : wait > 3600000 ? 3600000 : (int64_t)wait;
}

/* False: closing. */
static bool due_wait(struct player *player)
{
    struct capture *capture = player->capture;
    int64_t wait;
    pthread_mutex_lock(&capture->lock);
    while (!capture->closing && (wait = due_in_ms(player)) > 0)
        capture_wait_ms(capture, wait < TICK_MS ? wait : TICK_MS);
    bool go_on = !capture->closing;
    pthread_mutex_unlock(&capture->lock);
    return go_on;
}

/* The receive time to ask for. What the raw log is past cannot be had; what is ahead of our clock
 * would be the receive time of all that comes after it. 0: the time of playing. */
static int64_t receive_time(const struct player *player, int64_t floor_ms, int64_t now_ms)
{
    int64_t received_ms = player->item.message.received_ms;
    if (player->options->received == CAPTURE_RECEIVED_NOW)
        return 0;
    if (received_ms > now_ms)
        received_ms = now_ms;
    return received_ms > floor_ms ? received_ms : floor_ms;
}

/* ---- playing ---- */

/* From the item on, as many as have the same receive time and are due. */
static void chunk_fill(struct player *player, struct chunk *chunk, struct flight *flight)
{
    struct capture *capture = player->capture;
    uint64_t full = rawlog_chunk_bytes(capture->place.rawlog);
    int64_t now_ms = clock_wall_ms();
    pthread_mutex_lock(&capture->lock);
    int64_t floor_ms = capture->floor_ms;
    pthread_mutex_unlock(&capture->lock);
    flight->player = player;
    flight->asked_ms = receive_time(player, floor_ms, now_ms);
    do {
        struct message message = player->item.message;
        if (flight->asked_ms && message.received_ms == flight->asked_ms)
            flight->kept++;
        else if (flight->asked_ms)
            player->restamped++;
        message.seq = 0;
        message.received_ms = flight->asked_ms;
        chunk_add_message(chunk, &message);
        flight->end = player->item.index + 1;
    } while (item_next(player) && chunk->body.size < full &&
             receive_time(player, floor_ms, now_ms) == flight->asked_ms && due_in_ms(player) == 0);
}

static bool send_off(struct player *player)
{
    struct capture *capture = player->capture;
    struct flight *flight = flight_take(capture);
    if (flight == NULL)
        return false;
    struct chunk *chunk = chunk_wait(capture);
    if (chunk == NULL) {
        flight_give_back(capture, flight);
        return false;
    }
    chunk_fill(player, chunk, flight);
    struct session_record record = {
        .kind = RECORD_INTAKE, .client = bytes_text(player->name), .position = flight->end};
    chunk_add_session(chunk, &record);
    chunk->owner = flight;
    chunk->done = on_done;
    rawlog_submit(capture->place.rawlog, chunk);
    return true;
}

/* Until all that was sent off is in the raw log; false: closing came first. */
static bool landed_wait(struct capture *capture)
{
    pthread_mutex_lock(&capture->lock);
    while (capture->busy && !capture->closing)
        capture_wait_ms(capture, TICK_MS);
    bool landed = !capture->closing;
    pthread_mutex_unlock(&capture->lock);
    return landed;
}

void player_play(struct player *player)
{
    struct log_text file;
    uint64_t before = player->stored;
    player->state = CAPTURE_PLAYING;
    capture_reader_skip(player->reader, before);
    item_next(player);
    while (player->has_item)
        if (!due_wait(player) || !send_off(player))
            return;
    if (!landed_wait(player->capture))
        return;
    player->state = player->note[0] ? CAPTURE_STOPPED : CAPTURE_DONE;
    log_event(player->note[0] ? LOG_WARN : LOG_INFO, "capture_played",
              "name=%s file=\"%s\" messages=%" PRIu64 " of_this_run=%" PRIu64 " restamped=%" PRIu64
              " lost=%" PRIu64 " damaged=%" PRIu64 " note=\"%s\"",
              player->name, log_escape(&file, bytes_text(player->options->file)), player->stored,
              player->stored - before, player->restamped, player->lost, player->damaged,
              player->note);
}
