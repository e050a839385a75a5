/* SPDX-License-Identifier: Apache-2.0
 *
 * A folder of files with everything in it that a column can hold, and what readers must find there.
 * With TIDEGATE_PARQUET_SAMPLE set, the folder stays there for other readers:
 * tests/integration/parquet_readers.py compares DuckDB and pyarrow with its expected.json.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/temp_dir.h"
#include "sinks/parquet/amend.h"
#include "sinks/parquet/reader.h"

enum { ROWS = 30000, DAY_MS = 86400000 };
static const int64_t START_MS = 1763683200000 - DAY_MS / 4; /* in the evening of 2025-11-20 */

struct sums {
    uint64_t rows, values, bad, flagged;
    int64_t seq, ts, received, scale;
    long double value;
    int64_t unscaled; /* wraps */
};

static const char *const devices[] = {
    "00000001",
    "00000002",
    "\xe6\xb0\xb4\xe8\xa1\xa8-7",
    "a \"quoted\" one",
    "",
    "a name that is longer than the sixty-four bytes that a bound in the footer can hold, by far",
};

static struct batch_row row_of(uint32_t i)
{
    static const int64_t extremes[] = {0, -1, 999999999999999, -999999999999999, 1};
    struct batch_row row = {
        .vendor = bytes_text(i % 3 ? "acme" : "zenith"),
        .device = bytes_text(devices[i % array_count(devices)]),
        .metric = bytes_text(i % 2 ? "volume.total" : "pressure"),
        .unit = bytes_text(i % 2 ? "m3" : "kPa"),
        .ts_ms = START_MS + (int64_t)i * 4321,
        .unscaled = i % 50 < 5 ? extremes[i % 50] : (int64_t)i * 137,
        .scale = (uint8_t)(i % 50 < 5 ? i % 19
                           : i % 2    ? 3
                                      : 1),
        .has_value = i % 11 != 3,
        .quality = i % 11 == 3 ? QUALITY_BAD
                   : i % 7     ? QUALITY_GOOD
                               : QUALITY_UNCERTAIN,
        .time_source = (enum time_source)(i % TIME_SOURCE_COUNT),
        .flags = i % 13 ? 0 : FLAG_LATE | FLAG_CLOCK,
        .seq = i + 1,
        .received_ms = START_MS + (int64_t)i * 4321 + 777,
    };
    return row;
}

static void add_to_sums(struct sums *sums, const struct batch *batch, uint32_t i)
{
    sums->rows++;
    sums->values += batch->has_value[i];
    sums->bad += batch->quality[i] == QUALITY_BAD;
    sums->flagged += batch->flags[i] != 0;
    sums->seq += (int64_t)batch->seq[i];
    sums->ts += batch->ts_ms[i];
    sums->received += batch->received_ms[i];
    sums->scale += batch->scale[i];
    if (batch->has_value[i]) {
        sums->value += (long double)batch_value(batch, i);
        sums->unscaled += batch->unscaled[i];
    }
}

static struct batch *make_batch(struct sums *sums)
{
    struct batch_builder *builder = batch_builder_new();
    for (uint32_t i = 0; i < ROWS; i++) {
        struct batch_row row = row_of(i);
        batch_builder_add(builder, &row);
    }
    struct batch *batch = batch_builder_finish(builder);
    for (uint32_t i = 0; i < ROWS; i++)
        add_to_sums(sums, batch, i);
    batch_builder_free(builder);
    return batch;
}

/* What a replay leaves of a file when it takes all of its readings away. */
static void put_empty_file(struct store *store, const struct parquet_options *options)
{
    struct file_range range = {ROWS + 1, ROWS + 10, 1, store->identity.bits, false};
    struct rows rows;
    struct err err;
    uint32_t order = 0;
    rows_init(&rows, options->scaled);
    rows_rank(&rows);
    assert_int_equal(store_put(store, store->days[0].day, &range, options, &rows, &order, &err), 0);
    rows_fini(&rows);
}

/* By a unit, and again by a replay that changes nothing. */
static void write_folder(const char *path, struct batch *batch, bool scaled)
{
    struct store store;
    struct err err = {0};
    struct unit_result result;
    struct unit unit = {.first_seq = 1,
                        .last_seq = ROWS,
                        .generation = 1,
                        .batches = &batch,
                        .batch_count = 1,
                        .rows = ROWS};
    struct parquet_options options = {scaled, 3, 7000, 1000, NULL};
    if (store_open(&store, &disk_real, path, (struct identity){0xabcdef0123456789}, 1, &err) < 0)
        fail_msg("%s", err.text);
    if (unit_store(&store, &unit, &options, &result, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(result.rows, ROWS);
    assert_int_equal(store.day_count, 3);
    unit_result_fini(&result);
    put_empty_file(&store, &options);
    assert_int_equal(amend_store(&store, &batch, 1, &options, &result, &err), 0);
    assert_int_equal(result.files, 3);
    store_close(&store);
}

static void write_expected(const char *dir, const struct sums *sums)
{
    char *path = mem_printf("%s/expected.json", dir);
    struct buffer text = {0};
    buffer_printf(&text,
                  "{\"rows\": %" PRIu64 ", \"values\": %" PRIu64 ", \"bad\": %" PRIu64
                  ", \"flagged\": %" PRIu64 ", \"seq\": %" PRId64 ", \"ts\": %" PRId64
                  ", \"received\": %" PRId64 ", \"scale\": %" PRId64 ", \"value\": %.17Lg"
                  ", \"unscaled\": %" PRId64 ", \"devices\": %zu, \"days\": 3}\n",
                  sums->rows, sums->values, sums->bad, sums->flagged, sums->seq, sums->ts,
                  sums->received, sums->scale, sums->value, sums->unscaled, array_count(devices));
    assert_int_equal(disk_replace_file(&disk_real, path, buffer_bytes(&text)), 0);
    buffer_fini(&text);
    free(path);
}

static void sum_group(struct sums *sums, const struct rows *rows)
{
    for (uint32_t i = 0; i < rows->count; i++) {
        struct bytes quality = string_table_at(&rows->strings, rows->text[TEXT_QUALITY][i]);
        sums->rows++;
        sums->values += rows->has_value[i];
        sums->bad += bytes_equal_text(quality, "bad");
        sums->flagged += rows->text[TEXT_FLAGS][i] != 0;
        sums->seq += rows->seq[i];
        sums->ts += rows->ts[i];
        sums->received += rows->received[i];
        sums->scale += rows->scale[i];
        double value;
        memcpy(&value, &rows->value[i], sizeof value);
        if (rows->has_value[i] && rows->scaled)
            sums->unscaled += (int64_t)rows->value[i];
        else if (rows->has_value[i])
            sums->value += (long double)value;
    }
}

static void sum_folder(struct sums *sums, const char *folder)
{
    for (int day = 20; day <= 22; day++) {
        struct parquet_reader *reader = NULL;
        struct err err = {0};
        char *path = mem_printf("%s/dt=2025-11-%d/abcdef0123456789-%020d-%020d-g1.parquet", folder,
                                day, 1, ROWS);
        if (parquet_reader_open(&reader, &disk_real, path, &err) < 0)
            fail_msg("%s", err.text);
        assert_int_equal(parquet_reader_range(reader).gateway, 0xabcdef0123456789);
        assert_int_equal(parquet_reader_range(reader).last_seq, ROWS);
        for (size_t g = 0; g < parquet_reader_groups(reader); g++) {
            struct rows rows;
            rows_init(&rows, parquet_reader_scaled(reader));
            assert_int_equal(parquet_reader_group(reader, g, &rows, &err), 0);
            sum_group(sums, &rows);
            rows_fini(&rows);
        }
        parquet_reader_close(reader);
        free(path);
    }
}

static void assert_common_sums(const struct sums *a, const struct sums *b)
{
    assert_int_equal(a->rows, b->rows);
    assert_int_equal(a->values, b->values);
    assert_int_equal(a->bad, b->bad);
    assert_int_equal(a->flagged, b->flagged);
    assert_int_equal(a->seq, b->seq);
    assert_int_equal(a->ts, b->ts);
    assert_int_equal(a->received, b->received);
    assert_int_equal(a->scale, b->scale);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    struct temp_dir dir;
    struct sums sums = {0}, doubles = {0}, scaled = {0};
    const char *given = getenv("TIDEGATE_PARQUET_SAMPLE");
    temp_dir_make(&dir);
    const char *base = given ? given : dir.path;
    char *double_path = mem_printf("%s/double", base), *scaled_path = mem_printf("%s/scaled", base);
    struct batch *batch = make_batch(&sums);
    write_folder(double_path, batch, false);
    write_folder(scaled_path, batch, true);
    write_expected(base, &sums);
    sum_folder(&doubles, double_path);
    sum_folder(&scaled, scaled_path);
    assert_common_sums(&sums, &doubles);
    assert_common_sums(&sums, &scaled);
    assert_int_equal(sums.unscaled, scaled.unscaled);
    long double difference = sums.value - doubles.value;
    assert_true(difference < 1 && difference > -1); /* of 1e17, added in another order */
    batch_release(batch);
    free(double_path);
    free(scaled_path);
    temp_dir_remove(&dir);
}

/* Every row another unit of 4 KiB: a dictionary of them, or one page, would have no bound. */
static void rows_of_endless_variety_are_read_back(void **state)
{
    (void)state;
    struct temp_dir dir;
    struct rows rows, back;
    struct parquet_file *file = NULL;
    struct parquet_reader *reader = NULL;
    struct parquet_options options = {false, 1, 5000, 1000, NULL};
    struct file_range range = {1, 2, 1, 3, false};
    struct err err = {0};
    char text[4096];
    temp_dir_make(&dir);
    char *path = mem_printf("%s/variety.parquet", dir.path);
    memset(text, 'u', sizeof text);
    rows_init(&rows, false);
    rows_init(&back, false);
    for (uint32_t i = 0; i < 5000; i++) {
        uint32_t at = rows_add(&rows);
        snprintf(text, 9, "%08u", i);
        for (int t = 0; t < TEXT_COUNT; t++)
            rows.text[t][at] = 0;
        rows.text[TEXT_UNIT][at] = rows_text(&rows, bytes_of(text, sizeof text), 0);
        rows.ts[at] = rows.seq[at] = rows.received[at] = i;
        rows.value[at] = 0;
        rows.scale[at] = rows.has_value[at] = 0;
    }
    rows_rank(&rows);
    assert_int_equal(parquet_file_new(&file, &disk_real, path, &options, &range, &err), 0);
    assert_int_equal(parquet_file_add(file, &rows, NULL, rows.count, &err), 0);
    assert_int_equal(parquet_file_finish(file, &err), 0);
    assert_int_equal(parquet_reader_open(&reader, &disk_real, path, &err), 0);
    assert_int_equal(parquet_reader_group(reader, 0, &back, &err), 0);
    assert_int_equal(back.count, 5000);
    for (uint32_t i = 0; i < 5000; i++)
        assert_true(bytes_equal(string_table_at(&rows.strings, rows.text[TEXT_UNIT][i]),
                                string_table_at(&back.strings, back.text[TEXT_UNIT][i])));
    parquet_file_free(file);
    parquet_reader_close(reader);
    rows_fini(&rows);
    rows_fini(&back);
    free(path);
    temp_dir_remove(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(rows_of_endless_variety_are_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
