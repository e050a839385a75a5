/* SPDX-License-Identifier: Apache-2.0
 *
 * Pages back to rows. Every page's checksum is compared before anything in it is looked at, and
 * every length before memory is taken. One thread for one reader.
 */
#include "sinks/parquet/reader.h"

#include <fcntl.h>
#include <isa-l/crc.h>
#include <stdlib.h>

#include "sinks/parquet/encodings.h"
#include "sinks/parquet/metadata.h"
#include "sinks/parquet/thrift.h"

struct parquet_reader {
    const struct disk *disk;
    char *path;
    int fd;
    struct metadata metadata;
    ZSTD_DCtx *zstd;
    struct buffer chunk; /* pages of a column as they are on disk */
    struct buffer raw;   /* a page, decompressed */
    uint32_t *numbers;   /* levels or indexes of a page */
    uint32_t number_capacity;
    uint64_t *dictionary; /* symbols as in chunk.c */
    uint32_t dictionary_count;
};

/* ---- opening ---- */

static int read_footer(struct parquet_reader *reader, struct err *err)
{
    struct disk_stat stat = {0};
    int result = reader->disk->stat(reader->disk, reader->path, &stat);
    if (result < 0)
        return err_set(err, GW_EIO, "%s", strerror(-result));
    uint8_t tail[8];
    if (stat.size < 12)
        return err_set(err, GW_ECORRUPT, "too short to be a Parquet file");
    result = disk_read_all(reader->disk, reader->fd, tail, sizeof tail, stat.size - 8);
    if (result < 0)
        return err_set(err, GW_EIO, "%s", strerror(-result));
    struct reader in = reader_of(bytes_of(tail, sizeof tail));
    uint32_t size = reader_u32_le(&in);
    if (memcmp(tail + 4, PARQUET_MAGIC, 4) != 0 || size == 0 || size > READER_FOOTER_MAX ||
        size > stat.size - 12)
        return err_set(err, GW_ECORRUPT, "the end is not that of a Parquet file");
    struct buffer footer = {0};
    result = disk_read_all(reader->disk, reader->fd, buffer_reserve(&footer, size), size,
                           stat.size - 8 - size);
    footer.size = size;
    if (result < 0)
        result = err_set(err, GW_EIO, "%s", strerror(-result));
    else
        result = metadata_read(&reader->metadata, buffer_bytes(&footer), stat.size - 8 - size, err);
    buffer_fini(&footer);
    return result;
}

int parquet_reader_open(struct parquet_reader **out, const struct disk *disk, const char *path,
                        struct err *err)
{
    int fd = disk->open(disk, path, O_RDONLY);
    if (fd < 0)
        return err_set(err, GW_EIO, "open %s: %s", path, strerror(-fd));
    struct parquet_reader *reader = mem_zalloc(sizeof *reader);
    reader->disk = disk;
    reader->path = mem_strdup(path);
    reader->fd = fd;
    reader->zstd = ZSTD_createDCtx();
    gw_assert(reader->zstd != NULL);
    int result = read_footer(reader, err);
    if (result < 0) {
        parquet_reader_close(reader);
        return err_wrap(err, result, "read %s", path);
    }
    *out = reader;
    return 0;
}

void parquet_reader_close(struct parquet_reader *reader)
{
    if (reader == NULL)
        return;
    reader->disk->close(reader->disk, reader->fd);
    metadata_fini(&reader->metadata);
    ZSTD_freeDCtx(reader->zstd);
    buffer_fini(&reader->chunk);
    buffer_fini(&reader->raw);
    free(reader->numbers);
    free(reader->dictionary);
    free(reader->path);
    free(reader);
}

bool parquet_reader_scaled(const struct parquet_reader *reader)
{
    return reader->metadata.scaled;
}

uint64_t parquet_reader_rows(const struct parquet_reader *reader)
{
    return reader->metadata.rows;
}

size_t parquet_reader_groups(const struct parquet_reader *reader)
{
    return reader->metadata.group_count;
}

struct file_range parquet_reader_range(const struct parquet_reader *reader)
{
    return reader->metadata.range;
}

/* ---- page headers ---- */

struct page {
    int64_t type, raw_size, size, values, encoding, crc;
    bool has_crc;
};

static void read_data_header(struct thrift_struct at, struct page *page)
{
    while (thrift_next(&at)) {
        if (at.id == 1)
            page->values = thrift_number(&at);
        else if (at.id == 2)
            page->encoding = thrift_number(&at);
        else
            thrift_skip(&at);
    }
}

static struct page read_page_header(struct reader *in)
{
    struct page page = {.type = -1, .values = -1, .encoding = -1};
    struct thrift_struct at = thrift_struct_of(in);
    while (thrift_next(&at)) {
        switch (at.id) {
        case 1: page.type = thrift_number(&at); break;
        case 2: page.raw_size = thrift_number(&at); break;
        case 3: page.size = thrift_number(&at); break;
        case 4:
            page.crc = thrift_number(&at);
            page.has_crc = true;
            break;
        case 5:
        case 7: read_data_header(thrift_inner(&at), &page); break;
        default: thrift_skip(&at);
        }
    }
    return page;
}

/* The body of a page into reader->raw. */
static bool unpack(struct parquet_reader *reader, struct reader *in, const struct page *page)
{
    if (in->failed || page->size <= 0 || page->raw_size <= 0 || page->raw_size > READER_PAGE_MAX ||
        page->values < 0 || page->values > READER_GROUP_ROWS_MAX)
        return false;
    struct bytes body = reader_bytes(in, (size_t)page->size);
    if (in->failed || !page->has_crc ||
        crc32_gzip_refl(0, body.data, body.size) != (uint32_t)page->crc ||
        ZSTD_getFrameContentSize(body.data, body.size) != (unsigned long long)page->raw_size)
        return false;
    buffer_clear(&reader->raw);
    size_t raw_size = (size_t)page->raw_size;
    size_t size = ZSTD_decompressDCtx(reader->zstd, buffer_reserve(&reader->raw, raw_size),
                                      raw_size, body.data, body.size);
    reader->raw.size = raw_size;
    return size == raw_size;
}

/* ---- values ---- */

/* The column being read, and how far it is. */
struct progress {
    struct parquet_reader *reader;
    const struct column *column;
    struct rows *rows;
    uint32_t next, end; /* row numbers in `rows` */
};

static uint64_t take_plain(struct progress *progress, struct reader *in)
{
    switch (progress->column->type) {
    case TYPE_BYTE_ARRAY: return rows_text(progress->rows, reader_bytes(in, reader_u32_le(in)), 0);
    case TYPE_INT32: return reader_u32_le(in);
    case TYPE_INT64:
    case TYPE_DOUBLE: break;
    }
    return reader_u64_le(in);
}

static void put_symbol(struct progress *progress, uint32_t row, uint64_t symbol)
{
    struct rows *rows = progress->rows;
    switch (progress->column->source) {
    case SOURCE_TEXT: rows->text[progress->column->text][row] = (uint32_t)symbol; break;
    case SOURCE_TS: rows->ts[row] = (int64_t)symbol; break;
    case SOURCE_VALUE: rows->value[row] = symbol; break;
    case SOURCE_SCALE: rows->scale[row] = (uint8_t)symbol; break;
    case SOURCE_SEQ: rows->seq[row] = (int64_t)symbol; break;
    case SOURCE_RECEIVED: rows->received[row] = (int64_t)symbol; break;
    }
}

static void need_numbers(struct parquet_reader *reader, uint32_t count)
{
    if (count > reader->number_capacity) {
        reader->number_capacity = count;
        reader->numbers = mem_realloc(reader->numbers, count * sizeof *reader->numbers);
    }
}

static void take_dictionary(struct progress *progress, const struct page *page)
{
    struct parquet_reader *reader = progress->reader;
    struct reader in = reader_of(buffer_bytes(&reader->raw));
    size_t smallest =
        progress->column->type == TYPE_INT64 || progress->column->type == TYPE_DOUBLE ? 8 : 4;
    reader->dictionary_count = 0;
    if ((uint64_t)page->values * smallest > reader->raw.size)
        return;
    reader->dictionary =
        mem_realloc(reader->dictionary, (size_t)page->values * sizeof *reader->dictionary);
    for (int64_t i = 0; i < page->values; i++)
        reader->dictionary[i] = take_plain(progress, &in);
    if (!in.failed && reader_left(&in) == 0)
        reader->dictionary_count = (uint32_t)page->values;
}

/* has_value of the page's rows; returns how many there are. */
static uint32_t take_levels(struct progress *progress, struct reader *in, uint32_t rows)
{
    struct parquet_reader *reader = progress->reader;
    struct reader levels = reader_of(reader_bytes(in, reader_u32_le(in)));
    uint32_t there = 0;
    need_numbers(reader, rows);
    rle_decode(&levels, 1, reader->numbers, rows);
    in->failed |= levels.failed || reader_left(&levels) != 0;
    for (uint32_t i = 0; i < rows && !in->failed; i++) {
        progress->rows->has_value[progress->next + i] = (uint8_t)reader->numbers[i];
        there += reader->numbers[i];
    }
    return there;
}

/* `count` symbols of the page, in order, at the rows that have one. */
static uint32_t next_row(const struct progress *progress, uint32_t row)
{
    if (progress->column->optional)
        while (!progress->rows->has_value[row])
            row++;
    return row;
}

static void take_indexes(struct progress *progress, struct reader *in, uint32_t count)
{
    struct parquet_reader *reader = progress->reader;
    int width = reader_u8(in);
    need_numbers(reader, count);
    rle_decode(in, width, reader->numbers, count);
    uint32_t row = progress->next;
    for (uint32_t i = 0; i < count && !in->failed; i++, row++) {
        if (reader->numbers[i] >= reader->dictionary_count) {
            in->failed = true;
            return;
        }
        row = next_row(progress, row);
        put_symbol(progress, row, reader->dictionary[reader->numbers[i]]);
    }
}

static void take_deltas(struct progress *progress, struct reader *in, uint32_t count)
{
    int64_t *values = mem_alloc(count * sizeof *values);
    delta_decode(in, values, count);
    uint32_t row = progress->next;
    for (uint32_t i = 0; i < count && !in->failed; i++, row++) {
        row = next_row(progress, row);
        put_symbol(progress, row, (uint64_t)values[i]);
    }
    free(values);
}

static void take_plains(struct progress *progress, struct reader *in, uint32_t count)
{
    uint32_t row = progress->next;
    for (uint32_t i = 0; i < count && !in->failed; i++, row++) {
        row = next_row(progress, row);
        put_symbol(progress, row, take_plain(progress, in));
    }
}

static bool take_data(struct progress *progress, const struct page *page)
{
    struct reader in = reader_of(buffer_bytes(&progress->reader->raw));
    if (page->values <= 0 || page->values > progress->end - progress->next)
        return false;
    uint32_t rows = (uint32_t)page->values, count = rows;
    if (progress->column->optional)
        count = take_levels(progress, &in, rows);
    if (in.failed)
        return false;
    if (page->encoding == ENCODING_RLE_DICTIONARY)
        take_indexes(progress, &in, count);
    else if (page->encoding == ENCODING_DELTA_BINARY_PACKED && progress->column->type == TYPE_INT64)
        take_deltas(progress, &in, count);
    else if (page->encoding == ENCODING_PLAIN)
        take_plains(progress, &in, count);
    else
        return false;
    progress->next += rows;
    return !in.failed && reader_left(&in) == 0;
}

/* ---- chunks ---- */

static bool take_chunk(struct progress *progress)
{
    struct parquet_reader *reader = progress->reader;
    struct reader in = reader_of(buffer_bytes(&reader->chunk));
    reader->dictionary_count = 0;
    while (reader_left(&in) > 0) {
        struct page page = read_page_header(&in);
        if (!unpack(reader, &in, &page))
            return false;
        if (page.type == PAGE_DICTIONARY)
            take_dictionary(progress, &page);
        else if (page.type != PAGE_DATA || !take_data(progress, &page))
            return false;
    }
    return progress->next == progress->end;
}

static int read_chunk(struct progress *progress, const struct chunk_place *place, struct err *err)
{
    struct parquet_reader *reader = progress->reader;
    buffer_clear(&reader->chunk);
    int result =
        disk_read_all(reader->disk, reader->fd, buffer_reserve(&reader->chunk, place->size),
                      place->size, place->offset);
    if (result < 0)
        return err_set(err, GW_EIO, "read %s: %s", reader->path, strerror(-result));
    reader->chunk.size = place->size;
    if (!take_chunk(progress))
        return err_set(err, GW_ECORRUPT, "read %s: a page of column %s is damaged", reader->path,
                       progress->column->name);
    return 0;
}

static void clear_rows(struct rows *rows, uint32_t from, uint32_t count)
{
    memset(rows->value + from, 0, count * sizeof *rows->value);
    memset(rows->has_value + from, 0, count);
}

int parquet_reader_group(struct parquet_reader *reader, size_t group, struct rows *rows,
                         struct err *err)
{
    gw_assert(group < reader->metadata.group_count && rows->scaled == reader->metadata.scaled);
    const struct group_place *place = &reader->metadata.groups[group];
    uint32_t from = rows_extend(rows, place->rows);
    clear_rows(rows, from, place->rows);
    int result = 0;
    for (int c = 0; c < COLUMN_COUNT && result == 0; c++) {
        struct progress progress = {reader, &schema_columns(rows->scaled)[c], rows, from,
                                    from + place->rows};
        result = read_chunk(&progress, &place->chunks[c], err);
    }
    for (uint32_t i = 0; i < place->rows && result == 0; i++)
        if (rows->scale[from + i] > 18)
            result = err_set(err, GW_ECORRUPT, "read %s: a scale is out of range", reader->path);
    return result;
}
