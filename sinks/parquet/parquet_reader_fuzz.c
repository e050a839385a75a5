/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzz target for our own Parquet reader: a file of any bytes is read or refused, and never costs more
 * than its size allows. Checksums keep it out of the pages; parquet_page_fuzz.c goes there.
 */
#include <errno.h>
#include <stdlib.h>

#include "sinks/parquet/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A disk that holds one file in memory. */
struct one_file {
    struct disk disk; /* first */
    struct bytes content;
};

static struct bytes content_of(const struct disk *disk)
{
    return ((const struct one_file *)disk)->content;
}

static int file_open(const struct disk *disk, const char *path, int flags)
{
    (void)disk;
    (void)path;
    (void)flags;
    return 3;
}

static ssize_t file_pread(const struct disk *disk, int fd, void *data, size_t size, uint64_t offset)
{
    (void)fd;
    struct bytes content = content_of(disk);
    if (offset >= content.size)
        return 0;
    size_t take = size < content.size - offset ? size : content.size - (size_t)offset;
    memcpy(data, content.data + offset, take);
    return (ssize_t)take;
}

static int file_stat(const struct disk *disk, const char *path, struct disk_stat *out)
{
    (void)path;
    *out = (struct disk_stat){.size = content_of(disk).size, .regular = true};
    return 0;
}

static int file_close(const struct disk *disk, int fd)
{
    (void)disk;
    (void)fd;
    return 0;
}

static void read_all(struct bytes content)
{
    struct one_file file = {
        .disk = {.open = file_open, .pread = file_pread, .stat = file_stat, .close = file_close},
        .content = content,
    };
    struct parquet_reader *reader = NULL;
    struct err err;
    if (parquet_reader_open(&reader, &file.disk, "fuzz", &err) < 0)
        return;
    for (size_t g = 0; g < parquet_reader_groups(reader) && g < 4; g++) {
        struct rows rows;
        rows_init(&rows, parquet_reader_scaled(reader));
        if (parquet_reader_group(reader, g, &rows, &err) == 0 && rows.count < 10000) {
            rows_rank(&rows);
            uint32_t *order = mem_alloc(rows.count * sizeof *order);
            rows_sort(&rows, order);
            free(order);
        }
        rows_fini(&rows);
    }
    parquet_reader_close(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_all(bytes_of(data, size));
    return 0;
}
