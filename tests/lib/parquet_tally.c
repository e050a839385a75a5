/* SPDX-License-Identifier: Apache-2.0
 *
 * Counting what is in a folder of Parquet files, by our own reader.
 */
#include "lib/parquet_tally.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <xxhash.h>

#include "sinks/parquet/reader.h"

static uint64_t digest_row(const struct rows *rows, uint32_t row)
{
    struct buffer text = {0};
    for (int i = 0; i < TEXT_COUNT; i++)
        buffer_varbytes(&text, string_table_at(&rows->strings, rows->text[i][row]));
    buffer_u64_le(&text, (uint64_t)rows->ts[row]);
    buffer_u64_le(&text, rows->value[row]);
    buffer_u64_le(&text, (uint64_t)rows->seq[row]);
    buffer_u64_le(&text, (uint64_t)rows->received[row]);
    buffer_u8(&text, rows->scale[row]);
    buffer_u8(&text, rows->has_value[row]);
    uint64_t digest = XXH3_64bits(text.data, text.size);
    buffer_fini(&text);
    return digest;
}

static void tally_rows(struct tally *tally, const struct rows *rows)
{
    for (uint32_t i = 0; i < rows->count; i++) {
        assert_in_range(rows->seq[i], 0, TALLY_SEQ_MAX - 1);
        tally->seen[rows->seq[i]]++;
        tally->digest += digest_row(rows, i);
        if (i && rows_compare(rows, i - 1, rows, i) > 0)
            tally->unsorted++;
    }
    tally->rows += rows->count;
}

/* False when the file is gone: a day was exchanged since it was listed. */
static bool tally_file(struct tally *tally, const char *path)
{
    struct parquet_reader *reader = NULL;
    struct err err = {0};
    struct disk_stat stat;
    if (parquet_reader_open(&reader, &disk_real, path, &err) < 0) {
        if (disk_real.stat(&disk_real, path, &stat) < 0)
            return false;
        fail_msg("%s", err.text);
    }
    for (size_t g = 0; g < parquet_reader_groups(reader); g++) {
        struct rows rows;
        rows_init(&rows, parquet_reader_scaled(reader));
        if (parquet_reader_group(reader, g, &rows, &err) < 0)
            fail_msg("%s", err.text);
        tally_rows(tally, &rows);
        rows_fini(&rows);
    }
    tally->files++;
    parquet_reader_close(reader);
    return true;
}

static bool ends_with(const char *name, const char *suffix)
{
    size_t size = strlen(name), end = strlen(suffix);
    return size >= end && strcmp(name + size - end, suffix) == 0;
}

static bool tally_dir(struct tally *tally, const char *path)
{
    struct disk_names names = {0};
    bool whole = true;
    if (disk_real.list(&disk_real, path, &names) < 0)
        return true;
    for (size_t i = 0; i < names.count && whole; i++) {
        char *entry = mem_printf("%s/%s", path, names.names[i]);
        struct disk_stat stat = {0};
        if (disk_real.stat(&disk_real, entry, &stat) == 0 && stat.directory)
            whole = tally_dir(tally, entry);
        else if (ends_with(entry, ".parquet"))
            whole = tally_file(tally, entry);
        free(entry);
    }
    disk_names_fini(&names);
    return whole;
}

struct tally tally_of(const char *path)
{
    for (;;) {
        struct tally tally = {.seen = mem_zalloc(TALLY_SEQ_MAX)};
        if (tally_dir(&tally, path))
            return tally;
        tally_fini(&tally);
    }
}

void tally_fini(struct tally *tally)
{
    free(tally->seen);
    *tally = (struct tally){0};
}

void assert_tally(const char *path, uint64_t last, unsigned times)
{
    struct tally tally = tally_of(path);
    for (uint64_t seq = 1; seq <= last; seq++)
        assert_int_equal(tally.seen[seq], times);
    assert_int_equal(tally.rows, last * times);
    tally_fini(&tally);
}
