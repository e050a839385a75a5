/* SPDX-License-Identifier: Apache-2.0
 *
 * Cursors: what was saved is there after any failure, tear or loss of power; a wrong file is
 * refused (invariant 6).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "journal/cursor.h"
#include "lib/fault_disk.h"
#include "lib/journal_kit.h"
#include "lib/temp_dir.h"

static const struct identity ours = {0x1122334455667788};

struct world {
    struct temp_dir dir;
    char path[320];
    struct fault_disk fault;
};

static void world_make(struct world *world)
{
    temp_dir_make(&world->dir);
    snprintf(world->path, sizeof world->path, "%s/kafka.cursor", world->dir.path);
    fault_disk_init(&world->fault);
}

static void world_end(struct world *world)
{
    fault_disk_fini(&world->fault);
    temp_dir_remove(&world->dir);
}

static struct cursor_state state_of(uint64_t n)
{
    return (struct cursor_state){
        .next_seq = n,
        .settled_seq = n / 2,
        .readings = 7 * n,
        .generation = (uint32_t)n % 5,
        .unit_count = 2,
        .units = {{n, n + 9}, {n + 10, n + 19}},
    };
}

static void assert_state(const struct cursor_state *state, uint64_t n)
{
    assert_int_equal(state->next_seq, n);
    assert_int_equal(state->generation, n % 5);
    assert_int_equal(state->unit_count, 2);
    assert_int_equal(state->units[1].last_seq, n + 19);
    assert_int_equal(state->settled_seq, n / 2);
    assert_int_equal(state->readings, 7 * n);
}

/* What a new process would find. */
static uint64_t look(const struct world *world)
{
    struct cursor *cursor;
    struct err err;
    if (cursor_open(&cursor, &disk_real, world->path, ours, &err) < 0)
        fail_msg("%s", err.text);
    uint64_t next_seq = cursor_state(cursor)->next_seq;
    if (next_seq > 1)
        assert_state(cursor_state(cursor), next_seq);
    cursor_close(cursor);
    return next_seq;
}

static void a_new_cursor_begins_at_one_and_keeps_what_is_saved(void **state)
{
    (void)state;
    struct world world;
    world_make(&world);
    assert_int_equal(look(&world), 1);
    struct cursor *cursor;
    struct err err;
    assert_int_equal(cursor_open(&cursor, &disk_real, world.path, ours, &err), 0);
    for (uint64_t n = 100; n < 110; n++) {
        const struct cursor_state next = state_of(n);
        assert_int_equal(cursor_save(cursor, &next, &err), 0);
        assert_int_equal(look(&world), n);
        cursor_close(cursor); /* looking saved it once more, so this one is behind */
        assert_int_equal(cursor_open(&cursor, &disk_real, world.path, ours, &err), 0);
    }
    cursor_close(cursor);
    struct cursor_state peeked;
    struct identity identity;
    assert_int_equal(cursor_peek(&disk_real, world.path, &peeked, &identity, &err), 0);
    assert_state(&peeked, 109);
    assert_int_equal(identity.bits, ours.bits);
    world_end(&world);
}

/* Two saves, the second torn: each byte of the slot that the second wrote is lost in turn. */
static void a_slot_torn_at_any_byte_leaves_the_one_before(void **state)
{
    (void)state;
    struct world world;
    world_make(&world);
    struct cursor *cursor;
    struct err err;
    assert_int_equal(cursor_open(&cursor, &disk_real, world.path, ours, &err), 0);
    const struct cursor_state states[] = {state_of(50), state_of(60)};
    struct buffer before = {0};
    struct buffer after = {0};
    assert_int_equal(cursor_save(cursor, &states[0], &err), 0);
    kit_load(world.path, &before);
    assert_int_equal(cursor_save(cursor, &states[1], &err), 0);
    kit_load(world.path, &after);
    cursor_close(cursor);
    size_t slot = memcmp(before.data, after.data, 4096) == 0 ? 4096 : 0;
    for (size_t torn = 0; torn < 512; torn++) {
        struct buffer file = {0};
        buffer_add_bytes(&file, buffer_bytes(&before));
        memcpy(file.data + slot, after.data + slot, torn);
        file.data[slot + torn] ^= 0x40;
        kit_store(world.path, buffer_bytes(&file));
        assert_int_equal(look(&world), 50);
        buffer_fini(&file);
    }
    /* A file that was cut in the second slot, too. */
    kit_store(world.path, bytes_of(after.data, 4096 + 100));
    assert_int_equal(look(&world), slot ? 50 : 60);
    buffer_fini(&before);
    buffer_fini(&after);
    world_end(&world);
}

static void live(struct world *world, uint64_t *saved)
{
    struct err err;
    for (int life = 0; life < 2; life++) {
        struct cursor *cursor;
        if (cursor_open(&cursor, &world->fault.disk, world->path, ours, &err) < 0)
            continue;
        for (int i = 0; i < 4; i++) {
            const struct cursor_state next = state_of(*saved + 1);
            if (cursor_save(cursor, &next, &err) == 0)
                *saved += 1;
        }
        cursor_close(cursor);
    }
}

static uint64_t calls_of_a_life(void)
{
    struct world world;
    world_make(&world);
    uint64_t saved = 1;
    live(&world, &saved);
    uint64_t calls = world.fault.counts[FAULT_ANY];
    assert_int_equal(saved, 9);
    world_end(&world);
    return calls;
}

static void every_failing_call_keeps_the_last_save_or_the_one_tried(void **state)
{
    (void)state;
    uint64_t calls = calls_of_a_life();
    for (uint64_t n = 1; n <= calls; n++) {
        struct world world;
        world_make(&world);
        uint64_t saved = 1;
        fault_disk_fail(&world.fault, FAULT_ANY, n, n % 2 ? EIO : ENOSPC, false);
        world.fault.write_then_fail = n % 3 == 0;
        live(&world, &saved);
        assert_int_equal(world.fault.failed, 1);
        assert_in_range(look(&world), saved, saved + 1);
        world_end(&world);
    }
}

static void losing_power_at_any_call_keeps_the_last_save_or_the_one_tried(void **state)
{
    (void)state;
    uint64_t calls = calls_of_a_life();
    for (uint64_t n = 1; n <= calls + 1; n++) {
        for (uint64_t seed = 0; seed < 5; seed++) {
            struct world world;
            world_make(&world);
            fault_disk_track(&world.fault, world.dir.path);
            uint64_t saved = 1;
            fault_disk_fail(&world.fault, FAULT_ANY, n, EIO, true);
            live(&world, &saved);
            fault_disk_lose_power(&world.fault, seed);
            assert_in_range(look(&world), saved, saved + 1);
            world_end(&world);
        }
    }
}

static void after_a_failed_sync_the_file_is_replaced(void **state)
{
    (void)state;
    struct world world;
    world_make(&world);
    struct cursor *cursor;
    struct err err;
    assert_int_equal(cursor_open(&cursor, &world.fault.disk, world.path, ours, &err), 0);
    fault_disk_fail(&world.fault, FAULT_DATASYNC, 1, EIO, false);
    const struct cursor_state next = state_of(5);
    assert_int_equal(cursor_save(cursor, &next, &err), GW_EIO);
    uint64_t renames = world.fault.counts[FAULT_RENAME];
    assert_int_equal(cursor_save(cursor, &next, &err), 0);
    assert_int_equal(world.fault.counts[FAULT_RENAME], renames + 1);
    assert_int_equal(cursor_save(cursor, &next, &err), 0);
    assert_int_equal(world.fault.counts[FAULT_RENAME], renames + 1);
    cursor_close(cursor);
    world_end(&world);
}

static void expect_refusal(const struct world *world, int code, const char *says)
{
    struct cursor *cursor;
    struct err err;
    assert_int_equal(cursor_open(&cursor, &disk_real, world->path, ours, &err), code);
    assert_null(cursor);
    if (strstr(err.text, says) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.text, says);
}

static void a_wrong_damaged_or_newer_file_is_refused_with_a_way_out(void **state)
{
    (void)state;
    struct world world;
    world_make(&world);
    assert_int_equal(look(&world), 1);
    struct buffer file = {0};
    kit_load(world.path, &file);
    file.data[20] ^= 1;
    file.data[4096 + 20] ^= 1;
    kit_store(world.path, buffer_bytes(&file));
    expect_refusal(&world, GW_ECORRUPT, "both copies are damaged");
    kit_store(world.path, bytes_text(""));
    expect_refusal(&world, GW_ECORRUPT, "remove it");
    file.data[20] ^= 1;
    file.data[4096 + 20] ^= 1;
    for (int slot = 0; slot < 2; slot++) {
        uint8_t *raw = file.data + slot * 4096;
        store_u16_le(raw + 4, 3);
        store_u32_le(raw + 508, crc32c(0, bytes_of(raw, 508)));
    }
    kit_store(world.path, buffer_bytes(&file));
    expect_refusal(&world, GW_EVERSION, "format 3, this program reads up to 2");
    unlink(world.path);
    struct cursor *cursor;
    struct err err;
    assert_int_equal(cursor_open(&cursor, &disk_real, world.path, (struct identity){7}, &err), 0);
    cursor_close(cursor);
    expect_refusal(&world, GW_EINVAL, "belongs to the journal 0000000000000007");
    buffer_fini(&file);
    world_end(&world);
}

/* As the program before wrote it: zeros where the settled position and the readings stand now. */
static void make_version_1(uint8_t *raw)
{
    store_u16_le(raw + 4, 1);
    memset(raw + 168, 0, 16);
    store_u32_le(raw + 508, crc32c(0, bytes_of(raw, 508)));
}

static void a_file_of_version_1_is_read_with_all_of_it_settled(void **state)
{
    (void)state;
    struct world world;
    world_make(&world);
    struct cursor *cursor;
    struct err err;
    assert_int_equal(cursor_open(&cursor, &disk_real, world.path, ours, &err), 0);
    const struct cursor_state next = state_of(30);
    assert_int_equal(cursor_save(cursor, &next, &err), 0);
    cursor_close(cursor);
    struct buffer file = {0};
    kit_load(world.path, &file);
    make_version_1(file.data);
    make_version_1(file.data + 4096);
    kit_store(world.path, buffer_bytes(&file));
    assert_int_equal(cursor_open(&cursor, &disk_real, world.path, ours, &err), 0);
    assert_int_equal(cursor_state(cursor)->next_seq, 30);
    assert_int_equal(cursor_state(cursor)->settled_seq, 30);
    assert_int_equal(cursor_state(cursor)->readings, 0);
    assert_int_equal(cursor_state(cursor)->units[1].last_seq, 49);
    cursor_close(cursor);
    /* Opening saved one slot in the new form; the other is still of version 1. */
    kit_load(world.path, &file);
    struct cursor_state peeked;
    struct identity identity;
    assert_int_equal(cursor_peek(&disk_real, world.path, &peeked, &identity, &err), 0);
    assert_int_equal(peeked.settled_seq, 30);
    buffer_fini(&file);
    world_end(&world);
}

static void a_new_cursor_begins_where_it_is_told(void **state)
{
    (void)state;
    struct world world;
    world_make(&world);
    const struct cursor_state first = {.next_seq = 70, .settled_seq = 70, .readings = 9};
    for (int round = 0; round < 2; round++) {
        struct cursor *cursor;
        struct err err;
        /* The second time it is there, and counts. */
        const struct cursor_state other = {.next_seq = 500, .settled_seq = 500};
        assert_int_equal(
            cursor_open_from(&cursor, &disk_real, world.path, ours, round ? &other : &first, &err),
            0);
        assert_int_equal(cursor_state(cursor)->next_seq, 70);
        assert_int_equal(cursor_state(cursor)->settled_seq, 70);
        assert_int_equal(cursor_state(cursor)->readings, 9);
        cursor_close(cursor);
    }
    world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_cursor_begins_at_one_and_keeps_what_is_saved),
        cmocka_unit_test(a_slot_torn_at_any_byte_leaves_the_one_before),
        cmocka_unit_test(every_failing_call_keeps_the_last_save_or_the_one_tried),
        cmocka_unit_test(losing_power_at_any_call_keeps_the_last_save_or_the_one_tried),
        cmocka_unit_test(after_a_failed_sync_the_file_is_replaced),
        cmocka_unit_test(a_file_of_version_1_is_read_with_all_of_it_settled),
        cmocka_unit_test(a_new_cursor_begins_where_it_is_told),
        cmocka_unit_test(a_wrong_damaged_or_newer_file_is_refused_with_a_way_out),
    };
    cmocka_set_test_filter(getenv("TEST")); /* tests/fault/mutants asks for one */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
