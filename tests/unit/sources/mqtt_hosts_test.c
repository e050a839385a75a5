/* SPDX-License-Identifier: Apache-2.0
 *
 * Connections by address, against a plain list.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sources/mqtt/hosts.h"

enum { ADDRESSES = 300, STEPS = 200000, OPEN_MAX = 5, UNNAMED_MAX = 3 };

static struct address host(unsigned number)
{
    uint8_t bytes[4] = {10, 0, (uint8_t)(number >> 8), (uint8_t)number};
    return address_of_v4(bytes);
}

/* The table grows, and places are freed in any order: what is counted must stay what a list says. */
static void counts_are_those_of_a_list(void **state)
{
    unsigned open[ADDRESSES] = {0}, unnamed[ADDRESSES] = {0};
    struct hosts *hosts = hosts_new(OPEN_MAX, UNNAMED_MAX);
    unsigned random = 12345;
    (void)state;
    for (int i = 0; i < STEPS; i++) {
        random = random * 1664525 + 1013904223;
        unsigned at = (random >> 8) % ADDRESSES;
        struct address address = host(at);
        switch (random >> 28 & 3) {
        case 0:
        case 1: {
            bool room = open[at] < OPEN_MAX && unnamed[at] < UNNAMED_MAX;
            assert_int_equal(hosts_open(hosts, &address), room);
            open[at] += room;
            unnamed[at] += room;
            break;
        }
        case 2:
            if (unnamed[at]) {
                hosts_named(hosts, &address);
                unnamed[at]--;
            }
            break;
        default:
            if (open[at]) {
                bool named = open[at] > unnamed[at];
                hosts_closed(hosts, &address, named);
                unnamed[at] -= !named;
                open[at]--;
            }
        }
    }
    unsigned there = 0;
    for (unsigned i = 0; i < ADDRESSES; i++) {
        struct address address = host(i);
        there += open[i] > 0;
        for (; open[i]; open[i]--) {
            bool named = open[i] > unnamed[i];
            hosts_closed(hosts, &address, named);
            unnamed[i] -= !named;
        }
    }
    assert_true(there > 0);
    assert_int_equal(hosts_count(hosts), 0);
    hosts_free(hosts);
}

static void no_limit_is_no_limit(void **state)
{
    struct hosts *hosts = hosts_new(0, 0);
    struct address address = host(1);
    (void)state;
    for (int i = 0; i < 10000; i++)
        assert_true(hosts_open(hosts, &address));
    assert_int_equal(hosts_count(hosts), 1);
    hosts_free(hosts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_those_of_a_list),
        cmocka_unit_test(no_limit_is_no_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
