/* SPDX-License-Identifier: Apache-2.0
 *
 * Entries of `sinks`: the rows that every sink has, files with secrets, and names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/load.h"
#include "lib/temp_dir.h"

#define ROUTES "routes:\n  - {topic: \"v1/{vendor}/json\", codec: json}\n"

/* Of the last text; ends with a NUL. */
static struct buffer errors;

static struct config *parse_type(const char *type, const char *sink)
{
    struct config *config = NULL;
    char *text = mem_printf(ROUTES "sinks:\n  - {type: %s%s}\n", type, sink);
    buffer_clear(&errors);
    if (config_parse(bytes_text(text), NULL, "t.yaml", &disk_real, &config, &errors))
        config = NULL;
    buffer_u8(&errors, '\0');
    free(text);
    return config;
}

static struct config *parse(const char *sink)
{
    return parse_type("discard", sink);
}

static bool says(const char *text)
{
    bool found = strstr((char *)errors.data, text) != NULL;
    if (!found)
        print_message("not said: %s\nbut: %s\n", text, (char *)errors.data);
    return found;
}

static void sinks_begin_with_all_there_is_and_hold(void **state)
{
    (void)state;
    struct config *config = parse("");
    assert_non_null(config);
    assert_int_equal(config->sinks[0].when_full, WHEN_FULL_HOLD);
    assert_int_equal(config->sinks[0].start, START_EARLIEST);
    assert_string_equal(config->sinks[0].name, "discard");
    config_free(config);
}

static void common_rows_stand_beside_the_sinks_own(void **state)
{
    (void)state;
    struct config *config = parse(", delay: 1s, when_full: park, start: latest, name: slow");
    assert_non_null(config);
    assert_int_equal(config->sinks[0].when_full, WHEN_FULL_PARK);
    assert_int_equal(config->sinks[0].start, START_LATEST);
    assert_string_equal(config->sinks[0].name, "slow");
    config_free(config);
    assert_null(parse(", when_full: prak"));
    assert_true(
        says("t.yaml:4:32: when_full: \"prak\" must be hold or park: did you mean \"park\"?"));
    assert_null(parse(", when_ful: park"));
    assert_true(says("unknown option \"when_ful\": did you mean \"when_full\"?"));
    assert_null(parse(", start: [latest], name: {}"));
    assert_true(says("start must be a single value"));
    assert_true(says("name must be a single value"));
}

static void start_takes_a_day_or_a_time_with_its_zone(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {
        {"2026-11-01", INT64_C(1793491200000)},
        {"2026-11-01T08:00:00+08:00", INT64_C(1793491200000)},
        {"\"2026-11-01 00:00:00.5Z\"", INT64_C(1793491200500)},
    };
    static const char *const bad[] = {
        "2026-11-01T08:00:00", "2026-13-01", "2026-11-0x", "now", "20261101", "\"\"", "earlier"};
    (void)state;
    for (size_t i = 0; i < array_count(good); i++) {
        char *sink = mem_printf(", start: %s", good[i].text);
        struct config *config = parse(sink);
        assert_non_null(config);
        assert_int_equal(config->sinks[0].start, START_TIME);
        assert_int_equal(config->sinks[0].start_ms, good[i].ms);
        config_free(config);
        free(sink);
    }
    for (size_t i = 0; i < array_count(bad); i++) {
        char *sink = mem_printf(", start: %s", bad[i]);
        assert_null(parse(sink));
        assert_true(says("must be earliest, latest, a time with its zone"));
        free(sink);
    }
}

static void options_that_are_wrong_together_are_told_with_their_place(void **state)
{
    (void)state;
    assert_null(parse_type("kafka", ""));
    assert_true(says("t.yaml:4:5: `brokers` is missing"));
    assert_null(parse_type("clickhouse", ", url: \"ftp://h/d\""));
    assert_true(says("t.yaml:4:5: `url` \"ftp://h/d\": "));
    /* One mistake, one message. */
    assert_null(parse_type("kafka", ", delivery: twice"));
    assert_null(strstr((char *)errors.data, "`brokers` is missing"));
}

static void two_sinks_do_not_write_one_folder(void **state)
{
    (void)state;
    assert_null(parse_type("parquet", "}\n  - {type: parquet, name: b, path: ./parquet/"));
    assert_true(says("t.yaml:4:3: sinks parquet and b have one `path`"));
    struct config *config = parse_type("parquet", "}\n  - {type: parquet, name: b, path: archive");
    assert_non_null(config);
    assert_int_equal(config->sink_count, 2);
    config_free(config);
}

/* ---- files ---- */

struct secret_options {
    char *password_file, *ca_file, *path;
};

static const struct option secret_rows[] = {
    {"password_file", OPTION_PATH, offsetof(struct secret_options, password_file), NULL, 0, 0, NULL,
     "A password."},
    {"ca_file", OPTION_PATH, offsetof(struct secret_options, ca_file), NULL, 0, 0, NULL, "CAs."},
    {"path", OPTION_PATH, offsetof(struct secret_options, path), "out", 0, 0, NULL, "A folder."},
    {0},
};

/* What the options come to in a configuration in `folder`; the number of errors. */
static size_t files_read(const char *text, const char *folder, struct secret_options *out)
{
    char *with_slash = mem_printf("%s/", folder);
    struct load load = {.errors = &errors, .disk = &disk_real, .folder = with_slash};
    buffer_clear(&errors);
    assert_int_equal(yaml_parse(&load.yaml, bytes_text(text), "t.yaml", &errors), 0);
    option_defaults(secret_rows, out);
    assert_int_equal(yaml_set_options(&load.yaml, load.yaml.root, secret_rows, out, NULL), 0);
    config_sink_files(&load, load.yaml.root, secret_rows, out);
    size_t count = load.yaml.error_count;
    buffer_u8(&errors, '\0');
    yaml_fini(&load.yaml);
    free(with_slash);
    return count;
}

static void file_make(const struct temp_dir *dir, const char *name, mode_t mode)
{
    char *path = mem_printf("%s/%s", dir->path, name);
    assert_int_equal(disk_replace_file(&disk_real, path, bytes_text("secret\n")), 0);
    assert_int_equal(chmod(path, mode), 0);
    free(path);
}

static void files_are_seen_from_the_configurations_folder(void **state)
{
    (void)state;
    struct temp_dir dir;
    struct secret_options options = {0};
    temp_dir_make(&dir);
    file_make(&dir, "p", 0640);
    file_make(&dir, "ca", 0644);
    char *password = mem_printf("%s/p", dir.path), *ca = mem_printf("%s/ca", dir.path);
    char *text = mem_printf("{password_file: p, ca_file: %s, path: here}", ca);
    assert_int_equal(files_read(text, dir.path, &options), 0);
    assert_string_equal(options.password_file, password);
    assert_string_equal(options.ca_file, ca);
    assert_string_equal(options.path, "here");
    option_fini(secret_rows, &options);
    free(text);
    free(password);
    free(ca);
    temp_dir_remove(&dir);
}

/* A sink would look for a relative one below the data folder. */
static void files_get_an_absolute_path(void **state)
{
    (void)state;
    struct temp_dir dir;
    struct secret_options options = {0};
    char *before = getcwd(NULL, 0);
    temp_dir_make(&dir);
    file_make(&dir, "p", 0600);
    char *password = mem_printf("%s/./p", dir.path);
    assert_int_equal(chdir(dir.path), 0);
    size_t errors_found = files_read("{password_file: p}", ".", &options);
    assert_int_equal(chdir(before), 0);
    assert_int_equal(errors_found, 0);
    assert_string_equal(options.password_file, password);
    option_fini(secret_rows, &options);
    free(password);
    free(before);
    temp_dir_remove(&dir);
}

static void files_that_are_absent_or_open_are_told(void **state)
{
    (void)state;
    struct temp_dir dir;
    struct secret_options options = {0};
    temp_dir_make(&dir);
    file_make(&dir, "p", 0644);
    assert_int_equal(files_read("{password_file: p, ca_file: none}", dir.path, &options), 2);
    assert_true(says("t.yaml:1:17: "));
    assert_true(says("/p: others may read it or its group may write it (mode 0644)"));
    assert_true(says("/none: cannot be read: No such file"));
    assert_null(strstr((char *)errors.data, "secret"));
    option_fini(secret_rows, &options);
    temp_dir_remove(&dir);
}

static int teardown(void **state)
{
    (void)state;
    buffer_fini(&errors);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sinks_begin_with_all_there_is_and_hold),
        cmocka_unit_test(common_rows_stand_beside_the_sinks_own),
        cmocka_unit_test(start_takes_a_day_or_a_time_with_its_zone),
        cmocka_unit_test(options_that_are_wrong_together_are_told_with_their_place),
        cmocka_unit_test(two_sinks_do_not_write_one_folder),
        cmocka_unit_test(files_are_seen_from_the_configurations_folder),
        cmocka_unit_test(files_get_an_absolute_path),
        cmocka_unit_test(files_that_are_absent_or_open_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
