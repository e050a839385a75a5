/* SPDX-License-Identifier: Apache-2.0
 *
 * `tidegate lane` on a data folder that the test makes: what ls shows of each cursor, and whom drop
 * obeys. A gateway is an admin interface with a handler of the test's own, and the folder's lock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <fcntl.h>
#include <inttypes.h>

#include "admin/admin.h"
#include "cli/cli.h"
#include "cli/folder.h"
#include "journal/cursor.h"
#include "lib/cli_kit.h"
#include "lib/journal_kit.h"
#include "missed.h"

enum { SEGMENTS = 3, EXTENTS = 4 }; /* of each log; an extent has KIT_SEQS messages */

struct fixture {
    struct cli_kit *kit;
    char *data;
    struct identity identity;
};

/* ---- the folder ---- */

/* Segments of a few extents; the identity is made with the first log. */
static void log_make(struct fixture *fixture, const char *name, enum journal_kind kind)
{
    char *dir = mem_printf("%s/journal/%s", fixture->data, name);
    struct journal *journal;
    struct journal_recovery found;
    struct err err;
    assert_int_equal(disk_make_dirs(&disk_real, dir), 0);
    struct journal_options options = {.disk = &disk_real,
                                      .dir = dir,
                                      .kind = kind,
                                      .identity = fixture->identity,
                                      .segment_bytes = 1 << 20};
    if (journal_open(&journal, &options, &found, &err))
        fail_msg("%s", err.text);
    fixture->identity = journal_identity(journal);
    for (int i = 0; i < SEGMENTS; i++) {
        kit_append_many(journal, EXTENTS);
        journal_rotate(journal);
    }
    journal_close(journal);
    free(dir);
}

static char *cursor_file_path(const struct fixture *fixture, const char *name)
{
    return mem_printf("%s/cursors/%s.cursor", fixture->data, name);
}

static void cursor_make(const struct fixture *fixture, const char *name, uint64_t next_seq)
{
    char *path = cursor_file_path(fixture, name);
    struct cursor *cursor;
    struct err err;
    assert_int_equal(cursor_open(&cursor, &disk_real, path, fixture->identity, &err), 0);
    struct cursor_state state = *cursor_state(cursor);
    state.next_seq = state.settled_seq = next_seq;
    assert_int_equal(cursor_save(cursor, &state, &err), 0);
    cursor_close(cursor);
    free(path);
}

static void missed_make(const struct fixture *fixture, const char *name)
{
    static const struct missed_range range = {
        .kind = MISSED_PARKED, .first_seq = 3, .last_seq = 12, .since_ms = 1000, .until_ms = 2000};
    char *cursor = cursor_file_path(fixture, name);
    char *path = missed_path(cursor);
    struct missed *missed;
    struct err err;
    assert_int_equal(missed_open(&missed, &disk_real, path, &err), 0);
    assert_int_equal(missed_add(missed, &range, &err), 0);
    missed_close(missed);
    free(path);
    free(cursor);
}

static bool exists(const struct fixture *fixture, const char *file)
{
    struct disk_stat stat;
    char *path = mem_printf("%s/cursors/%s", fixture->data, file);
    bool found = disk_real.stat(&disk_real, path, &stat) == 0;
    free(path);
    return found;
}

/* Cursors `new` and `old`; the second one is ten messages behind and has missed some. */
static int setup(void **state)
{
    struct fixture *fixture = mem_zalloc(sizeof *fixture);
    void *kit;
    cli_kit_setup(&kit);
    fixture->kit = kit;
    fixture->data = mem_printf("%s/data", fixture->kit->dir.path);
    log_make(fixture, "raw", JOURNAL_RAW);
    log_make(fixture, "readings", JOURNAL_READINGS);
    char *cursors = mem_printf("%s/cursors", fixture->data);
    assert_int_equal(disk_make_dirs(&disk_real, cursors), 0);
    free(cursors);
    cursor_make(fixture, "new", 1 + SEGMENTS * EXTENTS * KIT_SEQS);
    cursor_make(fixture, "old", 1 + EXTENTS * KIT_SEQS);
    missed_make(fixture, "old");
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    void *kit = fixture->kit;
    cli_kit_teardown(&kit);
    free(fixture->data);
    free(fixture);
    return 0;
}

/* %s of the format is the folder. */
static int run(struct fixture *fixture, const char *format, const char *input)
{
    const char *mark = strstr(format, "%s");
    char *line = mem_printf("%.*s%s%s", (int)(mark - format), format, fixture->data, mark + 2);
    int code = cli_kit_run(fixture->kit, cli_main, line, input);
    free(line);
    return code;
}

static void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("wanted %s in:\n%s", part, text);
}

static void on_segment(void *arg, const struct journal_segment_info *info)
{
    uint64_t *sum = arg;
    if (info->sealed && info->first_seq > EXTENTS * KIT_SEQS)
        *sum += info->bytes_allocated;
}

/* Disk that both logs use for what stands behind the cursor `old`, but for their last segment, which
 * stays in any case. */
static uint64_t behind_old(const struct fixture *fixture)
{
    uint64_t sum = 0;
    for (int i = 0; i < 2; i++) {
        struct journal *journal;
        struct err err;
        assert_int_equal(folder_open(fixture->data, &folder_logs[i], &journal, &err), 0);
        journal_segments(journal, on_segment, &sum);
        journal_close(journal);
    }
    assert_true(sum > 0);
    return sum;
}

/* ---- a gateway ---- */

struct gateway_stand_in {
    struct admin *admin;
    char *address; /* --admin of it */
    int lock;
    struct identity identity;
    const char *lanes;
};

static int handle_status(void *arg, const struct admin_request *request, struct buffer *body)
{
    const struct gateway_stand_in *gateway = arg;
    char identity[IDENTITY_TEXT_SIZE];
    (void)request;
    buffer_printf(body,
                  "{\"gateway\":\"%s\",\"lanes\":[%s],\"orphan_cursors\":[{\"name\":\"gone\","
                  "\"next_seq\":7,\"lag_messages\":2,\"held_bytes\":1048576,\"why\":\"\"}]}",
                  identity_format(gateway->identity, identity), gateway->lanes);
    return 200;
}

static const struct admin_route routes[] = {
    {.path = "/status", .content_type = "application/json", .handle = handle_status},
    {0},
};

static void gateway_start(struct gateway_stand_in *gateway, const struct fixture *fixture,
                          const char *lanes)
{
    struct err err;
    *gateway = (struct gateway_stand_in){.identity = fixture->identity, .lanes = lanes};
    assert_int_equal(folder_lock(fixture->data, &gateway->lock, &err), 0);
    char listen[] = "127.0.0.1:0";
    struct admin_options options = {.listen = listen};
    assert_int_equal(admin_start(&gateway->admin, &options, routes, gateway, NULL, &err), 0);
    gateway->address = mem_printf("--admin 127.0.0.1:%d", admin_port(gateway->admin));
}

static void gateway_stop(struct gateway_stand_in *gateway)
{
    admin_stop(gateway->admin);
    disk_real.close(&disk_real, gateway->lock);
    free(gateway->address);
}

static int run_at(struct fixture *fixture, const struct gateway_stand_in *gateway,
                  const char *format)
{
    char *line = mem_printf("%s %s", format, gateway->address);
    int code = run(fixture, line, NULL);
    free(line);
    return code;
}

/* ---- ls ---- */

static void ls_shows_every_cursor_and_what_it_missed(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(run(fixture, "tidegate lane ls --json --data %s", NULL), 0);
    assert_has(fixture->kit->out,
               "{\"name\":\"new\",\"configured\":null,\"next_seq\":37,\"settled_seq\":37,"
               "\"lag_messages\":0,\"missed_messages\":0,\"held_bytes\":0,");
    assert_has(fixture->kit->out,
               "{\"name\":\"old\",\"configured\":null,\"next_seq\":13,\"settled_seq\":13,"
               "\"lag_messages\":24,\"missed_messages\":10,");
    assert_has(fixture->kit->out,
               "\"missed\":[{\"kind\":\"parked\",\"first_seq\":3,\"last_seq\":12}]");
    assert_int_equal(run(fixture, "tidegate lane ls --data %s", NULL), 0);
    assert_has(fixture->kit->out, "\n  missed: messages 3 to 12\n");
    assert_has(fixture->kit->out, "used: not known");
}

static void ls_tells_which_ones_a_configuration_has(void **state)
{
    struct fixture *fixture = *state;
    char *path = mem_printf("%s/c.yaml", fixture->kit->dir.path);
    assert_int_equal(
        disk_replace_file(&disk_real, path,
                          bytes_text("routes: [{topic: \"v1/{vendor}/json\", codec: json}]\n"
                                     "sinks: [{type: discard, name: new}]\n")),
        0);
    char *line = mem_printf("tidegate lane ls --data %s --config %s", "%s", path);
    assert_int_equal(run(fixture, line, NULL), 0);
    assert_has(fixture->kit->out, "\nnew                  yes ");
    assert_has(fixture->kit->out, "\nold                  NO ");
    assert_has(fixture->kit->out, "no sink of that name: it holds ");
    free(line);
    line = mem_printf("tidegate lane ls --json --data %s --config %s", "%s", path);
    char *held = mem_printf("\"held_bytes\":%" PRIu64 ",", behind_old(fixture));
    assert_int_equal(run(fixture, line, NULL), 0);
    assert_has(fixture->kit->out, held);
    free(held);
    free(line);
    line = mem_printf("tidegate lane drop new --yes --data %s --config %s", "%s", path);
    assert_int_equal(run(fixture, line, NULL), EXIT_CODE_FAILED);
    assert_has(fixture->kit->err, "the sink new is configured");
    assert_true(exists(fixture, "new.cursor"));
    free(line);
    free(path);
}

static void ls_shows_what_cannot_be_read_and_ends_with_65(void **state)
{
    struct fixture *fixture = *state;
    char *path = cursor_file_path(fixture, "new");
    assert_int_equal(disk_replace_file(&disk_real, path, bytes_text("nothing")), 0);
    assert_int_equal(run(fixture, "tidegate lane ls --data %s", NULL), EXIT_CODE_DATA);
    assert_has(fixture->kit->out, "\n  cursor ");
    assert_has(fixture->kit->out, "\nold ");
    free(path);
}

static void ls_asks_a_running_gateway(void **state)
{
    struct fixture *fixture = *state;
    struct gateway_stand_in gateway;
    gateway_start(&gateway, fixture,
                  "{\"name\":\"new\",\"next_seq\":9,\"settled_seq\":8,\"lag_messages\":0,"
                  "\"parked_messages\":0,\"why\":\"\"}");
    assert_int_equal(run_at(fixture, &gateway, "tidegate lane ls --data %s"), 0);
    assert_has(fixture->kit->out, "\nnew                  yes ");
    assert_has(fixture->kit->out, "\nold                  NO ");
    char *line = mem_printf("tidegate lane ls %s", gateway.address);
    assert_int_equal(cli_kit_run(fixture->kit, cli_main, line, NULL), 0);
    assert_has(fixture->kit->out, "\nnew                  yes             9            8 ");
    assert_has(fixture->kit->out, "\ngone                 NO              7            - ");
    assert_has(fixture->kit->out, "holds 1.0 MiB");
    free(line);
    /* Another gateway knows nothing about this folder. */
    gateway.identity.bits++;
    assert_int_equal(run_at(fixture, &gateway, "tidegate lane ls --data %s"), EXIT_CODE_FAILED);
    assert_has(fixture->kit->err, "runs on another folder");
    gateway_stop(&gateway);
}

/* ---- drop ---- */

static void drop_needs_a_yes_and_removes_cursor_and_ranges(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(run(fixture, "tidegate lane drop old --data %s", "old\n"), EXIT_CODE_USAGE);
    assert_has(fixture->kit->err, "say --yes");
    assert_true(exists(fixture, "old.cursor"));
    assert_int_equal(run(fixture, "tidegate lane drop odl --yes --data %s", NULL),
                     EXIT_CODE_FAILED);
    assert_has(fixture->kit->err, "no cursor odl in ");
    assert_has(fixture->kit->err, "there are: new, old");
    assert_int_equal(run(fixture, "tidegate lane drop old --yes --data %s", NULL), 0);
    assert_has(fixture->kit->out, "it stood at message 13");
    assert_has(fixture->kit->out, "It alone held ");
    assert_has(fixture->kit->out, "1 missed ranges (10 messages)");
    assert_false(exists(fixture, "old.cursor"));
    assert_false(exists(fixture, "old.missed"));
    assert_true(exists(fixture, "new.cursor"));
}

static void drop_obeys_a_running_gateway(void **state)
{
    struct fixture *fixture = *state;
    struct gateway_stand_in gateway;
    gateway_start(&gateway, fixture, "{\"name\":\"old\"}");
    assert_int_equal(run_at(fixture, &gateway, "tidegate lane drop old --yes --data %s"),
                     EXIT_CODE_FAILED);
    assert_has(fixture->kit->err, "the sink old is in use");
    /* It runs and cannot be asked: no guess. */
    assert_int_equal(
        run(fixture, "tidegate lane drop new --yes --data %s --admin 127.0.0.1:1", NULL),
        EXIT_CODE_UNAVAILABLE);
    assert_true(exists(fixture, "old.cursor") && exists(fixture, "new.cursor"));
    assert_int_equal(run_at(fixture, &gateway, "tidegate lane drop new --yes --data %s"), 0);
    assert_false(exists(fixture, "new.cursor"));
    gateway_stop(&gateway);
}

static void folders_that_are_none_are_told(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(run(fixture, "tidegate lane drop old --yes --data %s/no", NULL),
                     EXIT_CODE_FAILED);
    assert_has(fixture->kit->err, "there are: none");
    assert_int_equal(cli_kit_run(fixture->kit, cli_main, "tidegate lane ls", NULL),
                     EXIT_CODE_USAGE);
    assert_int_equal(cli_kit_run(fixture->kit, cli_main, "tidegate lane drop x", NULL),
                     EXIT_CODE_USAGE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ls_shows_every_cursor_and_what_it_missed),
        TEST(ls_tells_which_ones_a_configuration_has),
        TEST(ls_shows_what_cannot_be_read_and_ends_with_65),
        TEST(ls_asks_a_running_gateway),
        TEST(drop_needs_a_yes_and_removes_cursor_and_ranges),
        TEST(drop_obeys_a_running_gateway),
        TEST(folders_that_are_none_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
