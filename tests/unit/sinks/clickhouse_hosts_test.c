/* SPDX-License-Identifier: Apache-2.0
 *
 * Which server is used, and what its silence and its uptime say.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sinks/clickhouse/hosts.h"

static struct ch_hosts hosts_of(const char *url)
{
    struct ch_hosts hosts;
    struct err err = {0};
    int result = ch_hosts_init(&hosts, url, &err);
    if (result)
        print_error("%s\n", err.text);
    assert_int_equal(result, 0);
    for (uint32_t i = 0; i < hosts.count; i++)
        hosts.hosts[i].checked = true;
    return hosts;
}

static void a_url_is_scheme_host_port_database(void **state)
{
    (void)state;
    static const struct {
        const char *url, *base, *name, *database;
    } rows[] = {
        {"http://ch1:8124/water", "http://ch1:8124", "ch1:8124", "water"},
        {"http://ch1", "http://ch1:8123", "ch1:8123", "default"},
        {"https://ch1.example.org/", "https://ch1.example.org:8443", "ch1.example.org:8443",
         "default"},
        {" HTTP://10.0.0.1:80/a_1 ", "http://10.0.0.1:80", "10.0.0.1:80", "a_1"},
        {"http://[::1]:8123/db", "http://[::1]:8123", "[::1]:8123", "db"},
        {"http://[fe80::1]/db", "http://[fe80::1]:8123", "[fe80::1]:8123", "db"},
    };
    for (size_t i = 0; i < array_count(rows); i++) {
        struct ch_hosts hosts = hosts_of(rows[i].url);
        assert_int_equal(hosts.count, 1);
        assert_int_equal(hosts.shards, 1);
        assert_string_equal(hosts.hosts[0].base, rows[i].base);
        assert_string_equal(hosts.hosts[0].name, rows[i].name);
        assert_string_equal(hosts.hosts[0].database, rows[i].database);
        ch_hosts_fini(&hosts);
    }
}

static void commas_make_replicas_and_semicolons_shards(void **state)
{
    (void)state;
    struct ch_hosts hosts = hosts_of("http://a1/db, http://a2/db ;http://b1/db;http://c1/db,"
                                     "http://c2/db,http://c3/db");
    static const uint32_t shards[] = {0, 0, 1, 2, 2, 2};
    assert_int_equal(hosts.count, 6);
    assert_int_equal(hosts.shards, 3);
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(hosts.hosts[i].shard, shards[i]);
    assert_string_equal(ch_hosts_first(&hosts, 2)->name, "c1:8123");
    assert_int_equal(ch_hosts_bit(&hosts, &hosts.hosts[5]), 4);
    ch_hosts_fini(&hosts);
}

static void a_wrong_url_is_told_without_its_secrets(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "",
        "   ",
        "ch1:8123",
        "ftp://ch1/db",
        "http://",
        "http:///db",
        "http://ch1:0/db",
        "http://ch1:65536/db",
        "http://ch1:99999999999999/db",
        "http://ch1:12x/db",
        "http://ch1:/db",
        "http://ch 1/db",
        "http://[::1/db",
        "http://[]:1/db",
        "http://ch1/db/more",
        "http://ch1/db?user=x",
        "http://ch1/1db",
        "http://gw:geheim@ch1/db",
        "http://gw:a@geheim@ch1/db",
        "http://ch1/db?user=gw&password=geheim",
        "http://ch1/db#geheim",
        "http://gw:geheim/@ch1/db",
        "http://ch1/db,",
        "http://ch1/db;;http://ch2/db",
        "http://ch1/db,http://ch1/db",
        "http://ch1/db;http://ch1:8123/db",
    };
    for (size_t i = 0; i < array_count(urls); i++) {
        struct ch_hosts hosts;
        struct err err = {0};
        assert_int_equal(ch_hosts_init(&hosts, urls[i], &err), GW_EINVAL);
        assert_non_null(strstr(err.text, "url"));
        assert_null(strstr(err.text, "geheim"));
    }
    struct ch_hosts hosts;
    struct err err;
    assert_int_equal(ch_hosts_init(&hosts, NULL, &err), GW_EINVAL);
}

static void the_first_replica_that_answers_is_used(void **state)
{
    (void)state;
    struct ch_hosts hosts = hosts_of("http://a1/db,http://a2/db,http://a3/db;http://b1/db");
    struct ch_host *host = hosts.hosts;
    assert_ptr_equal(ch_hosts_pick(&hosts, 0, 0, 1000), &host[0]);
    ch_host_failed(&host[0], 1000);
    assert_ptr_equal(ch_hosts_pick(&hosts, 0, 0, 1001), &host[1]);
    host[1].checked = false;
    assert_ptr_equal(ch_hosts_pick(&hosts, 0, 0, 1001), &host[2]);
    assert_ptr_equal(ch_hosts_pick(&hosts, 0, 4, 1001), &host[0]); /* better than none */
    assert_null(ch_hosts_pick(&hosts, 0, 5, 1001));
    assert_ptr_equal(ch_hosts_pick(&hosts, 0, 0, 1000 + HOST_BACKOFF_MS_MIN), &host[0]);
    assert_ptr_equal(ch_hosts_pick(&hosts, 1, 0, 1001), &host[3]);
    ch_hosts_fini(&hosts);
}

static void when_all_back_off_the_earliest_is_tried(void **state)
{
    (void)state;
    struct ch_hosts hosts = hosts_of("http://a1/db,http://a2/db");
    ch_host_failed(&hosts.hosts[0], 1000);
    ch_host_failed(&hosts.hosts[0], 2000);
    ch_host_failed(&hosts.hosts[1], 2000);
    assert_ptr_equal(ch_hosts_pick(&hosts, 0, 0, 2001), &hosts.hosts[1]);
    ch_hosts_fini(&hosts);
}

static void failures_that_come_together_count_once(void **state)
{
    (void)state;
    struct ch_hosts hosts = hosts_of("http://a1/db");
    struct ch_host *host = hosts.hosts;
    for (int i = 0; i < 8; i++)
        ch_host_failed(host, 1000 + i);
    assert_int_equal(host->backoff_ms, HOST_BACKOFF_MS_MIN);
    assert_int_equal(host->silent_since_ms, 1000);
    int64_t now = 1000;
    for (int i = 0; i < 20; i++) {
        now = host->down_until_ms;
        ch_host_failed(host, now);
    }
    assert_int_equal(host->backoff_ms, HOST_BACKOFF_MS_MAX);
    ch_host_answered(host);
    assert_int_equal(host->down_until_ms, 0);
    assert_int_equal(host->silent_since_ms, 0);
    ch_hosts_fini(&hosts);
}

static void a_restart_shows_in_the_uptime(void **state)
{
    (void)state;
    static const struct {
        int64_t uptime, passed_ms, then;
        bool restarted;
    } rows[] = {
        {1000, 60000, 1060, false},
        {1000, 60000, 1059, false},
        {1000, 60000, 1061, false},
        {1000, 60000, 5, true},
        {1000, 60000, 59, true},
        {20, 60000, 58, true},
        {0, 60000, 60, false},
        {1000, 0, 1000, false},
        {1000, 86400000, 87400, false},
        {1000, 86400000, 86300, true},
        /* Its clock or ours runs 1 % wrong. */
        {1000, 600000, 1594, false},
    };
    for (size_t i = 0; i < array_count(rows); i++) {
        struct ch_hosts hosts = hosts_of("http://a1/db");
        assert_false(ch_host_uptime(hosts.hosts, rows[i].uptime, 5000));
        assert_int_equal(ch_host_uptime(hosts.hosts, rows[i].then, 5000 + rows[i].passed_ms),
                         rows[i].restarted);
        assert_int_equal(hosts.hosts[0].restarts, rows[i].restarted);
        ch_hosts_fini(&hosts);
    }
}

static void only_what_was_confirmed_shortly_before_is_at_risk(void **state)
{
    (void)state;
    enum { SETTLE = 900000 };
    struct ch_hosts hosts = hosts_of("http://a1/db");
    struct ch_host *host = hosts.hosts;
    ch_host_uptime(host, 10, 5000000); /* started at 4990000 */
    assert_false(ch_host_at_risk(host, SETTLE));
    host->confirmed_at_ms = 4990000 - SETTLE - 1;
    assert_false(ch_host_at_risk(host, SETTLE));
    host->confirmed_at_ms = 4990000 - SETTLE;
    assert_true(ch_host_at_risk(host, SETTLE));
    host->confirmed_at_ms = 4999999;
    assert_true(ch_host_at_risk(host, SETTLE));
    ch_hosts_fini(&hosts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_url_is_scheme_host_port_database),
        cmocka_unit_test(commas_make_replicas_and_semicolons_shards),
        cmocka_unit_test(a_wrong_url_is_told_without_its_secrets),
        cmocka_unit_test(the_first_replica_that_answers_is_used),
        cmocka_unit_test(when_all_back_off_the_earliest_is_tried),
        cmocka_unit_test(failures_that_come_together_count_once),
        cmocka_unit_test(a_restart_shows_in_the_uptime),
        cmocka_unit_test(only_what_was_confirmed_shortly_before_is_at_risk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
