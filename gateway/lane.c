/* SPDX-License-Identifier: Apache-2.0
 *
 * The life of a lane and its loop: a step at every wake and every tick starts the sink, does what
 * retention or the sink asked for, gives out units, saves. What these do stands in lane_start.c,
 * lane_position.c and lane_units.c. The lane's thread, but for the functions at the end.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "lane_begin.h"
#include "lane_state.h"

enum { TICK_MS = 100, HELD_UP_MS = 10000 };

/* ---- what others see ---- */

void lane_why_set(struct lane *lane, const char *why)
{
    pthread_mutex_lock(&lane->why_lock);
    /* Cut where it is too long: a sentence for people. */
    size_t size = why ? strnlen(why, sizeof lane->why - 1) : 0;
    memcpy(lane->why, why ? why : "", size);
    lane->why[size] = '\0';
    pthread_mutex_unlock(&lane->why_lock);
}

/* The oldest unit that the sink has, and says nothing of. */
static bool lane_held_up(struct lane *lane)
{
    for (uint32_t i = 0; i < lane->slots.count; i++) {
        const struct slot *slot = slots_at(&lane->slots, i);
        int64_t age_ms = clock_monotonic_ms() - slot->since_ms;
        if (slot->state != SLOT_OPEN || age_ms < HELD_UP_MS)
            continue;
        char why[80];
        snprintf(why, sizeof why, "no answer for %" PRId64 " s", age_ms / 1000);
        if (lane->stats.health == LANE_OK)
            log_event(LOG_WARN, "lane_held_up", "sink=%s seq=%" PRIu64 " why=\"%s\"",
                      lane->host.name, slot->unit.first_seq, why);
        lane_why_set(lane, why);
        return true;
    }
    return false;
}

void lane_health_update(struct lane *lane)
{
    int before = lane->stats.health;
    int health = lane->sink_started ? LANE_OK : lane->start_health;
    if (health == LANE_OK && (lane->unsaved || lane->unread))
        health = LANE_RETRYING;
    for (uint32_t i = 0; i < lane->slots.count; i++) {
        const struct slot *slot = slots_at(&lane->slots, i);
        health = slot->health > health ? slot->health : health;
    }
    health = lane->feed.slot.health > health ? lane->feed.slot.health : health;
    /* A client library that tries again in silence looks well for ever: its age tells. */
    if (health == LANE_OK && lane_held_up(lane))
        health = LANE_RETRYING;
    lane->stats.health = health;
    if (health != LANE_OK || before == LANE_OK)
        return;
    log_event(LOG_INFO, "lane_goes_on", "sink=%s seq=%" PRIu64, lane->host.name,
              lane->saved.next_seq);
    lane_why_set(lane, "");
}

static void stats_publish(struct lane *lane)
{
    lane->stats.next_seq = lane->saved.next_seq;
    lane->stats.confirmed_readings = lane->saved.readings;
    lane->stats.open_units = lane->slots.count;
    lane->stats.open_rows = slots_rows(&lane->slots);
    const struct unit *oldest = lane->slots.count ? &slots_at(&lane->slots, 0)->unit : NULL;
    lane->stats.waiting_received_ms =
        oldest && oldest->batch_count ? oldest->batches[0]->received_min_ms : 0;
}

/* ---- the loop ---- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct lane *lane = handle->data;
    lane->handles_open--;
}

/* All units are answered by now. */
static void on_sink_closed(void *arg)
{
    struct lane *lane = arg;
    if (lane->started && lane->unsaved)
        lane_save(lane);
    stats_publish(lane);
    uv_close((uv_handle_t *)&lane->wake, on_handle_closed);
    uv_close((uv_handle_t *)&lane->tick, on_handle_closed);
}

static bool lane_idle(const struct lane *lane)
{
    return lane->slots.count == 0 && lane->ahead == NULL;
}

static void lane_check_stop(struct lane *lane, bool more)
{
    if (!lane->stopping || lane->closing)
        return;
    bool late = clock_monotonic_ms() >= lane->stop_at_ms;
    if ((more || !lane_idle(lane)) && !late)
        return;
    lane->closing = true;
    lane->type->close(lane->sink, on_sink_closed, lane);
}

static void lane_step(struct lane *lane)
{
    if (lane->closing)
        return;
    if (!lane->sink_started)
        lane_start_sink(lane);
    lane_park_step(lane);
    bool more = false;
    if (lane->sink_started) {
        bool rewound = lane->rewinding;
        lane_rewind_step(lane);
        lane_write_due(lane);
        more = lane_feed_fill(lane);
        more = lane_fill(lane) || (rewound && !lane->rewinding) || more;
        lane_feed_write(lane);
    }
    /* An idle lane's cursor must come right too. */
    lane_save_due(lane);
    if (lane->slots.count == 0 && lane->feed.slot.state == SLOT_FREE)
        raw_messages_fini(&lane->messages); /* it would hold a segment open */
    lane_health_update(lane);
    stats_publish(lane);
    lane_check_stop(lane, more);
    if (more && !lane->closing)
        uv_async_send(&lane->wake);
}

static void on_wake(uv_async_t *wake)
{
    lane_step(wake->data);
}

static void on_tick(uv_timer_t *tick)
{
    lane_step(tick->data);
}

static void *lane_main(void *arg)
{
    struct lane *lane = arg;
    lane_step(lane);
    uv_run(&lane->loop, UV_RUN_DEFAULT);
    return NULL;
}

/* Decoder's thread. */
static void on_append(void *arg)
{
    struct lane *lane = arg;
    if (!lane->stopping)
        uv_async_send(&lane->wake);
}

static int on_message(struct sink_host *host, uint64_t seq, struct message *out, struct err *err)
{
    struct lane *lane = container_of(host, struct lane, host);
    return raw_messages_find(&lane->messages, seq, out, err);
}

/* ---- life: main thread ---- */

/* A cursor that is there counts; a new one begins as the option `start` says. */
static int open_cursor(struct lane *lane, struct err *err)
{
    const struct lane_options *options = &lane->options;
    struct cursor_state first = {.next_seq = 1, .settled_seq = 1};
    struct identity identity;
    int rc = cursor_peek(options->disk, options->cursor_path, &first, &identity, err);
    if (rc == GW_ENOENT) {
        rc = lane_begin(options->sink, options->readings, options->received_end, &first, err);
        if (rc)
            return rc;
    }
    return cursor_open_from(&lane->cursor, options->disk, options->cursor_path,
                            journal_identity(options->readings), &first, err);
}

static uint64_t given_through(const struct cursor_state *saved)
{
    uint64_t through = saved->next_seq - 1;
    for (uint32_t i = 0; i < saved->unit_count; i++)
        if (saved->units[i].last_seq > through)
            through = saved->units[i].last_seq;
    return through;
}

/* What the cursor says. A destination ahead of the journal is a refusal to start (invariant 5). */
static int load_position(struct lane *lane, struct err *err)
{
    struct lane_options *options = &lane->options;
    uint64_t kept = journal_first_seq(options->readings);
    uint64_t end = journal_next_seq(options->readings);
    lane->saved = *cursor_state(lane->cursor);
    options->received_end = end > options->received_end ? end : options->received_end;
    if (lane->saved.next_seq > options->received_end)
        return err_set(err, GW_EINVAL,
                       "its cursor says %" PRIu64 " but the journal ends at %" PRIu64
                       ": the journal was wiped or restored. Start it under a new identity: "
                       "tidegate journal new-identity --data %s",
                       lane->saved.next_seq, options->received_end, options->data_dir);
    if (lane->saved.next_seq < kept)
        log_event(LOG_WARN, "lane_begins_later",
                  "sink=%s wanted_seq=%" PRIu64 " first_seq=%" PRIu64, lane->host.name,
                  lane->saved.next_seq, kept);
    if (lane->saved.readings == 0)
        lane->saved.readings = lane_readings_at(options->readings, lane->saved.next_seq);
    /* How long ago it was confirmed nobody knows. */
    settle_confirmed(&lane->settle, lane->saved.next_seq, clock_monotonic_ms());
    lane->stats.settled_seq = lane->saved.settled_seq;
    lane->host.given_through = given_through(&lane->saved);
    slots_init(&lane->slots, lane->type->open_units_max(options->sink->options), &lane->saved);
    lane_reader_seek(&lane->reader, lane->saved.next_seq);
    return 0;
}

static int open_missed(struct lane *lane, struct err *err)
{
    const struct lane_options *options = &lane->options;
    if (options->sink->when_full != WHEN_FULL_PARK)
        return 0;
    char *path = missed_path(options->cursor_path);
    int rc = missed_open(&lane->missed, options->disk, path, err);
    free(path);
    /* Noted, and then not passed: killed between the two. They are still to come. */
    if (rc == 0)
        rc = missed_remove(lane->missed, lane->saved.next_seq, UINT64_MAX, err);
    return rc;
}

static int lane_open(struct lane *lane, struct err *err)
{
    int rc = open_cursor(lane, err);
    if (rc == 0)
        rc = load_position(lane, err);
    if (rc == 0)
        rc = open_missed(lane, err);
    if (rc == 0)
        rc = lane->type->init(&lane->sink, lane->options.sink->options, &lane->host, err);
    return rc ? err_wrap(err, rc, "sink %s", lane->host.name) : 0;
}

static void host_init(struct lane *lane)
{
    const struct lane_options *options = &lane->options;
    lane->host = (struct sink_host){
        .loop = &lane->loop,
        .disk = options->disk,
        .identity = journal_identity(options->readings),
        .name = options->sink->name,
        .data_dir = options->data_dir,
        .vocabulary = options->vocabulary,
        .answer = lane_on_answer,
        .message = on_message,
        .rewind = lane_on_rewind,
    };
}

static void loop_init(struct lane *lane)
{
    gw_assert(uv_loop_init(&lane->loop) == 0);
    gw_assert(uv_async_init(&lane->loop, &lane->wake, on_wake) == 0);
    gw_assert(uv_timer_init(&lane->loop, &lane->tick) == 0);
    lane->wake.data = lane->tick.data = lane;
    lane->handles_open = 2;
    uv_timer_start(&lane->tick, on_tick, TICK_MS, TICK_MS);
}

static void locks_init(struct lane *lane)
{
    pthread_condattr_t attr;
    pthread_mutex_init(&lane->why_lock, NULL);
    pthread_mutex_init(&lane->first_lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&lane->first_told, &attr);
    pthread_condattr_destroy(&attr);
}

int lane_new(const struct lane_options *options, struct lane **out, struct err *err)
{
    struct lane *lane = mem_zalloc(sizeof *lane);
    const void *sink_options = options->sink->options;
    lane->options = *options;
    lane->type = options->sink->type;
    lane->rows_max = lane->type->unit_rows_max(sink_options);
    lane->age_max_ms = lane->type->unit_age_max_ms(sink_options);
    lane->park_limit.burst = 4;
    settle_init(&lane->settle, lane->type->settle_ms ? lane->type->settle_ms(sink_options) : 0);
    lane_reader_init(&lane->reader, options->readings, options->recent);
    raw_messages_init(&lane->messages, options->raw);
    locks_init(lane);
    lane_feed_init(lane);
    loop_init(lane);
    host_init(lane);
    int rc = lane_open(lane, err);
    if (rc) {
        lane_free(lane);
        return rc;
    }
    lane_missed_publish(lane);
    stats_publish(lane);
    *out = lane;
    return 0;
}

int lane_start(struct lane *lane, struct err *err)
{
    int rc = journal_watch(lane->options.readings, on_append, lane);
    if (rc)
        return err_set(err, rc, "sink %s: too many lanes", lane->host.name);
    lane->started = true;
    if (pthread_create(&lane->thread, NULL, lane_main, lane)) {
        lane->started = false;
        return err_set(err, GW_ELIMIT, "sink %s: no thread can be made", lane->host.name);
    }
    char name[16]; /* what the kernel keeps */
    snprintf(name, sizeof name, "lane-%.10s", lane->host.name);
    pthread_setname_np(lane->thread, name);
    return 0;
}

void lane_stop_soon(struct lane *lane)
{
    lane->ends_soon = true;
}

void lane_hurry(struct lane *lane)
{
    lane->hurry = true;
    lane_wake(lane);
}

void lane_stop_begin(struct lane *lane, int64_t timeout_ms)
{
    if (!lane->started || lane->stopping)
        return;
    lane->stop_at_ms = clock_monotonic_ms() + timeout_ms;
    lane->stopping = true;
    uv_async_send(&lane->wake);
}

void lane_stop(struct lane *lane, int64_t timeout_ms)
{
    if (!lane->started)
        return;
    lane_stop_begin(lane, timeout_ms);
    pthread_join(lane->thread, NULL);
    lane->started = false;
}

void lane_park(struct lane *lane, uint64_t below_seq)
{
    lane->park_below = below_seq;
    lane_wake(lane);
}

void lane_wake(struct lane *lane)
{
    if (lane->started && !lane->stopping)
        uv_async_send(&lane->wake);
}

/* A lane that never ran closes its handles here. */
static void lane_close_unstarted(struct lane *lane)
{
    if (lane->closing)
        return;
    lane->closing = true;
    if (lane->sink)
        lane->type->close(lane->sink, on_sink_closed, lane);
    else
        on_sink_closed(lane);
    uv_run(&lane->loop, UV_RUN_DEFAULT);
}

void lane_free(struct lane *lane)
{
    if (lane == NULL)
        return;
    lane_close_unstarted(lane);
    if (lane->sink)
        lane->type->fini(lane->sink);
    gw_assert(lane->handles_open == 0);
    gw_assert(uv_loop_close(&lane->loop) == 0);
    lane_feed_fini(lane);
    slots_fini(&lane->slots);
    batch_release(lane->ahead);
    lane_reader_fini(&lane->reader);
    raw_messages_fini(&lane->messages);
    missed_close(lane->missed);
    cursor_close(lane->cursor);
    pthread_cond_destroy(&lane->first_told);
    pthread_mutex_destroy(&lane->first_lock);
    pthread_mutex_destroy(&lane->why_lock);
    free(lane);
}

/* ---- any thread ---- */

const char *lane_name(const struct lane *lane)
{
    return lane->host.name;
}

const char *lane_sink_type(const struct lane *lane)
{
    return lane->type->name;
}

const struct lane_stats *lane_stats(const struct lane *lane)
{
    return &lane->stats;
}

void lane_why(struct lane *lane, char out[200])
{
    pthread_mutex_lock(&lane->why_lock);
    memcpy(out, lane->why, sizeof lane->why);
    pthread_mutex_unlock(&lane->why_lock);
}

void lane_metrics(struct lane *lane, struct buffer *out)
{
    if (lane->type->metrics)
        lane->type->metrics(lane->sink, out);
}
