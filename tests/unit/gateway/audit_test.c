/* SPDX-License-Identifier: Apache-2.0
 *
 * The audit's sums: every message has one fate, and whatever is not so is told by its numbers.
 */
#include "lib/audit_kit.h"

static void what_came_in_is_what_went_out(void **state)
{
    (void)state;
    batch_add(1, 12, 0);
    audit_decoded_to(audit, 13);
    messages_add(1, 20);
    struct audit_row sum = sums();
    assert_int_equal(sum.received, 20);
    assert_int_equal(sum.decoded, 8);
    assert_int_equal(sum.dead, 4);
    assert_int_equal(sum.waiting, 8);
    assert_int_equal(sum.readings, 16);
    assert_int_equal(sum.sinks[0].confirmed, 14); /* of 1 to 10 */
    assert_int_equal(sum.sinks[0].waiting, 2);
    differences(0);
}

static void a_message_without_fate_is_told(void **state)
{
    (void)state;
    batch_add(1, 12, 7);
    audit_decoded_to(audit, 13);
    messages_add(1, 20);
    assert_int_equal(sums().unaccounted, 1);
    assert_int_equal(differences(1)->first_seq, 7);
}

static void a_hole_between_batches_is_told(void **state)
{
    (void)state;
    batch_add(1, 4, 0);
    batch_add(8, 12, 0);
    audit_decoded_to(audit, 13);
    messages_add(1, 20);
    const struct audit_difference *found = differences(1);
    assert_int_equal(found->first_seq, 5);
    assert_int_equal(found->last_seq, 7);
}

static void a_message_in_two_batches_is_told(void **state)
{
    (void)state;
    batch_add(1, 4, 0);
    batch_add(4, 12, 0);
    assert_int_equal(differences(1)->first_seq, 4);
}

/* The cursor says that all up to 10 was confirmed. */
static void a_reading_log_that_ends_before_a_cursor_has_lost_its_end(void **state)
{
    (void)state;
    batch_add(1, 4, 0);
    audit_decoded_to(audit, 5);
    messages_add(1, 20);
    assert_int_equal(sums().hidden, 6);
    assert_int_equal(sums().waiting, 10);
    differences(0);
}

static void damage_has_a_place_of_its_own(void **state)
{
    (void)state;
    batch_add(1, 4, 3); /* 3 was unreadable when its turn came */
    audit_hidden(audit, 5, 2);
    batch_add(7, 12, 0);
    audit_decoded_to(audit, 13);
    audit_decoded_to(audit, 13);
    messages_add(1, 2);
    audit_lost(audit, 3, 1);
    messages_add(4, 20);
    struct audit_row sum = sums();
    assert_int_equal(sum.quarantined, 1);
    assert_int_equal(sum.hidden, 2);
    differences(0);
}

/* A machine without a battery for its clock begins in 1970. */
static void each_day(void *arg, const char *vendor, int64_t day, const struct audit_row *row)
{
    int64_t **days = arg;
    (void)vendor;
    *(*days)++ = day;
    *(*days)++ = (int64_t)(row->received);
}

static void days_are_told_as_they_were_wherever_clocks_stood_before(void **state)
{
    (void)state;
    static const int64_t day_ms = 86400000;
    const int64_t received_ms[] = {3 * day_ms, noon_ms, noon_ms - day_ms};
    int64_t told[16], *end = told;
    audit_decoded_to(audit, 1);
    audit_sealed(audit);
    for (uint64_t seq = 1; seq <= 3; seq++) {
        struct message message = {.seq = seq + 10, .received_ms = received_ms[seq - 1]};
        audit_message(audit, &message);
    }
    audit_each(audit, each_day, &end);
    const int64_t noon = noon_ms / day_ms;
    const int64_t wanted[] = {3, 1, noon - 1, 1, noon, 1};
    assert_int_equal(end - told, 6);
    assert_memory_equal(told, wanted, sizeof wanted);
}

static void damage_before_any_message_has_the_day_that_was_told(void **state)
{
    (void)state;
    batch_add(3, 12, 0);
    audit_decoded_to(audit, 13);
    audit_received_about(audit, noon_ms);
    audit_sealed(audit);
    audit_lost(audit, 1, 2);
    messages_add(3, 20);
    assert_int_equal(sums().quarantined, 2);
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_came_in_is_what_went_out),
        TEST(a_message_without_fate_is_told),
        TEST(a_hole_between_batches_is_told),
        TEST(a_message_in_two_batches_is_told),
        TEST(a_reading_log_that_ends_before_a_cursor_has_lost_its_end),
        TEST(damage_has_a_place_of_its_own),
        TEST(days_are_told_as_they_were_wherever_clocks_stood_before),
        TEST(damage_before_any_message_has_the_day_that_was_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
