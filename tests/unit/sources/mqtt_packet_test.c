/* SPDX-License-Identifier: Apache-2.0
 *
 * The packet reader and writer by clause: every rule of framing, CONNECT, PUBLISH and the rest, each
 * packet cut at every byte, and a stream that comes in pieces of every size.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "sources/mqtt/packet.h"

#define B(text) bytes_of(text, sizeof(text) - 1)

static const struct packet_limits limits = {
    .packet_bytes_max = 1 << 20, .topic_levels_max = 8, .user_properties_max = 2};

static int read_body(const struct packet_frame *frame, uint8_t version)
{
    struct packet_connect connect;
    struct packet_publish publish;
    struct packet_ack ack;
    struct packet_filters filters;
    struct packet_disconnect disconnect;
    switch (frame->type) {
    case PACKET_CONNECT:
        return version ? packet_other_read(frame, version)
                       : packet_connect_read(frame, &limits, &connect);
    case PACKET_PUBLISH: return packet_publish_read(frame, version, &limits, &publish);
    case PACKET_PUBACK:
    case PACKET_PUBREC:
    case PACKET_PUBREL:
    case PACKET_PUBCOMP: return packet_ack_read(frame, version, &limits, &ack);
    case PACKET_SUBSCRIBE:
    case PACKET_UNSUBSCRIBE: return packet_filters_read(frame, version, &limits, &filters);
    case PACKET_DISCONNECT: return packet_disconnect_read(frame, version, &limits, &disconnect);
    default: return packet_other_read(frame, version);
    }
}

/* One packet, frame and body: 0, PACKET_MORE or a reason. */
static int read_packet(struct bytes in, uint8_t version)
{
    struct packet_frame frame;
    int reason = packet_frame_read(in, version, limits.packet_bytes_max, &frame);
    return reason ? reason : read_body(&frame, version);
}

/* The same with the body cut to `size` and the length made to match. */
static int read_cut(struct bytes in, size_t size, uint8_t version)
{
    uint8_t copy[256];
    assert_true(in.size <= sizeof copy && in.data[1] < 0x80);
    memcpy(copy, in.data, 2 + size);
    copy[1] = (uint8_t)size;
    return read_packet(bytes_of(copy, 2 + size), version);
}

/* ---- 2.1: fixed header ---- */

static void flags_other_than_table_2_2_are_malformed(void **state)
{
    (void)state;
    for (unsigned first = 0; first < 256; first++) {
        unsigned type = first >> 4, flags = first & 15;
        unsigned wanted = type == 6 || type == 8 || type == 10 ? 2 : 0;
        bool valid = type != 0 && flags == wanted;
        if (type == PACKET_PUBLISH)
            valid = (flags & 6) != 6 && !((flags & 8) && (flags & 6) == 0);
        uint8_t in[1] = {(uint8_t)first};
        struct packet_frame frame;
        int v5 = packet_frame_read(bytes_of(in, 1), PACKET_V5, 1000, &frame);
        int v311 = packet_frame_read(bytes_of(in, 1), PACKET_V311, 1000, &frame);
        int before = packet_frame_read(bytes_of(in, 1), 0, 1000, &frame);
        assert_int_equal(v5, valid ? PACKET_MORE : REASON_MALFORMED);
        assert_int_equal(v311, valid && type != 15 ? PACKET_MORE : REASON_MALFORMED);
        assert_int_equal(before, type != 1    ? REASON_NOT_MQTT
                                 : flags != 0 ? REASON_MALFORMED
                                              : PACKET_MORE);
    }
}

static void length_has_at_most_four_bytes(void **state)
{
    (void)state;
    assert_int_equal(read_packet(B("\x30\xff\xff\xff\xff"), PACKET_V5), REASON_MALFORMED);
    assert_int_equal(read_packet(B("\x30\xff\xff\xff"), PACKET_V5), PACKET_MORE);
    assert_int_equal(read_packet(B("\x30\xff\xff\xff\x7f"), PACKET_V5), REASON_TOO_LARGE);
}

static void length_longer_than_needed_is_malformed_in_5_only(void **state)
{
    (void)state;
    assert_int_equal(read_packet(B("\xc0\x80\x00"), PACKET_V5), REASON_MALFORMED);
    assert_int_equal(read_packet(B("\xc0\x80\x00"), PACKET_V311), PACKET_OK);
}

static void packet_of_the_largest_size_is_whole_and_one_more_is_too_large(void **state)
{
    (void)state;
    uint8_t in[102] = {0x30, 100};
    struct packet_frame frame;
    assert_int_equal(packet_frame_read(bytes_of(in, 102), PACKET_V5, 102, &frame), PACKET_OK);
    assert_int_equal(frame.size, 102);
    assert_int_equal(packet_frame_read(bytes_of(in, 2), PACKET_V5, 101, &frame), REASON_TOO_LARGE);
}

/* ---- 3.1 CONNECT ---- */

#define CONNECT_V5                                                                                 \
    "\x10\x3a\x00\x04MQTT\x05\xee\x00\x3c\x05\x11\x00\x00\x00\x0a\x00\x03"                         \
    "cid\x0c\x18\x00\x00\x00\x05\x01\x01\x02\x00\x00\x00\x09"                                      \
    "\x00\x03w/t\x00\x04gone\x00\x04user\x00\x02p\x00"

static struct bytes connect_v5(void)
{
    static uint8_t copy[sizeof CONNECT_V5];
    memcpy(copy, CONNECT_V5, sizeof CONNECT_V5);
    copy[1] = (uint8_t)(sizeof CONNECT_V5 - 3);
    return bytes_of(copy, sizeof CONNECT_V5 - 1);
}

static void connect_gives_all_its_fields(void **state)
{
    (void)state;
    struct packet_frame frame;
    struct packet_connect connect;
    assert_int_equal(packet_frame_read(connect_v5(), 0, 1000, &frame), PACKET_OK);
    assert_int_equal(packet_connect_read(&frame, &limits, &connect), PACKET_OK);
    assert_int_equal(connect.version, PACKET_V5);
    assert_true(connect.clean_start && connect.has_will && connect.has_user);
    assert_int_equal(connect.keep_alive_s, 60);
    assert_int_equal(connect.session_expiry_s, 10);
    assert_int_equal(connect.receive_max, 65535);
    assert_true(bytes_equal_text(connect.client_id, "cid"));
    assert_true(bytes_equal_text(connect.will.topic, "w/t"));
    assert_true(bytes_equal_text(connect.will.payload, "gone"));
    assert_int_equal(connect.will.qos, 1);
    assert_true(connect.will.retain);
    assert_int_equal(connect.will.delay_s, 5);
    assert_int_equal(connect.will.delay_at, 0);
    assert_true(bytes_equal_text(connect.user, "user"));
    assert_true(bytes_equal(connect.password, B("p\x00"))); /* binary data */
}

static void connect_cut_anywhere_is_refused(void **state)
{
    (void)state;
    struct bytes whole = connect_v5();
    assert_int_equal(read_packet(whole, 0), PACKET_OK);
    for (size_t size = 0; size < whole.size - 2; size++)
        assert_true(read_cut(whole, size, 0) >= REASON_UNSPECIFIED);
    struct bytes old = B("\x10\x12\x00\x04MQTT\x04\x02\x00\x3c\x00\x06"
                         "client");
    assert_int_equal(read_packet(old, 0), PACKET_OK);
    for (size_t size = 0; size < old.size - 2; size++)
        assert_true(read_cut(old, size, 0) >= REASON_UNSPECIFIED);
}

struct connect_case {
    struct bytes in;
    int reason;
    uint8_t version; /* in which the refusal is told */
};

static void connect_header_rules(void **state)
{
    (void)state;
    const struct connect_case cases[] = {
        {B("\x10\x0e\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x00"), 0, 3},
        {B("\x10\x0e\x00\x06MQIsdp\x04\x02\x00\x3c\x00\x00"), REASON_NOT_MQTT, 0}, /* 3.1.2-1 */
        {B("\x10\x0d\x00\x05MQTTX\x04\x02\x00\x3c\x00\x00"), REASON_NOT_MQTT, 0},
        {B("\x10\x0c\x00\x04MQTT\x03\x02\x00\x3c\x00\x00"), REASON_UNSUPPORTED_VERSION, 4},
        {B("\x10\x0c\x00\x04MQTT\x84\x02\x00\x3c\x00\x00"), REASON_UNSUPPORTED_VERSION, 4},
        {B("\x10\x0c\x00\x04MQTT\x06\x02\x00\x3c\x00\x00"), REASON_UNSUPPORTED_VERSION, 5},
        {B("\x10\x0c\x00\x04MQTT\x04\x03\x00\x3c\x00\x00"), REASON_MALFORMED, 4}, /* 3.1.2-3 */
        {B("\x10\x0c\x00\x04MQTT\x04\x0a\x00\x3c\x00\x00"), REASON_MALFORMED, 4}, /* 3.1.2-11 */
        {B("\x10\x0c\x00\x04MQTT\x04\x22\x00\x3c\x00\x00"), REASON_MALFORMED, 4}, /* 3.1.2-13 */
        {B("\x10\x12\x00\x04MQTT\x04\x1e\x00\x3c\x00\x00\x00\x01w\x00\x01p"), REASON_MALFORMED, 4},
        {B("\x10\x0f\x00\x04MQTT\x04\x42\x00\x3c\x00\x00\x00\x01p"), REASON_MALFORMED, 4},
        {B("\x10\x10\x00\x04MQTT\x05\x42\x00\x3c\x00\x00\x00\x00\x01p"), 0, 5}, /* 5.0 allows it */
        {B("\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x00x"), REASON_MALFORMED, 4},
        {B("\x10\x8d\x00\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00"), REASON_MALFORMED, 5},
        {B("\x10\x8c\x00\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"), 0, 4},
    };
    for (size_t i = 0; i < array_count(cases); i++) {
        struct packet_frame frame;
        struct packet_connect connect;
        assert_int_equal(packet_frame_read(cases[i].in, 0, 1000, &frame), PACKET_OK);
        assert_int_equal(packet_connect_read(&frame, &limits, &connect), cases[i].reason);
        assert_int_equal(connect.version, cases[i].version);
    }
}

/* ---- 2.2.2 properties ---- */

/* A PUBLISH of QoS 0 whose list of properties is `list`. */
static int publish_with(struct bytes list)
{
    uint8_t in[128] = {0x30, (uint8_t)(6 + list.size), 0, 3, 'a', '/', 'b', (uint8_t)list.size};
    memcpy(in + 8, list.data, list.size);
    return read_packet(bytes_of(in, 8 + list.size), PACKET_V5);
}

static void properties_of_publish(void **state)
{
    (void)state;
    const struct {
        struct bytes list;
        int reason;
    } cases[] = {
        {B("\x01\x01"), 0},
        {B("\x01\x02"), REASON_PROTOCOL_ERROR},
        {B("\x01\x01\x01\x01"), REASON_PROTOCOL_ERROR}, /* twice */
        {B("\x01"), REASON_MALFORMED},
        {B("\x02\x00\x00\x00"), REASON_MALFORMED},
        {B("\x02\x00\x00\x00\x00"), 0},
        {B("\x03\x00\x01\xff"), REASON_MALFORMED},
        {B("\x08\x00\x03r/t"), 0},
        {B("\x08\x00\x03r/#"), REASON_PROTOCOL_ERROR}, /* 3.3.2-14 */
        {B("\x08\x00\x00"), REASON_PROTOCOL_ERROR},
        {B("\x09\x00\x02\x00\xff"), 0},
        {B("\x0b\x01"), REASON_PROTOCOL_ERROR}, /* 3.3.4-6 */
        {B("\x11\x00\x00\x00\x01"), REASON_MALFORMED},
        {B("\x7f"), REASON_MALFORMED},
        {B("\x81\x00\x01"), REASON_MALFORMED}, /* identifier longer than needed */
        {B("\x26\x00\x01k\x00\x01v\x26\x00\x01k\x00\x01v"), 0},
        {B("\x26\x00\x01k\x00\x01v\x26\x00\x01k\x00\x01v\x26\x00\x00\x00\x00"), REASON_QUOTA},
        {B("\x26\x00\x01k\x00\x01\xc0"), REASON_MALFORMED},
    };
    for (size_t i = 0; i < array_count(cases); i++)
        assert_int_equal(publish_with(cases[i].list), cases[i].reason);
}

static void alias_is_found_wherever_it_stands(void **state)
{
    (void)state;
    struct bytes in = B("\x30\x10\x00\x03"
                        "a/b\x0a\x01\x01\x23\x00\x07\x02\x00\x00\x00\x09");
    struct packet_frame frame;
    struct packet_publish publish;
    assert_int_equal(packet_frame_read(in, PACKET_V5, 1000, &frame), PACKET_OK);
    assert_int_equal(packet_publish_read(&frame, PACKET_V5, &limits, &publish), PACKET_OK);
    assert_true(publish.has_alias);
    assert_int_equal(publish.alias, 7);
    assert_int_equal(publish.alias_at, 2);
    assert_int_equal(publish.properties.size, 10);
    assert_int_equal(publish.payload.size, 0);
}

/* ---- 3.3 PUBLISH ---- */

static void publish_rules(void **state)
{
    (void)state;
    const struct {
        struct bytes in;
        int v311, v5;
    } cases[] = {
        {B("\x32\x07\x00\x03"
           "a/b\x00\x01"),
         0, REASON_MALFORMED}, /* 5.0 wants the properties */
        {B("\x32\x08\x00\x03"
           "a/b\x00\x01\x00"),
         0, 0},
        {B("\x32\x08\x00\x03"
           "a/b\x00\x00\x00"),
         REASON_PROTOCOL_ERROR, REASON_PROTOCOL_ERROR}, /* 2.2.1-3 */
        {B("\x32\x05\x00\x03"
           "a/b"),
         REASON_MALFORMED, REASON_MALFORMED},
        {B("\x30\x06\x00\x03"
           "a/#\x00"),
         REASON_MALFORMED, REASON_MALFORMED}, /* 3.3.2-2 */
        {B("\x30\x06\x00\x03"
           "+/a\x00"),
         REASON_MALFORMED, REASON_MALFORMED},
        {B("\x30\x03\x00\x00\x00"), REASON_PROTOCOL_ERROR, REASON_PROTOCOL_ERROR},
        {B("\x30\x06\x00\x03"
           "a\x00"
           "b\x00"),
         REASON_MALFORMED, REASON_MALFORMED}, /* 1.5.4-2 */
        {B("\x30\x0b\x00\x08////////\x00"), REASON_TOPIC_INVALID, REASON_TOPIC_INVALID},
        {B("\x30\x0a\x00\x07///////\x00"), 0, 0},
        {B("\x30\x06\x00\x04"
           "a/b\x00"),
         REASON_MALFORMED, REASON_MALFORMED},
    };
    for (size_t i = 0; i < array_count(cases); i++) {
        assert_int_equal(read_packet(cases[i].in, PACKET_V311), cases[i].v311);
        assert_int_equal(read_packet(cases[i].in, PACKET_V5), cases[i].v5);
    }
}

static void publish_cut_before_its_payload_is_refused(void **state)
{
    (void)state;
    struct bytes whole = B("\x32\x0f\x00\x03"
                           "a/b\x00\x07\x07\x01\x01\x02\x00\x00\x00\x05");
    assert_int_equal(read_packet(whole, PACKET_V5), PACKET_OK);
    for (size_t size = 0; size < whole.size - 2; size++)
        assert_true(read_cut(whole, size, PACKET_V5) >= REASON_UNSPECIFIED);
}

/* ---- the rest ---- */

static void acknowledgement_rules(void **state)
{
    (void)state;
    assert_int_equal(read_packet(B("\x40\x02\x00\x01"), PACKET_V311), 0);
    assert_int_equal(read_packet(B("\x40\x03\x00\x01\x00"), PACKET_V311), REASON_MALFORMED);
    assert_int_equal(read_packet(B("\x40\x03\x00\x01\x10"), PACKET_V5), 0);
    assert_int_equal(read_packet(B("\x40\x04\x00\x01\x10\x00"), PACKET_V5), 0);
    assert_int_equal(read_packet(B("\x40\x05\x00\x01\x10\x00x"), PACKET_V5), REASON_MALFORMED);
    assert_int_equal(read_packet(B("\x40\x01\x00"), PACKET_V5), REASON_MALFORMED);
    assert_int_equal(read_packet(B("\x40\x02\x00\x00"), PACKET_V5), REASON_PROTOCOL_ERROR);
    assert_int_equal(read_packet(B("\x62\x03\x00\x01\x92"), PACKET_V5), 0);
    assert_int_equal(read_packet(B("\x62\x03\x00\x01\x10"), PACKET_V5), REASON_PROTOCOL_ERROR);
    assert_int_equal(read_packet(B("\x40\x03\x00\x01\x92"), PACKET_V5), REASON_PROTOCOL_ERROR);
}

static void subscribe_rules(void **state)
{
    (void)state;
    struct bytes good = B("\x82\x0c\x00\x01\x02\x0b\x05\x00\x04"
                          "a/+\x2f\x01");
    struct bytes bad_wildcard = B("\x82\x09\x00\x01\x00\x00\x03"
                                  "a+b\x01");
    assert_int_equal(read_packet(good, PACKET_V5), PACKET_OK);
    for (size_t size = 0; size < good.size - 2; size++)
        assert_true(read_cut(good, size, PACKET_V5) >= REASON_UNSPECIFIED);
    assert_int_equal(read_packet(bad_wildcard, PACKET_V5), REASON_MALFORMED);
    assert_int_equal(read_packet(B("\x82\x02\x00\x01"), PACKET_V311), REASON_PROTOCOL_ERROR);
    assert_int_equal(read_packet(B("\x82\x06\x00\x01\x00\x01"
                                   "a\x03"),
                                 PACKET_V311),
                     REASON_PROTOCOL_ERROR);
    assert_int_equal(read_packet(B("\x82\x06\x00\x01\x00\x01"
                                   "a\x04"),
                                 PACKET_V311),
                     REASON_MALFORMED);
    assert_int_equal(read_packet(B("\xa2\x05\x00\x01\x00\x01"
                                   "a"),
                                 PACKET_V311),
                     PACKET_OK);
}

static void disconnect_rules(void **state)
{
    (void)state;
    assert_int_equal(read_packet(B("\xe0\x00"), PACKET_V311), 0);
    assert_int_equal(read_packet(B("\xe0\x01\x00"), PACKET_V311), REASON_MALFORMED);
    assert_int_equal(read_packet(B("\xe0\x01\x04"), PACKET_V5), 0);
    assert_int_equal(read_packet(B("\xe0\x01\x8b"), PACKET_V5), REASON_PROTOCOL_ERROR);
    assert_int_equal(read_packet(B("\xe0\x01\x55"), PACKET_V5), REASON_MALFORMED);
    assert_int_equal(read_packet(B("\xe0\x07\x00\x05\x11\x00\x00\x00\x01"), PACKET_V5), 0);
    assert_int_equal(read_packet(B("\xe0\x06\x00\x05\x11\x00\x00\x00"), PACKET_V5),
                     REASON_MALFORMED);
    assert_int_equal(read_packet(B("\xe0\x06\x00\x04\x1c\x00\x01x"), PACKET_V5),
                     REASON_PROTOCOL_ERROR);
}

static void packets_of_a_server_and_second_connect_are_protocol_errors(void **state)
{
    (void)state;
    assert_int_equal(read_packet(B("\x10\x00"), PACKET_V5), REASON_PROTOCOL_ERROR);
    assert_int_equal(read_packet(B("\x20\x02\x00\x00"), PACKET_V5), REASON_PROTOCOL_ERROR);
    assert_int_equal(read_packet(B("\x90\x00"), PACKET_V311), REASON_PROTOCOL_ERROR);
    assert_int_equal(read_packet(B("\xb0\x00"), PACKET_V311), REASON_PROTOCOL_ERROR);
    assert_int_equal(read_packet(B("\xd0\x00"), PACKET_V5), REASON_PROTOCOL_ERROR);
    assert_int_equal(read_packet(B("\xf0\x00"), PACKET_V5), REASON_PROTOCOL_ERROR);
    assert_int_equal(read_packet(B("\xc0\x01x"), PACKET_V5), REASON_MALFORMED);
}

/* ---- streams ---- */

/* Types and sizes of the packets of a stream that arrives in pieces of `step` bytes. */
static size_t walk(struct bytes in, size_t step, struct packet_frame *out)
{
    size_t count = 0, start = 0;
    for (size_t have = step < in.size ? step : in.size;; have += step) {
        have = have < in.size ? have : in.size;
        struct packet_frame frame;
        while (packet_frame_read(bytes_of(in.data + start, have - start), PACKET_V5, 1 << 20,
                                 &frame) == PACKET_OK) {
            out[count++] = frame;
            start += frame.size;
        }
        if (have == in.size)
            return count;
    }
}

static void pieces_of_any_size_give_the_same_packets(void **state)
{
    (void)state;
    static uint8_t stream[600];
    size_t size = 0;
    static const char small[] = "\xc0\x00\x62\x02\x00\x07\x32\x08\x00\x03"
                                "a/b\x00\x01\x00";
    memcpy(stream, small, sizeof small - 1);
    size = sizeof small - 1;
    stream[size] = 0x30; /* one with a length of two bytes */
    stream[size + 1] = 0x80 | (300 & 0x7f);
    stream[size + 2] = 300 >> 7;
    size += 3 + 300;
    struct packet_frame whole[8], parts[8];
    size_t count = walk(bytes_of(stream, size), size, whole);
    assert_int_equal(count, 4);
    for (size_t step = 1; step < size; step++) {
        assert_int_equal(walk(bytes_of(stream, size), step, parts), count);
        for (size_t i = 0; i < count; i++)
            assert_true(parts[i].type == whole[i].type && parts[i].size == whole[i].size &&
                        parts[i].body.data == whole[i].body.data);
    }
}

/* ---- out ---- */

static void expect_bytes(struct buffer *out, struct bytes wanted)
{
    assert_int_equal(out->size, wanted.size);
    assert_memory_equal(out->data, wanted.data, wanted.size);
    buffer_clear(out);
}

static void connack_has_the_form_of_its_version(void **state)
{
    (void)state;
    struct buffer out = {0};
    struct packet_connack ok = {.version = PACKET_V5,
                                .session_present = true,
                                .receive_max = 10,
                                .topic_alias_max = 3,
                                .packet_max = 0x10000,
                                .has_session_expiry = true,
                                .session_expiry_s = 5,
                                .has_keep_alive = true,
                                .keep_alive_s = 60,
                                .assigned_client_id = B("id")};
    packet_connack_write(&out, &ok);
    expect_bytes(&out, B("\x20\x1b\x01\x00\x18\x21\x00\x0a\x27\x00\x01\x00\x00\x22\x00\x03"
                         "\x11\x00\x00\x00\x05\x13\x00\x3c\x12\x00\x02id"));
    ok.version = PACKET_V311;
    packet_connack_write(&out, &ok);
    expect_bytes(&out, B("\x20\x02\x01\x00"));
    ok.version = PACKET_V31; /* has no session present */
    packet_connack_write(&out, &ok);
    expect_bytes(&out, B("\x20\x02\x00\x00"));
    buffer_fini(&out);
}

static void connack_translates_reasons_for_older_versions(void **state)
{
    (void)state;
    struct buffer out = {0};
    const struct {
        uint8_t reason, code;
    } cases[] = {{REASON_UNSUPPORTED_VERSION, 1},
                 {REASON_CLIENT_ID, 2},
                 {REASON_QUOTA, 3},
                 {REASON_BAD_CREDENTIALS, 4},
                 {REASON_NOT_AUTHORISED, 5}};
    for (size_t i = 0; i < array_count(cases); i++) {
        struct packet_connack refusal = {.version = PACKET_V311, .reason = cases[i].reason};
        packet_connack_write(&out, &refusal);
        expect_bytes(&out, bytes_of((uint8_t[]){0x20, 2, 0, cases[i].code}, 4));
        refusal.version = PACKET_V5;
        packet_connack_write(&out, &refusal);
        expect_bytes(&out, bytes_of((uint8_t[]){0x20, 3, 0, cases[i].reason, 0}, 5));
    }
    buffer_fini(&out);
}

static void acknowledgements_leave_out_reason_zero(void **state)
{
    (void)state;
    uint8_t at[PACKET_ACK_SIZE_MAX];
    assert_int_equal(packet_ack_store(at, PACKET_PUBACK, PACKET_V5, 0x1234, 0), 4);
    assert_memory_equal(at, "\x40\x02\x12\x34", 4);
    assert_int_equal(packet_ack_store(at, PACKET_PUBREC, PACKET_V5, 7, 0x87), 5);
    assert_memory_equal(at, "\x50\x03\x00\x07\x87", 5);
    assert_int_equal(packet_ack_store(at, PACKET_PUBCOMP, PACKET_V311, 7, 0x92), 4);
    assert_memory_equal(at, "\x70\x02\x00\x07", 4);
}

static void suback_lists_a_code_for_each_filter(void **state)
{
    (void)state;
    struct buffer out = {0};
    packet_suback_write(&out, PACKET_SUBACK, PACKET_V311, 9, B("\x80\x80"));
    expect_bytes(&out, B("\x90\x04\x00\x09\x80\x80"));
    packet_suback_write(&out, PACKET_SUBACK, PACKET_V5, 9, B("\x87"));
    expect_bytes(&out, B("\x90\x04\x00\x09\x00\x87"));
    packet_suback_write(&out, PACKET_UNSUBACK, PACKET_V311, 9, B("\x11"));
    expect_bytes(&out, B("\xb0\x02\x00\x09"));
    uint8_t codes[200] = {0};
    packet_suback_write(&out, PACKET_SUBACK, PACKET_V311, 9, bytes_of(codes, sizeof codes));
    assert_int_equal(out.size, 3 + 2 + 200);
    assert_memory_equal(out.data, "\x90\xca\x01", 3);
    buffer_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_other_than_table_2_2_are_malformed),
        cmocka_unit_test(length_has_at_most_four_bytes),
        cmocka_unit_test(length_longer_than_needed_is_malformed_in_5_only),
        cmocka_unit_test(packet_of_the_largest_size_is_whole_and_one_more_is_too_large),
        cmocka_unit_test(connect_gives_all_its_fields),
        cmocka_unit_test(connect_cut_anywhere_is_refused),
        cmocka_unit_test(connect_header_rules),
        cmocka_unit_test(properties_of_publish),
        cmocka_unit_test(alias_is_found_wherever_it_stands),
        cmocka_unit_test(publish_rules),
        cmocka_unit_test(publish_cut_before_its_payload_is_refused),
        cmocka_unit_test(acknowledgement_rules),
        cmocka_unit_test(subscribe_rules),
        cmocka_unit_test(disconnect_rules),
        cmocka_unit_test(packets_of_a_server_and_second_connect_are_protocol_errors),
        cmocka_unit_test(pieces_of_any_size_give_the_same_packets),
        cmocka_unit_test(connack_has_the_form_of_its_version),
        cmocka_unit_test(connack_translates_reasons_for_older_versions),
        cmocka_unit_test(acknowledgements_leave_out_reason_zero),
        cmocka_unit_test(suback_lists_a_code_for_each_filter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
