/* SPDX-License-Identifier: Apache-2.0
 *
 * The kafka sink, at_least_once, against mock brokers: what comes there, in which order, and what an
 * injected error does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "lib/kafka_mock.h"
#include "lib/sink_lane.h"
#include "sinks/kafka/options.h"
#include "sinks/kafka/records.h"

enum { API_PRODUCE = 0 };

struct rig {
    struct kafka_mock mock;
    struct sink_lane lane;
    struct vocabulary *vocabulary;
};

static void rig_set(struct rig *rig, const char *name, const char *value)
{
    struct err err;
    const struct option *row = option_find(rig->lane.type->options, name);
    assert_non_null(row);
    assert_int_equal(option_set(row, rig->lane.options, value, &err), 0);
}

static void rig_init(struct rig *rig, int brokers)
{
    *rig = (struct rig){0};
    kafka_mock_init(&rig->mock, brokers);
    kafka_mock_topic(&rig->mock, "water.reading.v1");
    kafka_mock_topic(&rig->mock, "water.event.v1");
    kafka_mock_topic(&rig->mock, "water.deadletter.v1");
    sink_lane_init(&rig->lane, sink_find("kafka"), &disk_real, ".");
    rig->vocabulary = vocabulary_new();
    rig->lane.host.vocabulary = rig->vocabulary;
    rig_set(rig, "brokers", rig->mock.brokers);
    rig_set(rig, "linger", "5ms");
}

static void rig_start(struct rig *rig)
{
    struct err err;
    assert_int_equal(sink_lane_start(&rig->lane, 1, &err), 0);
}

static void rig_fini(struct rig *rig)
{
    sink_lane_fini(&rig->lane);
    vocabulary_free(rig->vocabulary);
    kafka_mock_fini(&rig->mock);
}

static size_t records_in(const struct rig *rig, const char *topic)
{
    struct kafka_records records;
    kafka_mock_read(&rig->mock, topic, &records);
    size_t count = records.count;
    kafka_records_fini(&records);
    return count;
}

/* The lane's part: a unit that was given back is given again until it is stored. */
static void put_until_stored(struct rig *rig, struct unit *unit)
{
    int64_t until = clock_monotonic_ms() + 60000;
    enum sink_answer answer = SINK_RETRY;
    while (answer != SINK_STORED) {
        size_t before = rig->lane.answer_count;
        sink_lane_write(&rig->lane, unit);
        while (!sink_lane_wait(&rig->lane, before + 1))
            assert_true(clock_monotonic_ms() < until);
        answer = rig->lane.answers[before].answer;
    }
}

static struct unit *sample(uint64_t first, uint64_t last, uint32_t rows)
{
    return test_unit(first, last, rows, 1700000000000, 1000);
}

/* The number that Reading.seq has: field 11, a varint. Strings before it hold no such byte pair by
 * chance here, because the fields come in order and are skipped. */
static uint64_t seq_of(const struct kafka_record *record)
{
    struct reader in = reader_of(bytes_of(record->value, record->value_size));
    while (reader_left(&in)) {
        uint64_t tag = reader_varint(&in);
        if ((tag & 7) == 2)
            reader_varbytes(&in);
        else if ((tag & 7) == 1)
            reader_bytes(&in, 8);
        else if (tag >> 3 == 11)
            return reader_varint(&in);
        else
            reader_varint(&in);
    }
    fail();
    return 0;
}

/* Each device's sequence numbers never fall. */
static void check_order(const struct rig *rig, const char *topic, size_t count)
{
    struct kafka_records records;
    kafka_mock_read(&rig->mock, topic, &records);
    assert_int_equal(records.count, count);
    for (size_t i = 0; i < records.count; i++)
        for (size_t j = i + 1; j < records.count && j < i + 400; j++)
            if (strcmp(records.items[i].key, records.items[j].key) == 0) {
                assert_true(seq_of(&records.items[i]) <= seq_of(&records.items[j]));
                break;
            }
    kafka_records_fini(&records);
}

/* ---- what arrives ---- */

static void every_reading_arrives_once_in_order_where_its_key_belongs(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 3);
    rig_start(&rig);
    struct unit *unit = sample(1, 5000, 10000);
    assert_int_equal(sink_lane_put(&rig.lane, unit), SINK_STORED);
    struct kafka_records records;
    kafka_mock_read(&rig.mock, "water.reading.v1", &records);
    assert_int_equal(records.count, 10000);
    for (size_t i = 0; i < records.count; i++) {
        const struct kafka_record *record = &records.items[i];
        assert_true(strncmp(record->key, "acme/", 5) == 0 ||
                    strncmp(record->key, "zenith/", 7) == 0);
        struct bytes key = bytes_of(record->key, record->key_size);
        assert_int_equal(record->partition, partition_of_key(key, KAFKA_MOCK_PARTITIONS));
    }
    kafka_records_fini(&records);
    check_order(&rig, "water.reading.v1", 10000);
    assert_int_equal(records_in(&rig, "water.event.v1"), 0);
    test_unit_free(unit);
    rig_fini(&rig);
}

static void keys_lie_where_librdkafka_puts_them(void **state)
{
    (void)state;
    char text[40];
    for (int i = 0; i < 2000; i++) {
        int size = snprintf(text, sizeof text, "vendor%d/%0*d", i % 7, i % 23 + 1, i);
        int32_t theirs =
            rd_kafka_msg_partitioner_murmur2(NULL, text, (size_t)size, 1 + i % 50, NULL, NULL);
        assert_int_equal(partition_of_key(bytes_of(text, (size_t)size), 1 + i % 50), theirs);
    }
}

static void a_queue_smaller_than_a_unit_drops_nothing(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    rig_set(&rig, "properties", "queue.buffering.max.messages=100");
    rig_start(&rig);
    struct unit *unit = sample(1, 3000, 3000);
    assert_int_equal(sink_lane_put(&rig.lane, unit), SINK_STORED);
    check_order(&rig, "water.reading.v1", 3000);
    test_unit_free(unit);
    rig_fini(&rig);
}

static void events_go_to_their_topic_too(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    rig_start(&rig);
    struct batch_builder *builder = batch_builder_new();
    for (uint64_t seq = 1; seq <= 40; seq++)
        batch_builder_add(builder,
                          &(struct batch_row){
                              .vendor = bytes_text("acme"),
                              .device = bytes_text("1"),
                              .metric = bytes_text(seq % 4 ? "volume.total" : "alarm.tamper"),
                              .unit = bytes_text(seq % 4 ? "m3" : ""),
                              .has_value = true,
                              .unscaled = 1,
                              .seq = seq,
                          });
    struct unit *unit = sample(1, 40, 1);
    batch_release(unit->batches[0]);
    unit->batches[0] = batch_builder_finish(builder);
    batch_builder_free(builder);
    assert_int_equal(sink_lane_put(&rig.lane, unit), SINK_STORED);
    assert_int_equal(records_in(&rig, "water.reading.v1"), 40);
    check_order(&rig, "water.event.v1", 10);
    test_unit_free(unit);
    rig_fini(&rig);
}

static void a_replayed_reading_says_so(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    rig_start(&rig);
    struct unit *unit = sample(1, 10, 10);
    unit->replay = true;
    unit->generation = 7;
    assert_int_equal(sink_lane_put(&rig.lane, unit), SINK_STORED);
    struct kafka_records records;
    kafka_mock_read(&rig.mock, "water.reading.v1", &records);
    assert_int_equal(records.count, 10);
    for (size_t i = 0; i < records.count; i++)
        assert_string_equal(kafka_record_header(&records.items[i], "tidegate-replay"), "7");
    kafka_records_fini(&records);
    test_unit_free(unit);
    rig_fini(&rig);
}

static void a_replay_of_messages_that_are_under_way_is_a_unit_of_its_own(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    rig_start(&rig);
    struct unit *live = sample(1, 10, 10), *again = sample(1, 10, 10);
    again->replay = true;
    sink_lane_write(&rig.lane, live);
    sink_lane_write(&rig.lane, again);
    assert_true(sink_lane_wait(&rig.lane, 2));
    struct kafka_records records;
    kafka_mock_read(&rig.mock, "water.reading.v1", &records);
    assert_int_equal(records.count, 20);
    int marked = 0;
    for (size_t i = 0; i < records.count; i++)
        marked += kafka_record_header(&records.items[i], "tidegate-replay") != NULL;
    assert_int_equal(marked, 10);
    kafka_records_fini(&records);
    test_unit_free(live);
    test_unit_free(again);
    rig_fini(&rig);
}

/* ---- dead letters ---- */

static int message_result;

static int on_message(struct sink_host *host, uint64_t seq, struct message *out, struct err *err)
{
    (void)host;
    if (seq == 2)
        return GW_ENOENT;
    if (message_result)
        return err_set(err, message_result, "the disk is asleep");
    *out = (struct message){.seq = seq,
                            .received_ms = 1700000000000,
                            .vendor = bytes_text("acme"),
                            .client = bytes_text("c1"),
                            .topic = bytes_text("v1/acme/json"),
                            .payload = bytes_text("{no json")};
    return 0;
}

/* Sequence numbers 1..3: malformed, malformed and gone from the disk, and one without readings. */
static struct unit *unit_of_letters(void)
{
    struct batch_builder *builder = batch_builder_new();
    batch_builder_reject(builder, 1, STAGE_DECODE, bytes_text("acme"), bytes_text("json"), 3,
                         bytes_text("not_json"), bytes_text("byte 0: that is none"));
    batch_builder_reject(builder, 2, STAGE_DECODE, bytes_text("acme"), bytes_text("json"), 3,
                         bytes_text("not_json"), bytes_text("byte 0: that is none"));
    batch_builder_reject(builder, 3, STAGE_EMPTY, bytes_text("acme"), bytes_text("json"), 3,
                         bytes_text("empty"), bytes_text(""));
    struct unit *unit = sample(1, 3, 1);
    batch_release(unit->batches[0]);
    unit->batches[0] = batch_builder_finish(builder);
    unit->rows = 0;
    batch_builder_free(builder);
    return unit;
}

static void a_dead_letter_is_the_payload_with_its_reason_in_headers(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    rig.lane.host.message = on_message;
    message_result = 0;
    rig_start(&rig);
    struct unit *unit = unit_of_letters();
    assert_int_equal(sink_lane_put(&rig.lane, unit), SINK_STORED);
    struct kafka_records records;
    kafka_mock_read(&rig.mock, "water.deadletter.v1", &records);
    assert_int_equal(records.count, 2);
    size_t whole = records.items[0].value_size ? 0 : 1;
    const struct kafka_record *letter = &records.items[whole], *lost = &records.items[1 - whole];
    assert_string_equal(letter->value, "{no json");
    assert_string_equal(letter->key, "acme");
    assert_string_equal(kafka_record_header(letter, "stage"), "decode");
    assert_string_equal(kafka_record_header(letter, "reason"), "not_json");
    assert_string_equal(kafka_record_header(letter, "codec_version"), "3");
    assert_string_equal(kafka_record_header(letter, "seq"), "1");
    assert_string_equal(kafka_record_header(letter, "received"), "2023-11-14T22:13:20.000Z");
    assert_null(kafka_record_header(letter, "lost"));
    assert_int_equal(lost->value_size, 0);
    assert_string_equal(kafka_record_header(lost, "lost"), "damage");
    assert_string_equal(kafka_record_header(lost, "seq"), "2");
    kafka_records_fini(&records);
    test_unit_free(unit);
    rig_fini(&rig);
}

static void a_payload_that_cannot_be_read_now_is_asked_for_again(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    rig.lane.host.message = on_message;
    message_result = GW_EIO;
    rig_start(&rig);
    struct unit *unit = unit_of_letters();
    assert_int_equal(sink_lane_put(&rig.lane, unit), SINK_RETRY);
    assert_int_equal(rig.lane.answers[0].reason, SINK_REASON_DISK);
    message_result = 0;
    put_until_stored(&rig, unit);
    assert_int_equal(records_in(&rig, "water.deadletter.v1"), 2);
    test_unit_free(unit);
    rig_fini(&rig);
}

/* ---- errors of brokers ---- */

static void passing_errors_are_tried_again_by_the_library(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 3);
    rig_start(&rig);
    rd_kafka_mock_push_request_errors(
        rig.mock.cluster, API_PRODUCE, 4, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR);
    struct unit *unit = sample(1, 500, 1000);
    assert_int_equal(sink_lane_put(&rig.lane, unit), SINK_STORED);
    assert_int_equal(rig.lane.answer_count, 1);
    check_order(&rig, "water.reading.v1", 1000);
    test_unit_free(unit);
    rig_fini(&rig);
}

static void a_fatal_error_makes_a_new_producer_and_nothing_is_missing(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    rig_start(&rig);
    struct unit *first = sample(1, 100, 200), *second = sample(101, 200, 200);
    assert_int_equal(sink_lane_put(&rig.lane, first), SINK_STORED);
    rd_kafka_mock_push_request_errors(rig.mock.cluster, API_PRODUCE, 1,
                                      RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_int_equal(sink_lane_put(&rig.lane, second), SINK_RETRY);
    assert_int_equal(rig.lane.answers[1].reason, SINK_REASON_RESTART);
    put_until_stored(&rig, second);
    assert_true(records_in(&rig, "water.reading.v1") >= 400);
    struct buffer metrics = {0};
    rig.lane.type->metrics(rig.lane.sink, &metrics);
    buffer_u8(&metrics, 0);
    assert_non_null(strstr((char *)metrics.data, "producers_total{sink=\"kafka\"} 2\n"));
    buffer_fini(&metrics);
    test_unit_free(first);
    test_unit_free(second);
    rig_fini(&rig);
}

static void a_denied_topic_stops_and_heals_without_sending_twice(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    rig_start(&rig);
    struct unit *first = sample(1, 100, 200), *second = sample(101, 200, 200);
    assert_int_equal(sink_lane_put(&rig.lane, first), SINK_STORED);
    rd_kafka_mock_push_request_errors(rig.mock.cluster, API_PRODUCE, 1,
                                      RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    assert_int_equal(sink_lane_put(&rig.lane, second), SINK_RETRY);
    assert_int_equal(rig.lane.answers[1].reason, SINK_REASON_DENIED);
    put_until_stored(&rig, second);
    assert_int_equal(records_in(&rig, "water.reading.v1"), 400);
    test_unit_free(first);
    test_unit_free(second);
    rig_fini(&rig);
}

static void a_missing_topic_is_named_with_the_command_that_makes_it(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    rd_kafka_mock_topic_set_error(rig.mock.cluster, "water.event.v1",
                                  RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    rig_start(&rig);
    struct unit *unit = sample(1, 100, 200);
    assert_int_equal(sink_lane_put(&rig.lane, unit), SINK_RETRY);
    assert_int_equal(rig.lane.answers[0].reason, SINK_REASON_SCHEMA);
    assert_non_null(strstr(rig.lane.answers[0].why, "--create --topic water.event.v1"));
    rd_kafka_mock_topic_set_error(rig.mock.cluster, "water.event.v1", RD_KAFKA_RESP_ERR_NO_ERROR);
    put_until_stored(&rig, unit);
    assert_int_equal(records_in(&rig, "water.reading.v1"), 200);
    test_unit_free(unit);
    rig_fini(&rig);
}

static void a_batch_that_is_refused_for_its_size_is_sent_in_parts(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    rig_start(&rig);
    rd_kafka_mock_push_request_errors(
        rig.mock.cluster, API_PRODUCE, 3, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
        RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    struct unit *unit = sample(1, 500, 1000);
    assert_int_equal(sink_lane_put(&rig.lane, unit), SINK_STORED);
    assert_int_equal(rig.lane.answers[0].refusals, 0);
    assert_int_equal(records_in(&rig, "water.reading.v1"), 1000);
    test_unit_free(unit);
    rig_fini(&rig);
}

static void a_record_above_the_limit_is_refused_and_the_others_are_stored(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    rig.lane.host.message = on_message;
    message_result = 0;
    rig_set(&rig, "properties", "message.max.bytes=1000");
    rig_start(&rig);
    struct batch_builder *builder = batch_builder_new();
    char *device = mem_zalloc(2000);
    memset(device, 'd', 1999);
    for (uint64_t seq = 11; seq <= 60; seq++)
        batch_builder_add(builder, &(struct batch_row){
                                       .vendor = bytes_text("acme"),
                                       .device = bytes_text(seq == 33 ? device : "1"),
                                       .metric = bytes_text("level"),
                                       .seq = seq,
                                   });
    struct unit *unit = sample(11, 60, 1);
    batch_release(unit->batches[0]);
    unit->batches[0] = batch_builder_finish(builder);
    batch_builder_free(builder);
    assert_int_equal(sink_lane_put(&rig.lane, unit), SINK_STORED);
    assert_int_equal(rig.lane.answers[0].refusals, 1);
    assert_int_equal(rig.lane.answers[0].first_refusal.seq, 33);
    assert_string_equal(rig.lane.answers[0].first_refusal.reason, "too_large");
    check_order(&rig, "water.reading.v1", 49);
    struct kafka_records letters;
    kafka_mock_read(&rig.mock, "water.deadletter.v1", &letters);
    assert_int_equal(letters.count, 1);
    assert_string_equal(letters.items[0].value, "{no json");
    assert_string_equal(kafka_record_header(&letters.items[0], "stage"), "sink");
    kafka_records_fini(&letters);
    free(device);
    test_unit_free(unit);
    rig_fini(&rig);
}

/* ---- order over units ---- */

static void a_unit_waits_for_the_one_before_that_was_given_back(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    rig_start(&rig);
    rd_kafka_mock_push_request_errors(rig.mock.cluster, API_PRODUCE, 1,
                                      RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    struct unit *first = sample(1, 100, 200), *second = sample(101, 200, 200);
    assert_int_equal(sink_lane_put(&rig.lane, first), SINK_RETRY);
    sink_lane_write(&rig.lane, second);
    for (int64_t until = clock_monotonic_ms() + 500; clock_monotonic_ms() < until;)
        uv_run(&rig.lane.loop, UV_RUN_ONCE);
    assert_int_equal(rig.lane.answer_count, 1);
    sink_lane_write(&rig.lane, first);
    assert_true(sink_lane_wait(&rig.lane, 3));
    for (size_t i = 1; i < 3; i++) /* in any order: they are on their way together */
        assert_int_equal(rig.lane.answers[i].answer, SINK_STORED);
    struct kafka_records records;
    kafka_mock_read(&rig.mock, "water.reading.v1", &records);
    assert_int_equal(records.count, 400);
    bool begun[KAFKA_MOCK_PARTITIONS] = {false}; /* the second unit, in that partition */
    for (size_t i = 0; i < records.count; i++) {
        bool later = seq_of(&records.items[i]) > 100;
        assert_true(later || !begun[records.items[i].partition]);
        begun[records.items[i].partition] |= later;
    }
    kafka_records_fini(&records);
    test_unit_free(first);
    test_unit_free(second);
    rig_fini(&rig);
}

/* ---- brokers that are away ---- */

static void brokers_that_are_away_at_start_get_everything_later(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    rd_kafka_mock_broker_set_down(rig.mock.cluster, 1);
    rig_start(&rig);
    struct unit *unit = sample(1, 100, 200);
    assert_int_equal(sink_lane_put(&rig.lane, unit), SINK_RETRY);
    assert_int_equal(rig.lane.answers[0].reason, SINK_REASON_UNREACHABLE);
    rd_kafka_mock_broker_set_up(rig.mock.cluster, 1);
    put_until_stored(&rig, unit);
    assert_int_equal(records_in(&rig, "water.reading.v1"), 200);
    test_unit_free(unit);
    rig_fini(&rig);
}

static void closing_without_brokers_is_quick_and_gives_units_back(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    rig_start(&rig);
    struct unit *first = sample(1, 100, 200), *second = sample(101, 200, 200);
    assert_int_equal(sink_lane_put(&rig.lane, first), SINK_STORED);
    rd_kafka_mock_broker_set_down(rig.mock.cluster, 1);
    sink_lane_write(&rig.lane, second);
    for (int64_t until = clock_monotonic_ms() + 300; clock_monotonic_ms() < until;)
        uv_run(&rig.lane.loop, UV_RUN_ONCE);
    int64_t before = clock_monotonic_ms();
    rig_fini(&rig);
    assert_true(clock_monotonic_ms() - before < 6000);
    test_unit_free(first);
    test_unit_free(second);
}

static void a_sink_that_never_started_can_be_closed(void **state)
{
    (void)state;
    struct rig rig;
    struct err err;
    rig_init(&rig, 1);
    assert_int_equal(rig.lane.type->init(&rig.lane.sink, rig.lane.options, &rig.lane.host, &err),
                     0);
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reading_arrives_once_in_order_where_its_key_belongs),
        cmocka_unit_test(keys_lie_where_librdkafka_puts_them),
        cmocka_unit_test(a_queue_smaller_than_a_unit_drops_nothing),
        cmocka_unit_test(events_go_to_their_topic_too),
        cmocka_unit_test(a_replayed_reading_says_so),
        cmocka_unit_test(a_replay_of_messages_that_are_under_way_is_a_unit_of_its_own),
        cmocka_unit_test(a_dead_letter_is_the_payload_with_its_reason_in_headers),
        cmocka_unit_test(a_payload_that_cannot_be_read_now_is_asked_for_again),
        cmocka_unit_test(passing_errors_are_tried_again_by_the_library),
        cmocka_unit_test(a_fatal_error_makes_a_new_producer_and_nothing_is_missing),
        cmocka_unit_test(a_denied_topic_stops_and_heals_without_sending_twice),
        cmocka_unit_test(a_missing_topic_is_named_with_the_command_that_makes_it),
        cmocka_unit_test(a_batch_that_is_refused_for_its_size_is_sent_in_parts),
        cmocka_unit_test(a_record_above_the_limit_is_refused_and_the_others_are_stored),
        cmocka_unit_test(a_unit_waits_for_the_one_before_that_was_given_back),
        cmocka_unit_test(brokers_that_are_away_at_start_get_everything_later),
        cmocka_unit_test(closing_without_brokers_is_quick_and_gives_units_back),
        cmocka_unit_test(a_sink_that_never_started_can_be_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
