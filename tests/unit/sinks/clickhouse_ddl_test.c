/* SPDX-License-Identifier: Apache-2.0
 *
 * The statements for the operator. That servers take them is shown by tests/integration; here, that
 * they say only what the version knows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sinks/clickhouse/ddl.h"

static const struct ddl_options plain = {.database = "default", .table = "readings"};

static int write_ddl(const char *version, struct ddl_options options, struct buffer *out,
                     struct err *err)
{
    struct table_shape shape;
    buffer_clear(out);
    assert_int_equal(table_version_parse(bytes_text(version), &shape, err), 0);
    int status = ddl_write(&shape, &options, out, err);
    buffer_u8(out, 0);
    return status;
}

static const char *ddl_of(const char *version, struct ddl_options options, struct buffer *out)
{
    struct err err = {0};
    assert_int_equal(write_ddl(version, options, out, &err), 0);
    return (const char *)out->data;
}

/* Nothing but comments and statements that begin with CREATE and end with a semicolon; never a
 * comment behind the last one: the client of 18.16 takes that for an empty query. */
static unsigned count_statements(const char *text)
{
    unsigned statements = 0;
    bool inside = false, last_was_end = false;
    while (*text) {
        const char *end = strchr(text, '\n');
        assert_non_null(end);
        size_t size = (size_t)(end - text);
        if (size && strncmp(text, "--", 2) != 0) {
            if (!inside) {
                assert_int_equal(strncmp(text, "CREATE ", 7), 0);
                statements++;
            }
            last_was_end = text[size - 1] == ';';
            inside = !last_was_end;
        } else {
            assert_false(inside);
            last_was_end = last_was_end && size == 0;
        }
        text = end + 1;
    }
    assert_true(last_was_end);
    return statements;
}

static bool has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

static void old_servers_get_no_word_they_do_not_know(void **state)
{
    (void)state;
    static const char *const unknown[] = {"DateTime64", "CODEC",      "LowCardinality", "TTL",
                                          "GRANT ",     "SETTINGS d", "deduplication",  "xxHash64"};
    struct buffer out = {0};
    struct ddl_options options = plain;
    options.cluster = "c1";
    options.replicated = true;
    const char *text = ddl_of("18.16.1", options, &out);
    for (size_t i = 0; i < array_count(unknown); i++)
        assert_false(has(text, unknown[i]));
    assert_true(has(text, "ORDER BY (vendor, device, metric, ts, ts_ms)"));
    assert_true(has(text, "received_ms UInt16"));
    assert_int_equal(count_statements(text), 4);
    buffer_fini(&out);
}

static void current_servers_get_what_they_can(void **state)
{
    (void)state;
    struct buffer out = {0};
    struct ddl_options options = plain;
    options.ttl_days = 800;
    const char *text = ddl_of("24.8", options, &out);
    assert_true(has(text, "ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))"));
    assert_true(has(text, "vendor LowCardinality(String)"));
    assert_true(has(text,
                    "ORDER BY (vendor, device, metric, ts)\nTTL toDateTime(ts) + INTERVAL 800 "
                    "DAY\nSETTINGS"));
    assert_true(has(text, "non_replicated_deduplication_window"));
    assert_true(has(text, "GRANT INSERT, SHOW COLUMNS ON default.readings TO tidegate;"));
    assert_int_equal(count_statements(text), 3);
    buffer_fini(&out);
}

static void a_cluster_has_a_table_over_all_shards(void **state)
{
    (void)state;
    struct buffer out = {0};
    struct ddl_options options = {
        .database = "water", .table = "r2", .cluster = "main", .replicated = true};
    const char *text = ddl_of("26.7", options, &out);
    assert_int_equal(count_statements(text), 5);
    assert_true(has(text, "CREATE DATABASE IF NOT EXISTS water ON CLUSTER main;"));
    assert_true(has(text, "ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/water/"
                          "r2', '{replica}', version)"));
    assert_true(has(text, "ENGINE = Distributed(main, water, r2, xxHash64(concat(vendor, '/', "
                          "device)));"));
    assert_true(has(text, "FROM water.r2_all FINAL"));
    assert_false(has(text, "non_replicated"));
    buffer_fini(&out);
}

/* The order of statements: each names only what stands before it. */
static void statements_stand_in_the_order_to_run_them(void **state)
{
    (void)state;
    struct buffer out = {0};
    struct ddl_options options = {.database = "water", .table = "r", .cluster = "c"};
    const char *text = ddl_of("26.7", options, &out);
    static const char *const order[] = {
        "CREATE DATABASE IF NOT EXISTS water ", "CREATE TABLE IF NOT EXISTS water.r ",
        "CREATE TABLE IF NOT EXISTS water.r_all ", "CREATE VIEW IF NOT EXISTS water.r_unique ",
        "CREATE VIEW IF NOT EXISTS water.r_latest "};
    for (size_t i = 0; i < array_count(order); i++) {
        text = strstr(text, order[i]);
        assert_non_null(text);
    }
    buffer_fini(&out);
}

static void names_that_would_need_quotes_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",    "1st", "a b",     "a;DROP TABLE b",
                                        "a.b", "a`b", "\xc3\xa9"};
    struct buffer out = {0};
    for (size_t i = 0; i < array_count(wrong); i++)
        for (int which = 0; which < 3; which++) {
            struct err err = {0};
            struct ddl_options options = plain;
            *(which == 0   ? &options.database
              : which == 1 ? &options.table
                           : &options.cluster) = wrong[i];
            assert_int_equal(write_ddl("26.7", options, &out, &err), GW_EINVAL);
            assert_non_null(strstr(err.text, which == 0   ? "database"
                                             : which == 1 ? "table"
                                                          : "cluster"));
            assert_int_equal(out.size, 1);
        }
    buffer_fini(&out);
}

static void an_old_server_has_no_ttl(void **state)
{
    (void)state;
    struct buffer out = {0};
    struct err err = {0};
    struct ddl_options options = plain;
    options.ttl_days = 10;
    assert_int_equal(write_ddl("18.16", options, &out, &err), GW_EINVAL);
    assert_non_null(strstr(err.text, "DROP PARTITION"));
    buffer_fini(&out);
}

static void a_ttl_that_would_wrap_is_refused(void **state)
{
    (void)state;
    struct buffer out = {0};
    struct err err = {0};
    struct ddl_options options = plain;
    options.ttl_days = DDL_TTL_DAYS_MAX;
    assert_int_equal(write_ddl("26.7", options, &out, &err), 0);
    options.ttl_days++;
    assert_int_equal(write_ddl("26.7", options, &out, &err), GW_EINVAL);
    assert_non_null(strstr(err.text, "at most 10000 days"));
    buffer_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(old_servers_get_no_word_they_do_not_know),
        cmocka_unit_test(current_servers_get_what_they_can),
        cmocka_unit_test(a_cluster_has_a_table_over_all_shards),
        cmocka_unit_test(statements_stand_in_the_order_to_run_them),
        cmocka_unit_test(names_that_would_need_quotes_are_refused),
        cmocka_unit_test(an_old_server_has_no_ttl),
        cmocka_unit_test(a_ttl_that_would_wrap_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
