/* SPDX-License-Identifier: Apache-2.0
 *
 * The audit beside a store: what it has, what it lacks and why, and what was decoded again.
 */
#include "lib/audit_kit.h"

static const struct audit_rule rule_exact = {.exact = true};
static const struct audit_rule rule_rows = {.one_a_key = true, .keeps_old = true};

static uint64_t hash_of(uint64_t seq, const char *metric)
{
    const struct audit_key key = {.seq = seq,
                                  .vendor = bytes_text("acme"),
                                  .device = bytes_text("1"),
                                  .metric = bytes_text(metric)};
    return audit_key_hash(&key);
}

static void filled(void)
{
    batch_add(1, 12, 0);
    audit_decoded_to(audit, 13);
    messages_add(1, 20);
}

static void row_add(uint64_t seq, const char *metric, uint32_t generation, bool replay)
{
    const struct owed_row row = {(uint32_t)hash_of(seq, metric), generation, replay};
    audit_store_row(audit, seq, &row);
}

static void rows_add(uint64_t first, uint64_t last)
{
    for (uint64_t seq = first; seq <= last; seq++) {
        if (seq % 3 == 0)
            continue;
        row_add(seq, "flow", 0, false);
        row_add(seq, "volume.total", 0, false);
    }
}

static struct audit_absent *judged(size_t wanted)
{
    size_t count;
    struct audit_absent *absent = audit_store_judge(audit, &count);
    assert_int_equal(count, wanted);
    return absent;
}

static void a_store_that_has_everything_differs_in_nothing(void **state)
{
    (void)state;
    filled();
    for (int i = 0; i < 2; i++) {
        audit_store_begin(audit, 0, i ? &rule_rows : &rule_exact);
        rows_add(1, 12); /* 11 and 12 are not confirmed: nobody asks */
        judged(0);
        audit_store_finish(audit);
    }
    assert_int_equal(sums().sinks[0].stored, 2 * 14);
    differences(0);
}

static void what_a_store_misses_is_told_by_its_numbers(void **state)
{
    (void)state;
    struct missed_range parked = {.first_seq = 1, .last_seq = 2};
    file.missed = &parked;
    file.missed_count = 1;
    filled();
    audit_store_begin(audit, 0, &rule_exact);
    rows_add(4, 4);
    row_add(10, "flow", 0, false);
    judged(2 + 2 + 2 + 1);
    audit_store_finish(audit);
    struct audit_row sum = sums();
    assert_int_equal(sum.sinks[0].parked, 4);
    assert_int_equal(sum.sinks[0].stored, 2 + 1);
    assert_int_equal(sum.sinks[0].absent[ABSENT_LOST], 7);
    const struct audit_difference *found = differences(1); /* dead letters between do not part it */
    assert_int_equal(found->first_seq, 5);
    assert_int_equal(found->last_seq, 10);
    assert_int_equal(found->expected, 8);
    assert_int_equal(found->found, 1);
    assert_string_equal(found->sink, "parquet");
}

static void what_has_a_reason_is_no_difference(void **state)
{
    (void)state;
    batch_add(1, 12, 0);
    audit_refused(audit, 7, 0);
    audit_refused(audit, 8, 1); /* another sink's */
    audit_decoded_to(audit, 13);
    messages_add(1, 20);
    audit_store_begin(audit, 0, &rule_exact);
    rows_add(1, 5);
    rows_add(10, 10);
    struct audit_absent *absent = judged(4);
    assert_int_equal(absent[0].reason, ABSENT_REFUSED);
    assert_int_equal(absent[1].reason, ABSENT_REFUSED);
    absent[2].reason = ABSENT_EXPIRED;
    absent[3].reason = ABSENT_REPLACED;
    audit_store_finish(audit);
    struct audit_row sum = sums();
    assert_int_equal(sum.sinks[0].absent[ABSENT_REFUSED], 2);
    assert_int_equal(sum.sinks[0].absent[ABSENT_EXPIRED], 1);
    assert_int_equal(sum.sinks[0].absent[ABSENT_REPLACED], 1);
    differences(0);
}

static void what_is_from_before_a_sink_began_is_no_difference(void **state)
{
    (void)state;
    filled();
    audit_store_begin(audit, 0, &rule_exact);
    audit_store_began_later(audit);
    rows_add(5, 7); /* 8 and 10 are lost */
    struct audit_absent *absent = judged(2 * 5);
    assert_int_equal(absent[0].reason, ABSENT_BEFORE);
    audit_store_finish(audit);
    assert_int_equal(sums().sinks[0].absent[ABSENT_BEFORE], 2 * 3);
    assert_int_equal(differences(1)->first_seq, 8);
}

static void a_store_with_nothing_in_it_has_lost_all_wherever_its_sink_began(void **state)
{
    (void)state;
    filled();
    audit_store_begin(audit, 0, &rule_exact);
    audit_store_began_later(audit);
    judged(14);
    audit_store_finish(audit);
    assert_int_equal(sums().sinks[0].absent[ABSENT_LOST], 14);
}

static void what_nobody_sent_and_what_stands_twice_is_told(void **state)
{
    (void)state;
    filled();
    audit_store_begin(audit, 0, &rule_exact);
    rows_add(1, 12);
    row_add(9, "flow", 0, false); /* a dead letter has no row */
    row_add(5, "flow", 0, false);
    judged(0);
    audit_store_finish(audit);
    const struct audit_difference *found = differences(2);
    assert_int_equal(found[0].first_seq, 5);
    assert_int_equal(found[0].found, 3);
    assert_int_equal(found[1].first_seq, 9);
    assert_int_equal(found[1].expected, 0);
}

static void a_record_may_stand_again_where_delivery_is_at_least_once(void **state)
{
    (void)state;
    static const struct audit_rule rule = {.keeps_old = true};
    filled();
    audit_store_begin(audit, 0, &rule);
    rows_add(1, 12);
    rows_add(4, 5);
    judged(0);
    audit_store_finish(audit);
    assert_int_equal(sums().sinks[0].repeated, 4);
    differences(0);
}

static void what_a_replay_sent_stands_for_what_was_lost_and_is_no_second_copy(void **state)
{
    (void)state;
    filled();
    audit_store_begin(audit, 0, &rule_exact);
    rows_add(1, 7);
    for (uint64_t seq = 7; seq <= 10; seq++)
        if (seq % 3) {
            row_add(seq, "flow", 0, true);
            row_add(seq, "volume.total", 0, true);
        }
    judged(0);
    audit_store_finish(audit);
    differences(0);
}

/* Message 4 had flow and volume.total; since, it has flow and pressure, and volume.total was taken back. */
static void decoded_again(uint32_t generation)
{
    static const char *const metrics[] = {"flow", "pressure", "volume.total"};
    struct batch_builder *builder = batch_builder_new();
    for (size_t i = 0; i < 3; i++) {
        struct batch_row row = {.vendor = bytes_text("acme"),
                                .device = bytes_text("1"),
                                .metric = bytes_text(metrics[i]),
                                .flags = i == 2 ? FLAG_WITHDRAWN : 0,
                                .seq = 4,
                                .received_ms = noon_ms};
        batch_builder_add(builder, &row);
    }
    struct batch *batch = batch_builder_finish(builder);
    batch->generation = generation;
    audit_again(audit, batch);
    batch_release(batch);
    batch_builder_free(builder);
}

/* Which of the three of message 4 are there; how many are absent, and how many differences. */
static void store_of_4(const struct audit_rule *rule, const char *metrics, size_t absent,
                       size_t wanted)
{
    file.state.next_seq = 5;
    batch_add(1, 12, 0);
    decoded_again(7);
    decoded_again(7); /* the same once more */
    audit_decoded_to(audit, 13);
    messages_add(1, 20);
    audit_store_begin(audit, 0, rule);
    rows_add(1, 3);
    if (strchr(metrics, 'f'))
        row_add(4, "flow", 0, false);
    if (strchr(metrics, 'v'))
        row_add(4, "volume.total", 0, false);
    if (strchr(metrics, 'p'))
        row_add(4, "pressure", 0, true);
    judged(absent);
    audit_store_finish(audit);
    differences(wanted);
}

static void decoded_again_files_have_the_one_or_the_other_decoding(void **state)
{
    (void)state;
    store_of_4(&rule_exact, "fv", 0, 0);
    assert_int_equal(sums().sinks[0].older, 2);
}

static void decoded_again_files_have_the_newer_decoding(void **state)
{
    (void)state;
    store_of_4(&rule_exact, "fp", 0, 0);
    assert_int_equal(sums().sinks[0].older, 0);
}

static void decoded_again_half_of_it_is_a_loss(void **state)
{
    (void)state;
    store_of_4(&rule_exact, "f", 1, 1);
}

static void decoded_again_nothing_of_it_is_a_loss(void **state)
{
    (void)state;
    store_of_4(&rule_exact, "", 2, 1);
}

static void decoded_again_both_at_once_is_too_much_in_files(void **state)
{
    (void)state;
    store_of_4(&rule_exact, "fvp", 0, 1);
}

static void decoded_again_both_at_once_is_right_where_rows_stay(void **state)
{
    (void)state;
    store_of_4(&rule_rows, "fvp", 0, 0);
}

static void decoded_again_what_was_taken_back_stays_as_a_row(void **state)
{
    (void)state;
    store_of_4(&rule_rows, "fp", 1, 1);
}

/* A store that tells the generation of its rows: 7 is that of decoding again. */
static void rows_of_4(uint32_t flow, uint32_t total, size_t absent, size_t wanted)
{
    file.state.next_seq = 5;
    batch_add(1, 12, 0);
    decoded_again(7);
    audit_decoded_to(audit, 13);
    messages_add(1, 20);
    audit_store_begin(audit, 0, &rule_rows);
    rows_add(1, 3);
    row_add(4, "flow", flow, false);
    row_add(4, "volume.total", total, false);
    judged(absent);
    audit_store_finish(audit);
    differences(wanted);
}

static void decoded_again_rows_of_before_are_whole_without_the_new_ones(void **state)
{
    (void)state;
    rows_of_4(6, 6, 0, 0);
    assert_int_equal(sums().sinks[0].older, 2);
}

static void decoded_again_one_new_row_tells_that_all_of_them_were_there(void **state)
{
    (void)state;
    rows_of_4(7, 7, 1, 1); /* pressure is gone */
}

static void decoded_again_a_row_of_before_among_new_ones_is_a_loss(void **state)
{
    (void)state;
    rows_of_4(7, 6, 2, 1);
}

static void sums_of_ranges_stand_for_their_rows(void **state)
{
    (void)state;
    uint64_t rows, sum;
    filled();
    audit_store_begin(audit, 0, &rule_rows);
    assert_true(audit_store_sum(audit, 4, 3, &rows, &sum));
    assert_int_equal(rows, 4);
    assert_int_equal(
        sum, (hash_of(4, "flow") & UINT32_MAX) + (hash_of(4, "volume.total") & UINT32_MAX) +
                 (hash_of(5, "flow") & UINT32_MAX) + (hash_of(5, "volume.total") & UINT32_MAX));
    assert_false(audit_store_sum(audit, 8, 4, &rows, &sum)); /* 11 is not confirmed */
    audit_store_all(audit, 4, 3);
    rows_add(1, 2);
    rows_add(7, 10);
    judged(0);
}

/* A meter that sends its log without times: all of it is of the time of receive. */
static void more_copies_of_a_key_than_are_counted_are_no_loss(void **state)
{
    (void)state;
    enum { COPIES = 300 };
    struct batch_builder *builder = batch_builder_new();
    const struct batch_row row = {.vendor = bytes_text("acme"),
                                  .device = bytes_text("1"),
                                  .metric = bytes_text("flow"),
                                  .seq = 1,
                                  .received_ms = noon_ms};
    for (int i = 0; i < COPIES; i++)
        batch_builder_add(builder, &row);
    struct batch *batch = batch_builder_finish(builder);
    batch->first_seq = batch->last_seq = 1;
    audit_batch(audit, batch);
    batch_release(batch);
    batch_builder_free(builder);
    audit_decoded_to(audit, 2);
    messages_add(1, 1);
    audit_store_begin(audit, 0, &rule_exact);
    for (int i = 0; i < COPIES; i++)
        row_add(1, "flow", 0, false);
    judged(0);
    audit_store_finish(audit);
    assert_int_equal(sums().sinks[0].stored, COPIES);
    differences(0);
}

static void windows_add_up(void **state)
{
    (void)state;
    batch_add(1, 6, 0);
    audit_cut(audit, 7);
    messages_add(1, 20);
    audit_store_begin(audit, 0, &rule_exact);
    rows_add(1, 6);
    judged(0);
    audit_store_finish(audit);
    audit_window(audit, audit_end(audit), 21);
    batch_add(7, 12, 0);
    audit_decoded_to(audit, 13);
    messages_add(1, 20);
    audit_store_begin(audit, 0, &rule_exact);
    rows_add(7, 10);
    judged(0);
    audit_store_finish(audit);
    struct audit_row sum = sums();
    assert_int_equal(sum.received, 20);
    assert_int_equal(sum.readings, 16);
    assert_int_equal(sum.sinks[0].stored, 14);
    differences(0);
}

/* The paper's vector, but for the key: that of ClickHouse, all zeros. */
static void hashes_are_those_of_the_store(void **state)
{
    (void)state;
    assert_true(audit_sip_hash(bytes_text("")) == UINT64_C(0x1e924b9d737700d7));
    /* select sipHash64(concat('7', '\\n', 'acme', '\\n', '1', '\\n', 'flow', '\\n', '-5')) */
    const struct audit_key key = {.seq = 7,
                                  .vendor = bytes_text("acme"),
                                  .device = bytes_text("1"),
                                  .metric = bytes_text("flow"),
                                  .ts_ms = -5};
    assert_true(audit_key_hash(&key) == audit_sip_hash(bytes_text("7\nacme\n1\nflow\n-5")));
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_store_that_has_everything_differs_in_nothing),
        TEST(what_a_store_misses_is_told_by_its_numbers),
        TEST(what_has_a_reason_is_no_difference),
        TEST(what_is_from_before_a_sink_began_is_no_difference),
        TEST(a_store_with_nothing_in_it_has_lost_all_wherever_its_sink_began),
        TEST(what_nobody_sent_and_what_stands_twice_is_told),
        TEST(a_record_may_stand_again_where_delivery_is_at_least_once),
        TEST(what_a_replay_sent_stands_for_what_was_lost_and_is_no_second_copy),
        TEST(decoded_again_files_have_the_one_or_the_other_decoding),
        TEST(decoded_again_files_have_the_newer_decoding),
        TEST(decoded_again_half_of_it_is_a_loss),
        TEST(decoded_again_nothing_of_it_is_a_loss),
        TEST(decoded_again_both_at_once_is_too_much_in_files),
        TEST(decoded_again_both_at_once_is_right_where_rows_stay),
        TEST(decoded_again_what_was_taken_back_stays_as_a_row),
        TEST(decoded_again_rows_of_before_are_whole_without_the_new_ones),
        TEST(decoded_again_one_new_row_tells_that_all_of_them_were_there),
        TEST(decoded_again_a_row_of_before_among_new_ones_is_a_loss),
        TEST(sums_of_ranges_stand_for_their_rows),
        TEST(more_copies_of_a_key_than_are_counted_are_no_loss),
        TEST(windows_add_up),
        TEST(hashes_are_those_of_the_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
