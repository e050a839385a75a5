/* SPDX-License-Identifier: Apache-2.0
 *
 * Who has to wait after wrong passwords, for how long, and who has not. Time is the test's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>
#include <pthread.h>

#include "sources/lockout.h"

enum { MINUTE = 60000, START = 1000000 };

static struct lockout *make(int64_t after, int64_t address_after, int64_t user_after)
{
    struct lockout *lockout = lockout_new();
    lockout_configure(lockout, &(struct lockout_options){.after = after,
                                                         .address_after = address_after,
                                                         .user_after = user_after,
                                                         .max_ms = 15 * MINUTE});
    return lockout;
}

static struct address host(unsigned number)
{
    uint8_t bytes[4] = {10, (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number};
    return address_of_v4(bytes);
}

static enum lockout_by ask(struct lockout *lockout, const char *user, unsigned from, int64_t now)
{
    struct address address = host(from);
    return lockout_check(lockout, bytes_text(user), &address, now);
}

static void miss(struct lockout *lockout, const char *user, unsigned from, int64_t now)
{
    struct address address = host(from);
    lockout_failed(lockout, bytes_text(user), &address, now);
}

static bool succeed(struct lockout *lockout, const char *user, unsigned from, int64_t now)
{
    struct address address = host(from);
    return lockout_succeeded(lockout, bytes_text(user), &address, now);
}

/* How long after `now` he may try again. */
static int64_t wait_of(struct lockout *lockout, const char *user, unsigned from, int64_t now)
{
    int64_t low = 0, high = 24 * 60 * MINUTE;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (ask(lockout, user, from, now + middle) == LOCKOUT_NO)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static void wait_doubles_with_each_failure_up_to_the_limit(void **state)
{
    struct lockout *lockout = make(3, 0, 0);
    int64_t now = START, wanted = 1000;
    (void)state;
    miss(lockout, "acme", 1, now);
    miss(lockout, "acme", 1, now);
    assert_int_equal(ask(lockout, "acme", 1, now), LOCKOUT_NO);
    for (int i = 0; i < 40; i++) {
        miss(lockout, "acme", 1, now);
        assert_int_equal(ask(lockout, "acme", 1, now), LOCKOUT_BY_BOTH);
        assert_int_equal(wait_of(lockout, "acme", 1, now), wanted);
        now += wanted;
        wanted = wanted * 2 < 15 * MINUTE ? wanted * 2 : 15 * MINUTE;
    }
    assert_int_equal(ask(lockout, "acme", 2, now - 1), LOCKOUT_NO); /* from elsewhere */
    assert_int_equal(ask(lockout, "beta", 1, now - 1), LOCKOUT_NO); /* another user */
    lockout_free(lockout);
}

static void asking_while_locked_out_does_not_prolong_it(void **state)
{
    struct lockout *lockout = make(1, 0, 0);
    (void)state;
    miss(lockout, "acme", 1, START);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(ask(lockout, "acme", 1, START + i), LOCKOUT_BY_BOTH);
    assert_int_equal(ask(lockout, "acme", 1, START + 1000), LOCKOUT_NO);
    lockout_free(lockout);
}

static void success_forgets_and_tells_that_there_were_failures(void **state)
{
    struct lockout *lockout = make(3, 0, 0);
    (void)state;
    assert_false(succeed(lockout, "acme", 1, START));
    miss(lockout, "acme", 1, START);
    miss(lockout, "acme", 1, START);
    assert_true(succeed(lockout, "acme", 1, START));
    miss(lockout, "acme", 1, START);
    miss(lockout, "acme", 1, START);
    assert_int_equal(ask(lockout, "acme", 1, START), LOCKOUT_NO);
    assert_true(succeed(lockout, "acme", 1, START));
    assert_false(succeed(lockout, "acme", 1, START));
    lockout_free(lockout);
}

static void quiet_time_forgets(void **state)
{
    struct lockout *lockout = make(2, 2, 2);
    (void)state;
    miss(lockout, "acme", 1, START);
    miss(lockout, "acme", 1, START + 17 * MINUTE);
    assert_int_equal(ask(lockout, "acme", 1, START + 17 * MINUTE), LOCKOUT_NO);
    lockout_free(lockout);
}

static void address_that_tries_many_users_waits_but_its_good_neighbours_do_not(void **state)
{
    struct lockout *lockout = make(5, 20, 0);
    char user[32];
    (void)state;
    succeed(lockout, "neighbour", 1, START);
    succeed(lockout, "victim", 1, START);
    for (int i = 0; i < 20; i++) {
        snprintf(user, sizeof user, "guess-%d", i);
        miss(lockout, user, 1, START);
    }
    assert_int_equal(ask(lockout, "guess-21", 1, START), LOCKOUT_BY_ADDRESS);
    assert_int_equal(ask(lockout, "neighbour", 1, START), LOCKOUT_NO);
    /* Who has failed from there is no longer a good neighbour. */
    miss(lockout, "victim", 1, START);
    assert_int_equal(ask(lockout, "victim", 1, START), LOCKOUT_BY_ADDRESS);
    assert_int_equal(ask(lockout, "guess-21", 2, START), LOCKOUT_NO);
    lockout_free(lockout);
}

static void nobody_locks_a_vendor_out_of_where_it_logs_in_from(void **state)
{
    struct lockout *lockout = make(5, 0, 100);
    int64_t now = START;
    (void)state;
    succeed(lockout, "acme", 1, now - 30 * 24 * 60 * (int64_t)MINUTE); /* a month ago */
    for (unsigned i = 0; i < 500; i++) /* a botnet: each address once */
        miss(lockout, "acme", 1000 + i, now);
    assert_int_equal(ask(lockout, "acme", 9999, now), LOCKOUT_BY_USER);
    assert_int_equal(wait_of(lockout, "acme", 9999, now), MINUTE); /* and never longer */
    assert_int_equal(ask(lockout, "acme", 1, now), LOCKOUT_NO);
    assert_int_equal(ask(lockout, "beta", 9999, now), LOCKOUT_NO);
    lockout_free(lockout);
}

static void unknown_users_are_locked_out_like_known_ones(void **state)
{
    struct lockout *lockout = make(2, 0, 0); /* it never learns who there is */
    (void)state;
    miss(lockout, "", 1, START);
    miss(lockout, "", 1, START);
    assert_int_equal(ask(lockout, "", 1, START), LOCKOUT_BY_BOTH);
    lockout_free(lockout);
}

static void exempt_addresses_count_by_user_alone(void **state)
{
    struct lockout *lockout = lockout_new();
    struct network balancer;
    struct err err;
    (void)state;
    assert_int_equal(network_parse("10.0.0.0/24", &balancer, &err), 0);
    lockout_configure(lockout, &(struct lockout_options){.after = 1,
                                                         .address_after = 1,
                                                         .user_after = 3,
                                                         .max_ms = MINUTE,
                                                         .exempt = &balancer,
                                                         .exempt_count = 1});
    miss(lockout, "acme", 7, START);
    miss(lockout, "acme", 7, START);
    assert_int_equal(ask(lockout, "acme", 7, START), LOCKOUT_NO);
    miss(lockout, "acme", 7, START);
    assert_int_equal(ask(lockout, "acme", 7, START), LOCKOUT_BY_USER);
    assert_int_equal(ask(lockout, "beta", 7, START), LOCKOUT_NO);
    miss(lockout, "beta", 256, START);
    assert_int_equal(ask(lockout, "beta", 256, START), LOCKOUT_BY_BOTH);
    lockout_free(lockout);
}

static void host_of_ipv6_is_its_64(void **state)
{
    struct network network;
    struct err err;
    (void)state;
    assert_int_equal(network_parse("2001:db8:1:2:3:4:5:6", &network, &err), 0);
    struct address one = network.base;
    assert_int_equal(network_parse("2001:db8:1:2:ffff::1", &network, &err), 0);
    struct address other = network.base;
    one = address_host(&one);
    other = address_host(&other);
    assert_true(address_equal(&one, &other));
    struct address v4 = host(1), same = address_host(&v4), next = host(2);
    assert_true(address_equal(&v4, &same));
    next = address_host(&next);
    assert_false(address_equal(&same, &next));
}

/* Constant memory: the tables have one size. What a spray costs is old entries, told by a counter. */
static void spray_evicts_the_oldest_and_a_running_attack_stays_counted(void **state)
{
    struct lockout *lockout = make(3, 0, 0);
    int64_t now = START;
    (void)state;
    for (unsigned i = 0; i < 400000; i++) {
        if (i % 1000 == 0) { /* somebody who guesses all the while */
            now += 1;
            if (ask(lockout, "acme", 1, now) == LOCKOUT_NO)
                miss(lockout, "acme", 1, now);
        }
        miss(lockout, "x", 2 + i, now);
    }
    assert_true(lockout_evicted(lockout) > 300000);
    assert_int_equal(ask(lockout, "x", 2 + 399999, now), LOCKOUT_NO); /* one failure each */
    lockout_free(lockout);
}

static void nothing_is_locked_without_limits(void **state)
{
    struct lockout *lockout = lockout_new();
    (void)state;
    for (int i = 0; i < 100; i++)
        miss(lockout, "acme", 1, START);
    assert_int_equal(ask(lockout, "acme", 1, START), LOCKOUT_NO);
    lockout_free(lockout);
}

int main(void)
{
#define TEST(name) cmocka_unit_test(name)
    const struct CMUnitTest tests[] = {
        TEST(wait_doubles_with_each_failure_up_to_the_limit),
        TEST(asking_while_locked_out_does_not_prolong_it),
        TEST(success_forgets_and_tells_that_there_were_failures),
        TEST(quiet_time_forgets),
        TEST(address_that_tries_many_users_waits_but_its_good_neighbours_do_not),
        TEST(nobody_locks_a_vendor_out_of_where_it_logs_in_from),
        TEST(unknown_users_are_locked_out_like_known_ones),
        TEST(exempt_addresses_count_by_user_alone),
        TEST(host_of_ipv6_is_its_64),
        TEST(spray_evicts_the_oldest_and_a_running_attack_stays_counted),
        TEST(nothing_is_locked_without_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
