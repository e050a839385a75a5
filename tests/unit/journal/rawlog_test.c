/* SPDX-License-Identifier: Apache-2.0
 *
 * The raw log: acks after the sync and in order, nothing lost while the disk is full or failing,
 * bounded memory, sessions across restart, rotation and retention (invariants 1, 2, 5, 7, 11).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "journal/rawlog.h"
#include "lib/fault_disk.h"
#include "lib/journal_kit.h"
#include "lib/temp_dir.h"

struct world {
    struct temp_dir dir;
    struct fault_disk fault;
    struct rawlog *rawlog;
    struct journal_recovery recovery;
    struct err err;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t done;     /* chunks answered */
    uint64_t next_seq; /* what the next answered chunk must begin with */
    bool out_of_order;
    bool not_durable; /* an answer came before the journal had it */
};

static void world_open(struct world *world)
{
    struct rawlog_options options = {
        .journal = kit_options(&world->fault.disk, world->dir.path),
        .memory_bytes = 1 << 20,
        .chunk_bytes = 16 << 10,
        .extent_bytes = 64 << 10,
    };
    if (rawlog_open(&world->rawlog, &options, &world->recovery, &world->err) < 0)
        fail_msg("%s", world->err.text);
    world->next_seq = journal_next_seq(rawlog_journal(world->rawlog));
}

static void world_make(struct world *world)
{
    *world = (struct world){.done = 0};
    pthread_mutex_init(&world->lock, NULL);
    pthread_cond_init(&world->changed, NULL);
    temp_dir_make(&world->dir);
    fault_disk_init(&world->fault);
    world_open(world);
}

static void world_close(struct world *world)
{
    assert_true(rawlog_stop(world->rawlog, 5000));
    rawlog_close(world->rawlog);
    world->rawlog = NULL;
}

static void world_end(struct world *world)
{
    world_close(world);
    fault_disk_fini(&world->fault);
    temp_dir_remove(&world->dir);
    pthread_cond_destroy(&world->changed);
    pthread_mutex_destroy(&world->lock);
}

/* On the journal thread. */
static void on_done(struct chunk *chunk)
{
    struct world *world = chunk->owner;
    struct journal *journal = rawlog_journal(world->rawlog);
    pthread_mutex_lock(&world->lock);
    world->out_of_order |= chunk->first_seq != world->next_seq;
    world->next_seq = chunk->first_seq + chunk->message_count;
    world->not_durable |= world->next_seq > journal_next_seq(journal);
    world->not_durable |= world->fault.power && fault_disk_unsure(&world->fault) > 0;
    world->done++;
    pthread_cond_broadcast(&world->changed);
    pthread_mutex_unlock(&world->lock);
    chunk_release(world->rawlog, chunk);
}

static bool wait_done(struct world *world, uint64_t count)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 10;
    int rc = 0;
    pthread_mutex_lock(&world->lock);
    while (world->done < count && rc == 0)
        rc = pthread_cond_timedwait(&world->changed, &world->lock, &until);
    bool reached = world->done >= count;
    pthread_mutex_unlock(&world->lock);
    return reached;
}

static uint64_t done_now(struct world *world)
{
    pthread_mutex_lock(&world->lock);
    uint64_t done = world->done;
    pthread_mutex_unlock(&world->lock);
    return done;
}

static struct message message_of(const char *client, const char *payload, char topic[64])
{
    snprintf(topic, 64, "v1/acme/%s/json", client);
    return (struct message){
        .vendor = bytes_text("acme"),
        .client = bytes_text(client),
        .topic = bytes_text(topic),
        .payload = bytes_text(payload),
        .flags = 1,
        .protocol = 4,
        .packet_id = 17,
    };
}

static struct chunk *chunk_of(struct world *world, const char *client, int messages)
{
    struct chunk *chunk = chunk_acquire(world->rawlog);
    if (chunk == NULL)
        return NULL;
    chunk->done = on_done;
    chunk->owner = world;
    for (int i = 0; i < messages; i++) {
        char payload[64], topic[64];
        snprintf(payload, sizeof payload, "{\"n\":%d}", i);
        struct message message = message_of(client, payload, topic);
        chunk_add_message(chunk, &message);
    }
    return chunk;
}

static void submit(struct world *world, const char *client, int messages)
{
    struct chunk *chunk = chunk_of(world, client, messages);
    assert_non_null(chunk);
    rawlog_submit(world->rawlog, chunk);
}

static void start(struct world *world)
{
    assert_int_equal(rawlog_start(world->rawlog, &world->err), 0);
}

/* All messages of the log; asserts gapless numbers and times that never fall. */
static uint64_t count_messages(struct world *world)
{
    struct journal_reader *reader;
    struct extent extent;
    uint64_t next = 1;
    int64_t received_ms = 0;
    assert_int_equal(journal_reader_new(rawlog_journal(world->rawlog), 1, &reader, &world->err), 0);
    while (journal_reader_next(reader, &extent, &world->err) == JOURNAL_EXTENT) {
        struct record_reader records;
        enum record_kind kind;
        struct message message;
        struct session_record session;
        int rc;
        record_reader_init(&records, &extent);
        while ((rc = record_reader_next(&records, &kind, &message, &session)) == 1) {
            if (kind != RECORD_MESSAGE)
                continue;
            assert_int_equal(message.seq, next);
            assert_true(message.received_ms >= received_ms);
            received_ms = message.received_ms;
            next++;
        }
        assert_int_equal(rc, 0);
    }
    journal_reader_free(reader);
    return next - 1;
}

/* ---- acks ---- */

static void no_chunk_is_answered_before_its_sync(void **state)
{
    (void)state;
    struct world world;
    world_make(&world);
    fault_disk_track(&world.fault, world.dir.path);
    start(&world);
    submit(&world, "a", 1); /* makes the segment */
    assert_true(wait_done(&world, 1));
    fault_disk_hold_syncs(&world.fault, true);
    uint64_t syncs = fault_disk_count(&world.fault, FAULT_DATASYNC);
    submit(&world, "b", 1);
    assert_true(fault_disk_wait_held(&world.fault));
    assert_int_equal(done_now(&world), 1);
    assert_int_equal(journal_next_seq(rawlog_journal(world.rawlog)), 2);
    fault_disk_hold_syncs(&world.fault, false);
    assert_true(wait_done(&world, 2));
    assert_int_equal(fault_disk_count(&world.fault, FAULT_DATASYNC), syncs + 1);
    assert_false(world.not_durable);
    world_end(&world);
}

static void chunks_that_wait_while_one_is_synced_become_one_extent(void **state)
{
    (void)state;
    struct world world;
    world_make(&world);
    start(&world);
    submit(&world, "a", 1);
    assert_true(wait_done(&world, 1));
    fault_disk_hold_syncs(&world.fault, true);
    submit(&world, "b", 1);
    assert_true(fault_disk_wait_held(&world.fault));
    for (int i = 0; i < 20; i++)
        submit(&world, "c", 3);
    fault_disk_hold_syncs(&world.fault, false);
    assert_true(wait_done(&world, 22));
    assert_int_equal(atomic_load(&rawlog_stats(world.rawlog)->extents), 3);
    assert_int_equal(atomic_load(&rawlog_stats(world.rawlog)->messages), 62);
    assert_false(world.out_of_order);
    assert_int_equal(count_messages(&world), 62);
    world_end(&world);
}

static void a_failed_sync_answers_nobody_until_the_chunk_is_stored_anew(void **state)
{
    (void)state;
    struct world world;
    world_make(&world);
    start(&world);
    submit(&world, "a", 1);
    assert_true(wait_done(&world, 1));
    fault_disk_fail(&world.fault, FAULT_DATASYNC, 1, EIO, true);
    for (int i = 0; i < 5; i++)
        submit(&world, "b", 2);
    while (atomic_load(&rawlog_stats(world.rawlog)->failures) < 3)
        journal_wait(rawlog_journal(world.rawlog), UINT64_MAX, 5);
    assert_int_equal(rawlog_health(world.rawlog), RAWLOG_FAILING);
    assert_int_equal(done_now(&world), 1);
    fault_disk_fail(&world.fault, FAULT_ANY, 0, 0, false);
    assert_true(wait_done(&world, 6));
    assert_false(world.out_of_order);
    assert_false(world.not_durable);
    assert_int_equal(rawlog_health(world.rawlog), RAWLOG_OK);
    assert_int_equal(count_messages(&world), 11);
    world_end(&world);
}

static void a_full_disk_holds_chunks_and_goes_on_by_itself(void **state)
{
    (void)state;
    struct world world;
    world_make(&world);
    world.fault.space_limit = 1000;
    start(&world);
    for (int i = 0; i < 5; i++)
        submit(&world, "b", 2);
    while (fault_disk_count(&world.fault, FAULT_SPACE) < 3)
        journal_wait(rawlog_journal(world.rawlog), UINT64_MAX, 5);
    assert_int_equal(rawlog_health(world.rawlog), RAWLOG_FULL);
    assert_int_equal(atomic_load(&rawlog_stats(world.rawlog)->failures), 0);
    assert_int_equal(done_now(&world), 0);
    assert_int_equal(fault_disk_count(&world.fault, FAULT_ALLOCATE), 0);
    pthread_mutex_lock(&world.fault.lock);
    world.fault.space_limit = 0;
    pthread_mutex_unlock(&world.fault.lock);
    assert_true(wait_done(&world, 5));
    assert_int_equal(rawlog_health(world.rawlog), RAWLOG_OK);
    assert_int_equal(count_messages(&world), 10);
    world_end(&world);
}

/* While it fails it waits between the tries: 50 ms, 100, 200 ... */
static void a_failing_disk_is_not_tried_without_pause(void **state)
{
    (void)state;
    struct world world;
    world_make(&world);
    world.fault.space_limit = 1000;
    start(&world);
    int64_t begun = clock_monotonic_ms();
    submit(&world, "a", 1);
    while (fault_disk_count(&world.fault, FAULT_SPACE) < 4)
        journal_wait(rawlog_journal(world.rawlog), UINT64_MAX, 5);
    assert_true(clock_monotonic_ms() - begun >= 50 + 100 + 200);
    pthread_mutex_lock(&world.fault.lock);
    world.fault.space_limit = 0;
    pthread_mutex_unlock(&world.fault.lock);
    world_end(&world);
}

static void stopping_on_a_failing_disk_says_that_not_all_is_durable(void **state)
{
    (void)state;
    struct world world;
    world_make(&world);
    world.fault.space_limit = 1000;
    start(&world);
    submit(&world, "a", 1);
    submit(&world, "a", 1);
    int64_t begun = clock_monotonic_ms();
    assert_false(rawlog_stop(world.rawlog, 200));
    assert_true(clock_monotonic_ms() - begun < 3000);
    assert_int_equal(done_now(&world), 0);
    rawlog_close(world.rawlog); /* frees what was not stored */
    world_open(&world);
    world_end(&world);
}

static void a_chunk_larger_than_an_extent_is_stored_alone(void **state)
{
    (void)state;
    struct world world;
    world_make(&world);
    start(&world);
    size_t size = 3 << 20; /* larger than a segment, too */
    char *payload = malloc(size);
    for (size_t i = 0; i < size; i++)
        payload[i] = (char)(i * i >> 3);
    struct chunk *chunk = chunk_of(&world, "big", 1);
    struct chunk *small = chunk_of(&world, "small", 1);
    char topic[64];
    struct message message = message_of("big", "", topic);
    message.payload = bytes_of(payload, size);
    chunk_add_message(chunk, &message);
    rawlog_submit(world.rawlog, chunk);
    /* It is above the budget alone: nobody gets another chunk until it is stored. */
    rawlog_submit(world.rawlog, small);
    assert_true(wait_done(&world, 2));
    assert_int_equal(count_messages(&world), 3);
    /* The memory of the huge one is given back with it. */
    struct chunk *next = chunk_acquire(world.rawlog);
    assert_true(next->body.capacity < 64 << 10);
    chunk_release(world.rawlog, next);
    free(payload);
    world_end(&world);
}

static void chunks_are_bounded_by_the_memory_given(void **state)
{
    (void)state;
    struct world world;
    world_make(&world);
    struct chunk *held[200] = {0};
    size_t count = 0;
    size_t bytes = 0;
    while (count < 200 && (held[count] = chunk_acquire(world.rawlog)) != NULL)
        bytes += held[count++]->body.capacity;
    assert_in_range(count, 16, 64);
    assert_true(bytes <= 1 << 20);
    chunk_release(world.rawlog, held[0]);
    held[0] = chunk_acquire(world.rawlog);
    assert_non_null(held[0]);
    for (size_t i = 0; i < count; i++)
        chunk_release(world.rawlog, held[i]);
    world_end(&world);
}

struct submitter {
    struct world *world;
    int chunks;
};

static void *submit_many(void *arg)
{
    struct submitter *submitter = arg;
    for (int i = 0; i < submitter->chunks; i++) {
        struct chunk *chunk;
        while ((chunk = chunk_of(submitter->world, "thread", 5)) == NULL)
            journal_wait(rawlog_journal(submitter->world->rawlog), UINT64_MAX, 1);
        rawlog_submit(submitter->world->rawlog, chunk);
    }
    return NULL;
}

static void many_threads_submit_at_once_with_syncs_failing_between(void **state)
{
    (void)state;
    struct world world;
    world_make(&world);
    start(&world);
    pthread_t threads[4];
    struct submitter submitter = {&world, 200};
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, submit_many, &submitter);
    for (int i = 0; i < 5; i++) {
        fault_disk_fail(&world.fault, FAULT_DATASYNC, 7, EIO, false);
        journal_wait(rawlog_journal(world.rawlog), UINT64_MAX, 20);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    fault_disk_fail(&world.fault, FAULT_ANY, 0, 0, false);
    assert_true(wait_done(&world, 800));
    assert_false(world.out_of_order);
    assert_false(world.not_durable);
    assert_int_equal(count_messages(&world), 4000);
    world_end(&world);
}

/* ---- time ---- */

static void received_times_never_fall_even_when_the_clock_does(void **state)
{
    (void)state;
    struct world world;
    world_make(&world);
    start(&world);
    const int64_t times[] = {5000, 4000, 6000, 1};
    for (size_t i = 0; i < array_count(times); i++) {
        struct chunk *chunk = chunk_of(&world, "t", 0);
        char topic[64];
        struct message message = message_of("t", "x", topic);
        message.received_ms = times[i];
        chunk_add_message(chunk, &message);
        rawlog_submit(world.rawlog, chunk);
        assert_true(wait_done(&world, i + 1));
    }
    assert_int_equal(count_messages(&world), 4);
    world_close(&world);
    world_open(&world);
    start(&world);
    struct chunk *chunk = chunk_of(&world, "t", 0);
    char topic[64];
    struct message message = message_of("t", "x", topic);
    message.received_ms = 2;
    chunk_add_message(chunk, &message);
    rawlog_submit(world.rawlog, chunk);
    assert_true(wait_done(&world, 5));
    assert_int_equal(count_messages(&world), 5); /* asserts the order */
    world_end(&world);
}

/* ---- sessions ---- */

struct found_session {
    char client[32];
    uint32_t expiry_s;
    int64_t left_ms;
    uint16_t ids[8];
    uint32_t id_count;
    int times;
};

static void look(void *arg, const struct session_state *state)
{
    struct found_session *found = arg;
    if (!bytes_equal_text(state->client, found->client))
        return;
    found->times++;
    found->expiry_s = state->expiry_s;
    found->left_ms = state->left_ms;
    found->id_count = state->id_count;
    for (uint32_t i = 0; i < state->id_count && i < 8; i++)
        found->ids[i] = state->ids[i];
}

static struct found_session find_session(const struct world *world, const char *client)
{
    struct found_session found = {.times = 0};
    snprintf(found.client, sizeof found.client, "%s", client);
    sessions_each(rawlog_sessions(world->rawlog), look, &found);
    return found;
}

static void session(struct world *world, enum record_kind kind, const char *client, uint16_t id)
{
    struct chunk *chunk = chunk_of(world, client, kind == RECORD_ID_RECEIVED);
    struct session_record record = {.kind = kind,
                                    .vendor = bytes_text("acme"),
                                    .client = bytes_text(client),
                                    .expiry_s = 3600,
                                    .at_ms = kind == RECORD_SESSION_LEFT ? 777 : 0,
                                    .packet_id = id};
    chunk_add_session(chunk, &record);
    uint64_t done = done_now(world);
    rawlog_submit(world->rawlog, chunk);
    assert_true(wait_done(world, done + 1));
}

static void check_sessions(const struct world *world)
{
    struct found_session one = find_session(world, "one");
    assert_int_equal(one.times, 1);
    assert_int_equal(one.left_ms, 0);
    assert_int_equal(one.expiry_s, 3600);
    assert_int_equal(one.id_count, 2);
    assert_int_equal(one.ids[0], 3);
    assert_int_equal(one.ids[1], 9);
    assert_int_equal(find_session(world, "two").left_ms, 777);
    assert_int_equal(find_session(world, "three").times, 0);
    assert_int_equal(sessions_count(rawlog_sessions(world->rawlog)), 2);
}

static void sessions_survive_restart_rotation_and_retention(void **state)
{
    (void)state;
    struct world world;
    world_make(&world);
    start(&world);
    session(&world, RECORD_SESSION_MADE, "one", 0);
    session(&world, RECORD_SESSION_MADE, "two", 0);
    session(&world, RECORD_SESSION_MADE, "three", 0);
    session(&world, RECORD_ID_RECEIVED, "one", 9);
    session(&world, RECORD_ID_RECEIVED, "one", 7);
    session(&world, RECORD_ID_RECEIVED, "one", 3);
    session(&world, RECORD_ID_RELEASED, "one", 7);
    session(&world, RECORD_SESSION_LEFT, "two", 0);
    session(&world, RECORD_SESSION_ENDED, "three", 0);
    world_close(&world);
    world_open(&world); /* from the records */
    check_sessions(&world);
    start(&world);
    submit(&world, "x", 1); /* a new segment, whose snapshot has them */
    assert_true(wait_done(&world, 10));
    struct journal *journal = rawlog_journal(world.rawlog);
    assert_int_equal(journal_retain(journal, UINT64_MAX, 0, 0, 0, &world.err), 0);
    assert_int_equal(journal_first_seq(journal), 4); /* the messages before are gone */
    world_close(&world);
    world_open(&world); /* from the snapshot alone */
    check_sessions(&world);
    start(&world);
    session(&world, RECORD_ID_RELEASED, "one", 9);
    world_close(&world);
    world_open(&world); /* from snapshot and record */
    assert_int_equal(find_session(&world, "one").id_count, 1);
    world_end(&world);
}

static void take_intake(struct world *world, const char *name, uint64_t position)
{
    struct chunk *chunk = chunk_of(world, "m", 1);
    struct session_record record = {
        .kind = RECORD_INTAKE, .client = bytes_text(name), .position = position};
    chunk_add_session(chunk, &record);
    uint64_t done = done_now(world);
    rawlog_submit(world->rawlog, chunk);
    assert_true(wait_done(world, done + 1));
}

static uint64_t intake_of(const struct world *world, const char *name)
{
    return sessions_intake(rawlog_sessions(world->rawlog), bytes_text(name));
}

static void intake_positions_survive_restart_rotation_and_retention(void **state)
{
    (void)state;
    struct world world;
    world_make(&world);
    start(&world);
    take_intake(&world, "emqx-0", 8);
    take_intake(&world, "emqx-1", INT64_MAX);
    take_intake(&world, "emqx-0", 4096);
    world_close(&world);
    world_open(&world); /* from the records */
    assert_int_equal(intake_of(&world, "emqx-0"), 4096);
    assert_int_equal(intake_of(&world, "emqx-1"), INT64_MAX);
    assert_int_equal(intake_of(&world, "emqx"), 0);
    start(&world);
    submit(&world, "x", 1);
    assert_true(wait_done(&world, 4));
    struct journal *journal = rawlog_journal(world.rawlog);
    assert_int_equal(journal_retain(journal, UINT64_MAX, 0, 0, 0, &world.err), 0);
    world_close(&world);
    world_open(&world); /* from the snapshot alone */
    assert_int_equal(intake_of(&world, "emqx-0"), 4096);
    assert_int_equal(intake_of(&world, "emqx-1"), INT64_MAX);
    assert_int_equal(sessions_count(rawlog_sessions(world.rawlog)), 0);
    world_end(&world);
}

static void a_damaged_snapshot_is_replaced_by_the_one_before(void **state)
{
    (void)state;
    struct world world;
    world_make(&world);
    start(&world);
    session(&world, RECORD_SESSION_MADE, "one", 0);
    session(&world, RECORD_ID_RECEIVED, "one", 9);
    session(&world, RECORD_ID_RECEIVED, "one", 3);
    session(&world, RECORD_SESSION_MADE, "two", 0);
    session(&world, RECORD_SESSION_LEFT, "two", 0);
    world_close(&world);
    world_open(&world);
    start(&world);
    submit(&world, "x", 1);
    assert_true(wait_done(&world, 6));
    world_close(&world);
    char path[320];
    struct buffer bytes = {0};
    assert_true(kit_segment_path(world.dir.path, 1, path, sizeof path));
    kit_load(path, &bytes);
    bytes.data[4096 + 100] ^= 1; /* the body of the snapshot */
    kit_store(path, buffer_bytes(&bytes));
    world_open(&world);
    check_sessions(&world);
    assert_int_equal(world.recovery.damaged_extents, 1);
    buffer_fini(&bytes);
    world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_chunk_is_answered_before_its_sync),
        cmocka_unit_test(chunks_that_wait_while_one_is_synced_become_one_extent),
        cmocka_unit_test(a_failed_sync_answers_nobody_until_the_chunk_is_stored_anew),
        cmocka_unit_test(a_full_disk_holds_chunks_and_goes_on_by_itself),
        cmocka_unit_test(a_failing_disk_is_not_tried_without_pause),
        cmocka_unit_test(stopping_on_a_failing_disk_says_that_not_all_is_durable),
        cmocka_unit_test(a_chunk_larger_than_an_extent_is_stored_alone),
        cmocka_unit_test(chunks_are_bounded_by_the_memory_given),
        cmocka_unit_test(many_threads_submit_at_once_with_syncs_failing_between),
        cmocka_unit_test(received_times_never_fall_even_when_the_clock_does),
        cmocka_unit_test(sessions_survive_restart_rotation_and_retention),
        cmocka_unit_test(intake_positions_survive_restart_rotation_and_retention),
        cmocka_unit_test(a_damaged_snapshot_is_replaced_by_the_one_before),
    };
    cmocka_set_test_filter(getenv("TEST")); /* tests/fault/mutants asks for one */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
