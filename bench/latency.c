/* SPDX-License-Identifier: Apache-2.0
 *
 * From a device's clock to a consumer: reads a topic of readings from its end on and compares the
 * device time of each with the time at which it came here. Publisher and consumer share the machine's
 * clock; `bench_load --now` sends the time at which a message should have left, so waiting before the
 * gateway counts as well. Ends when nothing came for QUIET_MS after the first reading. One thread
 * beside librdkafka's.
 *
 *     bench_latency BROKERS TOPIC [QUIET_MS]
 *
 * Says "ready" on standard error when it listens, a JSON object on standard output at the end.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "bench/lib/consumer.h"
#include "bench/lib/producer.h"
#include "codecs/reading/reading.pb-c.h"
#include "sim/histogram.h"

struct tally {
    struct histogram whole;    /* device time -> here */
    struct histogram received; /* the gateway's receive time -> here */
    uint64_t undated;
};

static void take(struct tally *tally, const rd_kafka_message_t *message, int64_t now_ms)
{
    Tidegate__V1__Reading *reading =
        tidegate__v1__reading__unpack(NULL, message->len, message->payload);
    if (reading == NULL)
        bench_fail("offset %lld of partition %d is no reading", (long long)message->offset,
                   message->partition);
    if (strcmp(reading->time_source, "device") == 0)
        histogram_add(&tally->whole, (now_ms - reading->ts) * 1000000);
    else
        tally->undated++;
    histogram_add(&tally->received, (now_ms - reading->received) * 1000000);
    tidegate__v1__reading__free_unpacked(reading, NULL);
}

static void print_part(const char *name, const struct histogram *histogram)
{
    printf("\"%s\":{\"count\":%llu,\"p50_ms\":%.1f,\"p99_ms\":%.1f,\"p999_ms\":%.1f,"
           "\"max_ms\":%.1f},",
           name, (unsigned long long)histogram->count,
           (double)histogram_quantile(histogram, 0.5) / 1e6,
           (double)histogram_quantile(histogram, 0.99) / 1e6,
           (double)histogram_quantile(histogram, 0.999) / 1e6, (double)histogram->max_ns / 1e6);
}

int main(int argc, char **argv)
{
    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: bench_latency BROKERS TOPIC [QUIET_MS]\n");
        return 2;
    }
    int64_t quiet_ms = argc == 4 ? atoll(argv[3]) : 3000, last_ms = 0;
    struct bench_consumer consumer;
    static struct tally tally;
    bench_consumer_init(&consumer, argv[1], argv[2], BENCH_LATEST);
    bool told = false;
    while (last_ms == 0 || clock_wall_ms() - last_ms < quiet_ms) {
        rd_kafka_message_t *message = bench_consumer_next(&consumer, 100);
        /* From the end of each partition on nothing is missed. */
        if (!told && consumer.at_end >= consumer.partitions) {
            told = true;
            fprintf(stderr, "ready\n");
        }
        if (message == NULL)
            continue;
        last_ms = clock_wall_ms();
        take(&tally, message, last_ms);
        rd_kafka_message_destroy(message);
    }
    printf("{");
    print_part("whole", &tally.whole);
    print_part("received", &tally.received);
    printf("\"undated\":%llu}\n", (unsigned long long)tally.undated);
    bench_consumer_fini(&consumer);
    return 0;
}
