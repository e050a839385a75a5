/* SPDX-License-Identifier: Apache-2.0
 *
 * See audit_parquet.h. A day that changes while it is read is read again: the gateway that writes it
 * replaces small files by a large one, and both together would count twice.
 */
#include "cli/audit_parquet.h"

#include <errno.h>
#include <stdlib.h>

#include "sinks/parquet/naming.h"
#include "sinks/parquet/reader.h"

enum { TRIES = 20 };

struct found {
    uint64_t seq;
    int64_t received_ms;
    uint32_t vendor; /* string of the day's texts */
};

/* What one day holds, until it is known that it did not change. */
struct day {
    const char *path;
    uint64_t gateway;
    struct found *rows;
    size_t count, capacity;
    struct string_table vendors;
};

static void day_clear(struct day *day)
{
    day->count = 0;
    string_table_clear(&day->vendors);
}

static int file_read(struct day *day, const char *name, struct err *err)
{
    struct parquet_reader *reader;
    char *path = mem_printf("%s/%s", day->path, name);
    int rc = parquet_reader_open(&reader, &disk_real, path, err);
    free(path);
    if (rc)
        return rc;
    struct rows rows;
    rows_init(&rows, parquet_reader_scaled(reader));
    for (size_t group = 0; group < parquet_reader_groups(reader) && rc == 0; group++) {
        rows_clear(&rows);
        rc = parquet_reader_group(reader, group, &rows, err);
        for (uint32_t i = 0; i < rows.count && rc == 0; i++) {
            if (day->count == day->capacity) {
                day->capacity = day->capacity ? 2 * day->capacity : 65536;
                day->rows = mem_realloc(day->rows, day->capacity * sizeof *day->rows);
            }
            struct bytes vendor = string_table_at(&rows.strings, rows.text[TEXT_VENDOR][i]);
            day->rows[day->count++] = (struct found){
                .seq = (uint64_t)rows.seq[i],
                .received_ms = rows.received[i],
                .vendor = string_table_add(&day->vendors, vendor, 0),
            };
        }
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

static int files_read(struct day *day, const struct disk_names *names, struct err *err)
{
    struct file_range range;
    int rc = 0;
    for (size_t i = 0; i < names->count && rc == 0; i++)
        if (file_name_parse(names->names[i], &range) && range.gateway == day->gateway &&
            !is_within_other(names, i, &range))
            rc = file_read(day, names->names[i], err);
    return rc;
}

static bool same_names(const struct disk_names *a, const struct disk_names *b)
{
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++)
        same = strcmp(a->names[i], b->names[i]) == 0;
    return same;
}

/* 0; 1: it changed meanwhile. */
static int day_try(struct day *day, struct err *err)
{
    struct disk_names before = {0}, after = {0};
    int rc = disk_real.list(&disk_real, day->path, &before);
    if (rc == -ENOENT)
        return 0; /* retention took the day */
    if (rc < 0)
        return err_set(err, GW_EIO, "folder %s: %s", day->path, strerror(-rc));
    day_clear(day);
    int read = files_read(day, &before, err);
    rc = disk_real.list(&disk_real, day->path, &after);
    bool same = rc == 0 && same_names(&before, &after);
    disk_names_fini(&before);
    disk_names_fini(&after);
    return same ? read : 1;
}

static int day_read(struct audit *audit, struct day *day, struct err *err)
{
    int rc = 1;
    for (int i = 0; i < TRIES && rc == 1; i++)
        rc = day_try(day, err);
    if (rc == 1)
        return err_set(err, GW_EIO, "folder %s changes all the time: try again", day->path);
    for (size_t i = 0; i < day->count && rc == 0; i++)
        audit_store_row(audit, day->rows[i].seq,
                        string_table_at(&day->vendors, day->rows[i].vendor),
                        day->rows[i].received_ms);
    return rc;
}

int audit_parquet(struct audit *audit, const char *folder, struct identity gateway, struct err *err)
{
    struct disk_names days = {0};
    struct day day = {.gateway = gateway.bits};
    int64_t number;
    string_table_init(&day.vendors);
    int rc = disk_real.list(&disk_real, folder, &days);
    if (rc < 0)
        rc = err_set(err, rc == -ENOENT ? GW_ENOENT : GW_EIO, "folder %s: %s", folder,
                     strerror(-rc));
    for (size_t i = 0; i < days.count && rc == 0; i++) {
        if (!day_name_parse(days.names[i], &number))
            continue;
        char *path = mem_printf("%s/%s", folder, days.names[i]);
        day.path = path;
        day_clear(&day);
        rc = day_read(audit, &day, err);
        free(path);
    }
    free(day.rows);
    string_table_fini(&day.vendors);
    disk_names_fini(&days);
    return rc;
}
