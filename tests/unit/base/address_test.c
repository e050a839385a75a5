/* SPDX-License-Identifier: Apache-2.0
 *
 * Addresses of peers, and the networks that are told in the configuration.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/address.h"

static struct address parsed(const char *text)
{
    struct network network;
    struct err err;
    assert_int_equal(network_parse(text, &network, &err), 0);
    return network.base;
}

static void an_ipv4_peer_is_one_value_through_either_family(void **state)
{
    (void)state;
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    inet_pton(AF_INET, "192.0.2.7", &v4.sin_addr);
    inet_pton(AF_INET6, "::ffff:192.0.2.7", &v6.sin6_addr);
    struct address a = address_of((struct sockaddr *)&v4);
    struct address b = address_of((struct sockaddr *)&v6);
    char text[ADDRESS_TEXT_SIZE];
    assert_true(address_equal(&a, &b));
    assert_string_equal(address_format(&a, text), "192.0.2.7");
}

static void loopback_is_told_in_both_families_and_mapped(void **state)
{
    (void)state;
    static const char *const inside[] = {"127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"};
    static const char *const outside[] = {"128.0.0.1", "::2", "::ffff:10.0.0.1", "fe80::1"};
    for (size_t i = 0; i < 4; i++) {
        struct address in = parsed(inside[i]), out = parsed(outside[i]);
        assert_true(address_is_loopback(&in));
        assert_false(address_is_loopback(&out));
    }
}

static void a_network_holds_its_addresses_and_no_other(void **state)
{
    (void)state;
    static const struct {
        const char *network, *address;
        bool inside;
    } rows[] = {
        {"10.1.0.0/16", "10.1.255.255", true},
        {"10.1.0.0/16", "10.2.0.0", false},
        {"10.1.0.0/17", "10.1.128.0", false},
        {"0.0.0.0/0", "203.0.113.9", true},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"2001:db8::/33", "2001:db8:7fff::1", true},
        {"2001:db8::/33", "2001:db8:8000::1", false},
        {"::/0", "10.0.0.1", true},
        {"192.0.2.7", "192.0.2.7", true},
        {"192.0.2.7", "192.0.2.6", false},
        {"::ffff:0:0/96", "10.0.0.1", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct network network;
        struct err err;
        struct address address = parsed(rows[i].address);
        assert_int_equal(network_parse(rows[i].network, &network, &err), 0);
        assert_int_equal(network_contains(&network, &address), rows[i].inside);
    }
}

static void what_is_no_network_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",          "/8",          "10.0.0.0/33",   "10.0.0.0/-1",
                                        "10.0.0/8",  "10.0.0.1/8",  "::1/129",       "example.org",
                                        "10.0.0.0/", "10.0.0.0/8x", "2001:db8::1/32"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct network network;
        struct err err;
        assert_int_equal(network_parse(wrong[i], &network, &err), GW_EINVAL);
        assert_true(strlen(err.text) > 0);
    }
}

static void an_unknown_address_says_so(void **state)
{
    (void)state;
    struct sockaddr local = {.sa_family = AF_UNIX};
    struct address address = address_of(&local);
    char text[ADDRESS_TEXT_SIZE];
    assert_false(address_known(&address));
    assert_string_equal(address_format(&address, text), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_ipv4_peer_is_one_value_through_either_family),
        cmocka_unit_test(loopback_is_told_in_both_families_and_mapped),
        cmocka_unit_test(a_network_holds_its_addresses_and_no_other),
        cmocka_unit_test(what_is_no_network_is_refused),
        cmocka_unit_test(an_unknown_address_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
