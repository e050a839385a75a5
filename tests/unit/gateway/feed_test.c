/* SPDX-License-Identifier: Apache-2.0
 *
 * The queue between a replay and a lane: bounded, in order, and nobody waits for ever.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "feed.h"

static _Atomic int wakes;

static void on_wake(void *arg)
{
    (void)arg;
    wakes++;
}

static struct batch *made(uint64_t seq)
{
    struct batch_builder *builder = batch_builder_new();
    struct batch_row row = {.vendor = bytes_text("a"), .device = bytes_text("1"), .seq = seq};
    batch_builder_add(builder, &row);
    struct batch *batch = batch_builder_finish(builder);
    batch_builder_free(builder);
    batch->first_seq = batch->last_seq = seq;
    batch->replay = true;
    return batch;
}

static void store(struct feed *feed, struct batch *batch)
{
    feed_stored(feed, &batch, 1);
    batch_release(batch);
}

static void batches_come_in_order_and_the_position_follows_what_is_stored(void **state)
{
    (void)state;
    struct feed *feed = feed_new(1 << 20, on_wake, NULL);
    assert_true(feed_put(feed, made(5)));
    assert_true(feed_put(feed, made(9)));
    struct batch *first = feed_take(feed), *second = feed_take(feed);
    assert_int_equal(first->last_seq, 5);
    assert_int_equal(second->last_seq, 9);
    assert_null(feed_take(feed));
    assert_int_equal(feed_stored_seq(feed), 0);
    store(feed, first);
    assert_int_equal(feed_stored_seq(feed), 5);
    store(feed, second);
    assert_int_equal(feed_stored_seq(feed), 9);
    assert_true(feed_drained(feed));
    feed_free(feed);
}

static void a_lane_is_woken_only_when_it_found_nothing(void **state)
{
    (void)state;
    struct feed *feed = feed_new(1 << 20, on_wake, NULL);
    wakes = 0;
    feed_put(feed, made(1));
    feed_put(feed, made(2));
    assert_int_equal(wakes, 1);
    store(feed, feed_take(feed));
    store(feed, feed_take(feed));
    feed_put(feed, made(3)); /* it has not looked in vain yet */
    assert_int_equal(wakes, 1);
    store(feed, feed_take(feed));
    assert_null(feed_take(feed));
    feed_put(feed, made(4));
    assert_int_equal(wakes, 2);
    feed_free(feed);
}

struct putter {
    struct feed *feed;
    _Atomic int put, refused;
    int count;
};

static void *put_many(void *arg)
{
    struct putter *putter = arg;
    for (int i = 1; i <= putter->count; i++) {
        if (feed_put(putter->feed, made((uint64_t)i)))
            putter->put++;
        else
            putter->refused++;
    }
    return NULL;
}

static void a_full_queue_makes_the_replay_wait_until_something_is_stored(void **state)
{
    (void)state;
    struct batch *one = made(1);
    struct feed *feed = feed_new(one->bytes * 3, on_wake, NULL);
    struct putter putter = {.feed = feed, .count = 10};
    pthread_t thread;
    batch_release(one);
    pthread_create(&thread, NULL, put_many, &putter);
    while (putter.put < 3)
        usleep(1000);
    struct batch *taken = feed_take(feed); /* taken is not yet stored: still counts */
    usleep(20000);
    assert_int_equal(putter.put, 3);
    store(feed, taken);
    for (int i = 2; i <= 10; i++) {
        while ((taken = feed_take(feed)) == NULL)
            usleep(1000);
        assert_int_equal(taken->last_seq, i);
        store(feed, taken);
    }
    pthread_join(thread, NULL);
    assert_int_equal(putter.put, 10);
    feed_free(feed);
}

static void a_batch_larger_than_the_queue_passes(void **state)
{
    (void)state;
    struct feed *feed = feed_new(1, on_wake, NULL);
    assert_true(feed_put(feed, made(1)));
    store(feed, feed_take(feed));
    assert_true(feed_put(feed, made(2)));
    feed_free(feed);
}

static void ending_frees_whoever_waits(void **state)
{
    (void)state;
    struct feed *feed = feed_new(1, on_wake, NULL);
    struct putter putter = {.feed = feed, .count = 3};
    pthread_t thread;
    pthread_create(&thread, NULL, put_many, &putter);
    while (putter.put < 1)
        usleep(1000);
    struct batch *taken = feed_take(feed);
    feed_end(feed);
    pthread_join(thread, NULL);
    assert_int_equal(putter.put, 1);
    assert_int_equal(putter.refused, 2);
    assert_false(feed_drained(feed));
    assert_null(feed_take(feed));
    store(feed, taken); /* what was taken is still answered for */
    assert_int_equal(feed_stored_seq(feed), 1);
    assert_true(feed_ended(feed));
    feed_free(feed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_come_in_order_and_the_position_follows_what_is_stored),
        cmocka_unit_test(a_lane_is_woken_only_when_it_found_nothing),
        cmocka_unit_test(a_full_queue_makes_the_replay_wait_until_something_is_stored),
        cmocka_unit_test(a_batch_larger_than_the_queue_passes),
        cmocka_unit_test(ending_frees_whoever_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
