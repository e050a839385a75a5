/* SPDX-License-Identifier: Apache-2.0
 *
 * What the Kafka lane is compared with: takes the records that the gateway wrote into memory, then
 * gives the same records, each to the same partition, to a bare librdkafka with the same settings,
 * through produce_batch, and counts the CPU time from the first to the last delivery report. Nothing
 * is read from disk, decoded, or packed. One thread beside librdkafka's.
 *
 *     bench_kafka BROKERS FROM_TOPIC TO_TOPIC
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "bench/lib/consumer.h"
#include "bench/lib/producer.h"

enum { CHUNK = 2000 };

struct partition {
    rd_kafka_message_t *records;
    size_t count, capacity, done;
};

static struct partition *partitions;
static int32_t partition_count;

/* ---- taking in ---- */

static void keep(const rd_kafka_message_t *message)
{
    struct partition *partition = &partitions[message->partition];
    if (partition->count == partition->capacity) {
        partition->capacity = partition->capacity ? partition->capacity * 2 : 1024;
        partition->records =
            mem_realloc(partition->records, partition->capacity * sizeof *partition->records);
    }
    uint8_t *copy = mem_alloc(message->key_len + message->len);
    memcpy(copy, message->key, message->key_len);
    memcpy(copy + message->key_len, message->payload, message->len);
    partition->records[partition->count++] = (rd_kafka_message_t){
        .partition = message->partition,
        .key = copy,
        .key_len = message->key_len,
        .payload = copy + message->key_len,
        .len = message->len,
    };
}

static uint64_t take_in(const char *brokers, const char *topic, uint64_t *bytes)
{
    struct bench_consumer consumer;
    uint64_t count = 0;
    bench_consumer_init(&consumer, brokers, topic, BENCH_EARLIEST);
    partition_count = consumer.partitions;
    partitions = mem_zalloc((size_t)partition_count * sizeof *partitions);
    while (consumer.at_end < consumer.partitions) {
        rd_kafka_message_t *message = bench_consumer_next(&consumer, 1000);
        if (message == NULL)
            continue;
        keep(message);
        *bytes += message->len + message->key_len;
        count++;
        rd_kafka_message_destroy(message);
    }
    bench_consumer_fini(&consumer);
    return count;
}

/* ---- giving out ---- */

/* The next chunk of a partition; false when all of it was given. */
static bool give(struct bench_producer *producer, int32_t index)
{
    struct partition *partition = &partitions[index];
    size_t left = partition->count - partition->done;
    int chunk = left < CHUNK ? (int)left : CHUNK;
    if (chunk == 0)
        return false;
    partition->done += (size_t)rd_kafka_produce_batch(producer->topic, index, RD_KAFKA_MSG_F_COPY,
                                                      partition->records + partition->done, chunk);
    return true;
}

static void give_all(struct bench_producer *producer, uint64_t count)
{
    bool more = true;
    while (more) {
        more = false;
        for (int32_t i = 0; i < partition_count; i++)
            more |= give(producer, i);
        bench_producer_serve(producer, 0, NULL, NULL);
        /* Full: wait for room instead of asking again and again. */
        if (rd_kafka_outq_len(producer->client) > 250000)
            bench_producer_serve(producer, 100, NULL, NULL);
    }
    while (producer->delivered < count)
        bench_producer_serve(producer, 100, NULL, NULL);
}

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: bench_kafka BROKERS FROM_TOPIC TO_TOPIC\n");
        return 2;
    }
    uint64_t bytes = 0, count = take_in(argv[1], argv[2], &bytes);
    struct bench_producer producer;
    bench_producer_init(&producer, argv[1], argv[3], "100");
    if (bench_partitions(producer.client, argv[3]) != partition_count)
        bench_fail("%s and %s differ in partitions", argv[2], argv[3]);
    double cpu = cpu_seconds();
    int64_t began = clock_monotonic_ns();
    give_all(&producer, count);
    double seconds = (double)(clock_monotonic_ns() - began) / 1e9;
    cpu = cpu_seconds() - cpu;
    printf("{\"records\":%llu,\"bytes\":%llu,\"seconds\":%.3f,\"cpu_s\":%.3f,"
           "\"cpu_s_per_million\":%.3f}\n",
           (unsigned long long)count, (unsigned long long)bytes, seconds, cpu,
           count ? cpu / ((double)count / 1e6) : 0);
    bench_producer_fini(&producer);
    return 0; /* the records go with the process */
}
