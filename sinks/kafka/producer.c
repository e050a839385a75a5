/* SPDX-License-Identifier: Apache-2.0
 *
 * Reports come as events on librdkafka's main queue, one event for each batch that a broker answered.
 * An eventfd wakes the loop. The lane's thread; logs come from any.
 */
#include "sinks/kafka/producer.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

enum {
    ROUND_MS = 20, /* reports taken at once, so that the loop stays awake for others */
    REPORTS_AT_ONCE = 1024,
    ABORT_MS = 1000,
};

struct producer {
    rd_kafka_t *handle;
    rd_kafka_queue_t *queue;
    rd_kafka_topic_t *topics[TOPIC_COUNT];
    int32_t partitions[TOPIC_COUNT];
    struct producer_hooks hooks;
    int wake_fd;
    uv_poll_t poll;
    uint64_t queued, queued_max;
    bool transactional;

    struct worker *worker; /* from retire on */
    struct worker_job ending;
    void (*gone)(void *arg);
    void *gone_arg;
};

static struct log_limit log_limit = {.burst = 30};

/* Any thread of librdkafka. Its levels are syslog's. */
static void on_log(const rd_kafka_t *handle, int level, const char *facility, const char *text)
{
    int held = 0;
    if (strcmp(facility, "CONFWARN") == 0 || !log_limit_pass(&log_limit, &held))
        return;
    struct log_text escaped;
    log_event(level <= 3 ? LOG_WARN : LOG_INFO, "kafka_client",
              "client=%s facility=%s held_back=%d why=\"%s\"", rd_kafka_name(handle), facility,
              held, log_escape(&escaped, bytes_text(text)));
}

/* ---- reports ---- */

static void take_reports(struct producer *producer, rd_kafka_event_t *event)
{
    const rd_kafka_message_t *reports[REPORTS_AT_ONCE];
    size_t count;
    while ((count = rd_kafka_event_message_array(event, reports, REPORTS_AT_ONCE)) > 0) {
        producer->queued -= count;
        for (size_t i = 0; i < count; i++)
            producer->hooks.report(producer->hooks.arg, (uintptr_t)reports[i]->_private,
                                   reports[i]->err);
    }
}

static void take_event(struct producer *producer, rd_kafka_event_t *event)
{
    switch (rd_kafka_event_type(event)) {
    case RD_KAFKA_EVENT_DR: take_reports(producer, event); break;
    case RD_KAFKA_EVENT_ERROR:
        producer->hooks.trouble(producer->hooks.arg, rd_kafka_event_error(event),
                                rd_kafka_event_error_string(event));
        break;
    default: break;
    }
}

static void wake_again(struct producer *producer)
{
    uint64_t one = 1;
    ssize_t written = write(producer->wake_fd, &one, sizeof one);
    (void)written; /* full means that it will wake anyway */
}

static void on_wake(uv_poll_t *poll, int status, int what)
{
    (void)status, (void)what;
    struct producer *producer = container_of(poll, struct producer, poll);
    uint64_t wakes;
    ssize_t got = read(producer->wake_fd, &wakes, sizeof wakes);
    (void)got;
    int64_t until = clock_monotonic_ms() + ROUND_MS;
    rd_kafka_event_t *event;
    /* The queue wakes us once when it fills; whatever stays in it must be asked for by ourselves. */
    while ((event = rd_kafka_queue_poll(producer->queue, 0))) {
        take_event(producer, event);
        rd_kafka_event_destroy(event);
        if (clock_monotonic_ms() >= until) {
            wake_again(producer);
            break;
        }
    }
    producer->hooks.served(producer->hooks.arg);
}

void producer_serve(struct producer *producer, int timeout_ms)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(producer->queue, timeout_ms);
    if (event == NULL)
        return;
    take_event(producer, event);
    rd_kafka_event_destroy(event);
}

/* ---- life ---- */

/* What a property may have set. */
static uint64_t conf_number(const rd_kafka_conf_t *conf, const char *name)
{
    char text[32];
    size_t size = sizeof text;
    gw_assert(rd_kafka_conf_get(conf, name, text, &size) == RD_KAFKA_CONF_OK);
    return strtoull(text, NULL, 10);
}

static int open_topics(struct producer *producer, const char *const names[TOPIC_COUNT],
                       struct err *err)
{
    for (int i = 0; i < TOPIC_COUNT; i++) {
        if (names[i] == NULL || names[i][0] == '\0')
            continue;
        producer->topics[i] = rd_kafka_topic_new(producer->handle, names[i], NULL);
        if (producer->topics[i] == NULL)
            return err_set(err, GW_EINVAL, "topic \"%s\": %s", names[i],
                           rd_kafka_err2str(rd_kafka_last_error()));
    }
    return 0;
}

static void close_topics(struct producer *producer)
{
    for (int i = 0; i < TOPIC_COUNT; i++)
        if (producer->topics[i])
            rd_kafka_topic_destroy(producer->topics[i]);
}

int producer_new(struct producer **out, rd_kafka_conf_t *conf, uv_loop_t *loop,
                 const char *const names[TOPIC_COUNT], const struct producer_hooks *hooks,
                 struct err *err)
{
    char why[400];
    struct producer *producer = mem_zalloc(sizeof *producer);
    producer->hooks = *hooks;
    producer->queued_max = conf_number(conf, "queue.buffering.max.messages");
    char id[8]; /* longer ones do not fit, which tells as much */
    size_t id_size = sizeof id;
    producer->transactional =
        rd_kafka_conf_get(conf, "transactional.id", id, &id_size) != RD_KAFKA_CONF_OK || id[0];
    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR);
    producer->handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (producer->handle == NULL) {
        rd_kafka_conf_destroy(conf);
        free(producer);
        return err_set(err, GW_EINVAL, "%s", why);
    }
    int rc = open_topics(producer, names, err);
    if (rc) {
        close_topics(producer);
        rd_kafka_destroy(producer->handle);
        free(producer);
        return rc;
    }
    producer->queue = rd_kafka_queue_get_main(producer->handle);
    producer->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    gw_assert(producer->wake_fd >= 0);
    gw_assert(uv_poll_init(loop, &producer->poll, producer->wake_fd) == 0);
    gw_assert(uv_poll_start(&producer->poll, UV_READABLE, on_wake) == 0);
    const uint64_t one = 1;
    rd_kafka_queue_io_event_enable(producer->queue, producer->wake_fd, &one, sizeof one);
    /* The queue tells that it fills. What came in before it could tell ("all brokers are down", within
     * a millisecond of the first line above) keeps it from ever being empty, and so silent. */
    wake_again(producer);
    *out = producer;
    return 0;
}

/* A transaction that is left open would hold back all read_committed consumers until it times out. */
static void abort_open(struct producer *producer)
{
    int64_t until = clock_monotonic_ms() + ABORT_MS;
    /* The library does not abort while reports wait in the queue. */
    while (rd_kafka_outq_len(producer->handle) > 0 && clock_monotonic_ms() < until) {
        rd_kafka_event_t *event = rd_kafka_queue_poll(producer->queue, 50);
        if (event)
            rd_kafka_event_destroy(event);
    }
    rd_kafka_error_t *error = rd_kafka_abort_transaction(producer->handle, ABORT_MS);
    if (error)
        rd_kafka_error_destroy(error);
}

/* Worker. What is in the queue was given up by whoever retired it. */
static void end(struct worker_job *job)
{
    struct producer *producer = container_of(job, struct producer, ending);
    rd_kafka_purge(producer->handle, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
                                         RD_KAFKA_PURGE_F_NON_BLOCKING);
    if (producer->transactional)
        abort_open(producer);
    close_topics(producer);
    rd_kafka_queue_destroy(producer->queue);
    rd_kafka_destroy(producer->handle);
}

static void on_ended(struct worker_job *job)
{
    struct producer *producer = container_of(job, struct producer, ending);
    void (*gone)(void *arg) = producer->gone;
    void *arg = producer->gone_arg;
    free(producer);
    gone(arg);
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct producer *producer = container_of((uv_poll_t *)handle, struct producer, poll);
    close(producer->wake_fd);
    producer->ending = (struct worker_job){.run = end, .done = on_ended};
    worker_post(producer->worker, &producer->ending);
}

void producer_retire(struct producer *producer, struct worker *worker, void (*gone)(void *arg),
                     void *arg)
{
    producer->worker = worker;
    producer->gone = gone;
    producer->gone_arg = arg;
    rd_kafka_queue_io_event_enable(producer->queue, -1, NULL, 0);
    uv_close((uv_handle_t *)&producer->poll, on_poll_closed);
}

/* ---- records ---- */

static uint32_t room_for(struct producer *producer, uint32_t wanted)
{
    uint64_t room = producer->queued_max - producer->queued;
    /* A queue that just made a little room would be filled by small steps. */
    uint64_t least = wanted < producer->queued_max / 4 ? wanted : producer->queued_max / 4;
    if (room < least)
        return 0;
    return room < wanted ? (uint32_t)room : wanted;
}

/* Which of the first `given` went in: those before the first that found the queue full. */
static uint32_t sort_out(struct producer *producer, struct slice *slice, uint32_t given)
{
    uint32_t i = 0;
    for (; i < given; i++) {
        rd_kafka_message_t *message = &slice->messages[slice->at + i];
        if (message->err == RD_KAFKA_RESP_ERR__QUEUE_FULL)
            break;
        if (message->err == 0)
            producer->queued++;
        else
            producer->hooks.report(producer->hooks.arg, (uintptr_t)message->_private, message->err);
    }
    for (uint32_t j = i; j < given; j++)
        slice->messages[slice->at + j].err = 0;
    return i;
}

bool producer_send(struct producer *producer, struct slice *slice)
{
    while (slice->at < slice->count) {
        uint32_t given = room_for(producer, slice->count - slice->at);
        if (given == 0)
            break;
        int taken = rd_kafka_produce_batch(producer->topics[slice->topic], RD_KAFKA_PARTITION_UA,
                                           RD_KAFKA_MSG_F_COPY | RD_KAFKA_MSG_F_PARTITION,
                                           slice->messages + slice->at, (int)given);
        uint32_t through = given;
        if (taken == (int)given)
            producer->queued += given;
        else
            through = sort_out(producer, slice, given);
        slice->at += through;
        if (through < given)
            break; /* full by bytes: reports make room */
    }
    return slice->at == slice->count;
}

int producer_send_one(struct producer *producer, enum producer_topic topic, struct bytes key,
                      struct bytes value, rd_kafka_headers_t *headers, uint64_t token)
{
    if (room_for(producer, 1) == 0)
        return GW_EFULL;
    static const uint8_t nothing[1];
    /* librdkafka only reads, and copies. */
    rd_kafka_vu_t parts[] = {
        {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = producer->topics[topic]},
        {.vtype = RD_KAFKA_VTYPE_KEY,
         .u.mem = {.ptr = (void *)(uintptr_t)(key.size ? key.data : nothing), .size = key.size}},
        {.vtype = RD_KAFKA_VTYPE_VALUE,
         .u.mem = {.ptr = (void *)(uintptr_t)(value.size ? value.data : nothing),
                   .size = value.size}},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = (void *)(uintptr_t)token},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
    };
    rd_kafka_error_t *error =
        rd_kafka_produceva(producer->handle, parts, array_count(parts) - (headers == NULL));
    if (error == NULL) {
        producer->queued++;
        return 0;
    }
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    rd_kafka_error_destroy(error);
    if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL)
        return GW_EFULL;
    if (headers)
        rd_kafka_headers_destroy(headers);
    producer->hooks.report(producer->hooks.arg, token, code);
    return 0;
}

uint64_t producer_queued(const struct producer *producer)
{
    return producer->queued;
}

void producer_purge(struct producer *producer, bool sent)
{
    rd_kafka_purge(producer->handle, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_NON_BLOCKING |
                                         (sent ? RD_KAFKA_PURGE_F_INFLIGHT : 0));
}

rd_kafka_resp_err_t producer_fatal(const struct producer *producer, char *why, size_t size)
{
    return rd_kafka_fatal_error(producer->handle, why, size);
}

int32_t producer_partitions(const struct producer *producer, enum producer_topic topic)
{
    return producer->partitions[topic];
}

void producer_set_partitions(struct producer *producer, enum producer_topic topic, int32_t count)
{
    producer->partitions[topic] = count;
}

rd_kafka_t *producer_handle(struct producer *producer)
{
    return producer->handle;
}

rd_kafka_topic_t *producer_topic(struct producer *producer, enum producer_topic topic)
{
    return producer->topics[topic];
}
