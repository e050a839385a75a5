/* SPDX-License-Identifier: Apache-2.0
 *
 * The audit's sums: every message has one fate, and whatever is not so is told by its numbers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "audit.h"

static struct cursor_file file;
static struct cursor_list cursors;
static struct audit *audit;
static const int64_t noon_ms = INT64_C(1700000000000) / 86400000 * 86400000 + 43200000;

static int setup(void **state)
{
    (void)state;
    struct err err;
    file = (struct cursor_file){.name = (char *)(uintptr_t) "parquet", .readable = true};
    file.state.next_seq = 11;
    cursors = (struct cursor_list){.files = &file, .count = 1};
    return audit_new(1, 21, &cursors, &audit, &err);
}

static int teardown(void **state)
{
    (void)state;
    audit_free(audit);
    return 0;
}

/* Numbers first..last; of each third one a dead letter, of the others two readings, but for `without`. */
static void batch_add(uint64_t first, uint64_t last, uint64_t without)
{
    struct batch_builder *builder = batch_builder_new();
    for (uint64_t seq = first; seq <= last; seq++) {
        struct batch_row row = {.vendor = bytes_text("acme"),
                                .device = bytes_text("1"),
                                .metric = bytes_text("flow"),
                                .seq = seq,
                                .received_ms = noon_ms};
        if (seq == without)
            continue;
        if (seq % 3 == 0) {
            batch_builder_reject(builder, seq, STAGE_DECODE, bytes_text("acme"), bytes_text("json"),
                                 1, bytes_text("bad_json"), bytes_text(""));
            continue;
        }
        batch_builder_add(builder, &row);
        batch_builder_add(builder, &row);
    }
    struct batch *batch = batch_builder_finish(builder);
    batch->first_seq = first;
    batch->last_seq = last;
    audit_batch(audit, batch);
    batch_release(batch);
    batch_builder_free(builder);
}

static void messages_add(uint64_t first, uint64_t last)
{
    for (uint64_t seq = first; seq <= last; seq++) {
        struct message message = {.seq = seq, .received_ms = noon_ms};
        audit_message(audit, &message);
    }
}

static void on_row(void *arg, const char *vendor, int64_t day, const struct audit_row *row)
{
    struct audit_row *sum = arg;
    (void)vendor;
    assert_int_equal(day, noon_ms / 86400000);
    sum->received += row->received;
    sum->decoded += row->decoded;
    sum->dead += row->dead;
    sum->quarantined += row->quarantined;
    sum->waiting += row->waiting;
    sum->hidden += row->hidden;
    sum->unaccounted += row->unaccounted;
    sum->readings += row->readings;
    sum->sinks[0].confirmed += row->sinks[0].confirmed;
    sum->sinks[0].parked += row->sinks[0].parked;
    sum->sinks[0].waiting += row->sinks[0].waiting;
    sum->sinks[0].stored += row->sinks[0].stored;
}

static struct audit_row sums(void)
{
    struct audit_row sum = {0};
    audit_each(audit, on_row, &sum);
    assert_int_equal(sum.received, sum.decoded + sum.empty + sum.dead + sum.quarantined +
                                       sum.waiting + sum.hidden + sum.unaccounted);
    return sum;
}

static const struct audit_difference *differences(size_t wanted)
{
    size_t count;
    uint64_t more;
    const struct audit_difference *found = audit_differences(audit, &count, &more);
    assert_int_equal(count, wanted);
    assert_int_equal(more, 0);
    return found;
}

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

static void damage_has_a_place_of_its_own(void **state)
{
    (void)state;
    batch_add(1, 4, 3); /* 3 was unreadable when its turn came */
    audit_hidden(audit, 5, 2);
    batch_add(7, 12, 0);
    audit_decoded_to(audit, 13);
    messages_add(1, 2);
    audit_lost(audit, 3, 1);
    messages_add(4, 20);
    struct audit_row sum = sums();
    assert_int_equal(sum.quarantined, 1);
    assert_int_equal(sum.hidden, 2);
    differences(0);
}

static void a_store_is_compared_message_by_message(void **state)
{
    (void)state;
    struct missed_range parked = {.first_seq = 1, .last_seq = 2};
    file.missed = &parked;
    file.missed_count = 1;
    batch_add(1, 12, 0);
    audit_excuse(audit, 4, 4);
    audit_decoded_to(audit, 13);
    messages_add(1, 20);
    audit_store_begin(audit, 0);
    for (uint64_t seq = 5; seq <= 12; seq++) {
        if (seq % 3 == 0 || seq == 8)
            continue;
        audit_store_row(audit, seq, bytes_text("acme"), noon_ms);
        if (seq != 10)
            audit_store_row(audit, seq, bytes_text("acme"), noon_ms);
    }
    audit_store_row(audit, 9, bytes_text("acme"), noon_ms); /* a dead letter has no row */
    audit_store_compare(audit);
    struct audit_row sum = sums();
    assert_int_equal(sum.sinks[0].parked, 4);
    assert_int_equal(sum.sinks[0].stored, 2 + 2 + 1 + 1); /* 5, 7, half of 10, and 9 */
    const struct audit_difference *found = differences(3);
    assert_int_equal(found[0].first_seq, 8);
    assert_int_equal(found[0].expected, 2);
    assert_int_equal(found[0].found, 0);
    assert_int_equal(found[1].first_seq, 9);
    assert_int_equal(found[1].expected, 0);
    assert_int_equal(found[2].last_seq, 10);
    assert_int_equal(found[2].found, 1);
    assert_string_equal(found[0].sink, "parquet");
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_came_in_is_what_went_out),  TEST(a_message_without_fate_is_told),
        TEST(a_hole_between_batches_is_told), TEST(a_message_in_two_batches_is_told),
        TEST(damage_has_a_place_of_its_own),  TEST(a_store_is_compared_message_by_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
