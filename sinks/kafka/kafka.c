/* SPDX-License-Identifier: Apache-2.0
 *
 * The contract of sinks/sink.h: options, life, metrics. Separate from the machinery (state.h says
 * which file does what), so that the promises to the lane stand on one page. The lane's thread, but
 * for metrics().
 */
#include "sinks/kafka/kafka.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "sinks/kafka/state.h"

enum {
    TICK_MS = 250,
    /* A lane gives a unit back within its longest wait; one that it parked never comes. */
    ABSENT_MS = 120 * 1000,
};

static bool exactly_once(const struct kafka_sink_options *options)
{
    return options->delivery == KAFKA_EXACTLY_ONCE;
}

static uint64_t kafka_unit_rows_max(const void *options)
{
    const struct kafka_sink_options *kafka = options;
    if (kafka->unit_rows)
        return (uint64_t)kafka->unit_rows;
    return exactly_once(kafka) ? 100000 : 20000;
}

static int64_t kafka_unit_age_max_ms(const void *options)
{
    const struct kafka_sink_options *kafka = options;
    if (kafka->unit_age_ms)
        return kafka->unit_age_ms;
    return exactly_once(kafka) ? 500 : 100;
}

static uint32_t kafka_open_units_max(const void *options)
{
    const struct kafka_sink_options *kafka = options;
    return exactly_once(kafka) ? 1 : (uint32_t)kafka->units;
}

/* ---- life ---- */

static int conf_try(const struct kafka_sink_options *options, struct sink_host *host,
                    struct err *err)
{
    rd_kafka_conf_t *conf;
    char *id = kafka_transactional_id(options, host);
    int rc = kafka_conf_producer(options, host, id, &conf, err);
    free(id);
    if (rc == 0)
        rd_kafka_conf_destroy(conf);
    return rc;
}

static int kafka_check(const void *options, struct err *err)
{
    int rc = kafka_options_check(options, err);
    return rc ? rc : kafka_properties_check(options, err);
}

static int kafka_init(struct sink **out, const void *options, struct sink_host *host,
                      struct err *err)
{
    const struct kafka_sink_options *kafka = options;
    int rc = kafka_options_check(kafka, err);
    if (rc == 0)
        rc = conf_try(kafka, host, err);
    if (rc)
        return rc;
    struct sink *sink = mem_zalloc(sizeof *sink);
    sink->host = host;
    sink->options = kafka;
    sink->plan = (struct flight_plan){
        .readings = kafka->topic_readings && kafka->topic_readings[0],
        .events = host->vocabulary && kafka->topic_events && kafka->topic_events[0],
        .letters = kafka->topic_deadletters && kafka->topic_deadletters[0],
        .vocabulary = host->vocabulary,
    };
    for (uint32_t i = 0; i < FLIGHTS_MAX; i++)
        sink->flights[i].slot = i;
    sink->records = records_new(host->identity, kafka);
    *out = sink;
    return 0;
}

/* Units that never come again (parked) must not hold up those behind them. */
static void drop_absent(struct sink *sink)
{
    int64_t before = clock_monotonic_ms() - ABSENT_MS;
    for (uint32_t i = 0; i < FLIGHTS_MAX; i++) {
        struct flight *flight = &sink->flights[i];
        if (flight->used && flight->unit == NULL && flight->outstanding == 0 &&
            flight->written_ms < before)
            flight_fini(flight);
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct sink *sink = container_of(timer, struct sink, tick);
    if (sink->closing)
        return;
    drain_hurry(sink);
    drop_absent(sink);
    link_tend(sink);
    pump(sink);
}

/* at_least_once needs no broker: they are asked when the first unit comes. */
static int kafka_start(struct sink *sink, uint64_t *cursor, struct err *err)
{
    if (!sink->worker) {
        sink->worker = worker_new(sink->host->loop, sink->host->name);
        gw_assert(uv_timer_init(sink->host->loop, &sink->tick) == 0);
        gw_assert(uv_timer_init(sink->host->loop, &sink->kick) == 0);
        sink->timers_open = 2;
    }
    if (!sink->producer) {
        int rc = link_open(sink, err);
        if (rc)
            return rc;
    }
    if (exactly_once(sink->options)) {
        int rc = transaction_start(sink, cursor, err);
        if (rc)
            return rc;
    }
    uv_timer_start(&sink->tick, on_tick, TICK_MS, TICK_MS);
    sink->started = true;
    return 0;
}

static struct flight *flight_for(struct sink *sink, const struct unit *unit)
{
    struct flight *empty = NULL, *absent = NULL;
    for (uint32_t i = 0; i < FLIGHTS_MAX; i++) {
        struct flight *flight = &sink->flights[i];
        if (flight_awaits(flight, unit))
            return flight;
        if (!flight->used)
            empty = flight;
        else if (flight->unit == NULL && flight->outstanding == 0)
            absent = flight;
    }
    gw_assert(empty || absent);
    return empty ? empty : absent;
}

static void kafka_write(struct sink *sink, struct unit *unit)
{
    gw_assert(sink->started && !sink->closing);
    struct flight *flight = flight_for(sink, unit);
    if (!unit->replay)
        sink->newest_seq = unit->first_seq;
    flight_begin(flight, unit, sink->newest_seq);
    flight->written_ms = clock_monotonic_ms();
    kick(sink);
}

/* ---- closing ---- */

static void on_timer_closed(uv_handle_t *handle)
{
    struct sink *sink = handle->data;
    if (--sink->timers_open == 0)
        sink->closed(sink->closed_arg);
}

static void on_worker_closed(void *arg)
{
    struct sink *sink = arg;
    sink->tick.data = sink->kick.data = sink;
    uv_close((uv_handle_t *)&sink->tick, on_timer_closed);
    uv_close((uv_handle_t *)&sink->kick, on_timer_closed);
}

static void on_wait_end(uv_timer_t *timer)
{
    struct sink *sink = container_of(timer, struct sink, kick);
    if (sink->retiring || sink->probe_running || sink->phase == TRANSACTION_ENDING)
        return;
    uv_timer_stop(&sink->kick);
    worker_close(sink->worker, on_worker_closed, sink);
}

static void on_never_started(uv_timer_t *timer)
{
    struct sink *sink = container_of(timer, struct sink, kick);
    sink->timers_open = 1;
    sink->kick.data = sink;
    uv_close((uv_handle_t *)&sink->kick, on_timer_closed);
}

static void kafka_close(struct sink *sink, void (*closed)(void *arg), void *arg)
{
    gw_assert(!sink->closing);
    sink->closing = true;
    sink->closed = closed;
    sink->closed_arg = arg;
    atomic_store(&sink->stop, true);
    if (!sink->worker) {
        gw_assert(uv_timer_init(sink->host->loop, &sink->kick) == 0);
        uv_timer_start(&sink->kick, on_never_started, 0, 0);
        return;
    }
    uv_timer_stop(&sink->tick);
    pump_forget(sink);
    link_retire(sink);
    /* The worker ends the producers, then itself. */
    uv_timer_start(&sink->kick, on_wait_end, 0, 5);
}

static void kafka_fini(struct sink *sink)
{
    if (sink == NULL)
        return;
    for (uint32_t i = 0; i < FLIGHTS_MAX; i++)
        flight_fini(&sink->flights[i]);
    records_free(sink->records);
    free(sink);
}

/* ---- metrics ---- */

static void put_head(struct buffer *out, const char *name, const char *type, const char *help)
{
    buffer_printf(out, "# HELP tidegate_sink_kafka_%s %s\n# TYPE tidegate_sink_kafka_%s %s\n", name,
                  help, name, type);
}

static void put_metric(struct buffer *out, const char *sink, const char *name, const char *type,
                       const char *help, _Atomic uint64_t *value)
{
    put_head(out, name, type, help);
    buffer_printf(out, "tidegate_sink_kafka_%s{sink=\"%s\"} %" PRIu64 "\n", name, sink,
                  atomic_load_explicit(value, memory_order_relaxed));
}

static void kafka_metrics(struct sink *sink, struct buffer *out)
{
    static const char *const topics[] = {"readings", "events", "deadletters", "position"};
    const char *name = sink->host->name;
    put_head(out, "delivered_total", "counter", "Records that the brokers confirmed.");
    for (int i = 0; i < TOPIC_COUNT; i++)
        buffer_printf(
            out, "tidegate_sink_kafka_delivered_total{sink=\"%s\",records=\"%s\"} %" PRIu64 "\n",
            name, topics[i], atomic_load_explicit(&sink->delivered[i], memory_order_relaxed));
    put_head(out, "errors_total", "counter", "Errors of connections and records.");
    for (int i = 0; i < SINK_REASON_COUNT; i++)
        buffer_printf(out,
                      "tidegate_sink_kafka_errors_total{sink=\"%s\",reason=\"%s\"} %" PRIu64 "\n",
                      name, sink_reason_name((enum sink_reason)i),
                      atomic_load_explicit(&sink->errors[i], memory_order_relaxed));
    put_metric(out, name, "refused_records_total", "counter", "Readings refused for good.",
               &sink->refused);
    put_metric(out, name, "producers_total", "counter",
               "Producers made: more than one after errors that end one.", &sink->producers);
    put_metric(out, name, "queued_records", "gauge",
               "Records given to the library and not confirmed.", &sink->queued);
    if (!exactly_once(sink->options))
        return;
    put_metric(out, name, "commits_total", "counter", "Transactions that were committed.",
               &sink->commits);
    put_metric(out, name, "aborts_total", "counter",
               "Transactions that were aborted, or ended without an answer.", &sink->aborts);
}

const struct sink_type sink_kafka = {
    .name = "kafka",
    .summary = "one record a reading, events and dead letters in topics of their own",
    .options = kafka_option_rows,
    .options_size = sizeof(struct kafka_sink_options),
    .unit_rows_max = kafka_unit_rows_max,
    .unit_age_max_ms = kafka_unit_age_max_ms,
    .open_units_max = kafka_open_units_max,
    .check = kafka_check,
    .init = kafka_init,
    .start = kafka_start,
    .write = kafka_write,
    .close = kafka_close,
    .fini = kafka_fini,
    .metrics = kafka_metrics,
    .probe = kafka_try,
};
