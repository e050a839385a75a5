/* SPDX-License-Identifier: Apache-2.0
 *
 * A vendor's limits without a listener: the bucket, memory, and the share of the logs as marks move.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "sources/stat.h"
#include "sources/vendor.h"

enum { SECOND_NS = 1000000000, MIB = 1 << 20 };

struct rig {
    struct vendor_table table;
    struct access_grant grant;
};

static struct vendor *start(struct rig *rig, struct access_quota quota)
{
    *rig = (struct rig){.grant = {.vendor = "acme", .generation = 1, .quota = quota}};
    vendor_table_init(&rig->table, 64 * MIB);
    assert_int_equal(vendor_table_seats(&rig->table, 2), 0);
    return vendor_table_find(&rig->table, &rig->grant);
}

static void sum_up(void *arg, const struct vendor_figures *figures)
{
    *(struct vendor_sums *)arg = figures->sums;
}

static struct vendor_sums sums_of(struct rig *rig)
{
    struct vendor_sums sums = {0};
    vendor_table_each(&rig->table, sum_up, &sums);
    return sums;
}

static void water(struct rig *rig, uint64_t next_seq, uint64_t needed_seq)
{
    vendor_table_mark(&rig->table, &(struct vendor_water){next_seq, needed_seq, 1000});
}

/* As many messages of one byte as come in at this time. */
static int pass(struct rig *rig, struct vendor *vendor, int64_t now_ns)
{
    int count = 0;
    while (count < 10000 &&
           vendor_holds(&rig->table, vendor, vendor->seats[0], 1, now_ns) == HOLD_NONE) {
        vendor_take(vendor, vendor->seats[0], 1, now_ns);
        count++;
    }
    return count;
}

static void burst_passes_and_then_the_rate(void **state)
{
    (void)state;
    struct rig rig;
    struct vendor *vendor = start(&rig, (struct access_quota){.rate = 100, .burst = 30});
    int64_t now_ns = 5 * (int64_t)SECOND_NS;
    assert_int_equal(pass(&rig, vendor, now_ns), 30);
    assert_int_equal(vendor_holds(&rig.table, vendor, vendor->seats[1], 1, now_ns), HOLD_RATE);
    assert_int_equal(pass(&rig, vendor, now_ns + SECOND_NS / 10), 10);
    /* What was not used is not saved up beyond the burst. */
    assert_int_equal(pass(&rig, vendor, now_ns + 60 * (int64_t)SECOND_NS), 30);
    vendor_table_fini(&rig.table);
}

static void bytes_pass_by_the_second(void **state)
{
    (void)state;
    struct rig rig;
    struct vendor *vendor = start(&rig, (struct access_quota){.byte_rate = 500});
    assert_int_equal(pass(&rig, vendor, SECOND_NS), 500);
    assert_int_equal(pass(&rig, vendor, 2 * (int64_t)SECOND_NS), 500);
    vendor_table_fini(&rig.table);
}

static void no_limit_is_no_limit(void **state)
{
    (void)state;
    struct rig rig;
    struct vendor *vendor = start(&rig, (struct access_quota){0});
    water(&rig, 1, 1);
    assert_int_equal(pass(&rig, vendor, SECOND_NS), 10000);
    vendor_table_fini(&rig.table);
}

static void an_eighth_of_the_memory_of_a_loop_is_one_vendors(void **state)
{
    (void)state;
    struct rig rig;
    struct vendor *vendor = start(&rig, (struct access_quota){0});
    struct vendor_seat *seat = vendor->seats[0];
    assert_int_equal(vendor_holds(&rig.table, vendor, seat, 32 * MIB, 0), HOLD_NONE); /* alone */
    stat_add(&seat->unacked_bytes, 4 * MIB - 10);
    assert_int_equal(vendor_holds(&rig.table, vendor, seat, 10, 0), HOLD_NONE);
    assert_int_equal(vendor_holds(&rig.table, vendor, seat, 11, 0), HOLD_MEMORY);
    vendor_table_fini(&rig.table);
}

static void share_is_held_until_the_logs_are_needed_from_later_on(void **state)
{
    (void)state;
    struct rig rig;
    struct vendor *vendor = start(&rig, (struct access_quota){.journal_share = 10});
    water(&rig, 1, 1); /* room for 1,000 bytes */
    assert_int_equal(pass(&rig, vendor, 0), 100);
    assert_int_equal(vendor_holds(&rig.table, vendor, vendor->seats[1], 1, 0), HOLD_SHARE);
    water(&rig, 101, 1);
    assert_int_equal(pass(&rig, vendor, 0), 0);
    water(&rig, 101, 100); /* the last one is still needed, and marks are no finer */
    assert_int_equal(pass(&rig, vendor, 0), 0);
    water(&rig, 101, 101);
    assert_int_equal(pass(&rig, vendor, 0), 100);
    vendor_table_fini(&rig.table);
}

/* A destination that is down for long: marks get sparser, and never let go too much. */
static void share_stays_right_over_many_marks(void **state)
{
    (void)state;
    struct rig rig;
    struct vendor *vendor = start(&rig, (struct access_quota){0});
    for (uint64_t seq = 1; seq <= 1000; seq++) {
        water(&rig, seq, 1);
        vendor_take(vendor, vendor->seats[seq % 2], 1, 0);
    }
    assert_true(rig.table.mark_count <= VENDOR_MARKS);
    water(&rig, 1001, 600);
    struct vendor_sums sums = sums_of(&rig);
    assert_int_equal(sums.bytes, 1000);
    assert_true(sums.needed_bytes >= 401);
    assert_true(sums.needed_bytes <= 401 + 1000 / 10);
    water(&rig, 1001, 1001);
    sums = sums_of(&rig);
    assert_int_equal(sums.needed_bytes, 0);
    vendor_table_fini(&rig.table);
}

static void newer_rules_set_the_limits_and_older_ones_do_not(void **state)
{
    (void)state;
    struct rig rig;
    struct vendor *vendor = start(&rig, (struct access_quota){.rate = 5});
    assert_int_equal(pass(&rig, vendor, SECOND_NS), 5);
    struct access_grant newer = rig.grant;
    newer.generation = 2;
    newer.quota = (struct access_quota){0};
    assert_ptr_equal(vendor_table_find(&rig.table, &newer), vendor);
    assert_ptr_equal(vendor_table_find(&rig.table, &rig.grant), vendor);
    assert_int_equal(pass(&rig, vendor, SECOND_NS), 10000);
    vendor_table_fini(&rig.table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(burst_passes_and_then_the_rate),
        cmocka_unit_test(bytes_pass_by_the_second),
        cmocka_unit_test(no_limit_is_no_limit),
        cmocka_unit_test(an_eighth_of_the_memory_of_a_loop_is_one_vendors),
        cmocka_unit_test(share_is_held_until_the_logs_are_needed_from_later_on),
        cmocka_unit_test(share_stays_right_over_many_marks),
        cmocka_unit_test(newer_rules_set_the_limits_and_older_ones_do_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
