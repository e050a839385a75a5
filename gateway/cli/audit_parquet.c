/* SPDX-License-Identifier: Apache-2.0
 *
 * The audit's look into a folder of Parquet files. A day that changes while it is read is read again: the
 * gateway that writes it replaces small files by a large one, and both together would count twice.
 */
#include "sinks/parquet/parquet.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "cli/auditing.h"
#include "sinks/parquet/naming.h"
#include "sinks/parquet/reader.h"

enum { TRIES = 20, DAY_MS = 86400000 };

struct found {
    uint64_t seq;
    uint32_t hash; /* low bits */
};

/* What one day holds, until it is known that it did not change. */
struct day {
    char *path;
    struct found *rows;
    size_t count, capacity;
};

struct looking {
    struct audit *audit;
    char *folder;
    uint64_t gateway, first_seq, end_seq; /* files of other messages are passed over */
    struct day day;
    int64_t oldest_day;      /* of those that are there */
    int64_t keep_before_day; /* days before this one are not kept */
};

/* ---- files ---- */

static void rows_take(struct looking *looking, const struct rows *rows)
{
    struct day *day = &looking->day;
    for (uint32_t i = 0; i < rows->count; i++) {
        if (day->count == day->capacity) {
            day->capacity = day->capacity ? 2 * day->capacity : 65536;
            day->rows = mem_realloc(day->rows, day->capacity * sizeof *day->rows);
        }
        const struct audit_key key = {
            .seq = (uint64_t)rows->seq[i],
            .vendor = string_table_at(&rows->strings, rows->text[TEXT_VENDOR][i]),
            .device = string_table_at(&rows->strings, rows->text[TEXT_DEVICE][i]),
            .metric = string_table_at(&rows->strings, rows->text[TEXT_METRIC][i]),
            .ts_ms = rows->ts[i],
        };
        if (key.seq >= looking->first_seq && key.seq < looking->end_seq)
            day->rows[day->count++] = (struct found){key.seq, (uint32_t)audit_key_hash(&key)};
    }
}

static int file_read(struct looking *looking, const char *name, struct err *err)
{
    struct parquet_reader *reader;
    char *path = mem_printf("%s/%s", looking->day.path, name);
    int rc = parquet_reader_open(&reader, &disk_real, path, err);
    free(path);
    if (rc)
        return rc;
    struct rows rows;
    rows_init(&rows, parquet_reader_scaled(reader));
    for (size_t group = 0; group < parquet_reader_groups(reader) && rc == 0; group++) {
        rows_clear(&rows);
        rc = parquet_reader_group(reader, group, &rows, err);
        if (rc == 0)
            rows_take(looking, &rows);
    }
    rows_fini(&rows);
    parquet_reader_close(reader);
    return rc;
}

/* After a crash the files that a merge replaced may still be there, until the gateway starts again. */
static bool is_within_other(const struct disk_names *names, size_t index,
                            const struct file_range *range)
{
    struct file_range other;
    for (size_t i = 0; i < names->count; i++)
        if (i != index && file_name_parse(names->names[i], &other) &&
            other.gateway == range->gateway && other.replay == range->replay &&
            other.generation == range->generation && other.first_seq <= range->first_seq &&
            other.last_seq >= range->last_seq)
            return true;
    return false;
}

static int files_read(struct looking *looking, const struct disk_names *names, struct err *err)
{
    struct file_range range;
    int rc = 0;
    for (size_t i = 0; i < names->count && rc == 0; i++)
        if (file_name_parse(names->names[i], &range) && range.gateway == looking->gateway &&
            range.first_seq < looking->end_seq && range.last_seq >= looking->first_seq &&
            !is_within_other(names, i, &range))
            rc = file_read(looking, names->names[i], err);
    return rc;
}

/* ---- days ---- */

static bool same_names(const struct disk_names *a, const struct disk_names *b)
{
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++)
        same = strcmp(a->names[i], b->names[i]) == 0;
    return same;
}

/* 0; 1: it changed meanwhile. */
static int day_try(struct looking *looking, struct err *err)
{
    struct disk_names before = {0}, after = {0};
    const char *path = looking->day.path;
    looking->day.count = 0;
    int rc = disk_real.list(&disk_real, path, &before);
    if (rc == -ENOENT)
        return 0; /* retention took the day */
    if (rc < 0)
        return err_set(err, GW_EIO, "folder %s: %s", path, strerror(-rc));
    int read = files_read(looking, &before, err);
    rc = disk_real.list(&disk_real, path, &after);
    bool same = rc == 0 && same_names(&before, &after);
    disk_names_fini(&before);
    disk_names_fini(&after);
    return same ? read : 1;
}

static int day_read(struct looking *looking, struct err *err)
{
    int rc = 1;
    for (int i = 0; i < TRIES && rc == 1; i++)
        rc = day_try(looking, err);
    if (rc == 1)
        return err_set(err, GW_EIO, "folder %s changes all the time: try again", looking->day.path);
    for (size_t i = 0; i < looking->day.count && rc == 0; i++) {
        /* Merged files hold rows of several generations. */
        const struct owed_row row = {.hash = looking->day.rows[i].hash};
        audit_store_row(looking->audit, looking->day.rows[i].seq, &row);
    }
    return rc;
}

/* Days whose readings cannot be of the span are looked at, too, since clocks of devices are wrong. */
static int days_read(struct looking *looking, struct err *err)
{
    struct disk_names days = {0};
    int64_t number;
    int rc = disk_real.list(&disk_real, looking->folder, &days);
    if (rc < 0)
        rc = err_set(err, rc == -ENOENT ? GW_ENOENT : GW_EIO, "folder %s: %s", looking->folder,
                     strerror(-rc));
    looking->oldest_day = INT64_MAX;
    for (size_t i = 0; i < days.count && rc == 0; i++) {
        if (!day_name_parse(days.names[i], &number))
            continue;
        looking->oldest_day = number < looking->oldest_day ? number : looking->oldest_day;
        looking->day.path = mem_printf("%s/%s", looking->folder, days.names[i]);
        rc = day_read(looking, err);
        free(looking->day.path);
    }
    disk_names_fini(&days);
    return rc;
}

/* ---- why something is absent ---- */

/* Files keep a row of each message, so no other one stands in its place. */
static void on_absent(void *arg, struct audit_absent *absent, const struct audit_key *key,
                      int64_t received_ms)
{
    const struct looking *looking = arg;
    (void)received_ms;
    if (day_of_ms(key->ts_ms) < looking->keep_before_day)
        absent->reason = ABSENT_EXPIRED;
}

/* Which days `keep` and `keep_size` of the sink have removed. */
static void kept_find(struct auditing *auditing, size_t cursor, struct looking *looking,
                      const struct parquet_sink_options *options)
{
    char text[CLOCK_TEXT_SIZE];
    looking->keep_before_day = INT64_MIN;
    if (options->keep_ms)
        looking->keep_before_day = day_of_ms(clock_wall_ms() - options->keep_ms);
    if (options->keep_bytes && looking->oldest_day != INT64_MAX &&
        looking->oldest_day > looking->keep_before_day)
        looking->keep_before_day = looking->oldest_day;
    if (looking->keep_before_day == INT64_MIN)
        return;
    clock_format_ms(looking->keep_before_day * DAY_MS, text);
    snprintf(auditing->expired[cursor], sizeof auditing->expired[cursor],
             "`keep` of the sink leaves nothing from before %.10s", text);
}

int audit_parquet(struct auditing *auditing, size_t cursor, struct err *err)
{
    static const struct audit_rule rule = {.exact = true};
    const struct parquet_sink_options *options = auditing_sink(auditing, cursor)->options;
    const char *path = options->path;
    struct looking looking = {
        .audit = auditing->audit,
        .folder =
            path[0] == '/' ? mem_strdup(path) : mem_printf("%s/%s", auditing->options->data, path),
        .gateway = journal_identity(auditing->raw).bits,
    };
    size_t count;
    auditing_store_begin(auditing, cursor, &rule);
    looking.first_seq = audit_first(auditing->audit);
    looking.end_seq = audit_end(auditing->audit);
    int rc = days_read(&looking, err);
    if (rc == GW_ENOENT && auditing->cursors.files[cursor].state.next_seq <= 1)
        rc = 0; /* nothing was written yet */
    if (rc == 0) {
        struct audit_absent *absent = audit_store_judge(auditing->audit, &count);
        if (count) {
            kept_find(auditing, cursor, &looking, options);
            rc = audit_logs_explain(auditing, absent, count, on_absent, &looking, err);
        }
        audit_store_finish(auditing->audit);
    }
    free(looking.day.rows);
    free(looking.folder);
    return rc;
}
