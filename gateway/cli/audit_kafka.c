/* SPDX-License-Identifier: Apache-2.0
 *
 * The audit's reading of the reading topic: every record that stands there when it begins, as a reader of
 * committed transactions, by assignment, so that no group is joined and nothing is committed. The end is the
 * high watermark, not where such a reader stops for the moment: another gateway's open transaction hides what
 * lies behind it, and that is waited for.
 *
 * A record that is not there was removed by the topic's retention when its partition no longer begins at 0, and
 * what begins it now is younger.
 */
#include "sinks/kafka/kafka.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "cli/auditing.h"
#include "sinks/kafka/options.h"
#include "sinks/kafka/partition.h"

enum {
    ASK_MS = 15000,
    IDLE_MS = 60000, /* nothing new came for so long */
    POLL_MS = 200,
    RECORDS_AT_ONCE = 4096,
    CONFLUENT_SIZE = 6,         /* 0, the schema's number, 0 */
    SLACK_MS = 24 * 3600 * 1000 /* clocks of brokers and of ours */
};

struct partition {
    int64_t low, from, end; /* offsets: first there, first read, high watermark */
    uint64_t first_seq;     /* the first live record of ours; 0: none */
    bool over;
};

struct looking {
    struct auditing *auditing;
    const struct kafka_sink_options *options;
    struct sink_host host;
    char identity[IDENTITY_TEXT_SIZE];
    rd_kafka_t *consumer, *uncommitted;
    struct partition *partitions;
    int32_t count, left;
    bool expired; /* something was explained so */
};

/* ---- records ---- */

enum { WIRE_VARINT, WIRE_8, WIRE_STRING, WIRE_4 = 5 };
enum { FIELD_VENDOR = 1, FIELD_DEVICE, FIELD_METRIC, FIELD_TS, FIELD_SEQ = 11, FIELD_GATEWAY = 13 };

static uint64_t take_varint(struct reader *in)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        uint8_t byte = reader_u8(in);
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
    in->failed = true;
    return 0;
}

/* The key's fields of a Reading (codecs/reading/reading.proto); others are passed over. */
static bool record_parse(struct bytes value, struct audit_key *key, struct bytes *gateway)
{
    struct reader in = reader_of(value);
    *key = (struct audit_key){.seq = 0};
    *gateway = (struct bytes){0};
    while (reader_left(&in) && !in.failed) {
        uint64_t tag = take_varint(&in), number = 0;
        struct bytes text = {0};
        switch (tag & 7) {
        case WIRE_VARINT: number = take_varint(&in); break;
        case WIRE_8: reader_bytes(&in, 8); break;
        case WIRE_4: reader_bytes(&in, 4); break;
        case WIRE_STRING: text = reader_bytes(&in, take_varint(&in)); break;
        default: return false;
        }
        switch (tag >> 3) {
        case FIELD_VENDOR: key->vendor = text; break;
        case FIELD_DEVICE: key->device = text; break;
        case FIELD_METRIC: key->metric = text; break;
        case FIELD_TS: key->ts_ms = (int64_t)number; break;
        case FIELD_SEQ: key->seq = number; break;
        case FIELD_GATEWAY: *gateway = text; break;
        default: break;
        }
    }
    return !in.failed && key->seq != 0;
}

/* The header's text is the generation that a replay decoded in. */
static bool is_replay(rd_kafka_message_t *message, uint32_t *generation)
{
    rd_kafka_headers_t *headers;
    const void *value;
    size_t size;
    char text[16] = "";
    if (rd_kafka_message_headers(message, &headers) ||
        rd_kafka_header_get_last(headers, "tidegate-replay", &value, &size))
        return false;
    memcpy(text, value, size < sizeof text ? size : sizeof text - 1);
    *generation = (uint32_t)strtoul(text, NULL, 10);
    return true;
}

static void record_take(struct looking *looking, rd_kafka_message_t *message)
{
    struct partition *partition = &looking->partitions[message->partition];
    struct bytes value = bytes_of(message->payload, message->len), gateway;
    struct audit_key key;
    struct owed_row row = {.generation = 1}; /* live: before whatever was decoded again */
    if (looking->options->framing == KAFKA_FRAMING_CONFLUENT) {
        if (value.size < CONFLUENT_SIZE)
            return;
        value = bytes_of(value.data + CONFLUENT_SIZE, value.size - CONFLUENT_SIZE);
    }
    if (!record_parse(value, &key, &gateway) || !bytes_equal_text(gateway, looking->identity))
        return;
    row.replay = is_replay(message, &row.generation);
    if (!row.replay && partition->first_seq == 0)
        partition->first_seq = key.seq;
    row.hash = (uint32_t)audit_key_hash(&key);
    audit_store_row(looking->auditing->audit, key.seq, &row);
}

/* ---- partitions ---- */

static int topic_error(const struct looking *looking, const char *why, struct err *err)
{
    return err_set(err, GW_EIO, "%s: topic \"%s\": %s", looking->options->brokers,
                   looking->options->topic_readings, why);
}

static int partitions_count(struct looking *looking, struct err *err)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *topic =
        rd_kafka_topic_new(looking->consumer, looking->options->topic_readings, NULL);
    rd_kafka_resp_err_t error =
        topic ? rd_kafka_metadata(looking->consumer, 0, topic, &metadata, ASK_MS)
              : rd_kafka_last_error();
    if (topic)
        rd_kafka_topic_destroy(topic);
    if (error)
        return topic_error(looking, rd_kafka_err2str(error), err);
    if (metadata->topic_cnt == 1)
        error = metadata->topics[0].err;
    looking->count = metadata->topic_cnt == 1 ? metadata->topics[0].partition_cnt : 0;
    rd_kafka_metadata_destroy(metadata);
    if (error || looking->count == 0)
        return topic_error(looking, error ? rd_kafka_err2str(error) : "has no partitions", err);
    looking->partitions = mem_zalloc((size_t)looking->count * sizeof *looking->partitions);
    return 0;
}

static rd_kafka_topic_partition_list_t *list_make(const struct looking *looking)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(looking->count);
    for (int32_t i = 0; i < looking->count; i++)
        rd_kafka_topic_partition_list_add(list, looking->options->topic_readings, i);
    return list;
}

/* Records are stamped when they are sent, so what was received later stands behind its time. */
static int partitions_begin(struct looking *looking, struct err *err)
{
    rd_kafka_topic_partition_list_t *list = list_make(looking);
    int64_t from_ms = looking->auditing->received_from_ms - SLACK_MS;
    for (int32_t i = 0; i < looking->count; i++)
        list->elems[i].offset = from_ms > 0 ? from_ms : 0;
    rd_kafka_resp_err_t error = rd_kafka_offsets_for_times(looking->consumer, list, ASK_MS);
    looking->left = looking->count;
    for (int32_t i = 0; i < looking->count && !error; i++) {
        struct partition *partition = &looking->partitions[i];
        error =
            rd_kafka_query_watermark_offsets(looking->uncommitted, looking->options->topic_readings,
                                             i, &partition->low, &partition->end, ASK_MS);
        int64_t offset = list->elems[i].err ? -1 : list->elems[i].offset;
        partition->from = offset < 0 ? partition->end : offset;
        if (partition->from < partition->low)
            partition->from = partition->low;
        list->elems[i].offset = partition->from;
        partition->over = partition->from >= partition->end;
        looking->left -= partition->over;
    }
    if (!error)
        error = rd_kafka_assign(looking->consumer, list);
    rd_kafka_topic_partition_list_destroy(list);
    return error ? topic_error(looking, rd_kafka_err2str(error), err) : 0;
}

/* ---- reading ---- */

static bool is_passing(rd_kafka_resp_err_t error)
{
    return error == RD_KAFKA_RESP_ERR__TRANSPORT || error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN ||
           error == RD_KAFKA_RESP_ERR__RESOLVE;
}

/* Retention took what was to be read next: go on with what is there. */
static void partition_skip(struct looking *looking, int32_t index)
{
    struct partition *partition = &looking->partitions[index];
    int64_t end;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_query_watermark_offsets(looking->uncommitted, looking->options->topic_readings, index,
                                     &partition->low, &end, ASK_MS);
    rd_kafka_topic_partition_list_add(list, looking->options->topic_readings, index)->offset =
        partition->low;
    rd_kafka_error_t *error = rd_kafka_seek_partitions(looking->consumer, list, ASK_MS);
    if (error)
        rd_kafka_error_destroy(error);
    rd_kafka_topic_partition_list_destroy(list);
    partition->from = partition->low;
    partition->first_seq = 0;
}

/* 0, or an error that does not pass. Markers of transactions take offsets too: the place where the reader
 * stands tells the end. */
static int message_take(struct looking *looking, rd_kafka_message_t *message, struct err *err)
{
    if (is_passing(message->err))
        return 0;
    bool ours = message->rkt && message->partition >= 0 && message->partition < looking->count;
    if (ours && (message->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE ||
                 message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET)) {
        partition_skip(looking, message->partition);
        return 0;
    }
    if (!ours || (message->err && message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF))
        return topic_error(looking, rd_kafka_message_errstr(message), err);
    struct partition *partition = &looking->partitions[message->partition];
    int64_t next = message->offset + (message->err == 0);
    if (message->err == 0 && message->offset < partition->end && message->payload)
        record_take(looking, message);
    if (next >= partition->end && !partition->over) {
        partition->over = true;
        looking->left--;
    }
    return 0;
}

static int topic_read(struct looking *looking, struct err *err)
{
    rd_kafka_message_t *messages[RECORDS_AT_ONCE];
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(looking->consumer);
    int64_t until_ms = clock_monotonic_ms() + IDLE_MS;
    int rc = 0;
    while (looking->left && rc == 0) {
        ssize_t got = rd_kafka_consume_batch_queue(queue, POLL_MS, messages, RECORDS_AT_ONCE);
        for (ssize_t i = 0; i < got; i++) {
            if (messages[i]->err == 0)
                until_ms = clock_monotonic_ms() + IDLE_MS;
            if (rc == 0)
                rc = message_take(looking, messages[i], err);
            rd_kafka_message_destroy(messages[i]);
        }
        if (rc == 0 && looking->left && clock_monotonic_ms() > until_ms)
            rc = topic_error(looking,
                             "cannot be read to its end: brokers are away, or another program's "
                             "transaction is open there",
                             err);
    }
    rd_kafka_assign(looking->consumer, NULL);
    rd_kafka_queue_destroy(queue);
    return rc;
}

/* ---- why something is absent ---- */

static void on_absent(void *arg, struct audit_absent *absent, const struct audit_key *key,
                      int64_t received_ms)
{
    struct looking *looking = arg;
    (void)received_ms;
    char *text = mem_printf("%.*s/%.*s", (int)key->vendor.size, (const char *)key->vendor.data,
                            (int)key->device.size, (const char *)key->device.data);
    const struct partition *partition =
        &looking->partitions[partition_of_key(bytes_text(text), looking->count)];
    if (partition->low > 0 && partition->from == partition->low &&
        (partition->first_seq == 0 || key->seq < partition->first_seq)) {
        absent->reason = ABSENT_EXPIRED;
        looking->expired = true;
    }
    free(text);
}

/* ---- a window ---- */

static void limits_tell(struct looking *looking, size_t cursor)
{
    int32_t cut = 0;
    for (int32_t i = 0; i < looking->count; i++)
        cut += looking->partitions[i].low > 0;
    if (looking->expired)
        snprintf(looking->auditing->expired[cursor], sizeof looking->auditing->expired[cursor],
                 "retention of topic %.80s has removed the beginning of %" PRId32 " of %" PRId32
                 " partitions",
                 looking->options->topic_readings, cut, looking->count);
}

static int window_compare(struct looking *looking, size_t cursor, struct err *err)
{
    struct audit *audit = looking->auditing->audit;
    const struct audit_rule rule = {
        .exact = looking->options->delivery == KAFKA_EXACTLY_ONCE,
        .keeps_old = true,
    };
    size_t count;
    auditing_store_begin(looking->auditing, cursor, &rule);
    int rc = partitions_count(looking, err);
    if (rc == 0)
        rc = partitions_begin(looking, err);
    if (rc == 0)
        rc = topic_read(looking, err);
    if (rc)
        return rc;
    struct audit_absent *absent = audit_store_judge(audit, &count);
    rc = audit_logs_explain(looking->auditing, absent, count, on_absent, looking, err);
    limits_tell(looking, cursor);
    audit_store_finish(audit);
    return rc;
}

static int handle_open(struct looking *looking, const char *isolation, rd_kafka_t **out,
                       struct err *err)
{
    char why[400];
    rd_kafka_conf_t *conf;
    int rc = kafka_conf_reader(looking->options, &looking->host, &conf, err);
    if (rc)
        return rc;
    rd_kafka_conf_set(conf, "isolation.level", isolation, why, sizeof why);
    rd_kafka_conf_set(conf, "log_level", "0", why, sizeof why);
    *out = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    if (*out)
        return 0;
    rd_kafka_conf_destroy(conf);
    return topic_error(looking, why, err);
}

static void handle_close(rd_kafka_t *handle)
{
    if (handle)
        rd_kafka_destroy_flags(handle, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

int audit_kafka(struct auditing *auditing, size_t cursor, struct err *err)
{
    const struct config_sink *sink = auditing_sink(auditing, cursor);
    struct looking looking = {
        .auditing = auditing,
        .options = sink->options,
        .host = {.disk = &disk_real,
                 .identity = journal_identity(auditing->raw),
                 .name = sink->name,
                 .data_dir = auditing->options->data},
    };
    identity_format(looking.host.identity, looking.identity);
    if (looking.options->topic_readings[0] == '\0')
        return err_set(err, GW_EINVAL, "it has no topic of all readings: there is nothing to ask");
    int rc = handle_open(&looking, "read_committed", &looking.consumer, err);
    if (rc == 0)
        rc = handle_open(&looking, "read_uncommitted", &looking.uncommitted, err);
    if (rc == 0) {
        rd_kafka_poll_set_consumer(looking.consumer);
        rc = window_compare(&looking, cursor, err);
    }
    handle_close(looking.consumer);
    handle_close(looking.uncommitted);
    free(looking.partitions);
    return rc;
}
