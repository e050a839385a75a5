/* SPDX-License-Identifier: Apache-2.0
 *
 * A Parquet file from its first byte to its sync. A row group is built in memory and written at once,
 * so memory is that of one compressed row group plus the footer's. One thread.
 */
#include "sinks/parquet/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "sinks/parquet/footer.h"

struct parquet_file {
    const struct disk *disk;
    char *path;
    int fd;          /* -1: closed */
    uint64_t offset; /* bytes written */
    struct parquet_options options;
    struct file_range range;
    struct chunk_writer *chunks;
    struct buffer pending;
    struct row_group *groups;
    size_t group_count;
    uint64_t rows;
};

static int flush(struct parquet_file *file, struct err *err)
{
    int result = disk_write_all(file->disk, file->fd, buffer_bytes(&file->pending), file->offset);
    if (result < 0)
        return err_set(err, result == -ENOSPC || result == -EDQUOT ? GW_EFULL : GW_EIO,
                       "write %s: %s", file->path, strerror(-result));
    file->offset += file->pending.size;
    buffer_clear(&file->pending);
    return 0;
}

int parquet_file_new(struct parquet_file **out, const struct disk *disk, const char *path,
                     const struct parquet_options *options, const struct file_range *range,
                     struct err *err)
{
    int fd = disk->open(disk, path, O_CREAT | O_EXCL | O_WRONLY);
    if (fd < 0)
        return err_set(err, fd == -ENOSPC || fd == -EDQUOT ? GW_EFULL : GW_EIO, "make %s: %s", path,
                       strerror(-fd));
    struct parquet_file *file = mem_zalloc(sizeof *file);
    file->disk = disk;
    file->path = mem_strdup(path);
    file->fd = fd;
    file->options = *options;
    file->range = *range;
    file->chunks = chunk_writer_new(options->zstd_level, options->page_rows);
    buffer_add_text(&file->pending, PARQUET_MAGIC);
    *out = file;
    return 0;
}

int parquet_file_add(struct parquet_file *file, const struct rows *rows, const uint32_t *order,
                     uint32_t count, struct err *err)
{
    gw_assert(count > 0 && count <= file->options.row_group_rows);
    gw_assert(rows->scaled == file->options.scaled);
    const struct column *columns = schema_columns(file->options.scaled);
    file->groups = mem_realloc(file->groups, (file->group_count + 1) * sizeof *file->groups);
    struct row_group *group = &file->groups[file->group_count++];
    *group = (struct row_group){.rows = count};
    for (int c = 0; c < COLUMN_COUNT; c++) {
        uint64_t offset = file->offset + file->pending.size;
        chunk_write(file->chunks, &columns[c], rows, order, count, &file->pending,
                    &group->chunks[c]);
        group->chunks[c].offset = offset;
    }
    file->rows += count;
    return flush(file, err);
}

int parquet_file_finish(struct parquet_file *file, struct err *err)
{
    footer_put_indexes(file->groups, file->group_count, file->offset + file->pending.size,
                       &file->pending);
    footer_put_metadata(file->groups, file->group_count, file->options.scaled, &file->range,
                        &file->pending);
    int result = flush(file, err);
    if (result < 0)
        return result;
    result = file->disk->datasync(file->disk, file->fd);
    int fd = file->fd;
    file->fd = -1;
    int closed = file->disk->close(file->disk, fd);
    if (result == 0)
        result = closed;
    return result < 0 ? err_set(err, GW_EIO, "sync %s: %s", file->path, strerror(-result)) : 0;
}

void parquet_file_free(struct parquet_file *file)
{
    if (file == NULL)
        return;
    if (file->fd >= 0)
        file->disk->close(file->disk, file->fd);
    for (size_t g = 0; g < file->group_count; g++)
        for (int c = 0; c < COLUMN_COUNT; c++)
            chunk_info_fini(&file->groups[g].chunks[c]);
    chunk_writer_free(file->chunks);
    buffer_fini(&file->pending);
    free(file->groups);
    free(file->path);
    free(file);
}

uint64_t parquet_file_bytes(const struct parquet_file *file)
{
    return file->offset;
}

uint64_t parquet_file_rows(const struct parquet_file *file)
{
    return file->rows;
}

uint64_t parquet_file_column_bytes(const struct parquet_file *file, int column)
{
    uint64_t bytes = 0;
    for (size_t g = 0; g < file->group_count; g++)
        bytes += file->groups[g].chunks[column].compressed_size;
    return bytes;
}
