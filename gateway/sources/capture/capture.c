/* SPDX-License-Identifier: Apache-2.0
 *
 * The source: one thread plays the files, one after the other (player.c). Its life, and what it tells.
 */
#include "sources/capture/capture.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "sources/capture/player.h"

enum { IDLE_MS = 1000 };

/* ---- the thread ---- */

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
        player_play(&capture->players[i]);
    pthread_mutex_lock(&capture->lock);
    while (!capture->closing)
        capture_wait_ms(capture, IDLE_MS);
    while (capture->busy && clock_monotonic_ms() < capture->drain_until_ms)
        capture_wait_ms(capture, 10);
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
    if (!capture->closing) { /* else only the time changes */
        capture->closed = closed;
        capture->closed_arg = arg;
    }
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
