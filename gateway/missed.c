/* SPDX-License-Identifier: Apache-2.0
 *
 * The ranges are few and in memory; the file is replaced whole, so a crash leaves the old list or the
 * new one. One thread.
 */
#include "missed.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { FILE_BYTES_MAX = 64 << 20 };

struct missed {
    const struct disk *disk;
    char *path;
    struct missed_range *ranges;
    size_t count;
};

static const char *const kind_names[] = {"missed", "unsettled"};

/* ---- lines ---- */

static void line_write(const struct missed_range *range, struct buffer *out)
{
    char from[CLOCK_TEXT_SIZE], to[CLOCK_TEXT_SIZE], since[CLOCK_TEXT_SIZE], until[CLOCK_TEXT_SIZE];
    buffer_printf(out,
                  "%s first_seq=%" PRIu64 " last_seq=%" PRIu64
                  " received_from=%s received_to=%s since=%s until=%s\n",
                  kind_names[range->kind], range->first_seq, range->last_seq,
                  clock_format_ms(range->received_from_ms, from),
                  clock_format_ms(range->received_to_ms, to),
                  clock_format_ms(range->since_ms, since), clock_format_ms(range->until_ms, until));
}

static bool time_read(const char *text, int64_t *out)
{
    bool zoned;
    return clock_parse_rfc3339(bytes_text(text), out, &zoned) && zoned;
}

static bool line_read(const char *line, struct missed_range *out)
{
    char kind[16], from[32], to[32], since[32], until[32];
    int end = 0;
    if (sscanf(line,
               "%15s first_seq=%" SCNu64 " last_seq=%" SCNu64
               " received_from=%31s received_to=%31s since=%31s until=%31s%n",
               kind, &out->first_seq, &out->last_seq, from, to, since, until, &end) != 7 ||
        line[end] != '\0')
        return false;
    out->kind = strcmp(kind, kind_names[MISSED_UNSETTLED]) == 0 ? MISSED_UNSETTLED : MISSED_PARKED;
    return strcmp(kind, kind_names[out->kind]) == 0 && out->first_seq <= out->last_seq &&
           time_read(from, &out->received_from_ms) && time_read(to, &out->received_to_ms) &&
           time_read(since, &out->since_ms) && time_read(until, &out->until_ms);
}

static int lines_read(char *text, const char *path, struct missed_range **out, size_t *count,
                      struct err *err)
{
    size_t number = 0;
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));) {
        number++;
        if (*line == '\0')
            continue;
        *out = mem_realloc(*out, (*count + 1) * sizeof **out);
        if (!line_read(line, &(*out)[*count]))
            return err_set(err, GW_ECORRUPT,
                           "%s:%zu: this is no range that was left out: mend the line, or move the "
                           "file away",
                           path, number);
        ++*count;
    }
    return 0;
}

int missed_load(const struct disk *disk, const char *path, struct missed_range **out, size_t *count,
                struct err *err)
{
    struct buffer text = {0};
    *out = NULL;
    *count = 0;
    int rc = disk_read_file(disk, path, FILE_BYTES_MAX, &text);
    buffer_u8(&text, '\0');
    if (rc == -ENOENT)
        rc = err_set(err, GW_ENOENT, "%s: there is none", path);
    else if (rc < 0)
        rc = err_set(err, GW_EIO, "%s: %s", path, strerror(-rc));
    else
        rc = lines_read((char *)text.data, path, out, count, err);
    buffer_fini(&text);
    if (rc) {
        free(*out);
        *out = NULL;
        *count = 0;
    }
    return rc;
}

/* ---- life ---- */

int missed_open(struct missed **out, const struct disk *disk, const char *path, struct err *err)
{
    struct missed *missed = mem_zalloc(sizeof *missed);
    *missed = (struct missed){.disk = disk, .path = mem_strdup(path)};
    int rc = missed_load(disk, path, &missed->ranges, &missed->count, err);
    if (rc && rc != GW_ENOENT) {
        missed_close(missed);
        return rc;
    }
    *out = missed;
    return 0;
}

void missed_close(struct missed *missed)
{
    if (missed == NULL)
        return;
    free(missed->ranges);
    free(missed->path);
    free(missed);
}

/* Takes `ranges` over when they are on disk; else the old ones stay. */
static int ranges_save(struct missed *missed, struct missed_range *ranges, size_t count,
                       struct err *err)
{
    struct buffer text = {0};
    for (size_t i = 0; i < count; i++)
        line_write(&ranges[i], &text);
    int rc = disk_replace_file(missed->disk, missed->path, buffer_bytes(&text));
    buffer_fini(&text);
    if (rc < 0) {
        free(ranges);
        return err_set(err, rc == -ENOSPC || rc == -EDQUOT ? GW_EFULL : GW_EIO, "write %s: %s",
                       missed->path, strerror(-rc));
    }
    free(missed->ranges);
    missed->ranges = ranges;
    missed->count = count;
    return 0;
}

static bool continues(const struct missed_range *last, const struct missed_range *range)
{
    return last->kind == range->kind && range->first_seq >= last->first_seq &&
           range->first_seq <= last->last_seq + 1 && range->last_seq >= last->last_seq;
}

int missed_add(struct missed *missed, const struct missed_range *range, struct err *err)
{
    struct missed_range *ranges = mem_alloc((missed->count + 1) * sizeof *ranges);
    size_t count = missed->count;
    if (count)
        memcpy(ranges, missed->ranges, count * sizeof *ranges);
    if (count && continues(&ranges[count - 1], range)) {
        ranges[count - 1].last_seq = range->last_seq;
        ranges[count - 1].received_to_ms = range->received_to_ms;
        ranges[count - 1].until_ms = range->until_ms;
    } else {
        ranges[count++] = *range;
    }
    return ranges_save(missed, ranges, count, err);
}

/* What is left of `range`, at most two pieces. */
static size_t without(struct missed_range range, uint64_t first_seq, uint64_t last_seq,
                      struct missed_range *out)
{
    size_t count = 0;
    if (last_seq < range.first_seq || first_seq > range.last_seq) {
        out[count++] = range;
        return count;
    }
    if (first_seq > range.first_seq) {
        out[count] = range;
        out[count++].last_seq = first_seq - 1;
    }
    if (last_seq < range.last_seq) {
        out[count] = range;
        out[count++].first_seq = last_seq + 1;
    }
    return count;
}

int missed_remove(struct missed *missed, uint64_t first_seq, uint64_t last_seq, struct err *err)
{
    struct missed_range *ranges = mem_alloc((2 * missed->count + 1) * sizeof *ranges);
    size_t count = 0;
    bool touched = false;
    for (size_t i = 0; i < missed->count; i++) {
        const struct missed_range *range = &missed->ranges[i];
        touched = touched || (first_seq <= range->last_seq && last_seq >= range->first_seq);
        count += without(*range, first_seq, last_seq, ranges + count);
    }
    if (touched)
        return ranges_save(missed, ranges, count, err);
    free(ranges);
    return 0;
}

int missed_confirmed(struct missed *missed, uint64_t first_seq, uint64_t last_seq, struct err *err)
{
    struct missed_range *ranges = mem_alloc((3 * missed->count + 1) * sizeof *ranges);
    size_t count = 0;
    for (size_t i = 0; i < missed->count; i++) {
        struct missed_range range = missed->ranges[i];
        if (range.kind != MISSED_PARKED || last_seq < range.first_seq ||
            first_seq > range.last_seq) {
            ranges[count++] = range;
            continue;
        }
        count += without(range, first_seq, last_seq, ranges + count);
        range.kind = MISSED_UNSETTLED;
        range.first_seq = range.first_seq > first_seq ? range.first_seq : first_seq;
        range.last_seq = range.last_seq < last_seq ? range.last_seq : last_seq;
        ranges[count++] = range;
    }
    return ranges_save(missed, ranges, count, err);
}

/* The PARKED range that holds `seq`, or null. */
static const struct missed_range *range_of(const struct missed *missed, uint64_t seq)
{
    for (size_t i = 0; i < missed->count; i++) {
        const struct missed_range *range = &missed->ranges[i];
        if (range->kind == MISSED_PARKED && seq >= range->first_seq && seq <= range->last_seq)
            return range;
    }
    return NULL;
}

bool missed_covers(const struct missed *missed, uint64_t first_seq, uint64_t last_seq)
{
    while (first_seq <= last_seq) {
        const struct missed_range *range = range_of(missed, first_seq);
        if (range == NULL)
            return false;
        first_seq = range->last_seq + 1;
    }
    return true;
}

int missed_arrived(struct missed *missed, uint64_t seq, struct err *err)
{
    const struct missed_range *range = seq > 1 ? range_of(missed, seq - 1) : NULL;
    return range ? missed_remove(missed, range->first_seq, seq - 1, err) : 0;
}

void missed_extent(const struct missed *missed, uint64_t *first_seq, uint64_t *last_seq,
                   uint64_t *count)
{
    *first_seq = *last_seq = *count = 0;
    for (size_t i = 0; i < missed->count; i++) {
        const struct missed_range *range = &missed->ranges[i];
        if (range->kind != MISSED_PARKED)
            continue;
        *first_seq = *first_seq && *first_seq < range->first_seq ? *first_seq : range->first_seq;
        *last_seq = *last_seq > range->last_seq ? *last_seq : range->last_seq;
        *count += range->last_seq - range->first_seq + 1;
    }
}

char *missed_path(const char *cursor_path)
{
    static const char suffix[] = ".cursor";
    size_t size = strlen(cursor_path), end = sizeof suffix - 1;
    if (size > end && strcmp(cursor_path + size - end, suffix) == 0)
        size -= end;
    return mem_printf("%.*s.missed", (int)size, cursor_path);
}
