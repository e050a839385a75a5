/* SPDX-License-Identifier: Apache-2.0
 *
 * The simulator's reader of answers: every truncation, every version's form, and what is malformed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sim/wire.h"

static struct bytes of(const uint8_t *data, size_t size)
{
    return bytes_of(data, size);
}

static void a_packet_is_read_only_when_it_is_whole(void **state)
{
    (void)state;
    static const uint8_t connack[] = {0x20, 0x09, 0x01, 0x00, 0x06, 0x21,
                                      0x00, 0x14, 0x24, 0x01, 0x2a};
    struct wire_packet packet;
    for (size_t size = 0; size < sizeof connack; size++)
        assert_int_equal(wire_parse(of(connack, size), 5, &packet), 0);
    /* The property list ends inside 0x2a: one byte is missing. */
    assert_int_equal(wire_parse(of(connack, sizeof connack), 5, &packet), -1);
}

static void connack_5_tells_receive_maximum_and_packet_size(void **state)
{
    (void)state;
    static const uint8_t in[] = {0x20, 0x14, 0x01, 0x00, 0x11, 0x21, 0x00, 0x14, 0x27, 0x00, 0x01,
                                 0x00, 0x00, 0x24, 0x01, 0x1f, 0x00, 0x02, 'o',  'k',  0x2a, 0x01};
    struct wire_packet packet;
    assert_int_equal(wire_parse(of(in, sizeof in), 5, &packet), sizeof in);
    assert_int_equal(packet.type, WIRE_CONNACK);
    assert_true(packet.session_present);
    assert_int_equal(packet.receive_max, 20);
    assert_int_equal(packet.packet_max, 65536);
}

static void a_puback_has_its_id_and_reason(void **state)
{
    (void)state;
    static const uint8_t old[] = {0x40, 2, 0x12, 0x34}, new[] = {0x40, 4, 0x12, 0x34, 0x97, 0};
    struct wire_packet packet;
    assert_int_equal(wire_parse(of(old, sizeof old), 4, &packet), 4);
    assert_int_equal(packet.id, 0x1234);
    assert_int_equal(packet.reason, 0);
    assert_int_equal(wire_parse(of(new, sizeof new), 5, &packet), 6);
    assert_int_equal(packet.reason, 0x97);
}

static void a_server_may_not_send_what_clients_send(void **state)
{
    (void)state;
    static const uint8_t connect[] = {0x10, 0}, huge[] = {0x40, 0xff, 0xff, 0xff, 0xff, 0x01};
    static const uint8_t short_ack[] = {0x40, 1, 0};
    struct wire_packet packet;
    assert_int_equal(wire_parse(of(connect, sizeof connect), 5, &packet), -1);
    assert_int_equal(wire_parse(of(huge, sizeof huge), 5, &packet), -1);
    assert_int_equal(wire_parse(of(short_ack, sizeof short_ack), 5, &packet), -1);
}

static void a_publish_has_the_bytes_of_the_standard(void **state)
{
    (void)state;
    static const uint8_t expected[] = {0x32, 0x08, 0x00, 0x01, 't', 0x00, 0x07, 0x00, 'x', 'y'};
    struct buffer out = {0};
    wire_publish(&out, &(struct wire_publish){5, 1, 7, false, bytes_text("t"), bytes_text("xy")});
    assert_int_equal(out.size, sizeof expected);
    assert_memory_equal(out.data, expected, sizeof expected);
    wire_set_dup(&out);
    assert_int_equal(out.data[0], 0x3a);
    buffer_fini(&out);
}

static void a_connect_without_clean_start_asks_for_a_session(void **state)
{
    (void)state;
    static const uint8_t expected[] = {0x10, 0x13, 0x00, 0x04, 'M',  'Q',  'T',
                                       'T',  0x05, 0x00, 0x00, 0x3c, 0x05, 0x11,
                                       0x00, 0x00, 0x0e, 0x10, 0x00, 0x01, 'c'};
    struct buffer out = {0};
    wire_connect(&out, &(struct wire_connect){5, false, "c", NULL, NULL, 60});
    assert_int_equal(out.size, sizeof expected);
    assert_memory_equal(out.data, expected, sizeof expected);
    buffer_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_packet_is_read_only_when_it_is_whole),
        cmocka_unit_test(connack_5_tells_receive_maximum_and_packet_size),
        cmocka_unit_test(a_puback_has_its_id_and_reason),
        cmocka_unit_test(a_server_may_not_send_what_clients_send),
        cmocka_unit_test(a_publish_has_the_bytes_of_the_standard),
        cmocka_unit_test(a_connect_without_clean_start_asks_for_a_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
