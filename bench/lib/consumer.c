/* SPDX-License-Identifier: Apache-2.0
 *
 * The consumer of the comparisons. One thread.
 */
#include "bench/lib/consumer.h"

#include "base/mem.h"
#include "bench/lib/producer.h"

int32_t bench_partitions(rd_kafka_t *client, const char *topic)
{
    for (int attempt = 0; attempt < 50; attempt++) {
        const struct rd_kafka_metadata *metadata;
        int32_t count = 0;
        rd_kafka_topic_t *handle = rd_kafka_topic_new(client, topic, NULL);
        if (rd_kafka_metadata(client, 0, handle, &metadata, 10000) == 0) {
            if (metadata->topic_cnt == 1)
                count = metadata->topics[0].partition_cnt;
            rd_kafka_metadata_destroy(metadata);
        }
        rd_kafka_topic_destroy(handle);
        if (count > 0)
            return count;
        rd_kafka_poll(client, 200);
    }
    bench_fail("no topic %s", topic);
}

void bench_consumer_init(struct bench_consumer *consumer, const char *brokers, const char *topic,
                         enum bench_begin begin)
{
    const char *const pairs[][2] = {
        {"bootstrap.servers", brokers},
        {"group.id", "bench"}, /* asked for by the library, never joined */
        {"enable.auto.commit", "false"},
        {"enable.partition.eof", "true"},
        {"fetch.wait.max.ms", "20"},
        {"fetch.error.backoff.ms", "20"},
        {"queued.min.messages", "100000"},
    };
    char why[256];
    *consumer = (struct bench_consumer){0};
    consumer->client =
        rd_kafka_new(RD_KAFKA_CONSUMER, bench_conf(pairs, array_count(pairs)), why, sizeof why);
    if (consumer->client == NULL)
        bench_fail("%s", why);
    rd_kafka_poll_set_consumer(consumer->client);
    consumer->partitions = bench_partitions(consumer->client, topic);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(consumer->partitions);
    for (int32_t i = 0; i < consumer->partitions; i++)
        rd_kafka_topic_partition_list_add(list, topic, i)->offset =
            begin == BENCH_EARLIEST ? RD_KAFKA_OFFSET_BEGINNING : RD_KAFKA_OFFSET_END;
    rd_kafka_resp_err_t code = rd_kafka_assign(consumer->client, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (code)
        bench_fail("%s: %s", topic, rd_kafka_err2str(code));
}

void bench_consumer_fini(struct bench_consumer *consumer)
{
    rd_kafka_consumer_close(consumer->client);
    rd_kafka_destroy(consumer->client);
}

rd_kafka_message_t *bench_consumer_next(struct bench_consumer *consumer, int wait_ms)
{
    rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer->client, wait_ms);
    if (message == NULL || message->err == 0)
        return message;
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
        consumer->at_end++;
    else if (message->err != RD_KAFKA_RESP_ERR__TRANSPORT)
        bench_fail("%s", rd_kafka_message_errstr(message));
    rd_kafka_message_destroy(message);
    return NULL;
}
