/* SPDX-License-Identifier: Apache-2.0
 *
 * Start: disk first, then what reads it, the listener last, so that nothing is taken in before all
 * behind it stands. Stop: the same in reverse; each part gets a share of ten seconds. All on the
 * main thread.
 */
#include "gateway.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/owner.h"
#include "drain.h"
#include "expiry.h"
#include "journal/cursor.h"
#include "notify.h"
#include "parts.h"
#include "patience.h"
#include "pulse.h"
#include "reload.h"
#include "replay_parts.h"
#include "report.h"
#include "retention.h"
#include "trail.h"
#include "water.h"

/* SIGTERM to exit takes at most ten seconds: these add up to nine. */
enum {
    DRAIN_SOURCE_MS = 2000,
    DRAIN_RAWLOG_MS = 2000,
    DRAIN_DECODER_MS = 2000,
    DRAIN_LANES_MS = 3000,
    HOUSEKEEPING_MS = 2000,
    SINKS_START_MS = 3000,
    RECENT_BYTES_MAX = 64 << 20, /* and never more than journal.memory_bytes */
};

#define NEW_IDENTITY "start under a new identity: tidegate journal new-identity --data %s"

/* ---- folders ---- */

static void paths_make(struct gateway_paths *paths, const char *data)
{
    paths->data = mem_strdup(data);
    paths->raw = mem_printf("%s/journal/raw", data);
    paths->readings = mem_printf("%s/journal/readings", data);
    paths->dead = mem_printf("%s/journal/dead", data);
    paths->refused = mem_printf("%s/journal/refused", data);
    paths->again = mem_printf("%s/journal/again", data);
    paths->cursors = mem_printf("%s/cursors", data);
    paths->state = mem_printf("%s/state", data);
    paths->intake = mem_printf("%s/intake", data);
    paths->replays = mem_printf("%s/replays", data);
}

static void paths_fini(struct gateway_paths *paths)
{
    free(paths->data);
    free(paths->raw);
    free(paths->readings);
    free(paths->dead);
    free(paths->refused);
    free(paths->again);
    free(paths->cursors);
    free(paths->state);
    free(paths->intake);
    free(paths->replays);
}

static int folder_make(const char *path, struct err *err)
{
    char owner[OWNER_TEXT_SIZE];
    int rc = disk_make_dirs(&disk_real, path);
    if (rc == -EACCES)
        return err_set(err, GW_EIO, "folder %s: Permission denied: %s", path,
                       owner_explain(path, owner));
    return rc < 0 ? err_set(err, GW_EIO, "folder %s: %s", path, strerror(-rc)) : 0;
}

static int folders_make(const struct gateway_paths *paths, struct err *err)
{
    char *journal = mem_printf("%s/journal", paths->data);
    int rc = folder_make(journal, err);
    free(journal);
    if (rc == 0)
        rc = folder_make(paths->cursors, err);
    if (rc == 0)
        rc = folder_make(paths->state, err);
    return rc;
}

/* ---- parts, from the disk outwards ---- */

static struct journal_options journal_options_of(const struct gateway *gateway, const char *dir)
{
    const struct config_journal *from = &gateway->config->journal;
    return (struct journal_options){
        .disk = &disk_real,
        .dir = dir,
        .segment_bytes = from->segment_bytes,
        .max_bytes = from->max_bytes,
        .reserve_bytes = from->reserve_bytes,
        .compression_level = (int)from->compression,
    };
}

static int rawlog_make(struct gateway *gateway, struct err *err)
{
    const struct config_journal *from = &gateway->config->journal;
    struct rawlog_options options = {
        .journal = journal_options_of(gateway, gateway->paths.raw),
        .memory_bytes = from->memory_bytes,
        .chunk_bytes = from->extent_bytes / 4,
        .extent_bytes = from->extent_bytes,
    };
    struct journal_recovery found;
    int rc = rawlog_open(&gateway->rawlog, &options, &found, err);
    if (rc == 0)
        log_event(LOG_INFO, "journal_open",
                  "segments=%" PRIu64 " first_seq=%" PRIu64 " next_seq=%" PRIu64
                  " torn_bytes=%" PRIu64 " damaged_extents=%" PRIu64,
                  found.segments, found.first_seq, found.next_seq, found.torn_bytes,
                  found.damaged_extents);
    return rc;
}

static int journal_make(struct gateway *gateway, enum journal_kind kind, const char *dir,
                        struct journal **out, struct err *err)
{
    struct journal_options options = journal_options_of(gateway, dir);
    struct journal_recovery found;
    options.kind = kind;
    options.identity = journal_identity(rawlog_journal(gateway->rawlog));
    if (kind == JOURNAL_DEAD) {
        /* Dead letters have room of their own, and it is not the logs' room. */
        options.max_bytes = 0;
        options.segment_bytes = 4U << 20;
    }
    if (options.compression_level == 0)
        options.compression_level = 1; /* off the ack path: always worth it */
    int rc = journal_open(out, &options, &found, err);
    struct err why = *err;
    if (rc == GW_EINVAL)
        return err_set(err, rc, "%s. If the raw log was wiped: " NEW_IDENTITY, why.text,
                       gateway->paths.data);
    return rc;
}

/* Invariant 5: nothing downstream may be ahead of the raw log. */
static int journals_agree(const struct gateway *gateway, struct err *err)
{
    uint64_t raw = journal_next_seq(rawlog_journal(gateway->rawlog));
    uint64_t readings = journal_next_seq(gateway->readings);
    uint64_t dead = journal_next_seq(gateway->dead);
    if (readings <= raw && dead <= raw)
        return 0;
    return err_set(err, GW_EINVAL,
                   "%s ends at %" PRIu64 " but the raw log at %" PRIu64
                   ": the raw log was wiped or restored. " NEW_IDENTITY,
                   readings > raw ? "the reading log" : "the log of dead letters",
                   readings > raw ? readings : dead, raw, gateway->paths.data);
}

static char *cursor_path(const struct gateway *gateway, const struct config_sink *sink)
{
    return mem_printf("%s/%s.cursor", gateway->paths.cursors, sink->name);
}

/* Where the lanes' cursors and units end. A cursor that cannot be read is the lane's to refuse. */
static void cuts_collect(struct gateway *gateway)
{
    const struct config *config = gateway->config;
    gateway->cuts =
        mem_zalloc((config->sink_count + 1) * (CURSOR_UNITS_MAX + 2) * sizeof(uint64_t));
    for (size_t i = 0; i < config->sink_count; i++) {
        struct cursor_state state;
        struct identity identity;
        struct err err;
        char *path = cursor_path(gateway, &config->sinks[i]);
        if (cursor_peek(&disk_real, path, &state, &identity, &err) == 0) {
            gateway->cuts[gateway->cut_count++] = state.next_seq;
            gateway->cuts[gateway->cut_count++] = state.settled_seq;
            for (uint32_t unit = 0; unit < state.unit_count; unit++)
                gateway->cuts[gateway->cut_count++] = state.units[unit].last_seq + 1;
        }
        free(path);
    }
}

static int decoder_make(struct gateway *gateway, struct err *err)
{
    const struct config_journal *from = &gateway->config->journal;
    gateway->recent =
        recent_new(from->memory_bytes < RECENT_BYTES_MAX ? from->memory_bytes : RECENT_BYTES_MAX);
    struct decoder_options options = {
        .disk = &disk_real,
        .state_dir = gateway->paths.state,
        .raw = rawlog_journal(gateway->rawlog),
        .readings = gateway->readings,
        .dead = gateway->dead,
        .cuts = gateway->cuts,
        .cut_count = gateway->cut_count,
        .recent = gateway->recent,
        .save_bytes = 4 * from->segment_bytes,
    };
    /* A raw log that may be small must not fill up between two saves: it is kept for the newest. */
    if (from->max_bytes && options.save_bytes > from->max_bytes / 8)
        options.save_bytes = from->max_bytes / 8;
    return decoder_new(&options, gateway->config, &gateway->decoder, err);
}

static int lanes_make(struct gateway *gateway, struct err *err)
{
    const struct config *config = gateway->config;
    gateway->refused =
        refused_new(&disk_real, gateway->paths.refused, rawlog_journal(gateway->rawlog));
    gateway->lanes = mem_zalloc((config->sink_count + 1) * sizeof(struct lane *));
    for (size_t i = 0; i < config->sink_count; i++) {
        char *cursor = cursor_path(gateway, &config->sinks[i]);
        struct lane_options options = {
            .disk = &disk_real,
            .sink = &config->sinks[i],
            .readings = gateway->readings,
            .raw = rawlog_journal(gateway->rawlog),
            .recent = gateway->recent,
            .vocabulary = gateway->config_started->vocabulary,
            .refused = gateway->refused,
            .received_end = journal_next_seq(rawlog_journal(gateway->rawlog)),
            .cursor_path = cursor,
            .data_dir = gateway->paths.data,
        };
        int rc = lane_new(&options, &gateway->lanes[i], err);
        free(cursor);
        if (rc)
            return rc;
        gateway->lane_count++;
    }
    return 0;
}

/* In the order in which they start. Null: it could not be made. */
static int source_add(struct gateway *gateway, struct source *source)
{
    if (source == NULL)
        return GW_EINVAL;
    gateway->source_ends[gateway->source_count].gateway = gateway;
    gateway->sources[gateway->source_count++] = source;
    return 0;
}

/* The folder is there once there was a broker: what its workers left is taken in, although the
 * configuration no longer names it. */
static int brokers_make(struct gateway *gateway, struct err *err)
{
    const struct config *config = gateway->config_started;
    struct disk_stat stat;
    /* Who leaves only takes in what is left there. */
    size_t count = gateway->drain.leaving ? 0 : config->broker_count;
    if (count == 0 && disk_real.stat(&disk_real, gateway->paths.intake, &stat) < 0)
        return 0;
    int rc = folder_make(gateway->paths.intake, err);
    if (rc)
        return rc;
    struct paho_place place = {.disk = &disk_real,
                               .dir = gateway->paths.intake,
                               .rawlog = gateway->rawlog,
                               .access = gateway->access,
                               .vendors = &gateway->vendors};
    gateway->brokers = paho_new(config->brokers, count, &place, err);
    return source_add(gateway, gateway->brokers);
}

static int captures_make(struct gateway *gateway, struct err *err)
{
    const struct config *config = gateway->config_started;
    struct capture_place place = {.disk = &disk_real,
                                  .rawlog = gateway->rawlog,
                                  .memory_bytes = config->journal.memory_bytes};
    if (config->capture_count == 0)
        return 0;
    int rc = capture_new(config->captures, config->capture_count, &place, &gateway->captures, err);
    return rc ? rc : source_add(gateway, gateway->captures);
}

static int sources_make(struct gateway *gateway, struct err *err)
{
    gateway->listener = listener_new(&gateway->config->mqtt, gateway->rawlog, gateway->access,
                                     &gateway->vendors, err);
    int rc = source_add(gateway, gateway->listener);
    if (rc == 0)
        rc = brokers_make(gateway, err);
    return rc ? rc : captures_make(gateway, err);
}

static int parts_make(struct gateway *gateway, struct err *err)
{
    int rc = folders_make(&gateway->paths, err);
    if (rc == 0)
        rc = trail_open(gateway, err);
    if (rc == 0)
        rc = rawlog_make(gateway, err);
    if (rc == 0)
        rc = journal_make(gateway, JOURNAL_READINGS, gateway->paths.readings, &gateway->readings,
                          err);
    if (rc == 0)
        rc = journal_make(gateway, JOURNAL_DEAD, gateway->paths.dead, &gateway->dead, err);
    if (rc == 0)
        rc = journals_agree(gateway, err);
    if (rc)
        return rc;
    gateway->access = access_new();
    access_set_audit(gateway->access, gateway->audit);
    rc = reload_access(gateway->access, gateway->config, err);
    cuts_collect(gateway);
    if (rc == 0)
        rc = decoder_make(gateway, err);
    if (rc == 0)
        rc = lanes_make(gateway, err);
    if (rc == 0)
        rc = replays_make(gateway, err);
    return rc ? rc : sources_make(gateway, err);
}

/* All sinks start side by side. What an operator must mend is known within moments, and is a refusal to
 * start; a sink that is down or slow goes on by itself and delays nobody any longer. */
static int lanes_start(struct gateway *gateway, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; i < gateway->lane_count && rc == 0; i++)
        rc = lane_start(gateway->lanes[i], err);
    int64_t until = clock_monotonic_ms() + SINKS_START_MS;
    for (size_t i = 0; i < gateway->lane_count && rc == 0; i++)
        rc = lane_wait_started(gateway->lanes[i], until, err);
    return rc;
}

static int parts_start(struct gateway *gateway, struct err *err)
{
    int rc = rawlog_start(gateway->rawlog, err);
    if (rc == 0)
        rc = lanes_start(gateway, err);
    if (rc == 0)
        rc = decoder_start(gateway->decoder, err);
    if (rc == 0)
        rc = replays_start(gateway->replays, err);
    /* Both addresses are bound before the first message is taken, so that a port in use is a clear
     * refusal to start. */
    if (rc == 0)
        rc = admin_start(&gateway->admin, &gateway->config->admin, report_routes, gateway,
                         gateway->audit, err);
    for (size_t i = 0; i < gateway->source_count && rc == 0; i++)
        if (!gateway->drain.leaving || gateway->sources[i] == gateway->brokers)
            rc = gateway->sources[i]->type->start(gateway->sources[i], err);
    return rc;
}

/* ---- ending ---- */

static void on_source_closed(void *arg)
{
    struct source_end *end = arg;
    struct gateway *gateway = end->gateway;
    if (atomic_exchange(&end->closed, true)) /* it was told twice */
        return;
    /* The last one ends the main loop; sends before that may be one for several. */
    if (atomic_fetch_sub(&gateway->sources_open, 1) == 1)
        uv_async_send(&gateway->source_closed);
}

void gateway_sources_close(struct gateway *gateway, int64_t drain_ms)
{
    if (!gateway->sources_told)
        gateway->sources_open = (unsigned)gateway->source_count;
    gateway->sources_told = true;
    for (size_t i = 0; i < gateway->source_count; i++) {
        struct source_end *end = &gateway->source_ends[i];
        if (!end->closed)
            gateway->sources[i]->type->close(gateway->sources[i], drain_ms, on_source_closed, end);
    }
}

/* The sources have closed: the rest in order, each waiting for the one before. */
static void parts_stop(struct gateway *gateway)
{
    if (!rawlog_stop(gateway->rawlog, DRAIN_RAWLOG_MS))
        log_event(LOG_WARN, "journal_not_drained", "what was not stored was not acknowledged");
    replays_end(gateway);
    decoder_stop(gateway->decoder, DRAIN_DECODER_MS);
    for (size_t i = 0; i < gateway->lane_count; i++)
        lane_stop_begin(gateway->lanes[i], DRAIN_LANES_MS);
    for (size_t i = 0; i < gateway->lane_count; i++)
        lane_stop(gateway->lanes[i], DRAIN_LANES_MS);
}

/* `why` null: it ends as it was told to. */
static void parts_free(struct gateway *gateway, const char *why)
{
    admin_stop(gateway->admin);
    while (gateway->source_count) {
        struct source *source = gateway->sources[--gateway->source_count];
        source->type->free(source);
    }
    for (size_t i = 0; i < gateway->lane_count; i++)
        lane_free(gateway->lanes[i]);
    free(gateway->lanes);
    replays_free(gateway->replays);
    refused_free(gateway->refused);
    decoder_free(gateway->decoder);
    recent_free(gateway->recent);
    free(gateway->cuts);
    access_free(gateway->access);
    vendor_table_fini(&gateway->vendors);
    journal_close(gateway->dead);
    journal_close(gateway->readings);
    rawlog_close(gateway->rawlog);
    trail_close(gateway, why);
    paths_fini(&gateway->paths);
    if (gateway->config != gateway->config_started)
        config_free(gateway->config_started);
    config_free(gateway->config);
}

/* ---- main loop ---- */

void gateway_end(struct gateway *gateway)
{
    if (gateway->stopping)
        return;
    gateway->stopping = true;
    notify_stopping();
    for (size_t i = 0; i < gateway->lane_count; i++)
        lane_stop_soon(gateway->lanes[i]);
    if (gateway->sources_told && gateway->sources_open == 0)
        uv_stop(&gateway->loop); /* a drain has closed them */
    else
        gateway_sources_close(gateway, DRAIN_SOURCE_MS);
}

static void on_signal_stop(uv_signal_t *signal, int number)
{
    struct gateway *gateway = signal->data;
    if (!gateway->stopping)
        log_event(LOG_INFO, "stopping", "signal=%d", number);
    gateway_end(gateway);
}

static void on_async_source_closed(uv_async_t *async)
{
    if (!drain_sources_closed(async->data))
        uv_stop(async->loop);
}

static void on_housekeeping(uv_timer_t *timer)
{
    retention_run(timer->data);
    outlook_run(timer->data);
    water_run(timer->data);
    expiry_run(timer->data);
    log_tell_held();
}

static void loop_make(struct gateway *gateway)
{
    gw_assert(uv_loop_init(&gateway->loop) == 0);
    uv_signal_init(&gateway->loop, &gateway->sigterm);
    uv_signal_init(&gateway->loop, &gateway->sigint);
    uv_signal_init(&gateway->loop, &gateway->sighup);
    uv_timer_init(&gateway->loop, &gateway->housekeeping);
    pulse_init(gateway);
    drain_init(gateway);
    uv_async_init(&gateway->loop, &gateway->source_closed, on_async_source_closed);
    gateway->source_closed.data = gateway;
    gateway->sigterm.data = gateway->sigint.data = gateway->sighup.data = gateway;
    gateway->housekeeping.data = gateway;
    uv_signal_start(&gateway->sighup, reload_on_signal, SIGHUP); /* heard when the loop runs */
}

/* Recovery may be cut short by a signal, as by kill -9. From here on the loop hears them when it runs:
 * what is started ends in order. */
static void signals_watch(struct gateway *gateway)
{
    uv_signal_start(&gateway->sigterm, on_signal_stop, SIGTERM);
    uv_signal_start(&gateway->sigint, on_signal_stop, SIGINT);
}

static void loop_run(struct gateway *gateway)
{
    uv_timer_start(&gateway->housekeeping, on_housekeeping, 0, HOUSEKEEPING_MS);
    pulse_start(gateway);
    drain_start(gateway);
    gateway->serving = true;
    uv_run(&gateway->loop, UV_RUN_DEFAULT);
}

static void loop_fini(struct gateway *gateway)
{
    uv_close((uv_handle_t *)&gateway->sigterm, NULL);
    uv_close((uv_handle_t *)&gateway->sigint, NULL);
    uv_close((uv_handle_t *)&gateway->sighup, NULL);
    uv_close((uv_handle_t *)&gateway->housekeeping, NULL);
    pulse_close(gateway);
    drain_close(gateway);
    uv_close((uv_handle_t *)&gateway->source_closed, NULL);
    uv_run(&gateway->loop, UV_RUN_DEFAULT);
    gw_assert(uv_loop_close(&gateway->loop) == 0);
}

static int exit_code_of(int rc)
{
    switch (rc) {
    case GW_OK: return EXIT_CODE_OK;
    case GW_EINVAL: return EXIT_CODE_CONFIG;
    case GW_ECORRUPT:
    case GW_EVERSION: return EXIT_CODE_DATA;
    default: return EXIT_CODE_FAILED;
    }
}

static void ready_say(const struct gateway *gateway)
{
    char identity[IDENTITY_TEXT_SIZE];
    log_event(LOG_INFO, "ready", "mqtt_port=%d admin_port=%d data=%s gateway=%s sinks=%zu pid=%d",
              listener_port(gateway->listener), gateway->admin ? admin_port(gateway->admin) : 0,
              gateway->paths.data,
              identity_format(journal_identity(rawlog_journal(gateway->rawlog)), identity),
              gateway->lane_count, (int)getpid());
    notify_status("Taking messages on port %d", listener_port(gateway->listener));
    notify_ready();
}

int gateway_run(struct config *config,
                int (*reload)(void *arg, struct config **out, struct buffer *errors),
                void *reload_arg)
{
    struct gateway *gateway = mem_zalloc(sizeof *gateway);
    gateway->config = gateway->config_started = config;
    gateway->reload = reload;
    gateway->reload_arg = reload_arg;
    gateway->started_ms = clock_wall_ms();
    gateway->outlook.seconds_left = -1;
    pthread_mutex_init(&gateway->config_lock, NULL);
    pthread_mutex_init(&gateway->replay_lock, NULL);
    vendor_table_init(&gateway->vendors, config->journal.memory_bytes);
    paths_make(&gateway->paths, config->data);
    log_set_level((enum log_level)config->log_level);
    loop_make(gateway);
    struct err err = {{0}};
    if (notify_open(&err))
        log_event(LOG_WARN, "notify_unheard", "why=\"%s\"", err.text);
    patience_begin();
    int rc = parts_make(gateway, &err);
    bool started = false;
    if (rc == 0) {
        signals_watch(gateway);
        rc = parts_start(gateway, &err);
        started = true;
    }
    patience_end();
    if (rc == 0) {
        ready_say(gateway);
        loop_run(gateway);
    } else {
        log_event(LOG_ERROR, "start_failed", "why=\"%s\"", err.text);
    }
    if (started && rc == 0) {
        parts_stop(gateway);
        log_event(LOG_INFO, "stopped", "next_seq=%" PRIu64,
                  journal_next_seq(rawlog_journal(gateway->rawlog)));
    } else if (started) {
        parts_stop(gateway);
    }
    parts_free(gateway, rc ? err.text : NULL);
    loop_fini(gateway);
    notify_close();
    pthread_mutex_destroy(&gateway->config_lock);
    pthread_mutex_destroy(&gateway->replay_lock);
    free(gateway);
    return exit_code_of(rc);
}
