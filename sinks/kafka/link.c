/* SPDX-License-Identifier: Apache-2.0
 *
 * The producer and its health. Nothing is sent before the brokers said that our topics are there and
 * ours to write; when they stop working they are asked again each second, by the worker, and the lane
 * hears why. The lane's thread but for probe_run.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "sinks/kafka/state.h"

enum {
    ASK_MS = 2000,
    RECOVER_MS = 5000,
    ASK_AGAIN_MS = 1000,
    REFRESH_MS = 60000, /* partitions may be added to a topic at any time */
    TELL_AGAIN_MS = 15000,
    /* A transaction without brokers is given up: they end it anyway when they are back. */
    GIVE_UP_MS = 5000,
};

static const char *const *topic_names(const struct sink *sink, const char *names[TOPIC_COUNT])
{
    const struct kafka_sink_options *options = sink->options;
    names[TOPIC_READINGS] = options->topic_readings;
    names[TOPIC_EVENTS] = sink->plan.vocabulary ? options->topic_events : NULL;
    names[TOPIC_DEADLETTERS] = options->topic_deadletters;
    names[TOPIC_POSITION] =
        options->delivery == KAFKA_EXACTLY_ONCE ? options->topic_position : NULL;
    return names;
}

int link_open(struct sink *sink, struct err *err)
{
    const struct producer_hooks hooks = {on_report, on_served, on_trouble, sink};
    const char *names[TOPIC_COUNT];
    rd_kafka_conf_t *conf;
    char *id = kafka_transactional_id(sink->options, sink->host);
    int rc = kafka_conf_producer(sink->options, sink->host, id, &conf, err);
    free(id);
    if (rc == 0)
        rc = producer_new(&sink->producer, conf, sink->host->loop, topic_names(sink, names), &hooks,
                          err);
    if (rc)
        return rc;
    sink->link = LINK_UNASKED;
    atomic_fetch_add(&sink->producers, 1);
    return 0;
}

static void on_retired(void *arg)
{
    struct sink *sink = arg;
    sink->retiring--;
}

void link_retire(struct sink *sink)
{
    if (sink->producer == NULL)
        return;
    sink->retiring++;
    producer_retire(sink->producer, sink->worker, on_retired, sink);
    sink->producer = NULL;
    sink->recovered = false;
    sink->link = LINK_UNASKED;
}

/* ---- trouble ---- */

void trouble_set(struct sink *sink, enum sink_reason reason, const char *why)
{
    if (sink->trouble != reason || sink->trouble_err.text[0] == '\0')
        log_event(LOG_WARN, "kafka_trouble", "sink=%s reason=%s why=\"%s\"", sink->host->name,
                  sink_reason_name(reason), why);
    if (sink->trouble_err.text[0] == '\0')
        sink->trouble_since_ms = clock_monotonic_ms();
    sink->trouble = reason;
    err_set(&sink->trouble_err, GW_EIO, "%s", why);
}

void link_trouble(struct sink *sink, rd_kafka_resp_err_t error, const char *why)
{
    enum sink_reason reason = reason_of_error(error);
    atomic_fetch_add_explicit(&sink->errors[reason], 1, memory_order_relaxed);
    /* One broker that is away is the library's business; that nobody answers is ours. A sign-in that
     * was refused says more than the connection that then ended. */
    bool worse = error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || reason == SINK_REASON_DENIED;
    if (!worse || (sink->trouble == SINK_REASON_DENIED && reason != SINK_REASON_DENIED))
        return;
    trouble_set(sink, reason, why);
    if (sink->link == LINK_READY)
        sink->link = LINK_UNASKED;
}

void link_works(struct sink *sink)
{
    if (sink->trouble_err.text[0])
        log_event(LOG_INFO, "kafka_works", "sink=%s", sink->host->name);
    sink->trouble = SINK_REASON_OTHER;
    sink->trouble_err.text[0] = '\0';
    sink->trouble_told = false;
}

/* Units of which nothing is under way hear why; the others wait for their reports. */
static void tell(struct sink *sink)
{
    int64_t before = clock_monotonic_ms() - TELL_AGAIN_MS;
    bool lasting = sink->trouble >= SINK_REASON_OPERATOR;
    for (uint32_t i = 0; i < FLIGHTS_MAX; i++) {
        struct flight *flight = &sink->flights[i];
        if (flight->unit == NULL || flight->outstanding || sink->slice_flight == flight ||
            sink->phase != TRANSACTION_NONE)
            continue;
        if (sink->trouble_told && !lasting && flight->written_ms > before)
            continue;
        flight_give_back(sink, flight, sink->trouble, sink->trouble_err.text);
    }
    sink->trouble_told = true;
}

/* ---- asking ---- */

static void probe_run(struct worker_job *job)
{
    struct probe *probe = container_of(job, struct probe, job);
    for (int i = 0; i < TOPIC_COUNT; i++) {
        probe->answers[i] = (struct topic_answer){0};
        if (probe->wishes[i].topic == NULL)
            continue;
        if (atomic_load(probe->stop))
            return;
        topic_ask(probe->handle, &probe->wishes[i], probe->options, ASK_MS, &probe->answers[i]);
        if (probe->answers[i].partitions == 0)
            return;
    }
    if (probe->recover)
        probe->recovery_rc = transaction_recover(
            probe->options, probe->host, probe->handle, probe->answers[TOPIC_POSITION].partitions,
            RECOVER_MS, probe->stop, &probe->recovery, &probe->recovery_err);
}

/* True: all topics are there. */
static bool probe_take(struct sink *sink)
{
    const struct probe *probe = &sink->probe;
    for (int i = 0; i < TOPIC_COUNT; i++) {
        const struct topic_answer *answer = &probe->answers[i];
        if (probe->wishes[i].topic && answer->partitions == 0) {
            bool silent =
                answer->reason == SINK_REASON_TIMEOUT || answer->reason == SINK_REASON_UNREACHABLE;
            /* No answer at all is what follows from what was already told. */
            if (!silent || sink->trouble_err.text[0] == '\0')
                trouble_set(sink, silent ? SINK_REASON_UNREACHABLE : answer->reason,
                            answer->err.text);
            return false;
        }
        if (probe->wishes[i].topic)
            producer_set_partitions(sink->producer, (enum producer_topic)i, answer->partitions);
    }
    return true;
}

/* True: the producer is ready for transactions. */
static bool recovery_take(struct sink *sink)
{
    const struct probe *probe = &sink->probe;
    if (!probe->recover)
        return true;
    if (probe->recovery_rc) {
        trouble_set(sink, probe->recovery.reason, probe->recovery_err.text);
        tell(sink);
        if (probe->recovery_rc == GW_ECLOSED)
            link_retire(sink);
        return false;
    }
    return transaction_resume(sink, &probe->recovery);
}

static bool all_quiet(const struct sink *sink)
{
    return sink->producer && producer_queued(sink->producer) == 0;
}

static void probe_done(struct worker_job *job)
{
    struct probe *probe = container_of(job, struct probe, job);
    struct sink *sink = container_of(probe, struct sink, probe);
    sink->probe_running = false;
    sink->asked_ms = clock_monotonic_ms();
    if (sink->closing || sink->producer != probe->producer)
        return;
    bool refresh = sink->link == LINK_READY;
    bool good = probe_take(sink);
    if (refresh)
        return; /* whatever is wrong shows when something is sent */
    sink->link = good ? LINK_READY : LINK_UNASKED;
    if (good && recovery_take(sink)) {
        sink->trouble_told = false;
        /* The brokers answer again: what is sent now has all of GIVE_UP_MS. */
        sink->trouble_since_ms = sink->asked_ms;
        pump(sink);
        return;
    }
    if (good) {
        sink->link = LINK_UNASKED;
        return;
    }
    tell(sink);
    /* The files of secrets may have changed: the next one reads them anew. */
    if (sink->trouble == SINK_REASON_DENIED && all_quiet(sink))
        link_retire(sink);
}

static void ask(struct sink *sink)
{
    struct probe *probe = &sink->probe;
    if (sink->probe_running)
        return;
    probe->job = (struct worker_job){.run = probe_run, .done = probe_done};
    probe->producer = sink->producer;
    probe->options = sink->options;
    probe->stop = &sink->stop;
    probe->handle = producer_handle(sink->producer);
    for (int i = 0; i < TOPIC_COUNT; i++)
        probe->wishes[i] = (struct topic_wish){
            .topic = producer_topic(sink->producer, (enum producer_topic)i),
            .compacted = i == TOPIC_POSITION,
        };
    probe->host = sink->host;
    probe->recover =
        sink->options->delivery == KAFKA_EXACTLY_ONCE && !sink->recovered && !sink->fenced;
    if (sink->link == LINK_UNASKED)
        sink->link = LINK_ASKING;
    sink->probe_running = true;
    worker_post(sink->worker, &probe->job);
}

static bool anything_waits(const struct sink *sink)
{
    for (uint32_t i = 0; i < FLIGHTS_MAX; i++)
        if (sink->flights[i].unit)
            return true;
    return false;
}

void link_tend(struct sink *sink)
{
    if (sink->closing || sink->draining || !anything_waits(sink))
        return;
    struct err err;
    int64_t now = clock_monotonic_ms();
    if (sink->fenced) {
        tell(sink);
        return;
    }
    if (sink->producer == NULL && link_open(sink, &err)) {
        trouble_set(sink, SINK_REASON_OPERATOR, err.text);
        tell(sink);
        return;
    }
    bool first = sink->trouble_err.text[0] == '\0';
    bool open = sink->phase == TRANSACTION_OPEN || sink->phase == TRANSACTION_POSITION;
    if (open && !first && now - sink->trouble_since_ms >= GIVE_UP_MS) {
        drain_begin(sink, sink->trouble, sink->trouble_err.text, true);
        return;
    }
    if (sink->link == LINK_UNASKED && (first || now - sink->asked_ms >= ASK_AGAIN_MS))
        ask(sink);
    else if (sink->link == LINK_READY && now - sink->asked_ms >= REFRESH_MS)
        ask(sink);
}
