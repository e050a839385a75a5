/* SPDX-License-Identifier: Apache-2.0
 *
 * Every disk call fails once, in turn, through the whole life of a journal; and the power goes at
 * every call. What was acknowledged is always there (invariants 1 and 3).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/fault_disk.h"
#include "lib/journal_kit.h"
#include "lib/temp_dir.h"

struct world {
    struct temp_dir dir;
    struct fault_disk fault;
    uint64_t acked; /* behind the last sequence number that append said 0 for */
};

static void world_make(struct world *world)
{
    *world = (struct world){.acked = 1};
    temp_dir_make(&world->dir);
    fault_disk_init(&world->fault);
}

static void world_end(struct world *world)
{
    fault_disk_fini(&world->fault);
    temp_dir_remove(&world->dir);
}

/* Errors are answered as a caller would: try once more, then go on. */
static void append_some(struct world *world, struct journal *journal, int count)
{
    struct err err;
    for (int i = 0; i < count; i++) {
        if (kit_append(journal, &err) < 0 && kit_append(journal, &err) < 0)
            continue;
        world->acked = journal_next_seq(journal);
    }
}

/* Open, append, rotate, append, retain nothing that is needed, close; then all again on what is
 * there, so that recovery's calls are among those that fail. */
static void live(struct world *world)
{
    for (int life = 0; life < 2; life++) {
        const struct journal_options options = kit_options(&world->fault.disk, world->dir.path);
        struct journal *journal;
        struct journal_recovery recovery;
        struct err err;
        if (journal_open(&journal, &options, &recovery, &err) < 0)
            continue;
        append_some(world, journal, 2);
        journal_rotate(journal);
        append_some(world, journal, 2);
        journal_retain(journal, 1, 0, 0, 0, &err);
        append_some(world, journal, 1);
        journal_close(journal);
    }
}

static uint64_t calls_of_a_life(void)
{
    struct world world;
    world_make(&world);
    live(&world);
    uint64_t calls = world.fault.counts[FAULT_ANY];
    assert_int_equal(world.acked, 1 + 10 * KIT_SEQS);
    world_end(&world);
    assert_in_range(calls, 40, 400);
    return calls;
}

static void each_call_fails(int error, bool short_writes, bool write_then_fail)
{
    uint64_t calls = calls_of_a_life();
    for (uint64_t n = 1; n <= calls; n++) {
        struct world world;
        world_make(&world);
        world.fault.short_writes = short_writes;
        world.fault.write_then_fail = write_then_fail;
        fault_disk_fail(&world.fault, FAULT_ANY, n, error, false);
        live(&world);
        assert_int_equal(world.fault.failed, 1);
        kit_assert_whole(world.dir.path, world.acked);
        world_end(&world);
    }
}

static void every_call_failing_with_eio_loses_nothing_acknowledged(void **state)
{
    (void)state;
    each_call_fails(EIO, false, false);
}

static void every_call_failing_with_enospc_loses_nothing_acknowledged(void **state)
{
    (void)state;
    each_call_fails(ENOSPC, true, true);
}

static void one_failed_call_never_stops_the_appends_after_it(void **state)
{
    (void)state;
    uint64_t calls = calls_of_a_life();
    for (uint64_t n = 1; n <= calls; n += 3) {
        struct world world;
        world_make(&world);
        const struct journal_options options = kit_options(&world.fault.disk, world.dir.path);
        struct journal *journal;
        struct journal_recovery recovery;
        struct err err;
        assert_int_equal(journal_open(&journal, &options, &recovery, &err), 0);
        fault_disk_fail(&world.fault, FAULT_ANY, n, EIO, false);
        int failures = 0;
        for (int i = 0; i < 20; i++) {
            failures += kit_append(journal, &err) < 0;
            if (i % 5 == 4)
                journal_rotate(journal);
        }
        assert_in_range(failures, 0, 1);
        uint64_t acked = journal_next_seq(journal);
        assert_int_equal(acked, 1 + (uint64_t)(20 - failures) * KIT_SEQS);
        journal_close(journal);
        kit_assert_whole(world.dir.path, acked);
        world_end(&world);
    }
}

static void a_descriptor_that_failed_is_never_used_again(void **state)
{
    (void)state;
    struct world world;
    world_make(&world);
    const struct journal_options options = kit_options(&world.fault.disk, world.dir.path);
    struct journal *journal;
    struct journal_recovery recovery;
    struct err err;
    assert_int_equal(journal_open(&journal, &options, &recovery, &err), 0);
    assert_int_equal(kit_append(journal, &err), 0);
    fault_disk_fail(&world.fault, FAULT_DATASYNC, 1, EIO, false);
    assert_int_equal(kit_append(journal, &err), GW_EIO);
    assert_non_null(strstr(err.text, "sync segment 1"));
    assert_int_equal(journal_next_seq(journal), 1 + KIT_SEQS);
    /* Nothing but close touches the old file: with the next sync failing too, a new file is made
     * and given up before it has its name, and the third try succeeds. */
    fault_disk_fail(&world.fault, FAULT_DATASYNC, 1, EIO, false);
    assert_int_equal(kit_append(journal, &err), GW_EIO);
    assert_non_null(strstr(err.text, "make "));
    assert_int_equal(kit_append(journal, &err), 0);
    journal_close(journal);
    kit_assert_whole(world.dir.path, 1 + 2 * KIT_SEQS);
    world_end(&world);
}

/* ---- loss of power ---- */

static void power_goes_at_call(uint64_t n, uint64_t seed)
{
    struct world world;
    world_make(&world);
    fault_disk_track(&world.fault, world.dir.path);
    fault_disk_fail(&world.fault, FAULT_ANY, n, EIO, true);
    live(&world);
    fault_disk_lose_power(&world.fault, seed);
    kit_assert_whole(world.dir.path, world.acked);
    world_end(&world);
}

static void losing_power_at_any_call_loses_nothing_acknowledged(void **state)
{
    (void)state;
    uint64_t calls = calls_of_a_life();
    for (uint64_t n = 1; n <= calls + 1; n++)
        for (uint64_t seed = 0; seed < 4; seed++)
            power_goes_at_call(n, seed);
}

static void losing_power_after_a_failed_sync_and_a_restart_loses_nothing(void **state)
{
    (void)state;
    for (uint64_t n = 1; n <= 12; n++) {
        struct world world;
        world_make(&world);
        fault_disk_track(&world.fault, world.dir.path);
        fault_disk_fail(&world.fault, FAULT_DATASYNC, n, EIO, false);
        live(&world); /* the second life opens what the first left, from the page cache */
        fault_disk_lose_power(&world.fault, n);
        kit_assert_whole(world.dir.path, world.acked);
        world_end(&world);
    }
}

/* The process dies right after a sync failed, the next one finds the extent in memory, tells it to
 * readers, and then the power goes: it must be there. */
static void what_recovery_shows_survives_a_loss_of_power(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 6; seed++) {
        struct world world;
        world_make(&world);
        fault_disk_track(&world.fault, world.dir.path);
        struct journal_options options = kit_options(&world.fault.disk, world.dir.path);
        struct journal *journal;
        struct journal_recovery recovery;
        struct err err;
        assert_int_equal(journal_open(&journal, &options, &recovery, &err), 0);
        assert_int_equal(kit_append(journal, &err), 0);
        fault_disk_fail(&world.fault, FAULT_DATASYNC, 1, EIO, false);
        assert_int_equal(kit_append(journal, &err), GW_EIO);
        journal_close(journal);
        assert_int_equal(journal_open(&journal, &options, &recovery, &err), 0);
        uint64_t shown = journal_next_seq(journal);
        assert_int_equal(shown, 1 + 2 * KIT_SEQS);
        journal_close(journal);
        fault_disk_lose_power(&world.fault, seed);
        kit_assert_whole(world.dir.path, shown);
        world_end(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_failing_with_eio_loses_nothing_acknowledged),
        cmocka_unit_test(every_call_failing_with_enospc_loses_nothing_acknowledged),
        cmocka_unit_test(one_failed_call_never_stops_the_appends_after_it),
        cmocka_unit_test(a_descriptor_that_failed_is_never_used_again),
        cmocka_unit_test(losing_power_at_any_call_loses_nothing_acknowledged),
        cmocka_unit_test(losing_power_after_a_failed_sync_and_a_restart_loses_nothing),
        cmocka_unit_test(what_recovery_shows_survives_a_loss_of_power),
    };
    cmocka_set_test_filter(getenv("TEST")); /* tests/fault/mutants asks for one */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
