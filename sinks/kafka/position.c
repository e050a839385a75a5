/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading the position topic to its end.
 *
 * The end is the high watermark, not where a read_committed reader stops for the moment: another
 * gateway's open transaction in the same partition holds such a reader back before our own committed
 * record, and believing that would send readings twice. So it reads on until it passed the watermark.
 * The newest record of a key is near the end: the last thousand are read first. Worker's thread, or
 * the lane's in start().
 */
#include "sinks/kafka/position.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"

enum { POLL_MS = 100, NEAR_RECORDS = 1000 };

/* ---- form ---- */

void position_format(const struct position *position, struct buffer *out)
{
    buffer_printf(out,
                  "version=1 next=%" PRIu64 " first=%" PRIu64 " last=%" PRIu64
                  " generation=%" PRIu32 " instance=%016" PRIx64,
                  position->next_seq, position->first_seq, position->last_seq, position->generation,
                  position->instance);
}

static bool take_text(struct bytes *in, const char *text)
{
    size_t size = strlen(text);
    if (in->size < size || memcmp(in->data, text, size) != 0)
        return false;
    *in = bytes_of(in->data + size, in->size - size);
    return true;
}

static bool take_number(struct bytes *in, int base, uint64_t *out)
{
    char text[24];
    size_t size = 0;
    while (size < in->size && size < sizeof text - 1 && in->data[size] != ' ') {
        text[size] = (char)in->data[size];
        size++;
    }
    text[size] = '\0';
    char *end;
    if (size == 0 || strspn(text, "0123456789abcdef") != size)
        return false;
    *out = strtoull(text, &end, base);
    *in = bytes_of(in->data + size, in->size - size);
    return *end == '\0';
}

int position_parse(struct bytes in, struct position *out)
{
    uint64_t version, generation;
    if (!take_text(&in, "version=") || !take_number(&in, 10, &version))
        return GW_ECORRUPT;
    if (version != 1)
        return GW_EVERSION;
    if (!take_text(&in, " next=") || !take_number(&in, 10, &out->next_seq) ||
        !take_text(&in, " first=") || !take_number(&in, 10, &out->first_seq) ||
        !take_text(&in, " last=") || !take_number(&in, 10, &out->last_seq) ||
        !take_text(&in, " generation=") || !take_number(&in, 10, &generation) ||
        !take_text(&in, " instance=") || !take_number(&in, 16, &out->instance) || in.size != 0)
        return GW_ECORRUPT;
    if (generation > UINT32_MAX || out->next_seq == 0)
        return GW_ECORRUPT;
    out->generation = (uint32_t)generation;
    return 0;
}

char *position_key(const struct sink_host *host)
{
    char identity[IDENTITY_TEXT_SIZE];
    return mem_printf("%s/%s", identity_format(host->identity, identity), host->name);
}

/* ---- the topic's settings ---- */

static const char *config_value(const rd_kafka_ConfigResource_t *resource, const char *name)
{
    size_t count;
    const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resource, &count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(rd_kafka_ConfigEntry_name(entries[i]), name) == 0)
            return rd_kafka_ConfigEntry_value(entries[i]);
    return NULL;
}

static int judge_topic(rd_kafka_event_t *event, const char *topic, struct err *err)
{
    if (event == NULL)
        return err_set(err, GW_EIO, "no answer about the settings of topic \"%s\"", topic);
    rd_kafka_resp_err_t error = rd_kafka_event_error(event);
    const char *policy = NULL;
    if (error == 0) {
        size_t count;
        const rd_kafka_ConfigResource_t **resources = rd_kafka_DescribeConfigs_result_resources(
            rd_kafka_event_DescribeConfigs_result(event), &count);
        error = count ? rd_kafka_ConfigResource_error(resources[0]) : RD_KAFKA_RESP_ERR__BAD_MSG;
        policy = count ? config_value(resources[0], "cleanup.policy") : NULL;
    }
    if (error == RD_KAFKA_RESP_ERR__TIMED_OUT || error == RD_KAFKA_RESP_ERR__TRANSPORT)
        return err_set(err, GW_EIO, "no answer about the settings of topic \"%s\"", topic);
    if (error || policy == NULL) {
        log_event(
            LOG_WARN, "kafka_position_unchecked",
            "topic=%s why=\"cannot see whether it is compacted (allow DescribeConfigs on it): "
            "%s\"",
            topic, rd_kafka_err2str(error));
        return 0;
    }
    if (strstr(policy, "compact") && !strstr(policy, "delete"))
        return 0;
    return err_set(
        err, GW_EINVAL,
        "topic \"%s\" has cleanup.policy=%s, so the brokers would forget how far we are: "
        "kafka-configs.sh --alter --topic %s --add-config cleanup.policy=compact",
        topic, policy, topic);
}

int position_topic_check(rd_kafka_t *handle, const char *topic, int timeout_ms, struct err *err)
{
    char why[256];
    rd_kafka_ConfigResource_t *resource =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
    rd_kafka_AdminOptions_t *admin =
        rd_kafka_AdminOptions_new(handle, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
    rd_kafka_AdminOptions_set_request_timeout(admin, timeout_ms, why, sizeof why);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(handle);
    rd_kafka_DescribeConfigs(handle, &resource, 1, admin, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, timeout_ms + 500);
    int rc = judge_topic(event, topic, err);
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_AdminOptions_destroy(admin);
    rd_kafka_ConfigResource_destroy(resource);
    return rc;
}

/* ---- reading ---- */

struct reading {
    rd_kafka_t *consumer;
    const char *topic;
    char *key;
    int64_t until_ms;
    const _Atomic bool *stop;
    bool found;
    struct position best;
};

static int time_left(const struct reading *reading)
{
    int64_t left = reading->until_ms - clock_monotonic_ms();
    return left > 0 ? (int)left : 0;
}

static int take_record(struct reading *reading, const rd_kafka_message_t *message, struct err *err)
{
    struct position position;
    if (!bytes_equal_text(bytes_of(message->key, message->key_len), reading->key) ||
        message->payload == NULL)
        return 0;
    int rc = position_parse(bytes_of(message->payload, message->len), &position);
    if (rc)
        return err_set(err, GW_EINVAL,
                       "topic \"%s\" holds no position of this program under %s (offset %" PRId64
                       ", %s)",
                       reading->topic, reading->key, message->offset, err_name(rc));
    /* Positions only grow, except that a topic may have got more partitions meanwhile. */
    if (!reading->found || position.next_seq >= reading->best.next_seq)
        reading->best = position;
    reading->found = true;
    return 0;
}

/* One partition from `from` to `end`. */
static int read_range(struct reading *reading, int32_t partition, int64_t from, int64_t end,
                      struct err *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, reading->topic, partition)->offset = from;
    rd_kafka_assign(reading->consumer, list);
    rd_kafka_topic_partition_list_destroy(list);
    int rc = 0;
    bool over = from >= end;
    while (!over && rc == 0) {
        if (time_left(reading) == 0 || atomic_load(reading->stop)) {
            rc = err_set(err, GW_EIO,
                         "topic \"%s\" could not be read to its end in time: another "
                         "gateway's transaction may be open there",
                         reading->topic);
            break;
        }
        rd_kafka_message_t *message = rd_kafka_consumer_poll(reading->consumer, POLL_MS);
        if (message == NULL)
            continue;
        /* Markers of transactions take offsets too: the place where it stands tells the end. */
        if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
            over = message->offset >= end;
        else if (message->err == 0) {
            rc = take_record(reading, message, err);
            over = message->offset + 1 >= end;
        } else if (message->err != RD_KAFKA_RESP_ERR__TRANSPORT &&
                   message->err != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
            rc = err_set(err, GW_EIO, "topic \"%s\": %s", reading->topic,
                         rd_kafka_message_errstr(message));
        rd_kafka_message_destroy(message);
    }
    rd_kafka_assign(reading->consumer, NULL);
    return rc;
}

static int read_partition(struct reading *reading, rd_kafka_t *producer, int32_t partition,
                          struct err *err)
{
    int64_t low, high;
    /* The producer's configuration asks for the high watermark, without regard to transactions. */
    rd_kafka_resp_err_t error = rd_kafka_query_watermark_offsets(
        producer, reading->topic, partition, &low, &high, time_left(reading));
    if (error)
        return err_set(err, GW_EIO, "topic \"%s\": %s", reading->topic, rd_kafka_err2str(error));
    int64_t from = high - NEAR_RECORDS > low ? high - NEAR_RECORDS : low;
    bool had = reading->found;
    reading->found = false;
    struct position before = reading->best;
    int rc = read_range(reading, partition, from, high, err);
    if (rc == 0 && !reading->found && from > low)
        rc = read_range(reading, partition, low, high, err);
    if (had && (!reading->found || before.next_seq > reading->best.next_seq))
        reading->best = before;
    reading->found |= had;
    return rc;
}

int position_read(const struct kafka_sink_options *options, const struct sink_host *host,
                  rd_kafka_t *producer, int32_t partitions, int timeout_ms,
                  const _Atomic bool *stop, struct position *out, struct err *err)
{
    char why[400];
    rd_kafka_conf_t *conf;
    int rc = kafka_conf_reader(options, host, &conf, err);
    if (rc)
        return rc;
    struct reading reading = {
        .topic = options->topic_position,
        .until_ms = clock_monotonic_ms() + timeout_ms,
        .stop = stop,
    };
    reading.consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    if (reading.consumer == NULL) {
        rd_kafka_conf_destroy(conf);
        return err_set(err, GW_EINVAL, "reader of topic \"%s\": %s", options->topic_position, why);
    }
    rd_kafka_poll_set_consumer(reading.consumer);
    reading.key = position_key(host);
    for (int32_t i = 0; rc == 0 && i < partitions; i++)
        rc = read_partition(&reading, producer, i, err);
    rd_kafka_destroy_flags(reading.consumer, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    free(reading.key);
    if (rc)
        return rc;
    *out = reading.best;
    return reading.found ? 0 : GW_ENOENT;
}
