/* SPDX-License-Identifier: Apache-2.0
 *
 * Appending and reading back, rotation, limits, retention, the lock, wrong and newer journals.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "journal/journal.h"

static struct journal_options options_of(const char *dir)
{
    return (struct journal_options){.disk = &disk_real,
                                    .dir = dir,
                                    .kind = JOURNAL_RAW,
                                    .segment_bytes = 1 << 20,
                                    .compression_level = 1};
}

static void what_was_appended_is_read_back(void **state)
{
    (void)state;
    char dir[] = "/tmp/tidegate-journal-XXXXXX";
    assert_non_null(mkdtemp(dir));
    struct journal_options options = options_of(dir);
    struct journal *journal;
    struct journal_recovery recovery;
    struct err err;
    assert_int_equal(journal_open(&journal, &options, &recovery, &err), 0);
    for (int i = 0; i < 100; i++) {
        char body[20000];
        memset(body, 'a' + i % 26, sizeof body);
        snprintf(body, sizeof body, "extent %d", i);
        for (size_t j = 100; j < sizeof body; j++)
            body[j] = (char)rand();
        struct extent extent = {.first_seq = journal_next_seq(journal),
                                .seq_count = 3,
                                .kind = EXTENT_RECORDS,
                                .body = bytes_of(body, sizeof body),
                                .received_min_ms = 5,
                                .received_max_ms = 6};
        int rc = journal_append(journal, &extent, &err);
        if (rc)
            printf("%s\n", err.text);
        assert_int_equal(rc, 0);
    }
    for (int round = 0; round < 2; round++) {
        struct journal_reader *reader;
        assert_int_equal(journal_reader_new(journal, 1, &reader, &err), 0);
        struct extent out;
        for (int i = 0; i < 100; i++) {
            assert_int_equal(journal_reader_next(reader, &out, &err), JOURNAL_EXTENT);
            char want[32];
            snprintf(want, sizeof want, "extent %d", i);
            assert_string_equal((const char *)out.body.data, want);
            assert_int_equal(out.first_seq, 1 + 3 * i);
        }
        assert_int_equal(journal_reader_next(reader, &out, &err), JOURNAL_END);
        journal_reader_free(reader);
        journal_close(journal);
        assert_int_equal(journal_open(&journal, &options, &recovery, &err), 0);
        assert_int_equal(recovery.next_seq, 301);
        assert_int_equal(recovery.extents, 100);
        assert_int_equal(recovery.damaged_extents, 0);
        assert_int_equal(recovery.torn_bytes, 0);
    }
    journal_close(journal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_was_appended_is_read_back)};
    cmocka_set_test_filter(getenv("TEST")); /* tests/fault/mutants asks for one */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
