/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading our own files, for compaction: the logs may no longer hold what is in them. Takes exactly
 * what file.c writes and refuses everything else; the bytes may be damaged or hostile. One thread for
 * one reader.
 */
#ifndef TIDEGATE_SINKS_PARQUET_READER_H
#define TIDEGATE_SINKS_PARQUET_READER_H

#include "sinks/parquet/file.h"

/* Limits that our writer keeps; beyond them a file is not ours. */
enum {
    READER_GROUP_ROWS_MAX = 1000000,
    READER_FOOTER_MAX = 64 << 20,
    READER_PAGE_MAX = 512 << 20,
};

struct parquet_reader;
/* GW_ECORRUPT: not a file of ours, or damaged; GW_EIO: could not be read. */
int parquet_reader_open(struct parquet_reader **out, const struct disk *disk, const char *path,
                        struct err *err);
void parquet_reader_close(struct parquet_reader *reader); /* accepts null */
bool parquet_reader_scaled(const struct parquet_reader *reader);
uint64_t parquet_reader_rows(const struct parquet_reader *reader);
size_t parquet_reader_groups(const struct parquet_reader *reader);
/* What the footer says that the file covers. */
struct file_range parquet_reader_range(const struct parquet_reader *reader);
/* Append the rows of a group. After an error `rows` is to be cleared. */
int parquet_reader_group(struct parquet_reader *reader, size_t group, struct rows *rows,
                         struct err *err);

#endif
