/* SPDX-License-Identifier: Apache-2.0
 *
 * From intake files to the raw log under vendors' limits, without processes: who is held, who goes on, and
 * that what was held comes whole, once and in order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/disk.h"
#include "lib/temp_dir.h"
#include "sources/paho/state.h"
#include "sources/stat.h"
#include "unit/sources/fake_rawlog.h"

enum { RING = 1 << 20, WAIT_MS = 60000 };

static const struct identity ours = {0x1234};

struct side {
    struct broker_worker worker;
    struct paho_options broker;
    struct intake *producer;
    char name[16], path[300];
};

struct rig {
    struct temp_dir dir;
    struct paho paho;
    struct vendor_table vendors;
    struct side flood, quiet;
};

static void side_open(struct rig *rig, struct side *side, const char *name,
                      struct access_quota quota)
{
    struct err err;
    struct access_grant grant = {.generation = 1, .quota = quota};
    snprintf(side->name, sizeof side->name, "%s", name);
    snprintf(grant.vendor, sizeof grant.vendor, "%s", name);
    snprintf(side->path, sizeof side->path, "%s/%s.intake", rig->dir.path, name);
    side->broker = (struct paho_options){.name = side->name, .vendor = side->name};
    side->worker =
        (struct broker_worker){.paho = &rig->paho, .broker = &side->broker, .name = side->name};
    side->worker.vendor = vendor_table_find(&rig->vendors, &grant);
    side->worker.seat = side->worker.vendor->seats[rig->paho.seat];
    assert_int_equal(intake_open(&side->worker.intake, &disk_real, side->path, ours, RING, 0, &err),
                     0);
    assert_int_equal(intake_attach(&side->producer, &disk_real, side->path, ours, &err), 0);
}

static void start(struct rig *rig, struct access_quota flood)
{
    *rig = (struct rig){.paho = {.place = {.rawlog = fake_rawlog_new(), .vendors = &rig->vendors}}};
    temp_dir_make(&rig->dir);
    pthread_mutex_init(&rig->paho.lock, NULL);
    vendor_table_init(&rig->vendors, 64 << 20);
    rig->paho.seat = vendor_table_seats(&rig->vendors, 1);
    side_open(rig, &rig->flood, "flood", flood);
    side_open(rig, &rig->quiet, "quiet", (struct access_quota){0});
}

/* What has landed and what has not, both given back. */
static void side_close(struct rig *rig, struct side *side)
{
    int64_t end = clock_monotonic_ms() + WAIT_MS;
    rig->paho.paused = true;
    while (side->worker.flight_count) {
        worker_move(&side->worker);
        assert_true(clock_monotonic_ms() < end);
        usleep(500);
    }
    intake_close(side->producer);
    intake_close(side->worker.intake);
}

static void stop(struct rig *rig)
{
    side_close(rig, &rig->flood);
    side_close(rig, &rig->quiet);
    assert_int_equal(stat_get(&rig->flood.worker.seat->unacked_bytes), 0);
    fake_rawlog_free(rig->paho.place.rawlog);
    vendor_table_fini(&rig->vendors);
    pthread_mutex_destroy(&rig->paho.lock);
    temp_dir_remove(&rig->dir);
}

static bool never(void *arg)
{
    (void)arg;
    return false;
}

static void put(struct side *side, int number, uint8_t flags)
{
    char payload[16];
    bool wake;
    snprintf(payload, sizeof payload, "%08d", number);
    struct message message = {
        .topic = bytes_text("t"), .payload = bytes_text(payload), .flags = flags, .protocol = 5};
    assert_true(intake_put(side->producer, &message, never, NULL, &wake));
}

static void put_many(struct side *side, int count, uint8_t flags)
{
    for (int i = 0; i < count; i++)
        put(side, i, flags);
}

/* Messages of that client in the log, which must be the first ones, in order. */
static int stored(struct rig *rig, const char *client)
{
    struct rawlog *rawlog = rig->paho.place.rawlog;
    char payload[16];
    int count = 0;
    pthread_mutex_lock(&rawlog->lock);
    for (size_t i = 0; i < rawlog->log_count; i++) {
        const struct fake_record *record = &rawlog->log[i];
        if (record->kind != RECORD_MESSAGE || strcmp(record->client, client) != 0)
            continue;
        snprintf(payload, sizeof payload, "%08d", count++);
        assert_memory_equal(record->payload, payload, 8);
        assert_string_equal(record->vendor, client);
    }
    pthread_mutex_unlock(&rawlog->lock);
    return count;
}

static void move_until(struct rig *rig, struct side *side, int count)
{
    int64_t end = clock_monotonic_ms() + WAIT_MS;
    while (stored(rig, side->name) < count) {
        worker_move(&side->worker);
        assert_true(clock_monotonic_ms() < end);
        usleep(500);
    }
}

static void a_rate_holds_one_vendor_and_the_other_goes_on(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig, (struct access_quota){.rate = 200, .burst = 20});
    put_many(&rig.flood, 100, 1);
    put_many(&rig.quiet, 100, 1);
    assert_true(worker_move(&rig.flood.worker));
    assert_int_equal(rig.flood.worker.hold, HOLD_RATE);
    assert_int_equal(stat_get(&rig.flood.worker.seat->held), 1);
    assert_true(rig.paho.round_wanted);
    assert_true(stat_get(&rig.flood.worker.seat->messages) < 100);
    assert_false(worker_move(&rig.quiet.worker));
    assert_int_equal(rig.quiet.worker.hold, HOLD_NONE);
    move_until(&rig, &rig.quiet, 100);
    move_until(&rig, &rig.flood, 100); /* by itself, as the time goes on */
    worker_move(&rig.flood.worker);
    assert_int_equal(rig.flood.worker.hold, HOLD_NONE);
    assert_int_equal(stat_get(&rig.flood.worker.seat->held), 0);
    assert_int_equal(stat_get(&rig.flood.worker.seat->messages), 100);
    stop(&rig);
}

static void a_share_holds_until_the_logs_are_needed_from_later_on(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig, (struct access_quota){.journal_share = 10});
    vendor_table_mark(&rig.vendors, &(struct vendor_water){1, 1, 1000});
    put_many(&rig.flood, 50, 1); /* of 9 bytes: 11 fit in 100 */
    assert_true(worker_move(&rig.flood.worker));
    assert_int_equal(rig.flood.worker.hold, HOLD_SHARE);
    move_until(&rig, &rig.flood, 11);
    worker_move(&rig.flood.worker);
    assert_int_equal(stored(&rig, "flood"), 11);
    assert_true(intake_waiting_bytes(rig.flood.worker.intake) > 0);
    vendor_table_mark(&rig.vendors, &(struct vendor_water){12, 12, 1000});
    move_until(&rig, &rig.flood, 22);
    vendor_table_mark(&rig.vendors, &(struct vendor_water){23, 23, 0}); /* no limit any more */
    move_until(&rig, &rig.flood, 50);
    stop(&rig);
}

/* The disk takes nothing: an eighth of the memory is one vendor's, and the rest the others'. */
static void memory_of_one_vendor_is_bounded(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig, (struct access_quota){0});
    rig.vendors.memory_max = 90; /* ten messages */
    fake_rawlog_tap(rig.paho.place.rawlog, false);
    put_many(&rig.flood, 30, 1);
    assert_true(worker_move(&rig.flood.worker));
    assert_int_equal(rig.flood.worker.hold, HOLD_MEMORY);
    assert_int_equal(stat_get(&rig.flood.worker.seat->unacked_bytes), 90);
    fake_rawlog_tap(rig.paho.place.rawlog, true);
    move_until(&rig, &rig.flood, 30);
    stop(&rig);
}

static void qos_0_is_dropped_by_policy_and_counted_and_qos_1_never(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig, (struct access_quota){.rate = 100, .burst = 10, .qos0_drop = true});
    put_many(&rig.flood, 2000, 0);
    assert_false(worker_move(&rig.flood.worker));
    uint64_t kept = stat_get(&rig.flood.worker.seat->messages);
    assert_int_equal(kept + stat_get(&rig.flood.worker.seat->dropped), 2000);
    assert_true(kept < 2000);
    put(&rig.flood, (int)kept, 1);
    move_until(&rig, &rig.flood, (int)kept + 1);
    assert_true(intake_empty(rig.flood.worker.intake));
    stop(&rig);
}

static void a_busy_worker_is_not_asked_to_wake_anybody(void **state)
{
    (void)state;
    struct rig rig;
    struct message message = {.topic = bytes_text("t"), .payload = bytes_text("p")};
    bool wake = true;
    start(&rig, (struct access_quota){0});
    put_many(&rig.quiet, 3, 1);
    assert_false(worker_move(&rig.quiet.worker));
    assert_true(rig.paho.round_wanted); /* there will be another look without being told */
    assert_true(intake_put(rig.quiet.producer, &message, never, NULL, &wake));
    assert_false(wake);
    rig.paho.round_wanted = false;
    assert_false(worker_move(&rig.quiet.worker));
    rig.paho.round_wanted = false;
    assert_false(worker_move(&rig.quiet.worker)); /* nothing came: it sleeps */
    assert_false(rig.paho.round_wanted);
    assert_true(intake_put(rig.quiet.producer, &message, never, NULL, &wake));
    assert_true(wake);
    stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rate_holds_one_vendor_and_the_other_goes_on),
        cmocka_unit_test(a_share_holds_until_the_logs_are_needed_from_later_on),
        cmocka_unit_test(memory_of_one_vendor_is_bounded),
        cmocka_unit_test(qos_0_is_dropped_by_policy_and_counted_and_qos_1_never),
        cmocka_unit_test(a_busy_worker_is_not_asked_to_wake_anybody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
