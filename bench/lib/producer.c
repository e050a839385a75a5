/* SPDX-License-Identifier: Apache-2.0
 *
 * The bare producer of the comparisons. One thread.
 */
#include "bench/lib/producer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

void bench_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

rd_kafka_conf_t *bench_conf(const char *const (*pairs)[2], size_t count)
{
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    for (size_t i = 0; i < count; i++)
        if (rd_kafka_conf_set(conf, pairs[i][0], pairs[i][1], why, sizeof why) != RD_KAFKA_CONF_OK)
            bench_fail("%s: %s", pairs[i][0], why);
    return conf;
}

void bench_producer_init(struct bench_producer *producer, const char *brokers, const char *topic,
                         const char *linger_ms)
{
    /* sinks/kafka/conf.c and the defaults of sinks/kafka/options.c. */
    const char *const pairs[][2] = {
        {"bootstrap.servers", brokers},
        {"client.id", "tidegate-bench"},
        {"enable.idempotence", "true"},
        {"acks", "all"},
        {"partitioner", "murmur2_random"},
        {"compression.codec", "zstd"},
        {"message.timeout.ms", "0"},
        {"linger.ms", linger_ms},
        {"queue.buffering.max.messages", "279620"},
        {"queue.buffering.max.kbytes", "65536"},
        {"reconnect.backoff.max.ms", "1000"},
        {"socket.keepalive.enable", "true"},
    };
    char why[256];
    rd_kafka_conf_t *conf = bench_conf(pairs, array_count(pairs));
    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR);
    *producer = (struct bench_producer){.event = -1};
    producer->client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (producer->client == NULL)
        bench_fail("%s", why);
    producer->topic = rd_kafka_topic_new(producer->client, topic, NULL);
    if (producer->topic == NULL)
        bench_fail("%s: %s", topic, rd_kafka_err2str(rd_kafka_last_error()));
    producer->reports = rd_kafka_queue_get_main(producer->client);
}

void bench_producer_fini(struct bench_producer *producer)
{
    rd_kafka_queue_destroy(producer->reports);
    rd_kafka_topic_destroy(producer->topic);
    rd_kafka_destroy(producer->client);
    if (producer->event >= 0)
        close(producer->event);
}

int bench_producer_descriptor(struct bench_producer *producer)
{
    static const uint64_t one = 1;
    producer->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (producer->event < 0)
        bench_fail("eventfd failed");
    rd_kafka_queue_io_event_enable(producer->reports, producer->event, &one, sizeof one);
    return producer->event;
}

void bench_producer_wake(struct bench_producer *producer)
{
    uint64_t count;
    if (read(producer->event, &count, sizeof count) < 0)
        return; /* nothing there */
}

bool bench_producer_send(struct bench_producer *producer, struct bytes key, struct bytes value,
                         void *opaque)
{
    /* The library takes a pointer that is not const, and does not write with F_COPY. */
    void *data = (void *)(uintptr_t)value.data;
    if (rd_kafka_produce(producer->topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, data,
                         value.size, key.data, key.size, opaque) == 0)
        return true;
    rd_kafka_resp_err_t code = rd_kafka_last_error();
    if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL)
        bench_fail("produce: %s", rd_kafka_err2str(code));
    return false;
}

static void take_reports(struct bench_producer *producer, rd_kafka_event_t *event,
                         void (*on_delivered)(void *arg, const rd_kafka_message_t *message),
                         void *arg)
{
    const rd_kafka_message_t *message;
    while ((message = rd_kafka_event_message_next(event))) {
        if (message->err)
            bench_fail("delivery: %s", rd_kafka_err2str(message->err));
        producer->delivered++;
        if (on_delivered)
            on_delivered(arg, message);
    }
}

void bench_producer_serve(struct bench_producer *producer, int wait_ms,
                          void (*on_delivered)(void *arg, const rd_kafka_message_t *message),
                          void *arg)
{
    rd_kafka_event_t *event;
    while ((event = rd_kafka_queue_poll(producer->reports, wait_ms))) {
        rd_kafka_resp_err_t code = rd_kafka_event_error(event);
        if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR)
            take_reports(producer, event, on_delivered, arg);
        else if (code)
            fprintf(stderr, "bench: %s: %s\n", rd_kafka_err2str(code),
                    rd_kafka_event_error_string(event));
        rd_kafka_event_destroy(event);
        wait_ms = 0;
    }
}
