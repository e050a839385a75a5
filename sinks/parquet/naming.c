/* SPDX-License-Identifier: Apache-2.0
 *
 * Names and back. Reading a name accepts only what writing one gives. Any thread.
 */
#include "sinks/parquet/naming.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/identity.h"

const char *file_name_format(const struct file_range *range, char out[FILE_NAME_SIZE])
{
    char gateway[IDENTITY_TEXT_SIZE];
    snprintf(out, FILE_NAME_SIZE, "%s-%020" PRIu64 "-%020" PRIu64 "-%c%" PRIu32 ".parquet",
             identity_format((struct identity){range->gateway}, gateway), range->first_seq,
             range->last_seq, range->replay ? 'r' : 'g', range->generation);
    return out;
}

bool file_name_parse(const char *name, struct file_range *out)
{
    struct file_range range = {0};
    char kind, again[FILE_NAME_SIZE];
    if (strlen(name) >= FILE_NAME_SIZE ||
        sscanf(name, "%16" SCNx64 "-%20" SCNu64 "-%20" SCNu64 "-%c%10" SCNu32 ".parquet",
               &range.gateway, &range.first_seq, &range.last_seq, &kind, &range.generation) != 5)
        return false;
    range.replay = kind == 'r';
    if (strcmp(file_name_format(&range, again), name) != 0 || range.first_seq > range.last_seq)
        return false;
    *out = range;
    return true;
}

const char *day_name_format(int64_t day, char out[DAY_NAME_SIZE])
{
    int year, month, date;
    clock_civil_from_days(day, &year, &month, &date);
    snprintf(out, DAY_NAME_SIZE, "dt=%04u-%02u-%02u", (unsigned)year % 10000, (unsigned)month % 100,
             (unsigned)date % 100);
    return out;
}

bool day_name_parse(const char *name, int64_t *day)
{
    int year, month, date;
    char again[DAY_NAME_SIZE];
    if (sscanf(name, "dt=%4d-%2d-%2d", &year, &month, &date) != 3)
        return false;
    *day = clock_days_from_civil(year, month, date);
    return strcmp(day_name_format(*day, again), name) == 0;
}

bool file_name_is_temporary(const char *name)
{
    size_t size = strlen(name);
    static const char suffix[] = ".parquet.tmp";
    return size >= sizeof suffix && strcmp(name + size - (sizeof suffix - 1), suffix) == 0;
}
