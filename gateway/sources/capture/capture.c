/* SPDX-License-Identifier: Apache-2.0
 *
 * The source: one thread plays the files, one after the other.
 *
 *     read an item -> wait until it is due -> chunk -> rawlog_submit -> (journal thread) on_done
 *
 * With the messages of each chunk stands how far the file was taken, so a crash stores none of them
 * twice. A chunk has one receive time; messages of different times go in chunks of their own as long
 * as the raw log can take their times over.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "sources/capture/capture.h"
#include "sources/capture/file.h"

enum { FLIGHT_MAX = 64, TICK_MS = 100, RETRY_MS = 1000 };

struct player;

/* A chunk on its way. */
struct flight {
    struct player *player;
    bool busy;
    uint64_t end;  /* how far the file is taken with it */
    uint64_t kept; /* messages whose own receive time is the chunk's */
    int64_t asked_ms;
};

struct player {
    struct capture *capture;
    const struct capture_options *options;
    struct capture_reader *reader;
    char name[32];
    double speed;
    struct capture_item item; /* the next one, when `has_item` */
    bool has_item;
    int64_t begun_ns, first_ms; /* what speed is counted from */
    bool begun;

    _Atomic int state;
    _Atomic uint64_t stored, restamped, lost, damaged;
    uint64_t total;
    char note[200]; /* under the lock */
};

struct capture {
    struct source source;
    struct capture_place place;
    struct player *players;
    size_t count;
    unsigned flights_max;

    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a chunk came back; pause, resume, close */
    struct flight flights[FLIGHT_MAX];
    unsigned busy;
    int64_t floor_ms; /* the latest receive time that the raw log is known to have given */
    bool paused, closing;
    int64_t drain_until_ms;
    void (*closed)(void *arg);
    void *closed_arg;
};

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

/* With the lock held: until something changed, or so long. */
static void wait_ms(struct capture *capture, int64_t ms)
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
        wait_ms(capture, TICK_MS);
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
            wait_ms(capture, TICK_MS);
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
        wait_ms(capture, TICK_MS);
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
        wait_ms(capture, wait < TICK_MS ? wait : TICK_MS);
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
        wait_ms(capture, TICK_MS);
    bool landed = !capture->closing;
    pthread_mutex_unlock(&capture->lock);
    return landed;
}

static void play(struct player *player)
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

static bool is_closing(struct capture *capture)
{
    pthread_mutex_lock(&capture->lock);
    bool closing = capture->closing;
    pthread_mutex_unlock(&capture->lock);
    return closing;
}

static void *capture_main(void *arg)
{
    struct capture *capture = arg;
    for (size_t i = 0; i < capture->count && !is_closing(capture); i++)
        play(&capture->players[i]);
    pthread_mutex_lock(&capture->lock);
    while (!capture->closing)
        wait_ms(capture, RETRY_MS);
    while (capture->busy && clock_monotonic_ms() < capture->drain_until_ms)
        wait_ms(capture, 10);
    pthread_mutex_unlock(&capture->lock);
    capture->closed(capture->closed_arg);
    return NULL;
}

/* ---- life: main thread ---- */

static int capture_start(struct source *source, struct err *err)
{
    struct capture *capture = container_of(source, struct capture, source);
    if (pthread_create(&capture->thread, NULL, capture_main, capture))
        return err_set(err, GW_ELIMIT, "captures: no thread can be made");
    pthread_setname_np(capture->thread, "captures");
    capture->started = true;
    return 0;
}

static void paused_set(struct source *source, bool paused)
{
    struct capture *capture = container_of(source, struct capture, source);
    pthread_mutex_lock(&capture->lock);
    capture->paused = paused;
    pthread_cond_broadcast(&capture->changed);
    pthread_mutex_unlock(&capture->lock);
}

static void capture_pause(struct source *source)
{
    paused_set(source, true);
}

static void capture_resume(struct source *source)
{
    paused_set(source, false);
}

static void capture_close(struct source *source, int64_t drain_ms, void (*closed)(void *arg),
                          void *arg)
{
    struct capture *capture = container_of(source, struct capture, source);
    if (!capture->started) {
        closed(arg);
        return;
    }
    pthread_mutex_lock(&capture->lock);
    capture->closed = closed;
    capture->closed_arg = arg;
    capture->drain_until_ms = clock_monotonic_ms() + drain_ms;
    capture->closing = true;
    pthread_cond_broadcast(&capture->changed);
    pthread_mutex_unlock(&capture->lock);
}

static void on_nothing(void *arg)
{
    (void)arg;
}

static void capture_free(struct source *source)
{
    if (source == NULL)
        return;
    struct capture *capture = container_of(source, struct capture, source);
    if (capture->started && !is_closing(capture))
        capture_close(source, 0, on_nothing, NULL); /* another part failed to start */
    if (capture->started)
        pthread_join(capture->thread, NULL);
    for (size_t i = 0; i < capture->count; i++)
        capture_reader_free(capture->players[i].reader);
    pthread_cond_destroy(&capture->changed);
    pthread_mutex_destroy(&capture->lock);
    free(capture->players);
    free(capture);
}

/* ---- any thread ---- */

const char *capture_state_name(enum capture_state state)
{
    static const char *const names[] = {"waiting", "playing", "done", "stopped"};
    return names[state];
}

bool capture_status(struct source *source, size_t index, struct capture_status *out)
{
    struct capture *capture = container_of(source, struct capture, source);
    if (index >= capture->count)
        return false;
    struct player *player = &capture->players[index];
    *out = (struct capture_status){
        .file = player->options->file,
        .state = (enum capture_state)player->state,
        .stored = player->stored,
        .total = player->total,
        .restamped = player->restamped,
        .lost = player->lost,
        .damaged = player->damaged,
    };
    memcpy(out->name, player->name, sizeof out->name);
    pthread_mutex_lock(&capture->lock);
    memcpy(out->note, player->note, sizeof out->note);
    pthread_mutex_unlock(&capture->lock);
    return true;
}

#define AT(member) offsetof(struct capture_status, member)
static const struct {
    const char *name, *type, *help;
    size_t offset;
} metric_rows[] = {
    {"stored_messages", "gauge", "Messages of the file that are in the raw log.", AT(stored)},
    {"messages", "gauge", "Messages in the file; 0: not known.", AT(total)},
    {"restamped_total", "counter", "Messages that could not keep their receive time.",
     AT(restamped)},
    {"lost_total", "counter", "Messages that the exporting gateway had lost.", AT(lost)},
    {"damaged_total", "counter", "Messages lost to damage of the file.", AT(damaged)},
};
#undef AT

static void capture_metrics(struct source *source, struct buffer *out)
{
    struct capture_status status;
    for (size_t i = 0; i < array_count(metric_rows); i++) {
        buffer_printf(out, "# HELP tidegate_capture_%s %s\n# TYPE tidegate_capture_%s %s\n",
                      metric_rows[i].name, metric_rows[i].help, metric_rows[i].name,
                      metric_rows[i].type);
        for (size_t at = 0; capture_status(source, at, &status); at++) {
            uint64_t value;
            memcpy(&value, (const char *)&status + metric_rows[i].offset, sizeof value);
            buffer_printf(out, "tidegate_capture_%s{capture=\"%s\"} %" PRIu64 "\n",
                          metric_rows[i].name, status.name, value);
        }
    }
}

static const struct source_type capture_type = {
    .name = "captures",
    .start = capture_start,
    .pause = capture_pause,
    .resume = capture_resume,
    .close = capture_close,
    .free = capture_free,
    .metrics = capture_metrics,
};

/* ---- making ---- */

static int player_open(struct capture *capture, const struct capture_options *options,
                       struct err *err)
{
    struct player *player = &capture->players[capture->count];
    *player = (struct player){.capture = capture, .options = options};
    if (!capture_speed_parse(options->speed, &player->speed))
        return err_set(err, GW_EINVAL, "%s: speed \"%s\" is neither max nor a number from 0.001 on",
                       options->file, options->speed);
    int rc = capture_reader_new(capture->place.disk, options->file, &player->reader, err);
    if (rc)
        return rc;
    capture->count++;
    snprintf(player->name, sizeof player->name, "capture-%016" PRIx64,
             capture_reader_header(player->reader)->id);
    for (size_t i = 0; i + 1 < capture->count; i++)
        if (strcmp(capture->players[i].name, player->name) == 0)
            return err_set(err, GW_EINVAL, "%s and %s are the same capture",
                           capture->players[i].options->file, options->file);
    player->stored =
        sessions_intake(rawlog_sessions(capture->place.rawlog), bytes_text(player->name));
    capture_reader_total(player->reader, &player->total);
    return 0;
}

static unsigned flights_for(const struct capture_place *place)
{
    uint64_t chunk = rawlog_chunk_bytes(place->rawlog) + rawlog_chunk_bytes(place->rawlog) / 4;
    uint64_t count = place->memory_bytes / 4 / chunk;
    return count < 1 ? 1 : count > FLIGHT_MAX ? FLIGHT_MAX : (unsigned)count;
}

int capture_new(const struct capture_options *options, size_t count,
                const struct capture_place *place, struct source **out, struct err *err)
{
    struct capture *capture = mem_zalloc(sizeof *capture);
    pthread_condattr_t attr;
    capture->source.type = &capture_type;
    capture->place = *place;
    capture->flights_max = flights_for(place);
    capture->players = mem_zalloc((count + 1) * sizeof *capture->players);
    pthread_mutex_init(&capture->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&capture->changed, &attr);
    pthread_condattr_destroy(&attr);
    for (size_t i = 0; i < count; i++) {
        int rc = player_open(capture, &options[i], err);
        if (rc) {
            capture_free(&capture->source);
            return rc;
        }
    }
    *out = &capture->source;
    return 0;
}
