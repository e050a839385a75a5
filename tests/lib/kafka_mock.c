/* SPDX-License-Identifier: Apache-2.0
 *
 * The mock brokers run on threads of their own, inside a client that is made for them. One thread.
 */
#include "lib/kafka_mock.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/tsan_threads.h"

void kafka_mock_init(struct kafka_mock *mock, int brokers)
{
    char why[256];
    tsan_threads_use();
    mock->handle = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), why, sizeof why);
    gw_assert(mock->handle);
    mock->cluster = rd_kafka_mock_cluster_new(mock->handle, brokers);
    gw_assert(mock->cluster);
    mock->brokers = rd_kafka_mock_cluster_bootstraps(mock->cluster);
}

void kafka_mock_fini(struct kafka_mock *mock)
{
    rd_kafka_mock_cluster_destroy(mock->cluster);
    rd_kafka_destroy(mock->handle);
}

void kafka_mock_topic(struct kafka_mock *mock, const char *name)
{
    gw_assert(rd_kafka_mock_topic_create(mock->cluster, name, KAFKA_MOCK_PARTITIONS, 1) == 0);
}

/* ---- reading ---- */

static char *copy(const void *data, size_t size)
{
    return bytes_strdup(bytes_of(data, size));
}

static char *headers_of(const rd_kafka_message_t *message)
{
    struct buffer text = {0};
    rd_kafka_headers_t *headers;
    if (rd_kafka_message_headers(message, &headers) == 0) {
        const char *name;
        const void *value;
        size_t size;
        for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &size) == 0; i++)
            buffer_printf(&text, "%s=%.*s;", name, (int)size, (const char *)value);
    }
    buffer_u8(&text, '\0');
    return (char *)text.data;
}

static void add(struct kafka_records *out, const rd_kafka_message_t *message)
{
    out->items = mem_realloc(out->items, (out->count + 1) * sizeof *out->items);
    out->items[out->count++] = (struct kafka_record){
        .partition = message->partition,
        .key = copy(message->key, message->key_len),
        .value = copy(message->payload, message->len),
        .key_size = message->key_len,
        .value_size = message->len,
        .headers = headers_of(message),
    };
}

static rd_kafka_t *consumer_new(const struct kafka_mock *mock, const char *topic)
{
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    gw_assert(rd_kafka_conf_set(conf, "bootstrap.servers", mock->brokers, why, sizeof why) == 0);
    gw_assert(rd_kafka_conf_set(conf, "group.id", "test", why, sizeof why) == 0);
    gw_assert(rd_kafka_conf_set(conf, "enable.partition.eof", "true", why, sizeof why) == 0);
    gw_assert(rd_kafka_conf_set(conf, "enable.auto.commit", "false", why, sizeof why) == 0);
    gw_assert(rd_kafka_conf_set(conf, "fetch.wait.max.ms", "10", why, sizeof why) == 0);
    rd_kafka_t *consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    gw_assert(consumer);
    rd_kafka_poll_set_consumer(consumer);
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new(KAFKA_MOCK_PARTITIONS);
    for (int i = 0; i < KAFKA_MOCK_PARTITIONS; i++)
        rd_kafka_topic_partition_list_add(list, topic, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
    gw_assert(rd_kafka_assign(consumer, list) == 0);
    rd_kafka_topic_partition_list_destroy(list);
    return consumer;
}

void kafka_mock_read(const struct kafka_mock *mock, const char *topic, struct kafka_records *out)
{
    *out = (struct kafka_records){0};
    rd_kafka_t *consumer = consumer_new(mock, topic);
    for (int ended = 0; ended < KAFKA_MOCK_PARTITIONS;) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, 10000);
        gw_assert(message);
        if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
            ended++;
        else if (message->err == 0)
            add(out, message);
        rd_kafka_message_destroy(message);
    }
    rd_kafka_destroy_flags(consumer, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

void kafka_records_fini(struct kafka_records *records)
{
    for (size_t i = 0; i < records->count; i++) {
        free(records->items[i].key);
        free(records->items[i].value);
        free(records->items[i].headers);
    }
    free(records->items);
}

const char *kafka_record_header(const struct kafka_record *record, const char *name)
{
    static char value[512];
    char *wanted = mem_printf("%s=", name);
    const char *at = strstr(record->headers, wanted);
    size_t skip = strlen(wanted);
    free(wanted);
    if (at == NULL)
        return NULL;
    snprintf(value, sizeof value, "%.*s", (int)strcspn(at + skip, ";"), at + skip);
    return value;
}
