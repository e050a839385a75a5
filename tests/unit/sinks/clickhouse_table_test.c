/* SPDX-License-Identifier: Apache-2.0
 *
 * What the server's answers say about it and its table. Answers marked so were taken from the real
 * servers, 18.16.1 and 26.7.2.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sinks/clickhouse/table.h"

/* Of 18.16.1. */
static const char describe_old[] =
    "vendor\tString\t\t\t\ndevice\tString\t\t\t\nmetric\tString\t\t\t\n"
    "ts\tDateTime(\\'UTC\\')\t\t\t\nts_ms\tUInt16\t\t\t\nvalue\tNullable(Float64)\t\t\t\n"
    "unit\tString\t\t\t\nscale\tUInt8\t\t\t\nquality\tString\t\t\t\nflags\tString\t\t\t\n"
    "time_source\tString\t\t\t\nseq\tUInt64\t\t\t\nreceived\tDateTime(\\'UTC\\')\t\t\t\n"
    "received_ms\tUInt16\t\t\t\ngateway\tString\t\t\t\nversion\tUInt64\t\t\t\n";
/* Of 26.7.2. */
static const char describe_new[] =
    "vendor\tLowCardinality(String)\t\t\t\t\t\ndevice\tString\t\t\t\tZSTD(1)\t\n"
    "metric\tLowCardinality(String)\t\t\t\t\t\n"
    "ts\tDateTime64(3, \\'UTC\\')\t\t\t\tDelta(8), ZSTD(1)\t\n"
    "value\tNullable(Float64)\t\t\t\tZSTD(1)\t\nunit\tLowCardinality(String)\t\t\t\t\t\n"
    "scale\tUInt8\t\t\t\tZSTD(1)\t\nquality\tLowCardinality(String)\t\t\t\t\t\n"
    "flags\tLowCardinality(String)\t\t\t\t\t\ntime_source\tLowCardinality(String)\t\t\t\t\t\n"
    "seq\tUInt64\t\t\t\tDelta(8), ZSTD(1)\t\n"
    "received\tDateTime64(3, \\'UTC\\')\t\t\t\tDelta(8), ZSTD(1)\t\n"
    "gateway\tLowCardinality(String)\t\t\t\t\t\nversion\tUInt64\t\t\t\tDelta(8), ZSTD(1)\t\n";
static const char engine_old[] =
    "ReplacingMergeTree\tReplacingMergeTree(version) PARTITION BY toYYYYMMDD(ts) ORDER BY (vendor, "
    "device, metric, ts, ts_ms) SETTINGS index_granularity = 8192\ttoYYYYMMDD(ts)\tvendor, device, "
    "metric, ts, ts_ms\n";
static const char engine_new[] =
    "ReplacingMergeTree\tReplacingMergeTree(version) PARTITION BY toYYYYMMDD(ts) ORDER BY (vendor, "
    "device, metric, ts) TTL toDateTime(ts) + toIntervalDay(800) SETTINGS index_granularity = "
    "8192\ttoYYYYMMDD(ts)\tvendor, device, metric, ts\n";

static struct table_shape shape_of(const char *version)
{
    struct table_shape shape;
    struct err err = {0};
    int status = table_version_parse(bytes_text(version), &shape, &err);
    if (status < 0)
        print_error("%s\n", err.text);
    assert_int_equal(status, 0);
    return shape;
}

/* `with` in place of the first `what`. */
static char *changed(const char *text, const char *what, const char *with)
{
    const char *at = strstr(text, what);
    assert_non_null(at);
    return mem_printf("%.*s%s%s", (int)(at - text), text, with, at + strlen(what));
}

/* ---- version ---- */

static void versions_say_what_the_server_knows(void **state)
{
    (void)state;
    struct table_shape old = shape_of("18.16.1\n");
    assert_int_equal(old.major, 18);
    assert_int_equal(old.minor, 16);
    assert_false(old.datetime64 || old.codecs || old.low_cardinality || old.async_insert ||
                 old.insert_deduplication_token || old.types_conversion);
    struct table_shape now = shape_of("26.7.2.1\n");
    assert_true(now.datetime64 && now.codecs && now.low_cardinality && now.async_insert &&
                now.insert_deduplication_token && now.types_conversion);
    assert_true(shape_of("24.8.4.13-lts").insert_deduplication_token);
    assert_false(shape_of("22.1.9").insert_deduplication_token);
    assert_true(shape_of("22.2").insert_deduplication_token);
    assert_true(shape_of("100.1").datetime64);
}

static void what_is_no_version_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "\n",
        "18",
        "18.",
        "18.16x",
        ".16",
        "x18.16",
        "18,16",
        "18.15.9",
        "1.1.543",
        "0.0.0",
        "-18.16",
        "18.-16",
        "\xff\xfe",
        " 18.16",
        "<html><body>502 Bad Gateway</body></html>",
        "99999999999999999999.1",
    };
    for (size_t i = 0; i < array_count(wrong); i++) {
        struct table_shape shape;
        struct err err = {0};
        assert_int_equal(table_version_parse(bytes_text(wrong[i]), &shape, &err), GW_EINVAL);
        assert_true(err.text[0] != '\0');
    }
}

/* ---- columns ---- */

static void both_tables_of_ours_fit(void **state)
{
    (void)state;
    struct err err = {0};
    bool seen = false;
    struct table_shape old = shape_of("18.16.1");
    assert_int_equal(table_describe_check(bytes_text(describe_old), &old, &err), 0);
    assert_int_equal(table_engine_check(bytes_text(engine_old), &old, &seen, &err), 0);
    assert_true(seen);
    assert_int_equal(old.columns[COLUMN_TS].wire, WIRE_DATETIME);
    assert_string_equal(old.columns[COLUMN_TS].type, "DateTime('UTC')");
    assert_int_equal(old.columns[COLUMN_TS_MS].wire, WIRE_INT16);
    assert_int_equal(old.columns[COLUMN_VENDOR].wire, WIRE_STRING);
    struct table_shape now = shape_of("26.7.2.1");
    assert_int_equal(table_describe_check(bytes_text(describe_new), &now, &err), 0);
    assert_int_equal(table_engine_check(bytes_text(engine_new), &now, &seen, &err), 0);
    assert_int_equal(now.columns[COLUMN_TS].wire, WIRE_DATETIME64);
    assert_int_equal(now.columns[COLUMN_TS].ticks_per_ms, 1);
    assert_int_equal(now.columns[COLUMN_TS_MS].wire, WIRE_ABSENT);
    assert_int_equal(now.columns[COLUMN_VENDOR].wire, WIRE_LOW_CARDINALITY);
    assert_int_equal(now.columns[COLUMN_DEVICE].wire, WIRE_STRING);
    assert_true(now.ts_min_ms < 0 && now.ts_max_ms > old.ts_max_ms);
}

static void assert_describe(const char *what, const char *with, const char *complaint)
{
    struct err err = {0};
    struct table_shape shape = shape_of("26.7.2.1");
    char *answer = changed(describe_new, what, with);
    int status = table_describe_check(bytes_text(answer), &shape, &err);
    if (complaint) {
        assert_int_equal(status, GW_EINVAL);
        if (!strstr(err.text, complaint))
            print_error("%s\n", err.text);
        assert_non_null(strstr(err.text, complaint));
        assert_non_null(strstr(err.text, "`tidegate clickhouse ddl --server-version 26.7`"));
    } else {
        assert_int_equal(status, 0);
    }
    free(answer);
}

static void types_that_hold_a_reading_are_accepted(void **state)
{
    (void)state;
    assert_describe("ts\tDateTime64(3, \\'UTC\\')", "ts\tDateTime64(9, \\'Asia/Shanghai\\')", NULL);
    assert_describe("ts\tDateTime64(3, \\'UTC\\')", "ts\tDateTime64(6)", NULL);
    assert_describe("ts\tDateTime64(3, \\'UTC\\')", "ts_ms\tUInt16\nts\tDateTime", NULL);
    assert_describe("scale\tUInt8", "scale\tInt64", NULL);
    assert_describe("seq\tUInt64", "seq\tInt64", NULL);
    assert_describe("gateway\tLow", "site\tUInt8\t\t\ngateway\tLow", NULL);
    assert_describe("gateway\tLow", "\\n\\t\\\\\t\x01\xff\t\t\ngateway\tLow", NULL);
    assert_describe("vendor\tLowCardinality(String)\t\t", "vendor\tString\tDEFAULT\t\\'x\\'", NULL);
}

static void types_that_do_not_are_named(void **state)
{
    (void)state;
    assert_describe("ts\tDateTime64(3, \\'UTC\\')", "ts\tDateTime64(2)",
                    "ts is DateTime64(2) instead");
    assert_describe("ts\tDateTime64(3, \\'UTC\\')", "ts\tDateTime64(3",
                    "ts is DateTime64(3 instead");
    assert_describe("ts\tDateTime64(3, \\'UTC\\')", "ts\tDateTime64(3, \\'U\\", "ts is");
    assert_describe("ts\tDateTime64(3, \\'UTC\\')", "ts\tDate",
                    "ts is Date instead of DateTime64(3)");
    assert_describe("ts\tDateTime64(3, \\'UTC\\')", "ts\tDateTime(\\'UTC\\'))", "ts is");
    assert_describe("ts\tDateTime64(3, \\'UTC\\')", "ts\tDateTime", "ts_ms is missing");
    assert_describe("received\tDateTime64(3, \\'UTC\\')", "received\tDateTime",
                    "received_ms is missing");
    assert_describe("value\tNullable(Float64)", "value\tFloat64",
                    "value is Float64 instead of Nullable(Float64)");
    assert_describe("value\tNullable(Float64)", "value\tNullable(Float32)", "value is");
    assert_describe("seq\tUInt64", "seq\tUInt32", "seq is UInt32 instead of UInt64");
    assert_describe("version\tUInt64", "version\tInt64", "version is Int64");
    assert_describe("device\tString", "device\tFixedString(16)", "device is FixedString(16)");
    assert_describe("device\tString", "device\tNullable(String)", "device is Nullable(String)");
    assert_describe("device\tString", "device\t\x1b[2J", "device is ?[2J instead");
    assert_describe("device\tString\t\t", "device\tString\tMATERIALIZED\t\\'x\\'",
                    "device is MATERIALIZED and takes no values");
    assert_describe("device\tString\t\t", "device\tString\tALIAS\tvendor", "device is ALIAS");
    assert_describe("device\tString", "Device\tString", "device is missing");
}

static void all_that_is_wrong_is_told_at_once(void **state)
{
    (void)state;
    struct err err = {0};
    struct table_shape shape = shape_of("18.16.1");
    assert_int_equal(table_describe_check(bytes_text(""), &shape, &err), GW_EINVAL);
    for (int id = 0; id < COLUMN_COUNT; id++)
        if (id != COLUMN_TS_MS && id != COLUMN_RECEIVED_MS)
            assert_non_null(strstr(err.text, table_column_name(id)));
    assert_non_null(strstr(err.text, "--server-version 18.16`"));
    assert_int_equal(table_describe_check(bytes_text("seq\tUInt8\nvalue\tFloat32\nts\tDateTime\n"),
                                          &shape, &err),
                     GW_EINVAL);
    assert_non_null(strstr(err.text, "seq is UInt8"));
    assert_non_null(strstr(err.text, "value is Float32"));
    assert_non_null(strstr(err.text, "ts_ms is missing"));
}

/* ---- engine ---- */

static void assert_engine(const char *what, const char *with, const char *complaint)
{
    struct err err = {0};
    bool seen;
    struct table_shape shape = shape_of("26.7.2.1");
    char *answer = changed(engine_new, what, with);
    assert_int_equal(table_describe_check(bytes_text(describe_new), &shape, &err), 0);
    int status = table_engine_check(bytes_text(answer), &shape, &seen, &err);
    assert_true(seen);
    assert_int_equal(status, complaint ? GW_EINVAL : 0);
    if (complaint && !strstr(err.text, complaint))
        print_error("%s\n", err.text);
    assert_true(complaint == NULL || strstr(err.text, complaint));
    free(answer);
}

static void replicated_and_other_keys_of_the_same_columns_are_accepted(void **state)
{
    (void)state;
    assert_engine(
        "ReplacingMergeTree\tReplacingMergeTree(version)",
        "ReplicatedReplacingMergeTree\tReplicatedReplacingMergeTree(\\'/clickhouse/tables/"
        "{shard}/readings\\', \\'{replica}\\', version)",
        NULL);
    assert_engine(
        "ReplacingMergeTree\tReplacingMergeTree(version)",
        "SharedReplacingMergeTree\tSharedReplacingMergeTree(\\'/x\\', \\'{r}\\', version)", NULL);
    assert_engine("ReplacingMergeTree(version)",
                  "ReplacingMergeTree(day, (vendor, device, metric, ts), 8192, version)", NULL);
    assert_engine("ReplacingMergeTree(version)", "ReplacingMergeTree(version, withdrawn)", NULL);
    assert_engine("\tvendor, device, metric, ts\n", "\tmetric, `device`, vendor, ts\n", NULL);
    assert_engine("\tvendor, device, metric, ts\n",
                  "\ttoStartOfInterval(ts, toIntervalDay(7)), vendor, device, metric, ts\n", NULL);
    assert_engine("\ttoYYYYMMDD(ts)\t", "\ttoYYYYMM(ts), vendor\t", NULL);
    assert_engine("\ttoYYYYMMDD(ts)\t", "\t\t", NULL);
}

static void a_table_that_would_keep_both_or_lose_one_is_refused(void **state)
{
    (void)state;
    assert_engine("ReplacingMergeTree\tReplacingMergeTree(version)", "MergeTree\tMergeTree",
                  "its engine is MergeTree instead");
    assert_engine("ReplacingMergeTree\tReplacingMergeTree(version)",
                  "Distributed\tDistributed(\\'c\\', \\'default\\', \\'readings\\')",
                  "its engine is Distributed instead");
    assert_engine("ReplacingMergeTree(version)", "ReplacingMergeTree", "compares no version");
    assert_engine("ReplacingMergeTree(version)", "ReplacingMergeTree(seq)", "compares no version");
    assert_engine("ReplacingMergeTree\tReplacingMergeTree(version)",
                  "ReplicatedReplacingMergeTree\tReplicatedReplacingMergeTree(\\'/tables/version/"
                  "readings\\', \\'{replica}\\')",
                  "compares no version");
    assert_engine("\tvendor, device, metric, ts\n", "\tvendor, device, ts\n",
                  "ORDER BY lacks metric");
    assert_engine("\tvendor, device, metric, ts\n", "\tvendor, device, metric, toStartOfHour(ts)\n",
                  "ORDER BY lacks ts");
    assert_engine("\tvendor, device, metric, ts\n", "\tvendor, device, metric, ts, seq\n",
                  "ORDER BY has seq");
    assert_engine("\tvendor, device, metric, ts\n", "\n", "ORDER BY lacks vendor");
    assert_engine("\ttoYYYYMMDD(ts)\t", "\ttoYYYYMMDD(received)\t", "PARTITION BY has received");
}

static void milliseconds_belong_into_the_order(void **state)
{
    (void)state;
    struct err err = {0};
    bool seen;
    struct table_shape shape = shape_of("18.16.1");
    char *answer = changed(engine_old, "metric, ts, ts_ms\n", "metric, ts\n");
    assert_int_equal(table_describe_check(bytes_text(describe_old), &shape, &err), 0);
    assert_int_equal(table_engine_check(bytes_text(answer), &shape, &seen, &err), GW_EINVAL);
    assert_non_null(strstr(err.text, "ORDER BY lacks ts_ms"));
    free(answer);
}

static void an_engine_nobody_shows_us_is_accepted(void **state)
{
    (void)state;
    struct err err = {0};
    bool seen = true;
    struct table_shape shape = shape_of("26.7");
    assert_int_equal(table_engine_check(bytes_text(""), &shape, &seen, &err), 0);
    assert_false(seen);
}

/* ---- what we send ---- */

static void assert_text(struct buffer *out, const char *expected)
{
    buffer_u8(out, 0);
    assert_string_equal((const char *)out->data, expected);
    buffer_clear(out);
}

static void queries_are_quoted(void **state)
{
    (void)state;
    struct err err = {0};
    struct buffer out = {0};
    struct table_shape shape = shape_of("18.16.1");
    table_describe_query("we`ird", "back\\slash", &out);
    assert_text(&out, "DESCRIBE TABLE `we\\`ird`.`back\\\\slash` FORMAT TabSeparated");
    table_engine_query("o'clock", "t", &out);
    assert_text(&out, "SELECT engine, engine_full, partition_key, sorting_key FROM system.tables "
                      "WHERE database = 'o\\'clock' AND name = 't' FORMAT TabSeparated");
    assert_int_equal(table_describe_check(bytes_text(describe_old), &shape, &err), 0);
    table_insert_query(&shape, "d", "t", &out);
    assert_text(&out, "INSERT INTO `d`.`t` (vendor, device, metric, ts, ts_ms, value, unit, scale, "
                      "quality, flags, time_source, seq, received, received_ms, gateway, version) "
                      "FORMAT Native");
    buffer_fini(&out);
}

/* An unknown setting is an error to every server. */
static void settings_are_those_the_version_knows(void **state)
{
    (void)state;
    struct buffer out = {0};
    struct table_shape old = shape_of("18.16.1"), now = shape_of("26.7.2.1");
    table_insert_settings(&old, "abc", false, &out);
    assert_text(&out, "&decompress=1&wait_end_of_query=1&input_format_skip_unknown_fields=0");
    table_insert_settings(&now, "abc", false, &out);
    assert_text(&out, "&decompress=1&wait_end_of_query=1&input_format_skip_unknown_fields=0"
                      "&input_format_native_allow_types_conversion=0&async_insert=0"
                      "&insert_deduplication_token=abc");
    table_insert_settings(&now, "abc", true, &out);
    assert_text(&out, "&decompress=1&wait_end_of_query=1&input_format_skip_unknown_fields=0"
                      "&input_format_native_allow_types_conversion=0&async_insert=0"
                      "&insert_deduplicate=0");
    buffer_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions_say_what_the_server_knows),
        cmocka_unit_test(what_is_no_version_is_refused),
        cmocka_unit_test(both_tables_of_ours_fit),
        cmocka_unit_test(types_that_hold_a_reading_are_accepted),
        cmocka_unit_test(types_that_do_not_are_named),
        cmocka_unit_test(all_that_is_wrong_is_told_at_once),
        cmocka_unit_test(replicated_and_other_keys_of_the_same_columns_are_accepted),
        cmocka_unit_test(a_table_that_would_keep_both_or_lose_one_is_refused),
        cmocka_unit_test(milliseconds_belong_into_the_order),
        cmocka_unit_test(an_engine_nobody_shows_us_is_accepted),
        cmocka_unit_test(queries_are_quoted),
        cmocka_unit_test(settings_are_those_the_version_knows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
