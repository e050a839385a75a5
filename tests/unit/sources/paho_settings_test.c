/* SPDX-License-Identifier: Apache-2.0
 *
 * What a worker is told, there and back; and MQTT 5 properties from Paho's form to the wire's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sources/paho/properties.h"
#include "sources/paho/settings.h"

static void settings_come_out_as_they_went_in(void **state)
{
    (void)state;
    static char filter_a[] = "v1/#", filter_b[] = "w\xc3\xa4sser/\"+\\";
    char *topics[] = {filter_a, filter_b};
    struct paho_options options = {.topics = topics, .topic_count = 2};
    struct paho_settings sent, got;
    struct buffer text = {0};
    struct err err;
    option_defaults(paho_option_rows, &options);
    options.name = mem_strdup("emqx");
    options.url = mem_strdup("mqtts://a:8883,mqtts://b:8883");
    options.user = mem_strdup("line\nbreak: \t\x01 'quotes\"");
    options.workers = 3;
    paho_settings_make(&options, 2, "/data/intake/emqx-2.intake", "00000000000000ff", &sent);
    sent.wake_fd = 3;
    paho_settings_write(&sent, &text);
    assert_int_equal(text.data[text.size - 1], 0);
    assert_int_equal(paho_settings_read(bytes_of(text.data, text.size - 1), &got, &err), 0);
    assert_string_equal(got.client_id, "tidegate-00000000000000ff-emqx-2");
    assert_string_equal(got.filters, "$share/tidegate/v1/#\n$share/tidegate/w\xc3\xa4sser/\"+\\\n");
    assert_string_equal(got.user, options.user);
    assert_string_equal(got.url, options.url);
    assert_null(got.password_file);
    assert_int_equal(got.wake_fd, 3);
    assert_int_equal(got.session_expiry_s, 604800);
    assert_int_equal(got.receive_max, 1000);
    paho_settings_fini(&sent);
    paho_settings_fini(&got);
    buffer_fini(&text);
    options.topics = NULL;
    option_fini(paho_option_rows, &options);
}

static void one_worker_without_a_group_subscribes_for_itself(void **state)
{
    (void)state;
    static char filter[] = "a/+/b";
    char *topics[] = {filter};
    struct paho_options options = {.topics = topics, .topic_count = 1, .workers = 1};
    static char group[] = "g", id[] = "mine", name[] = "x";
    struct paho_settings made;
    options.name = name;
    options.client_id = id;
    paho_settings_make(&options, 0, "f", "1", &made);
    assert_string_equal(made.filters, "a/+/b\n");
    assert_string_equal(made.client_id, "mine-0");
    paho_settings_fini(&made);
    options.group = group;
    paho_settings_make(&options, 0, "f", "1", &made);
    assert_string_equal(made.filters, "$share/g/a/+/b\n");
    paho_settings_fini(&made);
}

static void settings_that_are_none_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "intake: x\n", "nothing: 1\n", "- a\n", "intake: [\n"};
    for (size_t i = 0; i < array_count(texts); i++) {
        struct paho_settings got;
        struct err err = {{0}};
        assert_int_equal(paho_settings_read(bytes_text(texts[i]), &got, &err), GW_EINVAL);
        assert_true(err.text[0] != '\0');
    }
}

static MQTTProperty text_property(enum MQTTPropertyCodes code, char *text, char *value)
{
    MQTTProperty property = {.identifier = code};
    property.value.data = (MQTTLenString){(int)strlen(text), text};
    if (value)
        property.value.value = (MQTTLenString){(int)strlen(value), value};
    return property;
}

/* Byte for byte as MQTT 5.0, 2.2.2.2 has them, without alias and identifier. */
static void properties_are_those_of_the_wire(void **state)
{
    (void)state;
    static char type[] = "application/json", topic[] = "answers", name[] = "a", value[] = "b";
    static char data[] = "0123";
    MQTTProperty list[] = {
        {.identifier = MQTTPROPERTY_CODE_PAYLOAD_FORMAT_INDICATOR, .value.byte = 1},
        {.identifier = MQTTPROPERTY_CODE_MESSAGE_EXPIRY_INTERVAL, .value.integer4 = 0x01020304},
        {.identifier = MQTTPROPERTY_CODE_TOPIC_ALIAS, .value.integer2 = 7},
        {.identifier = MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER, .value.integer4 = 300},
        text_property(MQTTPROPERTY_CODE_CONTENT_TYPE, type, NULL),
        text_property(MQTTPROPERTY_CODE_RESPONSE_TOPIC, topic, NULL),
        text_property(MQTTPROPERTY_CODE_CORRELATION_DATA, data, NULL),
        text_property(MQTTPROPERTY_CODE_USER_PROPERTY, name, value),
        text_property(MQTTPROPERTY_CODE_USER_PROPERTY, name, value),
    };
    MQTTProperties properties = {.count = array_count(list), .array = list};
    static const uint8_t wanted[] = "\x01\x01"
                                    "\x02\x01\x02\x03\x04"
                                    "\x03\x00\x10"
                                    "application/json"
                                    "\x08\x00\x07"
                                    "answers"
                                    "\x09\x00\x04"
                                    "0123"
                                    "\x26\x00\x01"
                                    "a\x00\x01"
                                    "b"
                                    "\x26\x00\x01"
                                    "a\x00\x01"
                                    "b";
    struct buffer out = {0};
    properties_write(&properties, &out);
    assert_int_equal(out.size, sizeof wanted - 1);
    assert_memory_equal(out.data, wanted, out.size);
    buffer_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_come_out_as_they_went_in),
        cmocka_unit_test(one_worker_without_a_group_subscribes_for_itself),
        cmocka_unit_test(settings_that_are_none_are_refused),
        cmocka_unit_test(properties_are_those_of_the_wire),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
