/* SPDX-License-Identifier: Apache-2.0
 *
 * The cache of batches: exact, bounded in bytes, for any thread.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "recent.h"

static struct batch *batch_of(uint64_t first, uint64_t last, uint32_t rows)
{
    struct batch_builder *builder = batch_builder_new();
    for (uint32_t i = 0; i < rows; i++) {
        struct batch_row row = {.vendor = bytes_text("acme"),
                                .device = bytes_text("1"),
                                .metric = bytes_text("flow"),
                                .unit = bytes_text("m3/h"),
                                .seq = first};
        batch_builder_add(builder, &row);
    }
    struct batch *batch = batch_builder_finish(builder);
    batch_builder_free(builder);
    batch->first_seq = first;
    batch->last_seq = last;
    return batch;
}

/* Adds it and gives the caller's reference back, as the decoder does. */
static size_t add(struct recent *recent, uint64_t first, uint64_t last, uint32_t rows)
{
    struct batch *batch = batch_of(first, last, rows);
    size_t bytes = batch->bytes;
    recent_add(recent, batch);
    batch_release(batch);
    return bytes;
}

static bool has(struct recent *recent, uint64_t first)
{
    struct batch *batch = recent_find(recent, first);
    bool found = batch && batch->first_seq == first;
    batch_release(batch);
    return found;
}

static void only_the_exact_first_number_is_found(void **state)
{
    (void)state;
    struct recent *recent = recent_new(1 << 20);
    assert_false(has(recent, 1));
    add(recent, 1, 10, 5);
    add(recent, 11, 11, 5);
    add(recent, 20, 30, 5); /* with a gap before it */
    assert_true(has(recent, 1));
    assert_true(has(recent, 11));
    assert_true(has(recent, 20));
    for (uint64_t seq = 0; seq < 40; seq++)
        assert_int_equal(has(recent, seq), seq == 1 || seq == 11 || seq == 20);
    recent_free(recent);
}

static void the_oldest_go_when_the_bytes_are_used(void **state)
{
    (void)state;
    struct batch *one = batch_of(1, 1, 100);
    size_t bytes = one->bytes;
    batch_release(one);
    struct recent *recent = recent_new(3 * bytes);
    for (uint64_t seq = 1; seq <= 10; seq++)
        assert_int_equal(add(recent, seq, seq, 100), bytes);
    for (uint64_t seq = 1; seq <= 10; seq++)
        assert_int_equal(has(recent, seq), seq >= 8);
    add(recent, 11, 11, 10000); /* larger than all of it: not kept, and nothing goes for it */
    assert_false(has(recent, 11));
    assert_true(has(recent, 10));
    recent_free(recent);
}

static void many_small_ones_are_bounded_too(void **state)
{
    (void)state;
    struct recent *recent = recent_new(1 << 30);
    for (uint64_t seq = 1; seq <= 10000; seq++)
        add(recent, seq, seq, 1);
    assert_true(has(recent, 10000));
    assert_true(has(recent, 8000));
    assert_false(has(recent, 1));
    recent_free(recent);
}

static void a_batch_lives_while_somebody_holds_it(void **state)
{
    (void)state;
    struct recent *recent = recent_new(1 << 20);
    add(recent, 1, 10, 5);
    struct batch *held = recent_find(recent, 1);
    recent_free(recent);
    assert_int_equal(held->count, 5);
    batch_release(held);
}

static void nothing_is_freed_twice_or_never(void **state)
{
    (void)state;
    recent_free(NULL);
    struct recent *recent = recent_new(0);
    add(recent, 1, 1, 1);
    assert_false(has(recent, 1));
    recent_free(recent);
}

/* ---- threads ---- */

enum { NUMBERS = 20000 };
static _Atomic uint64_t added;

static void *reader_main(void *arg)
{
    uint64_t found = 0;
    for (uint64_t seq = 1; seq <= NUMBERS;) {
        if (seq > added)
            continue;
        struct batch *batch = recent_find(arg, seq);
        if (batch) {
            gw_assert(batch->first_seq == seq && batch->count == 3);
            found++;
        }
        batch_release(batch);
        seq++;
    }
    gw_assert(found > 0);
    return NULL;
}

static void two_readers_follow_a_writer(void **state)
{
    (void)state;
    struct recent *recent = recent_new(256 << 10);
    pthread_t readers[2];
    added = 0;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, reader_main, recent), 0);
    for (uint64_t seq = 1; seq <= NUMBERS; seq++) {
        add(recent, seq, seq, 3);
        added = seq;
    }
    for (int i = 0; i < 2; i++)
        pthread_join(readers[i], NULL);
    recent_free(recent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_exact_first_number_is_found),
        cmocka_unit_test(the_oldest_go_when_the_bytes_are_used),
        cmocka_unit_test(many_small_ones_are_bounded_too),
        cmocka_unit_test(a_batch_lives_while_somebody_holds_it),
        cmocka_unit_test(nothing_is_freed_twice_or_never),
        cmocka_unit_test(two_readers_follow_a_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
