/* SPDX-License-Identifier: Apache-2.0
 *
 * A column chunk: gather the values in file order, try the encodings that the column allows, keep
 * the smallest. Every value is a 64-bit symbol here (bits of a number, or the number of a string), so
 * one path serves all types. Separate from file.c, which puts chunks together. One thread.
 */
#include "sinks/parquet/chunk.h"

#include <isa-l/crc.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "sinks/parquet/dictionary.h"
#include "sinks/parquet/encodings.h"
#include "sinks/parquet/thrift.h"

enum {
    VALUE_DICTIONARY_MAX = 65536, /* distinct values beyond which a dictionary never pays */
    DICTIONARY_BYTES_MAX =
        8 << 20, /* of strings: a dictionary is one page, and pages are bounded */
};

struct chunk_writer {
    ZSTD_CCtx *zstd;
    int level;
    uint32_t page_rows;
    struct dictionary dictionary;
    uint64_t *symbols; /* of the values that are there, in file order */
    uint32_t *levels;  /* of an optional column: 1 there, 0 null, in file order */
    uint32_t capacity;
    struct buffer raw;
    struct buffer attempt;
};

/* What is being written: everything that the functions below share. */
struct chunk {
    struct chunk_writer *writer;
    const struct column *column;
    const struct rows *rows;
    uint32_t count;       /* rows */
    uint32_t value_count; /* rows that are not null */
    uint32_t page_rows;
    enum parquet_encoding encoding;
    struct buffer *out;
    size_t begin; /* of the chunk in `out` */
    struct chunk_info *info;
};

void chunk_info_fini(struct chunk_info *info)
{
    free(info->pages);
    *info = (struct chunk_info){0};
}

struct chunk_writer *chunk_writer_new(int zstd_level, uint32_t page_rows)
{
    struct chunk_writer *writer = mem_zalloc(sizeof *writer);
    writer->zstd = ZSTD_createCCtx();
    gw_assert(writer->zstd != NULL && page_rows > 0);
    writer->level = zstd_level;
    writer->page_rows = page_rows;
    return writer;
}

void chunk_writer_free(struct chunk_writer *writer)
{
    if (writer == NULL)
        return;
    ZSTD_freeCCtx(writer->zstd);
    dictionary_fini(&writer->dictionary);
    free(writer->symbols);
    free(writer->levels);
    buffer_fini(&writer->raw);
    buffer_fini(&writer->attempt);
    free(writer);
}

/* ---- gather ---- */

static uint64_t symbol_of(const struct column *column, const struct rows *rows, uint32_t row)
{
    switch (column->source) {
    case SOURCE_TEXT: return rows->text[column->text][row];
    case SOURCE_TS: return (uint64_t)rows->ts[row];
    case SOURCE_VALUE: return rows->value[row];
    case SOURCE_SCALE: return rows->scale[row];
    case SOURCE_SEQ: return (uint64_t)rows->seq[row];
    case SOURCE_RECEIVED: return (uint64_t)rows->received[row];
    }
    return 0;
}

static void gather(struct chunk *chunk, const uint32_t *order)
{
    struct chunk_writer *writer = chunk->writer;
    if (chunk->count > writer->capacity) {
        writer->capacity = chunk->count;
        writer->symbols = mem_realloc(writer->symbols, chunk->count * sizeof *writer->symbols);
        writer->levels = mem_realloc(writer->levels, chunk->count * sizeof *writer->levels);
    }
    for (uint32_t i = 0; i < chunk->count; i++) {
        uint32_t row = order ? order[i] : i;
        bool there = !chunk->column->optional || chunk->rows->has_value[row];
        writer->levels[i] = there;
        if (there)
            writer->symbols[chunk->value_count++] = symbol_of(chunk->column, chunk->rows, row);
    }
}

/* ---- bounds ---- */

static double symbol_double(uint64_t symbol)
{
    double value;
    memcpy(&value, &symbol, sizeof value);
    return value;
}

static bool symbol_less(const struct chunk *chunk, uint64_t a, uint64_t b)
{
    switch (chunk->column->type) {
    case TYPE_BYTE_ARRAY: return chunk->rows->rank[a] < chunk->rows->rank[b];
    case TYPE_DOUBLE: return symbol_double(a) < symbol_double(b);
    case TYPE_INT32:
    case TYPE_INT64: break;
    }
    return (int64_t)a < (int64_t)b;
}

/* Cut so that it stays well-formed and below the string itself. */
static size_t cut_below(struct bytes text)
{
    size_t size = 0;
    while (size < text.size) {
        size_t step = utf8_size(text.data + size, text.size - size);
        if (step == 0 || size + step > BOUND_MAX)
            break;
        size += step;
    }
    return size;
}

/* The same, and then the last character that can be made larger is: above every string that begins
 * so. Only ASCII is raised; false when there is none. */
static bool raise_last(struct bound *bound)
{
    for (size_t size = bound->size; size > 0; size--) {
        if (bound->data[size - 1] < 0x7e) {
            bound->data[size - 1]++;
            bound->size = (uint8_t)size;
            return true;
        }
    }
    return false;
}

static struct bound bound_of_text(struct bytes text, bool is_max)
{
    struct bound bound = {.present = true, .exact = text.size <= BOUND_MAX};
    size_t size = cut_below(text);
    bound.size = (uint8_t)size;
    if (size)
        memcpy(bound.data, text.data, size);
    if (!bound.exact && is_max)
        bound.present = raise_last(&bound);
    return bound;
}

static struct bound bound_of(const struct chunk *chunk, uint64_t symbol, bool is_max)
{
    struct bound bound = {.present = true, .exact = true, .size = 8};
    switch (chunk->column->type) {
    case TYPE_BYTE_ARRAY:
        return bound_of_text(string_table_at(&chunk->rows->strings, (uint32_t)symbol), is_max);
    case TYPE_INT32: bound.size = 4; break;
    case TYPE_DOUBLE:
        /* The format wants -0.0 as minimum and +0.0 as maximum, as the two are equal. */
        if (symbol_double(symbol) == 0)
            symbol = is_max ? 0 : (uint64_t)1 << 63;
        break;
    case TYPE_INT64: break;
    }
    uint8_t bits[8];
    store_u64_le(bits, symbol);
    memcpy(bound.data, bits, bound.size);
    return bound;
}

struct extremes {
    bool any;
    uint64_t min, max;
};

static struct extremes extremes_of(const struct chunk *chunk, uint32_t from, uint32_t to)
{
    const uint64_t *symbols = chunk->writer->symbols;
    if (from == to)
        return (struct extremes){0};
    struct extremes found = {true, symbols[from], symbols[from]};
    for (uint32_t i = from + 1; i < to; i++) {
        if (symbols[i] == symbols[i - 1])
            continue;
        if (symbol_less(chunk, symbols[i], found.min))
            found.min = symbols[i];
        if (symbol_less(chunk, found.max, symbols[i]))
            found.max = symbols[i];
    }
    return found;
}

/* ---- pages ---- */

static void put_plain(const struct chunk *chunk, uint64_t symbol, struct buffer *out)
{
    switch (chunk->column->type) {
    case TYPE_BYTE_ARRAY: {
        struct bytes text = string_table_at(&chunk->rows->strings, (uint32_t)symbol);
        buffer_u32_le(out, (uint32_t)text.size);
        buffer_add_bytes(out, text);
        break;
    }
    case TYPE_INT32: buffer_u32_le(out, (uint32_t)symbol); break;
    case TYPE_INT64:
    case TYPE_DOUBLE: buffer_u64_le(out, symbol); break;
    }
}

static void put_page_header(struct buffer *out, enum parquet_page type, size_t raw_size,
                            struct bytes body, uint32_t value_count, enum parquet_encoding encoding)
{
    struct thrift_writer header = thrift_writer_of(out);
    thrift_i32(&header, 1, type);
    thrift_i32(&header, 2, (int32_t)raw_size);
    thrift_i32(&header, 3, (int32_t)body.size);
    thrift_i32(&header, 4, (int32_t)crc32_gzip_refl(0, body.data, body.size));
    thrift_struct(&header, type == PAGE_DICTIONARY ? 7 : 5);
    thrift_i32(&header, 1, (int32_t)value_count);
    thrift_i32(&header, 2, encoding);
    if (type == PAGE_DATA) {
        thrift_i32(&header, 3, ENCODING_RLE);
        thrift_i32(&header, 4, ENCODING_RLE);
    }
    thrift_end(&header);
    thrift_end(&header);
}

/* Fresh files (level 1) are soon merged: nothing is worth more time there. */
static int level_of(const struct chunk *chunk)
{
    int level = chunk->writer->level;
    return level > 1 && chunk->column->merged_level ? chunk->column->merged_level : level;
}

/* Compresses writer->raw and appends header and body. Returns the size of both. */
static uint32_t put_page(struct chunk *chunk, enum parquet_page type, uint32_t value_count,
                         enum parquet_encoding encoding)
{
    struct chunk_writer *writer = chunk->writer;
    struct buffer *raw = &writer->raw, *out = chunk->out;
    gw_assert(raw->size <= INT32_MAX / 2);
    struct buffer body = {0};
    size_t bound = ZSTD_compressBound(raw->size);
    size_t size = ZSTD_compressCCtx(writer->zstd, buffer_reserve(&body, bound), bound, raw->data,
                                    raw->size, level_of(chunk));
    gw_assert(!ZSTD_isError(size));
    body.size = size;
    size_t before = out->size;
    put_page_header(out, type, raw->size, buffer_bytes(&body), value_count, encoding);
    size_t header_size = out->size - before;
    buffer_add_bytes(out, buffer_bytes(&body));
    buffer_fini(&body);
    chunk->info->uncompressed_size += header_size + raw->size;
    return (uint32_t)(out->size - before);
}

static void put_dictionary(struct chunk *chunk)
{
    struct chunk_writer *writer = chunk->writer;
    buffer_clear(&writer->raw);
    buffer_reserve(&writer->raw, 1);
    for (uint32_t i = 0; i < writer->dictionary.count; i++)
        put_plain(chunk, writer->dictionary.symbols[i], &writer->raw);
    chunk->info->dictionary_size =
        put_page(chunk, PAGE_DICTIONARY, writer->dictionary.count, ENCODING_PLAIN);
}

static void put_levels(struct chunk *chunk, uint32_t from, uint32_t to)
{
    struct buffer *raw = &chunk->writer->raw;
    size_t at = raw->size;
    buffer_u32_le(raw, 0);
    rle_encode(chunk->writer->levels + from, to - from, 1, raw);
    store_u32_le(raw->data + at, (uint32_t)(raw->size - at - 4));
}

static void put_values(struct chunk *chunk, uint32_t from, uint32_t to)
{
    struct chunk_writer *writer = chunk->writer;
    struct buffer *raw = &writer->raw;
    if (chunk->encoding == ENCODING_RLE_DICTIONARY) {
        uint32_t last = writer->dictionary.count ? writer->dictionary.count - 1 : 0;
        int width = bits_for(last);
        buffer_u8(raw, (uint8_t)width);
        rle_encode(writer->dictionary.index + from, to - from, width, raw);
    } else if (chunk->encoding == ENCODING_DELTA_BINARY_PACKED) {
        delta_encode((const int64_t *)writer->symbols + from, to - from, raw);
    } else {
        for (uint32_t i = from; i < to; i++)
            put_plain(chunk, writer->symbols[i], raw);
    }
}

static void put_data_page(struct chunk *chunk, uint32_t row_from, uint32_t row_to,
                          uint32_t value_from, uint32_t value_to)
{
    buffer_clear(&chunk->writer->raw);
    if (chunk->column->optional)
        put_levels(chunk, row_from, row_to);
    put_values(chunk, value_from, value_to);
    struct page_info *page = &chunk->info->pages[chunk->info->page_count++];
    *page = (struct page_info){
        .offset = chunk->out->size - chunk->begin,
        .first_row = row_from,
        .rows = row_to - row_from,
        .null_count = row_to - row_from - (value_to - value_from),
    };
    page->size = put_page(chunk, PAGE_DATA, row_to - row_from, chunk->encoding);
}

static void put_data_pages(struct chunk *chunk)
{
    uint32_t page_rows = chunk->page_rows;
    uint32_t value = 0;
    for (uint32_t row = 0; row < chunk->count; row += page_rows) {
        uint32_t row_end = chunk->count - row < page_rows ? chunk->count : row + page_rows;
        uint32_t value_end = value;
        for (uint32_t i = row; i < row_end; i++)
            value_end += chunk->writer->levels[i];
        put_data_page(chunk, row, row_end, value, value_end);
        value = value_end;
    }
}

/* ---- statistics ---- */

static enum parquet_boundary boundary_of(const struct chunk *chunk, const struct extremes *pages)
{
    bool ascending = true, descending = true;
    const struct extremes *before = NULL;
    for (uint32_t i = 0; i < chunk->info->page_count; i++) {
        if (!pages[i].any)
            continue;
        if (before) {
            ascending &= !symbol_less(chunk, pages[i].min, before->min) &&
                         !symbol_less(chunk, pages[i].max, before->max);
            descending &= !symbol_less(chunk, before->min, pages[i].min) &&
                          !symbol_less(chunk, before->max, pages[i].max);
        }
        before = &pages[i];
    }
    return ascending ? BOUNDARY_ASCENDING : descending ? BOUNDARY_DESCENDING : BOUNDARY_UNORDERED;
}

static void describe(struct chunk *chunk)
{
    struct chunk_info *info = chunk->info;
    struct extremes *pages = mem_zalloc(info->page_count * sizeof *pages);
    struct extremes all = {0};
    uint32_t value = 0;
    for (uint32_t i = 0; i < info->page_count; i++) {
        struct page_info *page = &info->pages[i];
        uint32_t end = value + page->rows - page->null_count;
        pages[i] = extremes_of(chunk, value, end);
        value = end;
        if (!pages[i].any)
            continue;
        page->min = bound_of(chunk, pages[i].min, false);
        page->max = bound_of(chunk, pages[i].max, true);
        if (!all.any || symbol_less(chunk, pages[i].min, all.min))
            all.min = pages[i].min;
        if (!all.any || symbol_less(chunk, all.max, pages[i].max))
            all.max = pages[i].max;
        all.any = true;
    }
    if (all.any) {
        info->min = bound_of(chunk, all.min, false);
        info->max = bound_of(chunk, all.max, true);
    }
    info->boundary = boundary_of(chunk, pages);
    free(pages);
}

/* ---- the chunk ---- */

/* One way of writing the chunk, at the end of `out`. */
static void attempt(struct chunk *chunk, enum parquet_encoding encoding)
{
    bool one_page = chunk->column->one_page && encoding == ENCODING_RLE_DICTIONARY;
    chunk->page_rows = one_page ? chunk->count : chunk->writer->page_rows;
    chunk->encoding = encoding;
    chunk->begin = chunk->out->size;
    chunk->info->page_count = 0;
    chunk->info->uncompressed_size = 0;
    chunk->info->dictionary_size = 0;
    chunk->info->encoding = encoding;
    if (encoding == ENCODING_RLE_DICTIONARY)
        put_dictionary(chunk);
    put_data_pages(chunk);
    chunk->info->compressed_size = chunk->out->size - chunk->begin;
}

/* Write it that way too, and keep whichever is smaller. */
static void contend(struct chunk *chunk, enum parquet_encoding encoding, bool *have)
{
    if (!*have) {
        attempt(chunk, encoding);
        *have = true;
        return;
    }
    struct chunk other = *chunk;
    struct chunk_info info = *chunk->info;
    info.pages = mem_alloc((chunk->count / chunk->writer->page_rows + 1) * sizeof *info.pages);
    other.info = &info;
    other.out = &chunk->writer->attempt;
    buffer_clear(other.out);
    attempt(&other, encoding);
    if (info.compressed_size < chunk->info->compressed_size) {
        struct page_info *pages = chunk->info->pages;
        *chunk->info = info;
        info.pages = pages;
        chunk->encoding = encoding;
        chunk->out->size = chunk->begin;
        buffer_add_bytes(chunk->out, buffer_bytes(other.out));
    }
    free(info.pages);
}

static bool dictionary_pays(struct chunk *chunk)
{
    uint32_t limit = chunk->value_count / 2 + 1;
    if (chunk->column->type == TYPE_BYTE_ARRAY)
        limit = chunk->value_count / 4 * 3 + 64;
    else if (limit > VALUE_DICTIONARY_MAX)
        limit = VALUE_DICTIONARY_MAX;
    if (chunk->column->encodings == TRY_DICTIONARY)
        limit = UINT32_MAX;
    const struct dictionary *dictionary = &chunk->writer->dictionary;
    if (!dictionary_build(&chunk->writer->dictionary, chunk->writer->symbols, chunk->value_count,
                          limit))
        return false;
    uint64_t bytes = 0;
    for (uint32_t i = 0; chunk->column->type == TYPE_BYTE_ARRAY && i < dictionary->count; i++)
        bytes += string_table_at(&chunk->rows->strings, (uint32_t)dictionary->symbols[i]).size;
    return bytes <= DICTIONARY_BYTES_MAX;
}

void chunk_write(struct chunk_writer *writer, const struct column *column, const struct rows *rows,
                 const uint32_t *order, uint32_t count, struct buffer *out, struct chunk_info *info)
{
    gw_assert(count > 0);
    struct chunk chunk = {
        .writer = writer, .column = column, .rows = rows, .count = count, .out = out, .info = info};
    *info = (struct chunk_info){.rows = count};
    info->pages = mem_alloc((count / writer->page_rows + 1) * sizeof *info->pages);
    bool have = false;
    gather(&chunk, order);
    info->null_count = count - chunk.value_count;
    bool dictionary = column->encodings & TRY_DICTIONARY && dictionary_pays(&chunk);
    if (dictionary)
        contend(&chunk, ENCODING_RLE_DICTIONARY, &have);
    if (column->encodings & TRY_DELTA)
        contend(&chunk, ENCODING_DELTA_BINARY_PACKED, &have);
    /* Of strings a dictionary that pays is always the smaller. */
    if (column->encodings & TRY_PLAIN && !(dictionary && column->type == TYPE_BYTE_ARRAY))
        contend(&chunk, ENCODING_PLAIN, &have);
    gw_assert(have);
    describe(&chunk);
}
