/* SPDX-License-Identifier: Apache-2.0
 *
 * Status, health and readings for the admin interface. Any thread: reads atomics and the journals'
 * thread-safe functions. The metrics have a file of their own (metrics.c).
 */
#include "report.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/disk.h"
#include "drain.h"
#include "model/batch.h"
#include "model/batch_json.h"
#include "parts.h"
#include "pulse.h"
#include "replay_admin.h"
#include "report_lanes.h"
#include "sources/mqtt/listener.h"

enum { TAIL_ROWS_MAX = 10000, TAIL_WAIT_MS_MAX = 20000, TAIL_SLICE_MS = 200 };

/* ---- readiness ---- */

/* Ready means: can make messages durable. A sink that is down does not make it unready. */
bool gateway_ready(struct gateway *gateway, struct buffer *why)
{
    if (gateway->stopping || !gateway->serving) {
        buffer_add_text(why, gateway->stopping ? "stopping\n" : "starting\n");
        return false;
    }
    if (drain_begun(gateway)) {
        buffer_add_text(why, "draining: it goes for good, and takes nothing in\n");
        return false;
    }
    switch (rawlog_health(gateway->rawlog)) {
    case RAWLOG_OK: return true;
    case RAWLOG_FULL: buffer_add_text(why, "the journal has no room: acks are held\n"); break;
    case RAWLOG_FAILING:
        buffer_add_text(why, "the journal cannot be written: acks are held\n");
        break;
    }
    return false;
}

/* ---- status ---- */

static void status_journal(const struct gateway *gateway, struct buffer *out, const char *name,
                           struct journal *journal, uint64_t needed, int log)
{
    buffer_printf(out,
                  "\"%s\":{\"first_seq\":%" PRIu64 ",\"next_seq\":%" PRIu64 ",\"bytes\":%" PRIu64
                  ",\"needed_bytes\":%" PRIu64,
                  name, journal_first_seq(journal), journal_next_seq(journal),
                  journal_bytes(journal), needed);
    history_status(gateway, log, clock_wall_ms(), out);
    buffer_add_text(out, "},");
}

static const char *health_name(const struct gateway *gateway)
{
    static const char *const names[] = {"ok", "full", "failing"};
    return names[rawlog_health(gateway->rawlog)];
}

static void status_listener(const struct gateway *gateway, struct buffer *out)
{
    struct listener_stats mqtt;
    struct listener_certificates ends;
    listener_stats(gateway->listener, &mqtt);
    buffer_printf(out,
                  "\"mqtt\":{\"port\":%d,\"connections\":%" PRIu64 ",\"accepted\":%" PRIu64
                  ",\"refused\":%" PRIu64 ",\"shed\":%" PRIu64 ",\"held_connections\":%" PRIu64
                  ",\"sessions\":%" PRIu64 ",\"messages\":%" PRIu64 ",\"bytes\":%" PRIu64
                  ",\"acks\":%" PRIu64 "},",
                  listener_port(gateway->listener), mqtt.connections, mqtt.accepted, mqtt.refused,
                  mqtt.shed, mqtt.held_connections, mqtt.sessions, mqtt.messages_received,
                  mqtt.bytes_received, mqtt.acks_sent);
    if (!listener_certificates(gateway->listener, &ends))
        return;
    buffer_printf(out, "\"tls\":{\"port\":%d,\"connections\":%" PRIu64 ",\"expires\":{",
                  listener_tls_port(gateway->listener), mqtt.tls_connections);
    const char *comma = "";
    for (int i = 0; i < TLS_FILES; i++) {
        char text[CLOCK_TEXT_SIZE];
        if (ends.ends_ms[i] == INT64_MAX)
            continue;
        buffer_printf(out, "%s\"%s\":\"%s\"", comma, tls_file_names[i],
                      clock_format_ms(ends.ends_ms[i], text));
        comma = ",";
    }
    buffer_add_text(out, "}},");
}

static void status_vendor(void *arg, const struct vendor_figures *vendor)
{
    struct buffer *out = arg;
    const struct vendor_sums *sums = &vendor->sums;
    if (out->data[out->size - 1] == '}')
        buffer_u8(out, ',');
    buffer_add_text(out, "{\"name\":");
    json_string(bytes_text(vendor->name), out);
    buffer_printf(out,
                  ",\"connections\":%" PRIu64 ",\"held\":%" PRIu64 ",\"messages\":%" PRIu64
                  ",\"bytes\":%" PRIu64 ",\"dropped\":%" PRIu64 ",\"waiting_bytes\":%" PRIu64
                  ",\"needed_bytes\":%" PRIu64 ",\"share_bytes\":%" PRIu64 ",\"rate\":%" PRId64
                  ",\"byte_rate\":%" PRIu64 "}",
                  sums->connections, sums->held, sums->messages, sums->bytes, sums->dropped,
                  sums->unacked_bytes, sums->needed_bytes, vendor->share_bytes, vendor->rate,
                  vendor->byte_rate);
}

/* Why connections are held, who sends, and what the logs may take: the water at each gate. */
static void status_levels(struct gateway *gateway, struct buffer *out)
{
    struct listener_stats mqtt;
    const struct config_journal *limits = &gateway->config_started->journal;
    listener_stats(gateway->listener, &mqtt);
    buffer_add_text(out, "\"held\":{");
    for (int i = HOLD_NONE + 1; i < HOLD_KINDS; i++)
        buffer_printf(out, "\"%s\":%" PRIu64 ",", hold_names[i], mqtt.held[i]);
    buffer_printf(out,
                  "\"tail_bytes\":%" PRIu64 "},\"limits\":{\"memory_bytes\":%" PRIu64
                  ",\"log_bytes\":%" PRIu64 "},\"vendors\":[",
                  mqtt.tail_bytes, limits->memory_bytes, limits->max_bytes);
    vendor_table_each(&gateway->vendors, status_vendor, out);
    buffer_add_text(out, "],");
}

static void status_brokers(const struct gateway *gateway, struct buffer *out)
{
    struct paho_worker_status worker;
    if (gateway->brokers == NULL)
        return;
    buffer_add_text(out, "\"brokers\":[");
    for (size_t i = 0; paho_status(gateway->brokers, i, &worker); i++) {
        buffer_printf(out, "%s{\"name\":", i ? "," : "");
        json_string(bytes_text(worker.broker), out);
        buffer_printf(out,
                      ",\"worker\":%u,\"mqtt\":\"%s\",\"messages\":%" PRIu64
                      ",\"connects\":%" PRIu64 ",\"sessions_lost\":%" PRIu64 ",\"holds\":%" PRIu64
                      ",\"restarts\":%" PRIu64 ",\"waiting_bytes\":%" PRIu64
                      ",\"room_bytes\":%" PRIu64 ",\"vendor\":",
                      worker.worker,
                      worker.connected == 5   ? "5.0"
                      : worker.connected == 4 ? "3.1.1"
                                              : "",
                      worker.messages, worker.connects, worker.sessions_lost, worker.holds,
                      worker.restarts, worker.waiting_bytes, worker.room_bytes);
        json_string(bytes_text(worker.vendor ? worker.vendor : ""), out);
        buffer_printf(out, ",\"held\":\"%s\",\"why\":", worker.hold ? hold_names[worker.hold] : "");
        json_string(bytes_text(worker.note), out);
        buffer_u8(out, '}');
    }
    buffer_add_text(out, "],");
}

static void status_captures(const struct gateway *gateway, struct buffer *out)
{
    struct capture_status capture;
    if (gateway->captures == NULL)
        return;
    buffer_add_text(out, "\"captures\":[");
    for (size_t i = 0; capture_status(gateway->captures, i, &capture); i++) {
        buffer_printf(out, "%s{\"file\":", i ? "," : "");
        json_string(bytes_text(capture.file), out);
        buffer_printf(out,
                      ",\"name\":\"%s\",\"state\":\"%s\",\"stored\":%" PRIu64 ",\"total\":%" PRIu64
                      ",\"restamped\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"damaged\":%" PRIu64
                      ",\"why\":",
                      capture.name, capture_state_name(capture.state), capture.stored,
                      capture.total, capture.restamped, capture.lost, capture.damaged);
        json_string(bytes_text(capture.note), out);
        buffer_u8(out, '}');
    }
    buffer_add_text(out, "],");
}

static void status_decoder(const struct gateway *gateway, struct buffer *out)
{
    const struct decoder_stats *stats = decoder_stats(gateway->decoder);
    uint64_t position = journal_next_seq(gateway->readings);
    uint64_t end = journal_next_seq(rawlog_journal(gateway->rawlog));
    buffer_printf(out,
                  "\"received\":%" PRIu64 ",\"decoded\":%" PRIu64 ",\"dead\":%" PRIu64
                  ",\"quarantined\":%" PRIu64 ",\"undecoded\":%" PRIu64 ",\"readings\":%" PRIu64
                  ",\"series\":%" PRIu64 ",\"generation\":%u,\"decoder\":\"%s\",",
                  end - 1, stats->decoded, stats->dead, stats->quarantined,
                  end > position ? end - position : 0, stats->readings, stats->series,
                  stats->generation, stats->health == DECODER_OK ? "ok" : "waiting");
}

/* The upper end, in ms, of the bucket that `part` of all commits lie below; 0 without any. */
static double commit_quantile_ms(const struct rawlog_stats *stats, double part)
{
    uint64_t counts[array_count(stats->commit_us_bucket)], total = 0, below = 0;
    size_t last = array_count(counts) - 1, i = 0;
    for (size_t j = 0; j <= last; j++)
        total += counts[j] = stats->commit_us_bucket[j];
    if (total == 0)
        return 0;
    for (; i < last; i++) {
        below += counts[i];
        if ((double)below >= part * (double)total)
            break;
    }
    return (double)(1ULL << i) / 1000;
}

static void status_stored(const struct gateway *gateway, struct buffer *out)
{
    const struct rawlog_stats *raw = rawlog_stats(gateway->rawlog);
    buffer_printf(out,
                  "\"stored\":{\"messages\":%" PRIu64 ",\"message_bytes\":%" PRIu64
                  ",\"extents\":%" PRIu64 ",\"disk_bytes\":%" PRIu64 ",\"failures\":%" PRIu64
                  ",\"waiting_bytes\":%" PRIu64 ",\"commit_ms_p50\":%.3f,\"commit_ms_p99\":%.3f},",
                  raw->messages, raw->message_bytes, raw->extents, raw->disk_bytes, raw->failures,
                  raw->bytes_waiting, commit_quantile_ms(raw, 0.5), commit_quantile_ms(raw, 0.99));
}

/* The volume of the data folder; nothing where it cannot be asked. */
static void status_disk(const struct gateway *gateway, struct buffer *out)
{
    struct disk_space space;
    if (disk_real.space(&disk_real, gateway->paths.data, &space) == 0)
        buffer_printf(out, "\"disk\":{\"free_bytes\":%" PRIu64 ",\"size_bytes\":%" PRIu64 "},",
                      space.available, space.total);
}

/* null: nothing comes in, so there is no end to it. */
static void status_outlook(const struct gateway *gateway, struct buffer *out)
{
    const struct outlook *outlook = &gateway->outlook;
    int64_t seconds = outlook->seconds_left;
    buffer_add_text(out, "\"journal_seconds_left\":");
    if (seconds < 0)
        buffer_add_text(out, "null,");
    else
        buffer_printf(out, "%" PRId64 ",", seconds);
    buffer_printf(out, "\"outlook\":{\"room_bytes\":%" PRIu64 ",\"growth_bytes\":%" PRIu64 "},",
                  outlook->room, outlook->rate);
}

void gateway_status(struct gateway *gateway, struct buffer *out)
{
    struct journal *journal = rawlog_journal(gateway->rawlog);
    char identity[IDENTITY_TEXT_SIZE];
    char started[CLOCK_TEXT_SIZE], now[CLOCK_TEXT_SIZE];
    int64_t now_ms = clock_wall_ms();
    struct buffer why = {0};
    bool ready = gateway_ready(gateway, &why);
    buffer_printf(out,
                  "{\"gateway\":\"%s\",\"started\":\"%s\",\"now\":\"%s\",\"uptime_s\":%" PRId64
                  ",\"ready\":%s,\"journal_health\":\"%s\",",
                  identity_format(journal_identity(journal), identity),
                  clock_format_ms(gateway->started_ms, started), clock_format_ms(now_ms, now),
                  (now_ms - gateway->started_ms) / 1000, ready ? "true" : "false",
                  health_name(gateway));
    buffer_fini(&why);
    status_decoder(gateway, out);
    status_listener(gateway, out);
    status_levels(gateway, out);
    status_brokers(gateway, out);
    status_captures(gateway, out);
    status_journal(gateway, out, "raw", journal, gateway->outlook.needed[0], HISTORY_RAW);
    status_journal(gateway, out, "reading_log", gateway->readings, gateway->outlook.needed[1],
                   HISTORY_READINGS);
    status_journal(gateway, out, "dead_letters", gateway->dead, 0, HISTORY_DEAD);
    status_stored(gateway, out);
    status_disk(gateway, out);
    status_outlook(gateway, out);
    buffer_add_text(out, "\"drain\":");
    drain_status(gateway, out);
    buffer_u8(out, ',');
    report_lanes(gateway, out);
    replay_admin_status(gateway, out);
    buffer_add_text(out, "}\n");
}

/* ---- tail ---- */

static uint64_t tail_rows(const struct gateway *gateway, const struct extent *extent, uint64_t from,
                          struct buffer *rows)
{
    struct batch *batch;
    struct err err;
    if (extent->kind != EXTENT_BATCH || batch_decode(extent->body, &batch, &err))
        return 0;
    char identity[IDENTITY_TEXT_SIZE];
    identity_format(journal_identity(gateway->readings), identity);
    uint64_t count = 0;
    for (uint32_t row = 0; row < batch->count; row++) {
        if (batch->seq[row] >= from) {
            batch_row_json(batch, row, identity, rows);
            count++;
        }
    }
    batch_release(batch);
    return count;
}

/* In slices: a gateway that stops does not wait for whoever follows it. */
static bool tail_wait(const struct gateway *gateway, uint64_t from, int64_t wait_ms)
{
    int64_t deadline_ms = clock_monotonic_ms() + wait_ms;
    for (;;) {
        int64_t left_ms = deadline_ms - clock_monotonic_ms();
        int64_t slice_ms = left_ms < TAIL_SLICE_MS ? left_ms : TAIL_SLICE_MS;
        if (journal_wait(gateway->readings, from, slice_ms > 0 ? slice_ms : 0))
            return true;
        if (left_ms <= 0 || gateway->stopping)
            return false;
    }
}

int gateway_tail(struct gateway *gateway, uint64_t from, uint64_t limit, int64_t wait_ms,
                 struct buffer *out, uint64_t *next)
{
    struct journal *journal = gateway->readings;
    uint64_t end = journal_next_seq(journal);
    /* Beyond the end: whoever asks has followed a journal that is no longer here. */
    if (from == 0 || from > end)
        from = end;
    *next = from;
    if (!tail_wait(gateway, from, wait_ms))
        return 0;
    struct journal_reader *reader;
    struct err err;
    int rc = journal_reader_new(journal, from, &reader, &err);
    if (rc)
        return rc;
    uint64_t count = 0;
    struct extent extent;
    while (count < limit && (rc = journal_reader_next(reader, &extent, &err)) > 0) {
        if (rc == JOURNAL_EXTENT)
            count += tail_rows(gateway, &extent, from, out);
        *next = extent.first_seq + extent.seq_count;
    }
    journal_reader_free(reader);
    return rc < 0 ? rc : 0;
}

/* ---- routes ---- */

/* False when it is there and no whole number; `*out` stays when it is not there. */
static bool argument_number(const struct admin_request *request, const char *name, uint64_t most,
                            uint64_t *out)
{
    const char *text = admin_argument(request, name);
    char *end;
    if (text == NULL)
        return true;
    if (*text < '0' || *text > '9')
        return false;
    uint64_t value = strtoull(text, &end, 10);
    *out = value < most ? value : most;
    return *end == '\0';
}

static int handle_metrics(void *arg, const struct admin_request *request, struct buffer *body)
{
    (void)request;
    gateway_metrics(arg, body);
    return 200;
}

/* Probes need no token, so whoever may not see the rest hears yes or no. */
static int say_no(const struct admin_request *request, struct buffer *body)
{
    if (!admin_trusted(request)) {
        buffer_clear(body);
        buffer_add_text(body, "no\n");
    }
    return 503;
}

static int handle_health(void *arg, const struct admin_request *request, struct buffer *body)
{
    if (!pulse_beats(arg, body))
        return say_no(request, body);
    buffer_add_text(body, "ok\n");
    return 200;
}

static int handle_ready(void *arg, const struct admin_request *request, struct buffer *body)
{
    if (!gateway_ready(arg, body))
        return say_no(request, body);
    buffer_add_text(body, "ready\n");
    return 200;
}

static int handle_status(void *arg, const struct admin_request *request, struct buffer *body)
{
    (void)request;
    gateway_status(arg, body);
    return 200;
}

/* First line {"next":N}, then a row a line. */
static int handle_tail(void *arg, const struct admin_request *request, struct buffer *body)
{
    uint64_t from = 0, limit = 1000, wait = 0, next;
    if (!argument_number(request, "from", UINT64_MAX, &from) ||
        !argument_number(request, "limit", TAIL_ROWS_MAX, &limit) ||
        !argument_number(request, "wait", TAIL_WAIT_MS_MAX, &wait)) {
        buffer_add_text(body, "from, limit and wait are whole numbers\n");
        return 400;
    }
    struct buffer rows = {0};
    int rc = gateway_tail(arg, from, limit, (int64_t)wait, &rows, &next);
    buffer_printf(body, "{\"next\":%" PRIu64 "}\n", next);
    buffer_add_bytes(body, buffer_bytes(&rows));
    buffer_fini(&rows);
    return rc ? 500 : 200;
}

const struct admin_route report_routes[] = {
    {.path = "/metrics",
     .content_type = "text/plain; version=0.0.4",
     .handle = handle_metrics,
     .need = ADMIN_NEEDS_METRICS},
    {.path = "/healthz",
     .content_type = "text/plain",
     .handle = handle_health,
     .need = ADMIN_NEEDS_NOTHING},
    {.path = "/readyz",
     .content_type = "text/plain",
     .handle = handle_ready,
     .need = ADMIN_NEEDS_NOTHING},
    {.path = "/status", .content_type = "application/json", .handle = handle_status},
    {.path = "/tail", .content_type = "application/x-ndjson", .handle = handle_tail},
    {.path = "/drain",
     .content_type = "application/json",
     .handle = drain_admin_show,
     .post = drain_admin_begin},
    {.path = "/replay",
     .content_type = "application/json",
     .handle = replay_admin_list,
     .post = replay_admin_begin},
    {.path = "/replay/examples", .content_type = "text/plain", .handle = replay_admin_examples},
    {.path = "/replay/stop", .content_type = "application/json", .post = replay_admin_stop},
    {.path = "/replay/resume", .content_type = "application/json", .post = replay_admin_resume},
    {.path = "/replay/forget", .content_type = "application/json", .post = replay_admin_forget},
    {0},
};
