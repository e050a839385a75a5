/* SPDX-License-Identifier: Apache-2.0
 *
 * What came of each vendor's messages is counted by its name, within a limit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "vendor_tally.h"

static void row_add(struct batch_builder *builder, const char *vendor, uint64_t seq,
                    enum quality quality, uint32_t flags)
{
    struct batch_row row = {.vendor = bytes_text(vendor),
                            .device = bytes_text("1"),
                            .metric = bytes_text("flow"),
                            .unit = bytes_text("m3/h"),
                            .quality = quality,
                            .flags = flags,
                            .seq = seq,
                            .received_ms = (int64_t)(1000 + seq)};
    batch_builder_add(builder, &row);
}

static void reject_add(struct batch_builder *builder, const char *vendor, enum reject_stage stage)
{
    batch_builder_reject(builder, 99, stage, bytes_text(vendor), bytes_text(""), 0,
                         bytes_text("why"), bytes_text(""));
}

struct found {
    const char *name;
    struct vendor_tally_row row;
    size_t rows;
    bool others;
};

static void on_row(void *arg, const struct vendor_tally_row *row)
{
    struct found *found = arg;
    found->rows++;
    found->others = found->others || row->others;
    if (row->others ? found->name == NULL : found->name && bytes_equal_text(row->name, found->name))
        found->row = *row;
}

static struct found find(struct vendor_tally *tally, const char *name)
{
    struct found found = {.name = name};
    vendor_tally_each(tally, on_row, &found);
    return found;
}

static void add(struct vendor_tally *tally, struct batch_builder *builder)
{
    struct batch *batch = batch_builder_finish(builder);
    vendor_tally_add(tally, batch);
    batch_release(batch);
}

static void messages_readings_and_dead_letters_are_counted_by_vendor(void **state)
{
    (void)state;
    struct vendor_tally *tally = vendor_tally_new(7);
    struct batch_builder *builder = batch_builder_new();
    row_add(builder, "acme", 1, QUALITY_GOOD, 0);
    row_add(builder, "acme", 1, QUALITY_BAD, FLAG_RANGE | FLAG_LATE);
    row_add(builder, "beta", 2, QUALITY_GOOD, 0);
    row_add(builder, "acme", 3, QUALITY_GOOD, FLAG_LATE);
    reject_add(builder, "acme", STAGE_DECODE);
    reject_add(builder, "beta", STAGE_EMPTY);
    reject_add(builder, "", STAGE_ROUTE);
    add(tally, builder);
    struct found acme = find(tally, "acme"), beta = find(tally, "beta"), none = find(tally, "");
    assert_int_equal(acme.rows, 3);
    assert_int_equal(acme.row.messages, 2);
    assert_int_equal(acme.row.readings[QUALITY_GOOD], 2);
    assert_int_equal(acme.row.readings[QUALITY_BAD], 1);
    assert_int_equal(acme.row.flagged[9], 2); /* late */
    assert_int_equal(acme.row.dead[STAGE_DECODE], 1);
    assert_int_equal(acme.row.last_ms, 1003);
    assert_int_equal(beta.row.messages, 2);
    assert_int_equal(beta.row.dead[STAGE_EMPTY], 0);
    assert_int_equal(none.row.dead[STAGE_ROUTE], 1);
    assert_int_equal(none.row.last_ms, 7);
    batch_builder_free(builder);
    vendor_tally_free(tally);
}

static void vendors_of_the_configuration_are_there_before_they_send(void **state)
{
    (void)state;
    struct vendor_tally *tally = vendor_tally_new(7);
    struct config_vendor vendors[] = {{.name = (char[]){"acme"}}};
    struct config_route routes[] = {{.vendor = (char[]){"beta"}}, {.vendor = NULL}};
    struct config config = {
        .vendors = vendors, .vendor_count = 1, .routes = routes, .route_count = 2};
    vendor_tally_configure(tally, &config);
    vendor_tally_configure(tally, &config);
    struct found beta = find(tally, "beta");
    assert_int_equal(beta.rows, 2);
    assert_int_equal(beta.row.last_ms, 7);
    assert_int_equal(beta.row.messages, 0);
    vendor_tally_free(tally);
}

static void names_beyond_the_limit_count_together(void **state)
{
    (void)state;
    struct vendor_tally *tally = vendor_tally_new(7);
    struct batch_builder *builder = batch_builder_new();
    for (int i = 0; i < VENDOR_TALLY_MAX + 10; i++) {
        char name[16];
        snprintf(name, sizeof name, "v%d", i);
        row_add(builder, name, (uint64_t)i + 1, QUALITY_GOOD, 0);
    }
    add(tally, builder);
    struct config_vendor vendors[] = {{.name = (char[]){"configured"}}};
    struct config config = {.vendors = vendors, .vendor_count = 1};
    vendor_tally_configure(tally, &config);
    struct found others = find(tally, NULL);
    assert_true(others.others);
    assert_int_equal(others.rows, VENDOR_TALLY_MAX + 2);
    assert_int_equal(others.row.messages, 10);
    assert_int_equal(others.row.readings[QUALITY_GOOD], 10);
    batch_builder_free(builder);
    vendor_tally_free(tally);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_readings_and_dead_letters_are_counted_by_vendor),
        cmocka_unit_test(vendors_of_the_configuration_are_there_before_they_send),
        cmocka_unit_test(names_beyond_the_limit_count_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
