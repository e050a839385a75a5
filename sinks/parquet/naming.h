/* SPDX-License-Identifier: Apache-2.0
 *
 * Names of days and files: dt=2026-11-21/00ff00ff00ff00ff-<first>-<last>-g<generation>.parquet, where
 * first and last are the sequence numbers that the file covers, with zeros in front so that names
 * sort as the numbers do. `r` in place of `g`: what a replay brought where no file was. Any thread.
 */
#ifndef TIDEGATE_SINKS_PARQUET_NAMING_H
#define TIDEGATE_SINKS_PARQUET_NAMING_H

#include <stdbool.h>
#include <stdint.h>

#include "sinks/parquet/file.h"

enum { FILE_NAME_SIZE = 96, DAY_NAME_SIZE = 16 };

static inline bool file_range_equal(const struct file_range *a, const struct file_range *b)
{
    return a->gateway == b->gateway && a->generation == b->generation && a->replay == b->replay &&
           a->first_seq == b->first_seq && a->last_seq == b->last_seq;
}

const char *file_name_format(const struct file_range *range, char out[FILE_NAME_SIZE]);
bool file_name_parse(const char *name, struct file_range *out);
/* `day` as of day_of_ms. */
const char *day_name_format(int64_t day, char out[DAY_NAME_SIZE]);
bool day_name_parse(const char *name, int64_t *day);
/* Names that only we make, in a day's folder: what a crash left. */
bool file_name_is_temporary(const char *name);

#endif
