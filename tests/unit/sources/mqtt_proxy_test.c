/* SPDX-License-Identifier: Apache-2.0
 *
 * The PROXY header, version 2, against the text of the protocol; and first bytes of other protocols.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sources/mqtt/foreign.h"
#include "sources/mqtt/proxy.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define B(text)   bytes_of(text, sizeof(text) - 1)

/* 192.0.2.7:4660 to 198.51.100.1:8883. */
#define V4 SIGNATURE "\x21\x11\0\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\x12\x34\x22\xb3"
#define V6                                                                                         \
    SIGNATURE "\x21\x21\0\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"                           \
              "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\x12\x34\x22\xb3"

static void client_is_taken(void **state)
{
    (void)state;
    struct {
        struct bytes in;
        const char *peer;
    } cases[] = {
        {B(V4), "192.0.2.7"},
        {B(V6), "2001:db8::1"},
        /* Extensions: ALPN "mqtt", and one without a value. */
        {B(SIGNATURE "\x21\x11\0\x16\xc0\x00\x02\x07\xc6\x33\x64\x01\x12\x34\x22\xb3"
                     "\x01\0\x04mqtt\x04\0\0"),
         "192.0.2.7"},
        {B(SIGNATURE "\x21\x21\0\x24\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x07"
                     "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\x12\x34\x22\xb3"),
         "192.0.2.7"},
    };
    for (size_t i = 0; i < array_count(cases); i++) {
        struct proxy_header header;
        char text[ADDRESS_TEXT_SIZE];
        assert_int_equal(proxy_read(cases[i].in, &header), PROXY_OK);
        assert_int_equal(header.kind, PROXY_CLIENT);
        assert_int_equal(header.size, cases[i].in.size);
        assert_string_equal(address_format(&header.peer, text), cases[i].peer);
    }
}

static void what_follows_is_left(void **state)
{
    (void)state;
    struct proxy_header header;
    assert_int_equal(proxy_read(B(V4 "\x10\x0c"), &header), PROXY_OK);
    assert_int_equal(header.size, sizeof V4 - 1);
}

static void every_cut_waits_for_more(void **state)
{
    (void)state;
    const struct bytes whole[] = {B(V4), B(V6)};
    struct proxy_header header;
    for (size_t i = 0; i < array_count(whole); i++)
        for (size_t size = 0; size < whole[i].size; size++)
            assert_int_equal(proxy_read(bytes_of(whole[i].data, size), &header), PROXY_MORE);
}

static void balancer_speaks_for_itself_or_for_nobody(void **state)
{
    (void)state;
    struct {
        struct bytes in;
        enum proxy_kind kind;
    } cases[] = {
        {B(SIGNATURE "\x20\x00\0\0"), PROXY_LOCAL},
        /* LOCAL: the rest is skipped, whatever it is. */
        {B(SIGNATURE "\x20\xff\0\x03\x01\xff\xff"), PROXY_LOCAL},
        {B(SIGNATURE "\x20\x11\0\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\x12\x34\x22\xb3"),
         PROXY_LOCAL},
        {B(SIGNATURE "\x21\x00\0\0"), PROXY_UNKNOWN},
        {B(SIGNATURE "\x21\x01\0\0"), PROXY_UNKNOWN},
        {B(SIGNATURE "\x21\x10\0\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\x12\x34\x22\xb3"),
         PROXY_UNKNOWN},
        /* An address of all zero names nobody. */
        {B(SIGNATURE "\x21\x21\0\x24\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                     "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
         PROXY_UNKNOWN},
    };
    for (size_t i = 0; i < array_count(cases); i++) {
        struct proxy_header header;
        assert_int_equal(proxy_read(cases[i].in, &header), PROXY_OK);
        assert_int_equal(header.kind, cases[i].kind);
        assert_int_equal(header.size, cases[i].in.size);
        assert_false(address_known(&header.peer));
    }
}

static void unix_peer_is_nobody(void **state)
{
    (void)state;
    struct buffer in = {0};
    struct proxy_header header;
    buffer_add_bytes(&in, B(SIGNATURE "\x21\x31\0\xd8"));
    memset(buffer_reserve(&in, 216), '/', 216);
    in.size += 216;
    assert_int_equal(proxy_read(buffer_bytes(&in), &header), PROXY_OK);
    assert_int_equal(header.kind, PROXY_UNKNOWN);
    assert_int_equal(header.size, 16 + 216);
    buffer_fini(&in);
}

static void wrong_headers_are_refused_as_soon_as_they_are_wrong(void **state)
{
    (void)state;
    struct {
        struct bytes in;
        enum proxy_reason reason;
    } cases[] = {
        {B("\x10"), PROXY_MISSING},
        {B("\x16"), PROXY_MISSING},
        {B("\r\n\r\r"), PROXY_MISSING},
        {B("POST / HTTP/1.1\r\n"), PROXY_MISSING},
        {B("P"), PROXY_VERSION_1},
        {B("PROXY TCP4 192.0.2.7 198.51.100.1 4660 8883\r\n"), PROXY_VERSION_1},
        {B(SIGNATURE "\x11"), PROXY_VERSION},
        {B(SIGNATURE "\x31"), PROXY_VERSION},
        {B(SIGNATURE "\x22"), PROXY_COMMAND},
        {B(SIGNATURE "\x2f"), PROXY_COMMAND},
        {B(SIGNATURE "\x21\x12\0\x0c"), PROXY_FAMILY},
        {B(SIGNATURE "\x21\x22\0\x24"), PROXY_FAMILY},
        {B(SIGNATURE "\x21\x32\0\xd8"), PROXY_FAMILY},
        {B(SIGNATURE "\x21\x41\0\x24"), PROXY_FAMILY},
        {B(SIGNATURE "\x21\x13\0\x0c"), PROXY_FAMILY},
        {B(SIGNATURE "\x21\x11\0\x0b"), PROXY_LENGTH},
        {B(SIGNATURE "\x21\x21\0\x23"), PROXY_LENGTH},
        {B(SIGNATURE "\x21\x31\0\xd7"), PROXY_LENGTH},
        {B(SIGNATURE "\x21\x11\xff\xff"), PROXY_TOO_LARGE},
        {B(SIGNATURE "\x20\x11\x0f\xf1"), PROXY_TOO_LARGE},
        {B(SIGNATURE "\x21\x11\0\x0e\xc0\x00\x02\x07\xc6\x33\x64\x01\x12\x34\x22\xb3\x01\0"),
         PROXY_TLV},
        {B(SIGNATURE "\x21\x11\0\x10\xc0\x00\x02\x07\xc6\x33\x64\x01\x12\x34\x22\xb3\x01\0\x02x"),
         PROXY_TLV},
        {B(SIGNATURE "\x21\x00\0\x01\x01"), PROXY_TLV},
    };
    for (size_t i = 0; i < array_count(cases); i++) {
        struct proxy_header header;
        if (proxy_read(cases[i].in, &header) != cases[i].reason)
            fail_msg("case %zu", i);
    }
}

static void largest_header_is_taken(void **state)
{
    (void)state;
    struct buffer in = {0};
    struct proxy_header header;
    buffer_add_bytes(&in, B(SIGNATURE "\x20\x00\x0f\xf0"));
    memset(buffer_reserve(&in, 0xff0), 0xff, 0xff0);
    in.size += 0xff0;
    assert_int_equal(in.size, PROXY_BYTES_MAX);
    assert_int_equal(proxy_read(buffer_bytes(&in), &header), PROXY_OK);
    assert_int_equal(header.size, PROXY_BYTES_MAX);
    buffer_fini(&in);
}

static void protocols_are_told_by_their_first_bytes(void **state)
{
    (void)state;
    struct {
        struct bytes in;
        enum foreign protocol;
    } cases[] = {
        {B("\x10\x0c\0\x04MQTT"), FOREIGN_MQTT},
        {B("\x16\x03\x01\x02"), FOREIGN_TLS},
        {B("\x16"), FOREIGN_TLS},
        {B("GET / HTTP/1.1\r\n"), FOREIGN_HTTP},
        {B("PRI * HTTP/2.0\r\n"), FOREIGN_HTTP},
        {B("SSH-2.0-OpenSSH_9.2\r\n"), FOREIGN_SSH},
        {B("PROXY TCP4 1.2.3.4"), FOREIGN_PROXY},
        {B(V4), FOREIGN_PROXY},
        {B("\x16\x02"), FOREIGN_OTHER},
        {B("\0"), FOREIGN_OTHER},
        {B("GETS"), FOREIGN_OTHER},
        {B(""), FOREIGN_OTHER},
    };
    for (size_t i = 0; i < array_count(cases); i++)
        if (foreign_of(cases[i].in) != cases[i].protocol)
            fail_msg("case %zu: %s", i, foreign_names[foreign_of(cases[i].in)]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(client_is_taken),
        cmocka_unit_test(what_follows_is_left),
        cmocka_unit_test(every_cut_waits_for_more),
        cmocka_unit_test(balancer_speaks_for_itself_or_for_nobody),
        cmocka_unit_test(unix_peer_is_nobody),
        cmocka_unit_test(wrong_headers_are_refused_as_soon_as_they_are_wrong),
        cmocka_unit_test(largest_header_is_taken),
        cmocka_unit_test(protocols_are_told_by_their_first_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
