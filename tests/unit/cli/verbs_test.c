/* SPDX-License-Identifier: Apache-2.0
 *
 * The verbs as a user sees them: exit code, standard output, standard error. Run in this process, with
 * both streams in files; `tail` and `status` ask an admin interface with handlers of the test's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/admin.h"
#include "cli/cli.h"
#include "config/config.h"
#include "deadletter.h"
#include "journal/rawlog.h"
#include "lib/cli_kit.h"

static int run(struct cli_kit *kit, const char *line, const char *input)
{
    return cli_kit_run(kit, cli_main, line, input);
}

/* ---- the program ---- */

static void help_of_every_verb_goes_to_standard_output(void **state)
{
    static const char *const lines[] = {
        "tidegate --help",
        "tidegate help",
        "tidegate run --help",
        "tidegate validate --help",
        "tidegate decode --help",
        "tidegate tail --help",
        "tidegate sim --help",
        "tidegate status --help",
        "tidegate lane --help",
        "tidegate lane ls --help",
        "tidegate lane drop --help",
        "tidegate journal --help",
        "tidegate journal ls --help",
        "tidegate version --help",
        "tidegate journal verify --help",
        "tidegate deadletter -h",
        "tidegate journal show --help",
        "tidegate deadletter ls -h",
        "tidegate deadletter show --help",
        "tidegate deadletter retry --help",
        "tidegate replay --help",
        "tidegate replay ls --help",
        "tidegate replay stop --help",
        "tidegate replay resume -h",
        "tidegate replay forget --help",
        "tidegate check --help",
        "tidegate vendor --help",
        "tidegate vendor add --help",
        "tidegate vendor passwd --help",
        "tidegate vendor bind --help",
        "tidegate vendor ls --help",
        "tidegate vendor disable -h",
        "tidegate vendor enable -h",
        "tidegate vendor rm --help",
    };
    struct cli_kit *fixture = *state;
    for (size_t i = 0; i < array_count(lines); i++) {
        if (run(fixture, lines[i], NULL) != 0 || fixture->err[0])
            fail_msg("%s: %s", lines[i], fixture->err);
        assert_non_null(strstr(fixture->out, "Usage: tidegate "));
    }
}

static void mistakes_on_the_command_line_end_with_two(void **state)
{
    static const char *const cases[][2] = {
        {"tidegate", "Usage"},
        {"tidegate jurnal", "did you mean `journal`"},
        {"tidegate xyz", "unknown verb"},
        {"tidegate run", "needs --data DIR"},
        {"tidegate run --dta x", "did you mean --data"},
        {"tidegate run --data", "--data needs a value"},
        {"tidegate run --listen=nowhere --data x", "--listen"},
        {"tidegate run -d x", "two dashes"},
        {"tidegate run --data x more", "unexpected argument `more`"},
        {"tidegate validate", "needs one of"},
        {"tidegate validate --embedded --config x", "needs one of"},
        {"tidegate decode", "needs --codec"},
        {"tidegate decode --codec jsn", "unknown codec"},
        {"tidegate decode --codec json --received noon", "RFC 3339"},
        {"tidegate decode --codec json a b", "unexpected argument"},
        {"tidegate journal", ""},
        {"tidegate journal sho", "unknown action"},
        {"tidegate journal show", "needs --data"},
        {"tidegate journal show --data x --from 0", "--from"},
        {"tidegate deadletter ls", "needs --data"},
        {"tidegate check --vendor v --topic t", "needs --vendor"},
        {"tidegate check --vendor v --config x", "needs --vendor"},
        {"tidegate vendor add", "VENDOR"},
        {"tidegate vendor add acme", "needs --config FILE or --data DIR"},
        {"tidegate vendor add ../x --data /nowhere", "a vendor's name is"},
        {"tidegate vendor add acme a:b --data /nowhere", "a user's name has"},
        {"tidegate vendor add acme --data /nowhere --generate --password-file x", "not both"},
        {"tidegate vendor add acme --data /nowhere --generate --topics a#", "no topic filter"},
    };
    struct cli_kit *fixture = *state;
    for (size_t i = 0; i < array_count(cases); i++) {
        int code = run(fixture, cases[i][0], NULL);
        if (code != EXIT_CODE_USAGE || strstr(fixture->err, cases[i][1]) == NULL)
            fail_msg("%s: %d, %s", cases[i][0], code, fixture->err);
    }
}

static void help_is_broken_at_blanks_and_tells_all(void **state)
{
    struct cli_kit *kit = *state;
    assert_int_equal(run(kit, "tidegate lane ls --help", NULL), 0);
    for (const char *line = kit->out; *line;) {
        size_t size = strcspn(line, "\n");
        if (size > 100)
            fail_msg("longer than 100: %.*s", (int)size, line);
        line += size + (line[size] == '\n');
    }
    assert_non_null(strstr(kit->out, "\n  --admin HOST:PORT           Of the running gateway, "));
    assert_non_null(
        strstr(kit->out, "without --data\n                              all is asked there. "));
    assert_int_equal(run(kit, "tidegate sim --help", NULL), 0);
    assert_non_null(
        strstr(kit->out, "\n  --mqtt 3.1.1|5              Protocol version. Default: 5.\n"));
}

static void version_tells_what_is_in_it(void **state)
{
    struct cli_kit *fixture = *state;
    assert_int_equal(run(fixture, "tidegate version", NULL), 0);
    assert_memory_equal(fixture->out, "tidegate ", 9);
    assert_int_equal(run(fixture, "tidegate version --json", NULL), 0);
    assert_non_null(strstr(fixture->out, "\"json\":"));
    assert_non_null(strstr(fixture->out, "\"parquet\""));
}

/* ---- validate, run ---- */

static void validate_prints_embedded_and_reference(void **state)
{
    struct cli_kit *fixture = *state;
    assert_int_equal(run(fixture, "tidegate validate --embedded", NULL), 0);
    struct buffer text = {0};
    config_embedded_text(&(struct config_places){0}, &text);
    buffer_u8(&text, '\0');
    assert_string_equal(fixture->out, (char *)text.data);
    buffer_fini(&text);
    assert_int_equal(run(fixture, "tidegate validate --reference", NULL), 0);
    assert_non_null(strstr(fixture->out, "segment_size: 64MiB"));
    assert_non_null(strstr(fixture->out, "litre_decimals: 2"));
    assert_non_null(strstr(fixture->out, "#     when_full: hold"));
    assert_non_null(strstr(fixture->out, "#properties:"));
}

static void sinks_of_the_command_line_do_not_go_with_a_file(void **state)
{
    struct cli_kit *fixture = *state;
    static const char *const lines[] = {
        "tidegate run --data x --config c.yaml --kafka h:1",
        "tidegate run --config c.yaml --clickhouse http://h:1/d",
        "tidegate validate --config c.yaml --clickhouse http://h:1/d",
    };
    for (size_t i = 0; i < array_count(lines); i++) {
        assert_int_equal(run(fixture, lines[i], NULL), EXIT_CODE_USAGE);
        assert_non_null(strstr(fixture->err, "put it into c.yaml, as `tidegate validate"));
    }
}

static void bad_configuration_ends_with_78_and_all_errors(void **state)
{
    struct cli_kit *fixture = *state;
    char *path = mem_printf("%s/c.yaml", fixture->dir.path);
    assert_int_equal(disk_replace_file(&disk_real, path, bytes_text("dta: x\nrutes: []\n")), 0);
    char *line = mem_printf("tidegate validate --config %s", path);
    assert_int_equal(run(fixture, line, NULL), EXIT_CODE_CONFIG);
    assert_non_null(strstr(fixture->err, "c.yaml:1:1: "));
    assert_non_null(strstr(fixture->err, "c.yaml:2:1: "));
    free(line);
    line = mem_printf("tidegate validate --json --config %s", path);
    assert_int_equal(run(fixture, line, NULL), EXIT_CODE_CONFIG);
    assert_non_null(strstr(fixture->out, "\"ok\":false"));
    assert_non_null(strstr(fixture->out, "\"line\":2,\"column\":1,\"text\":\"unknown option"));
    free(line);
    line = mem_printf("tidegate run --data %s/d --config %s", fixture->dir.path, path);
    assert_int_equal(run(fixture, line, NULL), EXIT_CODE_CONFIG);
    assert_non_null(strstr(fixture->err, "nothing was started"));
    struct disk_stat stat;
    char *data = mem_printf("%s/d", fixture->dir.path);
    assert_true(disk_real.stat(&disk_real, data, &stat) < 0);
    free(data);
    free(line);
    free(path);
}

/* ---- decode: other programs rely on this form ---- */

static void decode_prints_rows_as_json(void **state)
{
    static const char payload[] =
        "{\"device\": \"00012345\", \"time\": \"2026-11-21T08:00:00+08:00\", \"volume.total\": "
        "123.456, \"pressure\": {\"value\": 0.31, \"unit\": \"MPa\"}}";
    static const char rows[] =
        "{\"vendor\":\"acme\",\"device\":\"00012345\",\"metric\":\"volume.total\",\"ts\":"
        "\"2026-11-21T00:00:00.000Z\",\"value\":123.456,\"unit\":\"m3\",\"scale\":3,\"quality\":"
        "\"good\",\"flags\":[],\"time_source\":\"device\",\"seq\":1,\"received\":"
        "\"2026-11-21T00:05:00.000Z\",\"gateway\":\"0000000000000000\"}\n"
        "{\"vendor\":\"acme\",\"device\":\"00012345\",\"metric\":\"pressure\",\"ts\":"
        "\"2026-11-21T00:00:00.000Z\",\"value\":310,\"unit\":\"kPa\",\"scale\":0,\"quality\":"
        "\"good\",\"flags\":[],\"time_source\":\"device\",\"seq\":1,\"received\":"
        "\"2026-11-21T00:05:00.000Z\",\"gateway\":\"0000000000000000\"}\n";
    struct cli_kit *fixture = *state;
    assert_int_equal(
        run(fixture, "tidegate decode --codec json --vendor acme --received 2026-11-21T00:05:00Z",
            payload),
        0);
    assert_string_equal(fixture->out, rows);
    assert_int_equal(run(fixture,
                         "tidegate decode --topic v1/acme/json --received 2026-11-21T00:05:00Z -",
                         payload),
                     0);
    assert_string_equal(fixture->out, rows);
}

static void decode_takes_device_hex_and_zone(void **state)
{
    struct cli_kit *fixture = *state;
    assert_int_equal(
        run(fixture,
            "tidegate decode --codec json --device 7 --hex --received "
            "2026-11-21T01:00:00Z",
            "7b22666c6f77223a312c2274696d65223a2232303236 2d31312d32315430383a30303a3030227d"),
        0);
    assert_non_null(strstr(fixture->out, "\"vendor\":\"unknown\",\"device\":\"7\""));
    /* the default's zone is +08:00 */
    assert_non_null(strstr(fixture->out, "\"ts\":\"2026-11-21T00:00:00.000Z\""));
}

static void decode_of_refused_payloads_ends_with_65(void **state)
{
    struct cli_kit *fixture = *state;
    assert_int_equal(run(fixture, "tidegate decode --codec json", "garbage"), EXIT_CODE_DATA);
    assert_memory_equal(fixture->err, "not_json: ", 10);
    assert_string_equal(fixture->out, "");
    assert_int_equal(run(fixture, "tidegate decode --topic nowhere", "{}"), EXIT_CODE_DATA);
    assert_memory_equal(fixture->err, "no_route: ", 10);
    assert_int_equal(run(fixture, "tidegate decode --codec json --hex", "0g"), EXIT_CODE_DATA);
    assert_int_equal(run(fixture, "tidegate decode --codec json --hex", "012"), EXIT_CODE_DATA);
    assert_int_equal(run(fixture, "tidegate decode --codec json /no/such/file", NULL),
                     EXIT_CODE_FAILED);
}

/* ---- tail, status ---- */

static _Atomic int asked;

static int handle_tail(void *arg, const struct admin_request *request, struct buffer *body)
{
    const char *from = admin_argument(request, "from");
    (void)arg;
    atomic_fetch_add(&asked, 1);
    if (from && strcmp(from, "0") == 0)
        buffer_add_text(body, "{\"next\":5}\n"
                              "{\"vendor\":\"acme\",\"device\":\"1\",\"metric\":\"flow\"}\n"
                              "{\"vendor\":\"acme\",\"device\":\"11\",\"metric\":\"flow\"}\n");
    else if (from && strcmp(from, "5") == 0)
        buffer_add_text(body, "{\"next\":9}\n"
                              "{\"vendor\":\"other\",\"device\":\"1\",\"metric\":\"flow\"}\n"
                              "{\"vendor\":\"acme\",\"device\":\"1\",\"metric\":\"level\"}\n");
    else
        return 500;
    return 200;
}

/* Each answer tells of a thousand messages more. */
static int handle_status(void *arg, const struct admin_request *request, struct buffer *body)
{
    static int answers;
    (void)arg;
    (void)request;
    buffer_printf(body,
                  "{\"ready\":true,\"uptime_s\":7260,\"received\":%d,\"raw\":{\"bytes\":67108864},"
                  "\"lanes\":[{\"name\":\"parquet\",\"health\":\"retrying\",\"lag_messages\":5,"
                  "\"lag_seconds\":90,\"rows\":12,\"why\":\"no room\"},"
                  "{\"name\":\"b\",\"health\":\"ok\",\"lag_messages\":0,\"lag_seconds\":0,"
                  "\"rows\":3,\"why\":\"\"}]}\n",
                  1000 * ++answers);
    return 200;
}

static const struct admin_route routes[] = {
    {.path = "/tail", .content_type = "application/x-ndjson", .handle = handle_tail},
    {.path = "/status", .content_type = "application/json", .handle = handle_status},
    {0},
};

static int admin_begin(struct admin **out, const struct admin_route *with, struct err *err)
{
    char listen[] = "127.0.0.1:0";
    struct admin_options options = {.listen = listen};
    return admin_start(out, &options, with, NULL, NULL, err);
}

static void tail_follows_and_filters(void **state)
{
    struct cli_kit *fixture = *state;
    struct admin *admin;
    struct err err;
    assert_int_equal(admin_begin(&admin, routes, &err), 0);
    char *line = mem_printf("tidegate tail --admin 127.0.0.1:%d --count 2 --vendor acme --device 1",
                            admin_port(admin));
    assert_int_equal(run(fixture, line, NULL), 0);
    assert_string_equal(fixture->out,
                        "{\"vendor\":\"acme\",\"device\":\"1\",\"metric\":\"flow\"}\n"
                        "{\"vendor\":\"acme\",\"device\":\"1\",\"metric\":\"level\"}\n");
    assert_int_equal(asked, 2);
    free(line);
    line = mem_printf("tidegate tail --admin 127.0.0.1:%d --from 77", admin_port(admin));
    assert_int_equal(run(fixture, line, NULL), EXIT_CODE_FAILED);
    assert_non_null(strstr(fixture->err, "status 500"));
    free(line);
    admin_stop(admin);
}

static void status_is_a_table_or_the_json(void **state)
{
    struct cli_kit *fixture = *state;
    struct admin *admin;
    struct err err;
    assert_int_equal(admin_begin(&admin, routes, &err), 0);
    char *line = mem_printf("tidegate status --details --admin 127.0.0.1:%d", admin_port(admin));
    assert_int_equal(run(fixture, line, NULL), 0);
    assert_non_null(strstr(fixture->out, "ready                true\n"));
    assert_non_null(strstr(fixture->out, "bytes                64.0 MiB\n"));
    assert_non_null(strstr(fixture->out, "  name     health    lag_messages"));
    assert_non_null(strstr(fixture->out, "  parquet  retrying  5 "));
    free(line);
    line = mem_printf("tidegate status --json --admin 127.0.0.1:%d", admin_port(admin));
    assert_int_equal(run(fixture, line, NULL), 0);
    assert_memory_equal(fixture->out, "{\"ready\":true,", 14);
    free(line);
    admin_stop(admin);
}

static void status_tells_rates_and_lag_in_words(void **state)
{
    struct cli_kit *fixture = *state;
    struct admin *admin;
    struct err err;
    double rate;
    assert_int_equal(admin_begin(&admin, routes, &err), 0);
    char *line = mem_printf("tidegate status --over 100ms --admin 127.0.0.1:%d", admin_port(admin));
    assert_int_equal(run(fixture, line, NULL), 0);
    assert_non_null(strstr(fixture->out, "gateway   ready, up 2 h 1 min\n"));
    const char *received = strstr(fixture->out, "\nreceived  ");
    assert_non_null(received);
    assert_int_equal(sscanf(received, " received %*d messages, %lf messages/s", &rate), 1);
    assert_true(rate > 0 && rate <= 10000); /* a thousand in a tenth of a second or a little more */
    assert_non_null(strstr(fixture->out, "sink      parquet RETRYING, "));
    free(line);
    line = mem_printf("tidegate status --over 0s --admin 127.0.0.1:%d", admin_port(admin));
    assert_int_equal(run(fixture, line, NULL), 0);
    assert_null(strstr(fixture->out, "messages/s"));
    free(line);
    admin_stop(admin);
}

/* A gateway that answers, breaks a connection without an answer, and answers again. */
static void *restarting_run(void *arg)
{
    const char *const answers[] = {
        "{\"next\":5}\n{\"device\":\"before\"}\n",
        NULL,
        "{\"next\":6}\n{\"device\":\"after\"}\n",
    };
    int listener = *(int *)arg;
    for (size_t i = 0; i < array_count(answers); i++) {
        char request[1024];
        int fd = accept(listener, NULL, NULL);
        if (fd < 0 || recv(fd, request, sizeof request, 0) <= 0)
            return NULL;
        request[sizeof request - 1] = '\0';
        if (answers[i])
            dprintf(fd, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
                    strlen(answers[i]), answers[i]);
        close(fd);
    }
    return NULL;
}

static void tail_outlives_a_restart_of_the_gateway(void **state)
{
    struct cli_kit *fixture = *state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    pthread_t thread;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(listener >= 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 4), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(pthread_create(&thread, NULL, restarting_run, &listener), 0);
    char *line =
        mem_printf("tidegate tail --count 2 --admin 127.0.0.1:%d", ntohs(address.sin_port));
    assert_int_equal(run(fixture, line, NULL), 0);
    assert_string_equal(fixture->out, "{\"device\":\"before\"}\n{\"device\":\"after\"}\n");
    assert_non_null(strstr(fixture->err, "waiting for it"));
    assert_int_equal(pthread_join(thread, NULL), 0);
    close(listener);
    free(line);
}

static void nobody_there_ends_with_69(void **state)
{
    struct cli_kit *fixture = *state;
    assert_int_equal(run(fixture, "tidegate tail --admin 127.0.0.1:1", NULL),
                     EXIT_CODE_UNAVAILABLE);
    assert_non_null(strstr(fixture->err, "is the gateway running"));
    assert_int_equal(run(fixture, "tidegate status --admin 127.0.0.1:1", NULL),
                     EXIT_CODE_UNAVAILABLE);
}

/* ---- journal, deadletter ---- */

static void extent_append(const char *dir, enum journal_kind kind, const struct extent *extent)
{
    struct journal_options options = {
        .disk = &disk_real, .dir = dir, .kind = kind, .segment_bytes = 1 << 20};
    struct journal_recovery recovery;
    struct journal *journal;
    struct err err;
    if (journal_open(&journal, &options, &recovery, &err) || journal_append(journal, extent, &err))
        fail_msg("%s", err.text);
    journal_close(journal);
}

/* A data folder with one dead letter, of three bytes that are no text, and two empty logs. */
static char *folder_make(const struct cli_kit *fixture)
{
    char *data = mem_printf("%s/data", fixture->dir.path);
    char *dir = mem_printf("%s/journal", data);
    assert_int_equal(disk_make_dirs(&disk_real, dir), 0);
    struct buffer body = {0};
    deadletter_encode(&(struct deadletter){.message = {.seq = 7,
                                                       .received_ms = 1795219200000,
                                                       .vendor = bytes_text("acme"),
                                                       .client = bytes_text("c\n1"),
                                                       .topic = bytes_text("t/1"),
                                                       .payload = bytes_text("\xff\x01z")},
                                           .stage = STAGE_DECODE,
                                           .codec = bytes_text("json"),
                                           .reason = bytes_text("not_json"),
                                           .detail = bytes_text("byte 0")},
                      &body);
    struct extent dead = {.first_seq = 7,
                          .seq_count = 1,
                          .kind = EXTENT_DEAD,
                          .generation = 1,
                          .body = buffer_bytes(&body)};
    char *dead_dir = mem_printf("%s/dead", dir);
    extent_append(dead_dir, JOURNAL_DEAD, &dead);
    buffer_fini(&body);
    free(dead_dir);
    free(dir);
    return data;
}

static void deadletters_are_listed_and_shown_whole(void **state)
{
    struct cli_kit *fixture = *state;
    char *data = folder_make(fixture);
    char *line = mem_printf("tidegate deadletter ls --data %s", data);
    assert_int_equal(run(fixture, line, NULL), 0);
    assert_non_null(strstr(fixture->out, "not_json"));
    assert_non_null(strstr(fixture->out, "t/1"));
    free(line);
    line = mem_printf("tidegate deadletter show --data %s", data);
    assert_int_equal(run(fixture, line, NULL), 0);
    assert_non_null(strstr(fixture->out, "payload   ff017a\n"));
    assert_non_null(strstr(fixture->out, "client    c\\x0a1\n"));
    free(line);
    line = mem_printf("tidegate deadletter show --json --vendor acme --data %s", data);
    assert_int_equal(run(fixture, line, NULL), 0);
    assert_non_null(strstr(fixture->out, "\"seq\":7,"));
    assert_non_null(strstr(fixture->out, "\"payload_hex\":\"ff017a\"}\n"));
    free(line);
    line = mem_printf("tidegate deadletter ls --vendor other --data %s", data);
    assert_int_equal(run(fixture, line, NULL), 0);
    assert_string_equal(fixture->out, "");
    free(line);
    free(data);
}

static void folder_without_journal_is_told(void **state)
{
    struct cli_kit *fixture = *state;
    static const char *const verbs[] = {"journal ls", "journal verify", "journal show",
                                        "deadletter ls"};
    for (size_t i = 0; i < array_count(verbs); i++) {
        char *line = mem_printf("tidegate %s --data %s", verbs[i], fixture->dir.path);
        assert_int_equal(run(fixture, line, NULL), EXIT_CODE_FAILED);
        assert_non_null(strstr(fixture->err, "no journal there"));
        assert_string_equal(fixture->out, "");
        free(line);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, cli_kit_setup, cli_kit_teardown)
        TEST(help_of_every_verb_goes_to_standard_output),
        TEST(mistakes_on_the_command_line_end_with_two),
        TEST(help_is_broken_at_blanks_and_tells_all),
        TEST(version_tells_what_is_in_it),
        TEST(validate_prints_embedded_and_reference),
        TEST(sinks_of_the_command_line_do_not_go_with_a_file),
        TEST(bad_configuration_ends_with_78_and_all_errors),
        TEST(decode_prints_rows_as_json),
        TEST(decode_takes_device_hex_and_zone),
        TEST(decode_of_refused_payloads_ends_with_65),
        TEST(tail_follows_and_filters),
        TEST(tail_outlives_a_restart_of_the_gateway),
        TEST(status_is_a_table_or_the_json),
        TEST(status_tells_rates_and_lag_in_words),
        TEST(nobody_there_ends_with_69),
        TEST(deadletters_are_listed_and_shown_whole),
        TEST(folder_without_journal_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
