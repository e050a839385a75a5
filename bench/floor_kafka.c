/* SPDX-License-Identifier: Apache-2.0
 *
 * The floor of the way to Kafka: epoll, each payload as it came to librdkafka under the device of its
 * topic, the PUBACK when the delivery report is there. No journal, no decoding, no checks, no session:
 * a crash loses nothing that was acknowledged, because the devices have it still. Settings of the
 * producer are those of the kafka sink. One thread beside librdkafka's.
 *
 *     bench_floor_kafka PORT BROKERS TOPIC [LINGER_MS]
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/lib/listener.h"
#include "bench/lib/producer.h"

struct floor {
    struct listener listener;
    struct bench_producer producer;
};

/* An origin fits into the opaque pointer of a message; QoS 1 is what the scenarios send. */
static void *origin_pack(struct listener_origin origin)
{
    uintptr_t bits = (uintptr_t)origin.serial << 32 | (uintptr_t)origin.fd << 16 | origin.id;
    return (void *)bits; /* NOLINT: never followed */
}

static struct listener_origin origin_unpack(const void *opaque)
{
    uintptr_t bits = (uintptr_t)opaque;
    return (struct listener_origin){
        .serial = (uint32_t)(bits >> 32), .fd = (uint16_t)(bits >> 16), .id = (uint16_t)bits};
}

static void on_delivered(void *arg, const rd_kafka_message_t *message)
{
    struct floor *floor = arg;
    if (message->_private)
        listener_answer(&floor->listener, origin_unpack(message->_private), 1);
}

static void on_ready(struct listener *listener)
{
    struct floor *floor = container_of(listener, struct floor, listener);
    bench_producer_wake(&floor->producer);
    bench_producer_serve(&floor->producer, 0, on_delivered, floor);
    listener_flush(listener);
}

/* "v1/bench/00000042/json" -> "bench/00000042" */
static struct bytes key_of(struct bytes topic)
{
    const uint8_t *begin = memchr(topic.data, '/', topic.size);
    if (begin == NULL)
        return topic;
    const uint8_t *end = memrchr(topic.data, '/', topic.size);
    return end > begin ? bytes_of(begin + 1, (size_t)(end - begin - 1)) : topic;
}

static void on_publish(struct listener *listener, const struct listener_publish *publish)
{
    struct floor *floor = container_of(listener, struct floor, listener);
    struct bytes key = key_of(publish->topic);
    void *opaque = publish->qos ? origin_pack(publish->origin) : NULL;
    /* A full queue holds everybody, as it does the gateway. */
    while (!bench_producer_send(&floor->producer, key, publish->payload, opaque))
        bench_producer_serve(&floor->producer, 100, on_delivered, floor);
}

int main(int argc, char **argv)
{
    int port = argc >= 4 && argc <= 5 ? atoi(argv[1]) : 0;
    if (port <= 0 || port > 65535) {
        bool asked = argc == 2 && strcmp(argv[1], "--help") == 0;
        fprintf(asked ? stdout : stderr,
                "usage: bench_floor_kafka PORT BROKERS TOPIC [LINGER_MS]\n"
                "Produces each PUBLISH and answers it when it was delivered, on 127.0.0.1.\n");
        return asked ? 0 : 2;
    }
    static struct floor floor;
    bench_producer_init(&floor.producer, argv[2], argv[3], argc == 5 ? argv[4] : "100");
    floor.listener = (struct listener){.on_publish = on_publish,
                                       .other = bench_producer_descriptor(&floor.producer),
                                       .on_ready = on_ready};
    listener_run(&floor.listener, port);
    perror("bench_floor_kafka");
    return 1;
}
