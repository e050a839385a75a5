/* SPDX-License-Identifier: Apache-2.0
 *
 * Pace, feed, position. The position is what is stored, not what was read: each place on the way
 * notes how many batches had been put before it, and counts when the feed says that so many are
 * stored. Whoever asks for the status moves it on, so that it is right while the job's thread waits
 * for a sink.
 */
#include "replay_run.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"

enum {
    SAVE_MS = 1000,
    SLICE_MS = 20,
    RETRY_MS = 500,
    RETRIES_MAX = 5,
    BLOCKED_TELL_MS = 1000,
    ROOM_WAIT_MS = 1000,
};

static struct log_limit damage_limit = {.burst = 20};

static struct replay_counts counts_of(const struct replay_status *status)
{
    return (struct replay_counts){status->messages, status->readings, status->withdrawn,
                                  status->changed,  status->damaged,  status->failed};
}

static void counts_show(const struct replay_counts *counts, struct replay_status *status)
{
    status->messages = counts->messages;
    status->readings = counts->readings;
    status->withdrawn = counts->withdrawn;
    status->changed = counts->changed;
    status->damaged = counts->damaged;
    status->failed = counts->failed;
}

void replay_run_init(struct replay_run *run, const struct replays_options *options,
                     struct again_log *again, struct replay_job *job)
{
    *run = (struct replay_run){.options = options, .again = again, .job = *job};
    *job = (struct replay_job){0};
    run->filter = replay_filter_of(&run->job.request);
    pthread_mutex_init(&run->lock, NULL);
}

void replay_run_fini(struct replay_run *run)
{
    replay_job_fini(&run->job);
    free(run->places);
    pthread_mutex_destroy(&run->lock);
}

void replay_run_begin(struct replay_run *run, struct feed *feed)
{
    pthread_mutex_lock(&run->lock);
    run->feed = feed;
    run->stop = false;
    run->pace = (struct replay_pace){.rate = run->job.request.rate};
    run->speed = (struct replay_speed){.count = 0};
    run->counts = counts_of(&run->job.status);
    run->put_count = 0;
    run->spanned = false;
    run->job.status.state = REPLAY_RUNNING;
    run->job.status.ended_ms = 0;
    run->job.status.why[0] = '\0';
    pthread_mutex_unlock(&run->lock);
}

/* ---- position; with the lock held ---- */

static void place_show(struct replay_run *run, const struct replay_place *place)
{
    run->job.status.next_seq = place->next_seq;
    counts_show(&place->counts, &run->job.status);
}

static void places_pass(struct replay_run *run)
{
    uint64_t stored = run->feed ? feed_stored_count(run->feed) : UINT64_MAX;
    size_t done = 0;
    while (done < run->place_count && run->places[done].put_count <= stored)
        done++;
    if (done == 0)
        return;
    place_show(run, &run->places[done - 1]);
    run->place_count -= done;
    memmove(run->places, run->places + done, run->place_count * sizeof *run->places);
}

static void place_add(struct replay_run *run, const struct replay_place *place)
{
    if (run->place_count && run->places[run->place_count - 1].put_count == place->put_count) {
        run->places[run->place_count - 1] = *place;
        return;
    }
    if (run->place_count == run->place_capacity) {
        run->place_capacity = run->place_capacity ? run->place_capacity * 2 : 64;
        run->places = mem_realloc(run->places, run->place_capacity * sizeof *run->places);
    }
    run->places[run->place_count++] = *place;
}

/* Also while nobody looks, so that the first who does is told something. */
static double speed_measure(struct replay_run *run)
{
    const struct replay_status *status = &run->job.status;
    return replay_speed(&run->speed, status->readings + status->withdrawn, clock_monotonic_ms());
}

/* ---- the job's thread ---- */

uint64_t replay_run_spanned(struct replay_run *run, uint64_t first_seq, uint64_t last_seq)
{
    pthread_mutex_lock(&run->lock);
    struct replay_status *status = &run->job.status;
    /* A job that goes on keeps its span: the time may since have been looked at differently. */
    if (status->first_seq == 0) {
        status->first_seq = first_seq;
        status->last_seq = last_seq;
    }
    if (status->next_seq < status->first_seq)
        status->next_seq = status->first_seq;
    uint64_t next_seq = status->next_seq;
    run->spanned = true;
    pthread_mutex_unlock(&run->lock);
    return next_seq;
}

int replay_run_save(struct replay_run *run, struct err *err)
{
    struct replay_job job;
    run->saved_at_ms = clock_monotonic_ms();
    pthread_mutex_lock(&run->lock);
    places_pass(run);
    job = run->job;
    replay_request_copy(&job.request, &run->job.request);
    job.examples = (struct buffer){0};
    buffer_add_bytes(&job.examples, buffer_bytes(&run->job.examples));
    pthread_mutex_unlock(&run->lock);
    /* Outside the lock: a disk may be slow, and whoever asks for the status is not. */
    int rc = replay_job_save(run->options->disk, run->options->dir, &job, err);
    replay_job_fini(&job);
    return rc;
}

static void save_when_due(struct replay_run *run)
{
    struct err err;
    if (clock_monotonic_ms() - run->saved_at_ms < SAVE_MS)
        return;
    int rc = replay_run_save(run, &err);
    /* The position on disk stays behind; after a crash some readings go out again. */
    if (rc && !run->save_failed)
        log_event(LOG_WARN, "replay_not_saved", "id=%s why=\"%s\"", run->job.status.id, err.text);
    run->save_failed = rc != 0;
}

static void waits_for(struct replay_run *run, const char *why)
{
    pthread_mutex_lock(&run->lock);
    snprintf(run->waits_for, sizeof run->waits_for, "%s", why);
    pthread_mutex_unlock(&run->lock);
}

static bool sleep_ms(struct replay_run *run, int64_t ms)
{
    int64_t until = clock_monotonic_ms() + ms;
    while (!run->stop) {
        int64_t left = until - clock_monotonic_ms();
        if (left <= 0)
            return true;
        struct timespec span = {0, (left < SLICE_MS ? left : SLICE_MS) * 1000000};
        nanosleep(&span, NULL);
        save_when_due(run);
    }
    return false;
}

bool replay_run_wait(struct replay_run *run, int64_t ms, const char *why)
{
    waits_for(run, why);
    bool goes_on = sleep_ms(run, ms);
    waits_for(run, "");
    return goes_on;
}

bool replay_run_retry(struct replay_run *run, unsigned *attempts, const char *why)
{
    if (++*attempts > RETRIES_MAX)
        return false;
    log_event(LOG_WARN, "replay_retries", "id=%s attempt=%u why=\"%s\"", run->job.status.id,
              *attempts, why);
    return replay_run_wait(run, RETRY_MS, why);
}

static void blocked_set(struct replay_run *run, int64_t since_ms)
{
    pthread_mutex_lock(&run->lock);
    run->blocked_ms = since_ms;
    pthread_mutex_unlock(&run->lock);
}

static void count_rows(struct replay_run *run, const struct batch *batch)
{
    uint64_t seq = 0;
    for (uint32_t row = 0; row < batch->count; row++) {
        bool withdrawn = batch->flags[row] & FLAG_WITHDRAWN;
        run->counts.withdrawn += withdrawn;
        run->counts.readings += !withdrawn;
        run->counts.messages += batch->seq[row] != seq;
        seq = batch->seq[row];
    }
}

/* Takes the reference over. */
static bool put_one(struct replay_run *run, struct batch *batch)
{
    bool goes_on = !run->stop;
    if (goes_on && batch->count) {
        int64_t wait_ms = replay_pace_take(&run->pace, batch->count, clock_monotonic_ms());
        goes_on = wait_ms == 0 || sleep_ms(run, wait_ms);
    }
    if (goes_on && batch->count) {
        count_rows(run, batch);
        if (run->feed) {
            blocked_set(run, clock_monotonic_ms());
            goes_on = feed_put(run->feed, batch);
            blocked_set(run, 0);
            run->put_count++;
            return goes_on;
        }
    }
    batch_release(batch);
    return goes_on;
}

/* The rows from `row` on, whole messages, `slice` rows or a message more. */
static struct batch *slice_take(const struct batch *batch, uint32_t *row, uint32_t slice,
                                struct batch_builder *builder)
{
    uint32_t first = *row, at = first;
    while (at < batch->count && (at - first < slice || batch->seq[at] == batch->seq[at - 1]))
        replay_row_copy(batch, at++, builder);
    struct batch *part = replay_batch_finish(builder, batch);
    part->first_seq = first ? batch->seq[first] : batch->first_seq;
    part->last_seq = at < batch->count ? batch->seq[at] - 1 : batch->last_seq;
    *row = at;
    return part;
}

/* With a rate, a batch of some ten thousand readings would go at once, and then nothing for long. */
bool replay_run_put(struct replay_run *run, struct batch *batch)
{
    uint32_t slice = replay_pace_slice(&run->pace);
    if (slice == 0 || batch->count <= slice)
        return put_one(run, batch);
    struct batch_builder *builder = batch_builder_new();
    bool goes_on = true;
    for (uint32_t row = 0; row < batch->count && goes_on;)
        goes_on = put_one(run, slice_take(batch, &row, slice, builder));
    batch_builder_free(builder);
    batch_release(batch);
    return goes_on;
}

static void bounds_set(struct batch *batch)
{
    batch->received_min_ms = batch->received_max_ms = batch->count ? batch->received_ms[0] : 0;
    for (uint32_t row = 0; row < batch->count; row++) {
        int64_t ms = batch->received_ms[row];
        batch->received_min_ms = ms < batch->received_min_ms ? ms : batch->received_min_ms;
        batch->received_max_ms = ms > batch->received_max_ms ? ms : batch->received_max_ms;
    }
}

int replay_run_decoded(struct replay_run *run, struct batch *batch, struct err *err)
{
    bool told = false;
    int rc = 0;
    bounds_set(batch);
    while (batch->count && run->feed && (rc = again_log_append(run->again, batch, err)) != 0) {
        if (!told)
            log_event(LOG_WARN, "replay_waits", "id=%s why=\"%s\"", run->job.status.id, err->text);
        told = true;
        if (!replay_run_wait(run, ROOM_WAIT_MS, err->text)) {
            batch_release(batch);
            return GW_ECLOSED;
        }
    }
    return replay_run_put(run, batch) ? 0 : GW_ECLOSED;
}

void replay_run_passed(struct replay_run *run, uint64_t next_seq)
{
    const struct replay_place place = {run->put_count, next_seq, run->counts};
    pthread_mutex_lock(&run->lock);
    place_add(run, &place);
    places_pass(run);
    speed_measure(run);
    pthread_mutex_unlock(&run->lock);
    save_when_due(run);
}

void replay_run_damaged(struct replay_run *run, const char *log, uint64_t first, uint64_t count)
{
    int suppressed;
    run->counts.damaged += count;
    if (log_limit_pass(&damage_limit, &suppressed))
        log_event(LOG_ERROR, "replay_damaged",
                  "id=%s log=%s first_seq=%" PRIu64 " last_seq=%" PRIu64 " suppressed=%d",
                  run->job.status.id, log, first, first + count - 1, suppressed);
}

bool replay_run_example(struct replay_run *run, const char *line)
{
    pthread_mutex_lock(&run->lock);
    struct buffer *examples = &run->job.examples;
    size_t lines = 0;
    for (size_t i = 0; i < examples->size; i++)
        lines += examples->data[i] == '\n';
    bool more = lines < REPLAY_EXAMPLES_MAX;
    if (more)
        buffer_printf(examples, "%s\n", line);
    pthread_mutex_unlock(&run->lock);
    return more;
}

struct feed *replay_run_end(struct replay_run *run, enum replay_state state, const char *why)
{
    pthread_mutex_lock(&run->lock);
    places_pass(run);
    struct feed *feed = run->feed;
    run->feed = NULL;
    run->place_count = 0;
    run->warm_seq = 0;
    run->job.status.state = state;
    run->job.status.ended_ms = state == REPLAY_RUNNING ? 0 : clock_wall_ms();
    snprintf(run->job.status.why, sizeof run->job.status.why, "%s", why);
    pthread_mutex_unlock(&run->lock);
    return feed;
}

/* ---- any thread ---- */

void replay_run_stop(struct replay_run *run)
{
    run->stop = true;
    pthread_mutex_lock(&run->lock);
    if (run->feed)
        feed_end(run->feed);
    pthread_mutex_unlock(&run->lock);
}

void replay_run_status(struct replay_run *run, struct replay_status *out)
{
    int64_t now = clock_monotonic_ms();
    pthread_mutex_lock(&run->lock);
    places_pass(run);
    *out = run->job.status;
    if (out->state == REPLAY_RUNNING) {
        out->readings_per_s = speed_measure(run);
        if (run->waits_for[0])
            snprintf(out->why, sizeof out->why, "%s", run->waits_for);
        else if (run->blocked_ms && now - run->blocked_ms >= BLOCKED_TELL_MS)
            snprintf(out->why, sizeof out->why, "waits for the sink");
    }
    pthread_mutex_unlock(&run->lock);
}

uint64_t replay_run_need(struct replay_run *run)
{
    uint64_t need = UINT64_MAX;
    pthread_mutex_lock(&run->lock);
    const struct replay_status *status = &run->job.status;
    if (status->source == REPLAY_LETTERS)
        need = UINT64_MAX; /* letters hold their message; the dead log has a retention of its own */
    else if (status->state == REPLAY_RUNNING && !run->spanned)
        need = status->next_seq; /* 0 before the span is known: then nothing goes */
    else if (status->state == REPLAY_RUNNING && status->first_seq)
        need = run->warm_seq ? run->warm_seq : status->next_seq;
    pthread_mutex_unlock(&run->lock);
    return need;
}
