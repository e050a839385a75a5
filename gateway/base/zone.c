/* SPDX-License-Identifier: Apache-2.0
 *
 * Time zones. Separate from clock.c, because it reads files that it must not trust. A zone is made
 * by the main thread when the configuration is read, then any thread asks it.
 *
 * A zone is a list of periods, each with its offset from UTC. What a TZif file states is taken as
 * it is; its footer rule (zone_rule.c) is written out as periods up to the year 2200. Civil times
 * beyond that get the offset of the last period.
 */
#include "base/zone.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/zone_rule.h"

enum {
    FILE_SIZE_MAX = 256 * 1024, /* the largest of tzdata has 4 KiB */
    NAME_SIZE_MAX = 64,
    OFFSET_MAX_S = 26 * 3600, /* RFC 8536, 3.2: "should be greater than -25 h, less than 26 h" */
    RULE_YEAR_LAST = 2200,
    HEADER_SIZE = 44,
};

struct period {
    int64_t start_s; /* UTC */
    int32_t offset_s;
};

struct zone {
    char *name;
    struct period *periods; /* the first begins before all times */
    size_t count;
    size_t capacity;
    int64_t stated_until_s; /* the last change that the file states; its rule comes behind it */
};

static void add_period(struct zone *zone, int64_t start_s, int32_t offset_s)
{
    if (zone->count && zone->periods[zone->count - 1].offset_s == offset_s)
        return;
    if (zone->count == zone->capacity) {
        zone->capacity = zone->capacity ? zone->capacity * 2 : 16;
        zone->periods = mem_realloc(zone->periods, zone->capacity * sizeof *zone->periods);
    }
    zone->periods[zone->count++] = (struct period){start_s, offset_s};
}

void zone_free(struct zone *zone)
{
    if (zone == NULL)
        return;
    free(zone->name);
    free(zone->periods);
    free(zone);
}

const char *zone_name(const struct zone *zone)
{
    return zone->name;
}

/* ---- conversion ---- */

/* Civil second at which a period ends, in its own offset. */
static int64_t civil_end(const struct zone *zone, size_t index)
{
    return index + 1 < zone->count
               ? zone->periods[index + 1].start_s + zone->periods[index].offset_s
               : INT64_MAX;
}

/* The first period that ends behind `civil_s` is the first that can hold it. Where it begins only
 * later, the time was skipped, and counts on with the offset before. */
static int32_t offset_of_civil(const struct zone *zone, int64_t civil_s)
{
    size_t low = 0;
    size_t high = zone->count;
    /* Skip by UTC what surely ended: no offset is larger than the margin. */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (zone->periods[middle].start_s <= civil_s - OFFSET_MAX_S)
            low = middle;
        else
            high = middle;
    }
    while (civil_end(zone, low) <= civil_s)
        low++;
    if (low > 0 && civil_s < zone->periods[low].start_s + zone->periods[low].offset_s)
        low--;
    return zone->periods[low].offset_s;
}

int64_t zone_to_utc(const struct zone *zone, int64_t civil_ms)
{
    /* Far outside of any calendar a zone has no meaning, and sums would overflow. */
    const int64_t limit_ms = INT64_C(1) << 56;
    if (civil_ms < -limit_ms || civil_ms > limit_ms)
        return civil_ms;
    if (zone->count == 1)
        return civil_ms - (int64_t)zone->periods[0].offset_s * 1000;
    int64_t civil_s = civil_ms >= 0 ? civil_ms / 1000 : (civil_ms - 999) / 1000;
    return civil_ms - (int64_t)offset_of_civil(zone, civil_s) * 1000;
}

/* ---- fixed offsets ---- */

static bool two_digits(const char **at, int *out)
{
    if ((*at)[0] < '0' || (*at)[0] > '9' || (*at)[1] < '0' || (*at)[1] > '9')
        return false;
    *out = ((*at)[0] - '0') * 10 + (*at)[1] - '0';
    *at += 2;
    return true;
}

/* UTC, Z, +08:00, +0800, +08, UTC+8, UTC+08:00. */
static bool parse_fixed(const char *name, int32_t *offset_s)
{
    *offset_s = 0;
    if (strcmp(name, "UTC") == 0 || strcmp(name, "Z") == 0)
        return true;
    bool utc = strncmp(name, "UTC", 3) == 0;
    const char *at = utc ? name + 3 : name;
    int hours = 0;
    int minutes = 0;
    if (*at != '+' && *at != '-')
        return false;
    bool west = *at++ == '-';
    if (utc && at[0] >= '0' && at[0] <= '9' && at[1] == '\0')
        hours = *at++ - '0';
    else if (!two_digits(&at, &hours))
        return false;
    if (*at == ':')
        at++;
    if (*at && !two_digits(&at, &minutes))
        return false;
    if (*at || at[-1] == ':' || hours > 23 || minutes > 59)
        return false;
    *offset_s = (west ? -1 : 1) * (hours * 3600 + minutes * 60);
    return true;
}

/* ---- TZif (RFC 8536) ---- */

struct tzif {
    uint8_t version;
    uint32_t utc_count, standard_count, leap_count, time_count, type_count, name_count;
};

static uint32_t count_of(struct reader *in)
{
    uint32_t value = reader_u32_be(in);
    in->failed |= value > FILE_SIZE_MAX;
    return value;
}

/* RFC 8536, 3.1 */
static bool tzif_header(struct reader *in, struct tzif *out)
{
    if (!bytes_equal_text(reader_bytes(in, 4), "TZif"))
        return false;
    uint8_t version = reader_u8(in);
    reader_bytes(in, 15);
    *out = (struct tzif){.version = version};
    out->utc_count = count_of(in);
    out->standard_count = count_of(in);
    out->leap_count = count_of(in);
    out->time_count = count_of(in);
    out->type_count = count_of(in);
    out->name_count = count_of(in);
    return !in->failed && out->type_count >= 1 && out->type_count <= 256;
}

/* RFC 8536, 3.2: bytes of a data block whose times have `width` bytes. */
static size_t tzif_size(const struct tzif *head, size_t width)
{
    return head->time_count * (width + 1) + head->type_count * 6 + (size_t)head->name_count +
           head->leap_count * (width + 4) + head->standard_count + (size_t)head->utc_count;
}

static int64_t tzif_time(struct reader *in, size_t width)
{
    uint32_t high = reader_u32_be(in);
    if (width == 4)
        return (int32_t)high;
    return (int64_t)((uint64_t)high << 32 | reader_u32_be(in));
}

static bool tzif_offset(struct bytes types, uint32_t index, int32_t *out)
{
    if (index >= types.size / 6)
        return false;
    struct reader in = reader_of(bytes_of(types.data + (size_t)index * 6, 4));
    *out = (int32_t)reader_u32_be(&in);
    return *out > -OFFSET_MAX_S && *out < OFFSET_MAX_S;
}

/* The periods of one data block. Times must rise, and lie where sums cannot overflow. */
static bool tzif_block(struct reader *in, const struct tzif *head, size_t width, struct zone *zone)
{
    struct reader block = reader_of(reader_bytes(in, tzif_size(head, width)));
    if (in->failed)
        return false;
    struct reader times = reader_of(reader_bytes(&block, head->time_count * width));
    struct bytes indexes = reader_bytes(&block, head->time_count);
    struct bytes types = reader_bytes(&block, (size_t)head->type_count * 6);
    int32_t offset = 0;
    if (!tzif_offset(types, 0, &offset))
        return false;
    add_period(zone, INT64_MIN / 4, offset);
    int64_t last = INT64_MIN / 4;
    for (uint32_t i = 0; i < head->time_count; i++) {
        int64_t at = tzif_time(&times, width);
        /* Files begin with the Big Bang (-2^59) at times; it is a time like another. */
        if (at <= last || at > INT64_MAX / 4 || !tzif_offset(types, indexes.data[i], &offset))
            return false;
        add_period(zone, at, offset);
        last = at;
    }
    zone->stated_until_s = last;
    return true;
}

/* Clamped to the years that rules are written out for, so that a hostile time costs nothing. */
static int year_of(int64_t s)
{
    const int64_t first = -2208988800; /* 1900-01-01 */
    const int64_t last = 7289654400;   /* 2201-01-01 */
    int year, month, day;
    s = s < first ? first : s > last ? last : s;
    clock_civil_from_days(s >= 0 ? s / 86400 : (s - 86399) / 86400, &year, &month, &day);
    return year;
}

/* Write the footer's rule out behind the last period. */
static void add_rule_years(struct zone *zone, const struct zone_rule *rule)
{
    int64_t last = zone->stated_until_s;
    if (!rule->has_dst) {
        /* The table ends with this offset already, or has no transition at all. */
        if (zone->count == 1)
            zone->periods[0].offset_s = rule->standard_s;
        return;
    }
    int first_year = zone->count == 1 ? 1970 : year_of(last);
    for (int year = first_year; year <= RULE_YEAR_LAST; year++) {
        struct zone_change changes[2];
        zone_rule_changes(rule, year, changes);
        for (int i = 0; i < 2; i++)
            if (changes[i].at_s > last)
                add_period(zone, changes[i].at_s, changes[i].offset_s);
    }
}

/* Version 2 and later: a block with 32-bit times to skip, then header and block with 64-bit times,
 * then the rule between two newlines. */
static bool tzif_read(struct bytes file, struct zone *zone)
{
    struct reader in = reader_of(file);
    struct tzif head;
    if (!tzif_header(&in, &head))
        return false;
    if (head.version < '2')
        return head.leap_count == 0 && tzif_block(&in, &head, 4, zone);
    reader_bytes(&in, tzif_size(&head, 4));
    if (!tzif_header(&in, &head) || head.leap_count != 0 || !tzif_block(&in, &head, 8, zone))
        return false;
    if (reader_u8(&in) != '\n')
        return false;
    size_t size = 0;
    while (size < reader_left(&in) && in.at[size] != '\n')
        size++;
    struct bytes text = reader_bytes(&in, size);
    if (reader_u8(&in) != '\n' || in.failed)
        return false;
    struct zone_rule rule;
    if (text.size == 0)
        return true;
    if (!zone_rule_parse(text, &rule))
        return false;
    add_rule_years(zone, &rule);
    return true;
}

int zone_from_tzif(const char *name, struct bytes file, struct zone **out, struct err *err)
{
    struct zone *zone = mem_zalloc(sizeof *zone);
    zone->name = mem_strdup(name);
    if (file.size > FILE_SIZE_MAX || !tzif_read(file, zone)) {
        zone_free(zone);
        return err_set(err, GW_EINVAL,
                       "time zone \"%.64s\": not a TZif file (RFC 8536) without "
                       "leap seconds",
                       name);
    }
    *out = zone;
    return 0;
}

/* ---- by name ---- */

static bool name_is_safe(const char *name)
{
    size_t size = strlen(name);
    if (size == 0 || size > NAME_SIZE_MAX || name[0] == '/' || strstr(name, ".."))
        return false;
    for (size_t i = 0; i < size; i++) {
        char c = name[i];
        if (!(c >= 'A' && c <= 'Z') && !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
            c != '_' && c != '+' && c != '-' && c != '/')
            return false;
    }
    return true;
}

/* Read-only and outside of our data, so not by base/disk; the database has symbolic links. */
static int read_file(const char *name, struct buffer *out, struct err *err)
{
    char path[NAME_SIZE_MAX + 32];
    snprintf(path, sizeof path, "/usr/share/zoneinfo/%s", name);
    FILE *file = fopen(path, "rbe");
    if (file == NULL)
        return err_set(err, GW_ENOENT,
                       "time zone \"%s\": no %s; write an offset such as +08:00, a name such as "
                       "Asia/Shanghai, or install the package tzdata",
                       name, path);
    out->size = fread(buffer_reserve(out, FILE_SIZE_MAX + 1), 1, FILE_SIZE_MAX + 1, file);
    bool failed = ferror(file);
    fclose(file);
    return failed ? err_set(err, GW_EIO, "time zone \"%s\": %s cannot be read", name, path) : 0;
}

int zone_new(const char *name, struct zone **out, struct err *err)
{
    int32_t offset_s = 0;
    if (parse_fixed(name, &offset_s)) {
        struct zone *zone = mem_zalloc(sizeof *zone);
        zone->name = mem_strdup(name);
        add_period(zone, INT64_MIN / 4, offset_s);
        *out = zone;
        return 0;
    }
    if (!name_is_safe(name))
        return err_set(err, GW_EINVAL,
                       "time zone \"%.64s\": write an offset such as +08:00, or a name such as "
                       "Asia/Shanghai",
                       name);
    struct buffer file = {0};
    int result = read_file(name, &file, err);
    if (result == 0)
        result = zone_from_tzif(name, buffer_bytes(&file), out, err);
    buffer_fini(&file);
    return result;
}
