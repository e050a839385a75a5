/* SPDX-License-Identifier: Apache-2.0
 *
 * Files of the audit log. A name is audit-YYYY-MM-DD.jsonl; a file that failed a write or a sync is
 * never written again, its lines are written once more to audit-YYYY-MM-DD-2.jsonl and so on. Half a
 * line, which a crash or a full disk may leave, is never cut off (nothing here makes a file
 * shorter, and another process may append at the same moment): the next line begins on a new one.
 * Runs on the audit log's thread, or in a verb.
 */
#include "base/audit_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

enum { FILES_A_DAY_MAX = 99, DAY_MS = 86400000 };

int audit_file_init(struct audit_file *file, const struct audit_log_options *options,
                    struct err *err)
{
    *file = (struct audit_file){
        .disk = options->disk,
        .dir = mem_strdup(options->dir),
        .keep_ms = options->keep_ms,
        .fd = -1,
        .day = -1,
    };
    int rc = disk_make_dirs(file->disk, file->dir);
    return rc ? err_set(err, GW_EIO, "audit log: make %s: %s", file->dir, strerror(-rc)) : 0;
}

void audit_file_fini(struct audit_file *file)
{
    if (file->dir && file->fd >= 0)
        file->disk->close(file->disk, file->fd);
    free(file->dir);
    *file = (struct audit_file){.fd = -1};
}

/* ---- names ---- */

static char *path_of(const struct audit_file *file)
{
    int year, month, day;
    clock_civil_from_days(file->day, &year, &month, &day);
    if (file->number == 1)
        return mem_printf("%s/audit-%04d-%02d-%02d.jsonl", file->dir, year, month, day);
    return mem_printf("%s/audit-%04d-%02d-%02d-%u.jsonl", file->dir, year, month, day,
                      file->number);
}

static bool parse_name(const char *name, int64_t *day, unsigned *number)
{
    int year, month, date, end = 0;
    *number = 1;
    if (sscanf(name, "audit-%4d-%2d-%2d.jsonl%n", &year, &month, &date, &end) != 3 || !end) {
        end = 0;
        if (sscanf(name, "audit-%4d-%2d-%2d-%2u.jsonl%n", &year, &month, &date, number, &end) != 4)
            return false;
    }
    if (!end || name[end] || month < 1 || month > 12 || date < 1 || date > 31)
        return false;
    *day = clock_days_from_civil(year, month, date);
    return true;
}

static void remove_file(const struct audit_file *file, const char *name)
{
    char *path = mem_printf("%s/%s", file->dir, name);
    file->disk->unlink(file->disk, path);
    free(path);
}

/* The newest file of the day goes on; what is older than `keep_ms` goes. A listing that fails
 * removes nothing and begins with the first file. */
static void begin_day(struct audit_file *file, int64_t now_ms)
{
    struct disk_names names;
    file->day = now_ms / DAY_MS;
    file->number = 1;
    if (file->disk->list(file->disk, file->dir, &names))
        return;
    for (size_t i = 0; i < names.count; i++) {
        int64_t day;
        unsigned number;
        if (!parse_name(names.names[i], &day, &number))
            continue;
        if (day == file->day && number > file->number)
            file->number = number;
        /* A day is over when its last millisecond is. */
        if (file->keep_ms && (day + 1) * DAY_MS <= now_ms - file->keep_ms)
            remove_file(file, names.names[i]);
    }
    disk_names_fini(&names);
}

/* ---- one file ---- */

static bool is_no_room(int rc)
{
    return rc == -ENOSPC || rc == -EDQUOT;
}

static int ends_in_half_a_line(struct audit_file *file, const char *path)
{
    struct disk_stat info;
    char last = '\n';
    int rc = file->disk->stat(file->disk, path, &info);
    file->ours = rc == 0 && info.size == 0;
    if (rc == 0 && info.size)
        rc = disk_read_all(file->disk, file->fd, &last, 1, info.size - 1);
    file->torn = last != '\n';
    return rc;
}

static void give_up(struct audit_file *file)
{
    char *path = path_of(file);
    if (file->fd >= 0)
        file->disk->close(file->disk, file->fd);
    file->fd = -1;
    /* All its lines come again elsewhere. The first of a day may hold another process's. */
    if (file->ours && file->number > 1)
        file->disk->unlink(file->disk, path);
    else
        file->number++;
    free(path);
}

static int open_number(struct audit_file *file)
{
    char *path = path_of(file);
    int rc = file->disk->open(file->disk, path, O_RDWR | O_APPEND | O_CREAT);
    file->ours = false;
    if (rc >= 0) {
        file->fd = rc;
        rc = ends_in_half_a_line(file, path);
        if (rc == 0)
            rc = file->disk->sync_dir(file->disk, file->dir);
    }
    free(path);
    return rc;
}

/* A file that is not ours to write (made by another user) is passed over. */
static int open_file(struct audit_file *file, struct err *err)
{
    int rc = -EACCES;
    while (file->number <= FILES_A_DAY_MAX) {
        rc = open_number(file);
        if (rc >= 0)
            return 0;
        bool passed = file->fd < 0 && (rc == -EACCES || rc == -EPERM || rc == -ELOOP);
        if (file->fd >= 0)
            give_up(file);
        else if (passed)
            file->number++;
        if (!passed)
            break;
    }
    return err_set(err, is_no_room(rc) ? GW_EFULL : GW_EIO, "audit log: open a file in %s: %s",
                   file->dir, strerror(-rc));
}

static int write_lines(struct audit_file *file, struct bytes lines)
{
    if (file->torn) {
        /* A line of its own: should the next write fail too, nothing is joined. */
        int rc = disk_write_all(file->disk, file->fd, bytes_text("\n"), 0);
        if (rc)
            return rc;
        file->torn = false;
    }
    int rc = disk_write_all(file->disk, file->fd, lines, 0); /* O_APPEND: the end, not 0 */
    file->torn = rc != 0;
    return rc;
}

int audit_file_append(struct audit_file *file, int64_t now_ms, struct bytes lines, struct err *err)
{
    if (file->fd >= 0 && file->day != now_ms / DAY_MS) {
        file->disk->close(file->disk, file->fd);
        file->fd = -1;
    }
    if (file->fd < 0 && file->day != now_ms / DAY_MS)
        begin_day(file, now_ms);
    int rc = file->fd < 0 ? open_file(file, err) : 0;
    if (rc)
        return rc;
    rc = write_lines(file, lines);
    if (is_no_room(rc))
        return err_set(err, GW_EFULL, "audit log: write in %s: %s", file->dir, strerror(-rc));
    if (rc == 0)
        rc = file->disk->datasync(file->disk, file->fd);
    if (rc) {
        give_up(file);
        return err_set(err, GW_EIO, "audit log: write in %s: %s", file->dir, strerror(-rc));
    }
    file->ours = false;
    return 0;
}
