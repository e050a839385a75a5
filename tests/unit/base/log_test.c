/* SPDX-License-Identifier: Apache-2.0
 *
 * Lines of the log: text and JSON from one format, what strings from outside cannot do, the table of
 * events, and what repeats.
 */
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log_events.h"
#include "base/log_line.h"

static char *made(bool json, const char *format, ...) __attribute__((format(printf, 2, 3)));
static char *made(bool json, const char *format, ...)
{
    struct buffer out = {0};
    struct log_event_head head = {1795305600123, LOG_WARN, "ready", 0};
    va_list args;
    va_start(args, format);
    log_line_make(&head, json, format, args, &out);
    va_end(args);
    assert_in_range(out.size, 1, LOG_LINE_MAX);
    assert_int_equal(out.data[out.size - 1], '\n');
    out.data[out.size - 1] = '\0';
    return (char *)out.data;
}

#define assert_made(json, want, ...)                                                               \
    do {                                                                                           \
        char *line_ = made(json, __VA_ARGS__);                                                     \
        assert_string_equal(line_, want);                                                          \
        free(line_);                                                                               \
    } while (0)

#define TEXT "2026-11-22T00:00:00.123Z warn ready"
#define JSON "{\"time\":\"2026-11-22T00:00:00.123Z\",\"level\":\"warn\",\"event\":\"ready\""

static void facts_are_members_and_numbers_are_numbers(void **state)
{
    (void)state;
    assert_made(false, TEXT " sink=parquet seq=18446744073709551615 left=-3 why=\"no room: 4\"",
                "sink=%s seq=%llu left=%d why=\"no room: %zu\"", "parquet", ~0ULL, -3, (size_t)4);
    assert_made(true,
                JSON ",\"sink\":\"parquet\",\"seq\":18446744073709551615,\"left\":-3,\"why\":\"no "
                     "room: 4\"}",
                "sink=%s seq=%llu left=%d why=\"no room: %zu\"", "parquet", ~0ULL, -3, (size_t)4);
}

static void every_conversion_of_the_header_works(void **state)
{
    (void)state;
    assert_made(true,
                JSON
                ",\"a\":1,\"b\":-2,\"c\":3,\"d\":4,\"e\":\"00ff\",\"f\":\"abc\",\"g\":1.5,\"h\":"
                "\"x%\",\"i\":\"007\"}",
                "a=%u b=%ld c=%lld d=%zu e=%04x f=%.*s g=%.1f h=%c%% i=%03d", 1U, -2L, 3LL,
                (size_t)4, 255U, 3, "abcdef", 1.5, 'x', 7);
    assert_made(true, JSON ",\"a\":\"inf\",\"b\":\"\",\"c\":\"abcd\"}", "a=%f b=%s c=%.4s",
                1e308 * 10, "", "abcdef");
}

static void words_without_a_key_are_the_text(void **state)
{
    (void)state;
    assert_made(false, TEXT " what was not stored why=\"full\"", "what was not stored why=\"%s\"",
                "full");
    assert_made(true, JSON ",\"why\":\"full\",\"text\":\"what was not stored\"}",
                "what was not stored why=\"%s\"", "full");
    assert_made(true, JSON "}", " ");
}

static void no_argument_can_end_a_value_or_begin_a_key(void **state)
{
    (void)state;
    const char *evil =
        "x\" level=\"info\"\nforged event=y\x1b[31m\x7f \\ \xc2\x9b \xff \xe2\x80\xae";
    char *text = made(false, "why=\"%s\" after=%d", evil, 1);
    assert_null(strpbrk(text, "\n\x1b\x7f"));
    assert_null(strstr(text, "\xc2\x9b"));
    assert_null(strstr(text, "\xe2\x80\xae"));
    free(text);
    assert_made(true,
                JSON ",\"why\":\"x\\\" level=\\\"info\\\"\\nforged event=y\\u001b[31m\\u007f \\\\ "
                     "\\u009b \xef\xbf\xbd \\u202e\",\"after\":1}",
                "why=\"%s\" after=%d", evil, 1);
}

static void what_is_too_long_is_cut_and_the_line_stays_whole(void **state)
{
    (void)state;
    char big[3000];
    memset(big, '\x01', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    for (int json = 0; json < 2; json++) {
        char *line = made(json, "a=\"%.500s\" b=\"%s\" c=%d", big, big, 1);
        assert_non_null(strstr(line, json ? ",\"cut\":true}" : " cut=true"));
        free(line);
    }
    assert_made(true, JSON ",\"a\":\"x\",\"b\":1}", "a=%s b=%d", "x", 1);
    memset(big, 'b', sizeof big - 1);
    char *line = made(true, "a=\"%s\" c=%d", big, 1);
    assert_non_null(strstr(line, "b~\",\"c\":1}"));
    free(line);
}

static void the_table_is_sorted_and_found(void **state)
{
    (void)state;
    int count = 0;
    for (const struct log_event_row *row = log_events; row->name; row++, count++) {
        assert_int_equal(log_event_find(row->name), count);
        assert_true(row->levels != 0 && row->sentence[strlen(row->sentence) - 1] == '.');
    }
    assert_in_range(count, 100, LOG_EVENTS_MAX - 2);
    assert_int_equal(log_event_find("no_such_event"), -1);
    assert_int_equal(log_event_find(""), -1);
    struct buffer out = {0};
    log_events_reference(&out);
    buffer_u8(&out, 0);
    assert_non_null(strstr((char *)out.data, "\nsink_retry (warn)\n    A destination"));
    buffer_fini(&out);
}

/* What log_event writes to standard error while `run` runs; the caller frees. */
static char *caught(void (*run)(void))
{
    char path[] = "/tmp/log_test_XXXXXX";
    int file = mkstemp(path), before = dup(STDERR_FILENO);
    assert_true(file >= 0 && before >= 0);
    unlink(path);
    fflush(stderr);
    dup2(file, STDERR_FILENO);
    run();
    fflush(stderr);
    dup2(before, STDERR_FILENO);
    close(before);
    off_t size = lseek(file, 0, SEEK_END);
    char *text = mem_zalloc((size_t)size + 1);
    assert_int_equal(pread(file, text, (size_t)size, 0), size);
    close(file);
    return text;
}

static void write_many(void)
{
    for (int i = 0; i < LOG_REPEAT_MAX + 500; i++)
        log_event(LOG_INFO, "reloaded", "generation=%d", i);
    log_event(LOG_INFO, "stopped", "next_seq=%d", 1);
}

static size_t count_of(const char *text, const char *word)
{
    size_t count = 0;
    while ((text = strstr(text, word)) != NULL)
        count++, text += strlen(word);
    return count;
}

static void one_event_is_written_so_often_a_minute_and_hides_no_other(void **state)
{
    (void)state;
    log_set_format(LOG_FORMAT_JSON);
    char *text = caught(write_many);
    assert_in_range(count_of(text, "\"reloaded\""), LOG_REPEAT_MAX, 2 * LOG_REPEAT_MAX);
    assert_int_equal(count_of(text, "\"stopped\""), 1);
    free(text);
}

static void write_lines(void)
{
    log_lines(LOG_ERROR, "configuration_error", bytes_text("a.yaml:1:2: wrong\n  x\n   ^\n"));
}

static void lines_for_people_stay_as_they_are_and_are_events_in_json(void **state)
{
    (void)state;
    log_set_format(LOG_FORMAT_TEXT);
    char *text = caught(write_lines);
    assert_string_equal(text, "a.yaml:1:2: wrong\n  x\n   ^\n");
    free(text);
    log_set_format(LOG_FORMAT_JSON);
    text = caught(write_lines);
    assert_int_equal(count_of(text, "{\"time\":"), 3);
    assert_non_null(
        strstr(text, "\"event\":\"configuration_error\",\"text\":\"a.yaml:1:2: wrong\"}\n"));
    free(text);
}

static void write_one(void)
{
    log_event(LOG_INFO, "stopping", "signal=%d", 15);
}

static void what_is_no_terminal_gets_json_by_default(void **state)
{
    (void)state;
    log_set_format(LOG_FORMAT_AUTO);
    char *text = caught(write_one);
    assert_int_equal(text[0], '{');
    free(text);
    assert_string_equal(log_format_names[LOG_FORMAT_JSON], "json");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(facts_are_members_and_numbers_are_numbers),
        cmocka_unit_test(every_conversion_of_the_header_works),
        cmocka_unit_test(words_without_a_key_are_the_text),
        cmocka_unit_test(no_argument_can_end_a_value_or_begin_a_key),
        cmocka_unit_test(what_is_too_long_is_cut_and_the_line_stays_whole),
        cmocka_unit_test(the_table_is_sorted_and_found),
        cmocka_unit_test(one_event_is_written_so_often_a_minute_and_hides_no_other),
        cmocka_unit_test(lines_for_people_stay_as_they_are_and_are_events_in_json),
        cmocka_unit_test(what_is_no_terminal_gets_json_by_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
