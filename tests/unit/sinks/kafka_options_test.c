/* SPDX-License-Identifier: Apache-2.0
 *
 * What a kafka sink says about wrong options before it does anything, and the form of its positions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/sink_lane.h"
#include "sinks/kafka/options.h"
#include "sinks/kafka/position.h"

static const struct {
    const char *name, *value;
    const char *said; /* null: accepted */
} properties[] = {
    {"socket.nagle.disable", "true", NULL},
    {"enable.idempotence", "true", NULL},
    {"acks", "all", NULL},
    {"batch.num.messages", "100", NULL},
    {"enable.idempotence", "false", "twice or out of order"},
    {"acks", "1", "all replicas"},
    {"request.required.acks", "0", "all replicas"},
    {"message.timeout.ms", "1000", "never given up"},
    {"transactional.id", "x", "journal's identity"},
    {"partitioner", "random", "partition"},
    {"retries", "3", "never given up"},
    {"sasl.password", "secret", "sasl_password_file"},
    {"ssl.key.password", "secret", "tls_key_password_file"},
    {"no.such.property", "1", "no.such.property"},
    {"batch.num.messages", "many", "batch.num.messages"},
    {"dr_cb", "1", "dr_cb"},
};

static int init_with(const char *property, const char *value, struct err *err)
{
    struct sink_lane lane;
    sink_lane_init(&lane, sink_find("kafka"), &disk_real, ".");
    struct kafka_sink_options *options = lane.options;
    options->brokers = mem_strdup("127.0.0.1:1");
    option_map_set(&options->properties, property, value);
    int rc = lane.type->init(&lane.sink, options, &lane.host, err);
    sink_lane_fini(&lane);
    return rc;
}

static void a_property_that_breaks_a_promise_is_refused_by_name_and_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_count(properties); i++) {
        struct err err = {""};
        int rc = init_with(properties[i].name, properties[i].value, &err);
        if (properties[i].said == NULL) {
            assert_int_equal(rc, 0);
            continue;
        }
        assert_int_equal(rc, GW_EINVAL);
        assert_non_null(strstr(err.text, properties[i].said));
        assert_non_null(strstr(err.text, properties[i].name));
        assert_null(strstr(err.text, "= secret"));
    }
}

static const struct {
    const char *option, *value, *said;
} settings[] = {
    {"brokers", "", "brokers"},
    {"topic_events", "water.reading.v1", "named twice"},
    {"sasl_user", "me", "sasl_mechanism"},
    {"sasl_mechanism", "PLAIN", "sasl_user"},
    {"tls_ca_file", "/ca.pem", "tls: true"},
    {"framing", "confluent", "schema_id_readings"},
};

static void options_that_do_not_fit_each_other_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_count(settings); i++) {
        struct sink_lane lane;
        struct err err = {""};
        sink_lane_init(&lane, sink_find("kafka"), &disk_real, ".");
        const struct option *rows = lane.type->options;
        assert_int_equal(
            option_set(option_find(rows, "brokers"), lane.options, "127.0.0.1:1", &err), 0);
        assert_int_equal(option_set(option_find(rows, settings[i].option), lane.options,
                                    settings[i].value, &err),
                         0);
        assert_int_equal(lane.type->init(&lane.sink, lane.options, &lane.host, &err), GW_EINVAL);
        assert_non_null(strstr(err.text, settings[i].said));
        sink_lane_fini(&lane);
    }
}

static void a_position_is_read_as_it_was_written(void **state)
{
    (void)state;
    const struct position position = {2001, 1, 2000, 7, 0x1f00ba4000000001};
    struct position back;
    struct buffer text = {0};
    position_format(&position, &text);
    assert_int_equal(position_parse(buffer_bytes(&text), &back), 0);
    assert_int_equal(back.next_seq, 2001);
    assert_int_equal(back.first_seq, 1);
    assert_int_equal(back.last_seq, 2000);
    assert_int_equal(back.generation, 7);
    assert_true(back.instance == position.instance);
    /* Cut or prolonged anywhere it is none; the last field may lose digits and still be one. */
    size_t instance = text.size - 16;
    for (size_t size = 0; size <= instance; size++)
        assert_int_equal(position_parse(bytes_of(text.data, size), &back), GW_ECORRUPT);
    buffer_add_text(&text, " more=1");
    assert_int_equal(position_parse(buffer_bytes(&text), &back), GW_ECORRUPT);
    buffer_fini(&text);
}

static void a_position_of_another_form_is_not_guessed_at(void **state)
{
    (void)state;
    struct position back;
    assert_int_equal(position_parse(bytes_text("version=2 next=1"), &back), GW_EVERSION);
    const char *const wrong[] = {
        "",
        "hello",
        "version=1",
        "version=1 next=0 first=0 last=0 generation=0 instance=1",
        "version=1 next=-5 first=0 last=0 generation=0 instance=1",
        "version=1 next=5 first=0 last=0 generation=4294967296 instance=1",
        "version=1 next=99999999999999999999999999 first=0 last=0 generation=0 instance=1",
        "version=1 next=5 first=0 last=0 generation=0 instance=xyz",
    };
    for (size_t i = 0; i < array_count(wrong); i++)
        assert_int_equal(position_parse(bytes_text(wrong[i]), &back), GW_ECORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_property_that_breaks_a_promise_is_refused_by_name_and_reason),
        cmocka_unit_test(options_that_do_not_fit_each_other_are_refused),
        cmocka_unit_test(a_position_is_read_as_it_was_written),
        cmocka_unit_test(a_position_of_another_form_is_not_guessed_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
