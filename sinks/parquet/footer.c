/* SPDX-License-Identifier: Apache-2.0
 *
 * Page index and FileMetaData in Thrift (parquet.thrift, PageIndex.md). Separate because it is a
 * long list of field numbers and nothing else. One thread.
 */
#include "sinks/parquet/footer.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/identity.h"
#include "sinks/parquet/thrift.h"

#ifndef TIDEGATE_VERSION
#define TIDEGATE_VERSION "0.1.0"
#endif

static struct bytes bound_bytes(const struct bound *bound)
{
    return bytes_of(bound->data, bound->present ? bound->size : 0);
}

/* ---- page index ---- */

/* A reader may skip a page by its bounds, so a column with a page whose bounds we do not know gets no
 * column index at all. */
static bool has_column_index(const struct chunk_info *chunk)
{
    for (uint32_t i = 0; i < chunk->page_count; i++) {
        const struct page_info *page = &chunk->pages[i];
        if (page->null_count < page->rows && (!page->min.present || !page->max.present))
            return false;
    }
    return true;
}

static void put_column_index(const struct chunk_info *chunk, struct buffer *out)
{
    struct thrift_writer index = thrift_writer_of(out);
    thrift_list(&index, 1, THRIFT_TRUE, chunk->page_count);
    for (uint32_t i = 0; i < chunk->page_count; i++)
        thrift_item_bool(&index, chunk->pages[i].null_count == chunk->pages[i].rows);
    thrift_list(&index, 2, THRIFT_BINARY, chunk->page_count);
    for (uint32_t i = 0; i < chunk->page_count; i++)
        thrift_item_binary(&index, bound_bytes(&chunk->pages[i].min));
    thrift_list(&index, 3, THRIFT_BINARY, chunk->page_count);
    for (uint32_t i = 0; i < chunk->page_count; i++)
        thrift_item_binary(&index, bound_bytes(&chunk->pages[i].max));
    thrift_i32(&index, 4, chunk->boundary);
    thrift_list(&index, 5, THRIFT_I64, chunk->page_count);
    for (uint32_t i = 0; i < chunk->page_count; i++)
        thrift_item_number(&index, chunk->pages[i].null_count);
    thrift_end(&index);
}

static void put_offset_index(const struct chunk_info *chunk, struct buffer *out)
{
    struct thrift_writer index = thrift_writer_of(out);
    thrift_list(&index, 1, THRIFT_STRUCT, chunk->page_count);
    for (uint32_t i = 0; i < chunk->page_count; i++) {
        const struct page_info *page = &chunk->pages[i];
        thrift_item_struct(&index);
        thrift_i64(&index, 1, (int64_t)(chunk->offset + page->offset));
        thrift_i32(&index, 2, (int32_t)page->size);
        thrift_i64(&index, 3, page->first_row);
        thrift_end(&index);
    }
    thrift_end(&index);
}

void footer_put_indexes(struct row_group *groups, size_t count, uint64_t at, struct buffer *out)
{
    size_t begin = out->size;
    for (size_t g = 0; g < count; g++) {
        for (int c = 0; c < COLUMN_COUNT; c++) {
            struct index_place *place = &groups[g].index[c];
            size_t before = out->size;
            *place = (struct index_place){.column_offset = at + before - begin};
            if (has_column_index(&groups[g].chunks[c]))
                put_column_index(&groups[g].chunks[c], out);
            place->column_size = (uint32_t)(out->size - before);
        }
    }
    for (size_t g = 0; g < count; g++) {
        for (int c = 0; c < COLUMN_COUNT; c++) {
            struct index_place *place = &groups[g].index[c];
            size_t before = out->size;
            place->offset_offset = at + before - begin;
            put_offset_index(&groups[g].chunks[c], out);
            place->offset_size = (uint32_t)(out->size - before);
        }
    }
}

/* ---- schema ---- */

static void put_logical(struct thrift_writer *meta, enum column_logical logical)
{
    if (logical == LOGICAL_NONE)
        return;
    thrift_struct(meta, 10);
    if (logical == LOGICAL_STRING) {
        thrift_struct(meta, 1);
    } else if (logical == LOGICAL_TIMESTAMP) {
        thrift_struct(meta, 8);
        thrift_bool(meta, 1, true); /* isAdjustedToUTC */
        thrift_struct(meta, 2);
        thrift_struct(meta, 1); /* MILLIS */
        thrift_end(meta);
        thrift_end(meta);
    } else {
        thrift_struct(meta, 10);
        thrift_i8(meta, 1, 8);      /* bits */
        thrift_bool(meta, 2, true); /* signed */
    }
    thrift_end(meta);
    thrift_end(meta);
}

static void put_schema(struct thrift_writer *meta, const struct column *columns)
{
    thrift_list(meta, 2, THRIFT_STRUCT, COLUMN_COUNT + 1);
    thrift_item_struct(meta);
    thrift_binary(meta, 4, bytes_text("reading"));
    thrift_i32(meta, 5, COLUMN_COUNT);
    thrift_end(meta);
    for (int c = 0; c < COLUMN_COUNT; c++) {
        const struct column *column = &columns[c];
        thrift_item_struct(meta);
        thrift_i32(meta, 1, column->type);
        thrift_i32(meta, 3, column->optional ? REPETITION_OPTIONAL : REPETITION_REQUIRED);
        thrift_binary(meta, 4, bytes_text(column->name));
        if (column->converted != CONVERTED_NONE)
            thrift_i32(meta, 6, column->converted);
        put_logical(meta, column->logical);
        thrift_end(meta);
    }
}

/* ---- row groups ---- */

static void put_statistics(struct thrift_writer *meta, const struct chunk_info *chunk)
{
    thrift_struct(meta, 12);
    thrift_i64(meta, 3, chunk->null_count);
    if (chunk->max.present)
        thrift_binary(meta, 5, bound_bytes(&chunk->max));
    if (chunk->min.present)
        thrift_binary(meta, 6, bound_bytes(&chunk->min));
    if (chunk->max.present)
        thrift_bool(meta, 7, chunk->max.exact);
    if (chunk->min.present)
        thrift_bool(meta, 8, chunk->min.exact);
    thrift_end(meta);
}

static void put_encodings(struct thrift_writer *meta, const struct chunk_info *chunk)
{
    bool plain = chunk->dictionary_size && chunk->encoding != ENCODING_PLAIN;
    thrift_list(meta, 2, THRIFT_I32, plain ? 3 : 2);
    thrift_item_number(meta, chunk->encoding);
    thrift_item_number(meta, ENCODING_RLE);
    if (plain)
        thrift_item_number(meta, ENCODING_PLAIN);
}

static void put_encoding_stats(struct thrift_writer *meta, const struct chunk_info *chunk)
{
    thrift_list(meta, 13, THRIFT_STRUCT, chunk->dictionary_size ? 2 : 1);
    if (chunk->dictionary_size) {
        thrift_item_struct(meta);
        thrift_i32(meta, 1, PAGE_DICTIONARY);
        thrift_i32(meta, 2, ENCODING_PLAIN);
        thrift_i32(meta, 3, 1);
        thrift_end(meta);
    }
    thrift_item_struct(meta);
    thrift_i32(meta, 1, PAGE_DATA);
    thrift_i32(meta, 2, chunk->encoding);
    thrift_i32(meta, 3, (int32_t)chunk->page_count);
    thrift_end(meta);
}

static void put_column_metadata(struct thrift_writer *meta, const struct column *column,
                                const struct chunk_info *chunk)
{
    thrift_struct(meta, 3);
    thrift_i32(meta, 1, column->type);
    put_encodings(meta, chunk);
    thrift_list(meta, 3, THRIFT_BINARY, 1);
    thrift_item_binary(meta, bytes_text(column->name));
    thrift_i32(meta, 4, CODEC_ZSTD);
    thrift_i64(meta, 5, chunk->rows);
    thrift_i64(meta, 6, (int64_t)chunk->uncompressed_size);
    thrift_i64(meta, 7, (int64_t)chunk->compressed_size);
    thrift_i64(meta, 9, (int64_t)(chunk->offset + chunk->dictionary_size));
    if (chunk->dictionary_size)
        thrift_i64(meta, 11, (int64_t)chunk->offset);
    put_statistics(meta, chunk);
    put_encoding_stats(meta, chunk);
    thrift_end(meta);
}

static void put_chunk(struct thrift_writer *meta, const struct column *column,
                      const struct chunk_info *chunk, const struct index_place *index)
{
    thrift_item_struct(meta);
    thrift_i64(meta, 2, (int64_t)chunk->offset);
    put_column_metadata(meta, column, chunk);
    thrift_i64(meta, 4, (int64_t)index->offset_offset);
    thrift_i32(meta, 5, (int32_t)index->offset_size);
    if (index->column_size) {
        thrift_i64(meta, 6, (int64_t)index->column_offset);
        thrift_i32(meta, 7, (int32_t)index->column_size);
    }
    thrift_end(meta);
}

static void put_sorting(struct thrift_writer *meta)
{
    static const int sorted_by[] = {0, 1, 2, 3}; /* vendor, device, metric, ts */
    thrift_list(meta, 4, THRIFT_STRUCT, array_count(sorted_by));
    for (size_t i = 0; i < array_count(sorted_by); i++) {
        thrift_item_struct(meta);
        thrift_i32(meta, 1, sorted_by[i]);
        thrift_bool(meta, 2, false); /* descending */
        thrift_bool(meta, 3, false); /* nulls first */
        thrift_end(meta);
    }
}

static void put_row_group(struct thrift_writer *meta, const struct column *columns,
                          const struct row_group *group, size_t ordinal)
{
    uint64_t raw = 0, compressed = 0;
    thrift_item_struct(meta);
    thrift_list(meta, 1, THRIFT_STRUCT, COLUMN_COUNT);
    for (int c = 0; c < COLUMN_COUNT; c++) {
        put_chunk(meta, &columns[c], &group->chunks[c], &group->index[c]);
        raw += group->chunks[c].uncompressed_size;
        compressed += group->chunks[c].compressed_size;
    }
    thrift_i64(meta, 2, (int64_t)raw);
    thrift_i64(meta, 3, group->rows);
    put_sorting(meta);
    thrift_i64(meta, 5, (int64_t)group->chunks[0].offset);
    thrift_i64(meta, 6, (int64_t)compressed);
    if (ordinal <= INT16_MAX)
        thrift_i16(meta, 7, (int16_t)ordinal);
    thrift_end(meta);
}

/* ---- file ---- */

static void put_key(struct thrift_writer *meta, const char *key, const char *value)
{
    thrift_item_struct(meta);
    thrift_binary(meta, 1, bytes_text(key));
    thrift_binary(meta, 2, bytes_text(value));
    thrift_end(meta);
}

static void put_key_number(struct thrift_writer *meta, const char *key, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    put_key(meta, key, text);
}

static void put_keys(struct thrift_writer *meta, const struct file_range *range)
{
    char gateway[IDENTITY_TEXT_SIZE];
    thrift_list(meta, 5, THRIFT_STRUCT, range->replay ? 6 : 5);
    put_key(meta, "tidegate.gateway", identity_format((struct identity){range->gateway}, gateway));
    put_key_number(meta, "tidegate.first_seq", range->first_seq);
    put_key_number(meta, "tidegate.last_seq", range->last_seq);
    put_key_number(meta, "tidegate.generation", range->generation);
    put_key(meta, "tidegate.version", TIDEGATE_VERSION);
    if (range->replay)
        put_key(meta, "tidegate.replay", "true");
}

void footer_put_metadata(const struct row_group *groups, size_t count, bool scaled,
                         const struct file_range *range, struct buffer *out)
{
    const struct column *columns = schema_columns(scaled);
    size_t begin = out->size;
    uint64_t rows = 0;
    for (size_t g = 0; g < count; g++)
        rows += groups[g].rows;
    struct thrift_writer meta = thrift_writer_of(out);
    thrift_i32(&meta, 1, 2); /* version: with logical types and DELTA_BINARY_PACKED */
    put_schema(&meta, columns);
    thrift_i64(&meta, 3, (int64_t)rows);
    thrift_list(&meta, 4, THRIFT_STRUCT, count);
    for (size_t g = 0; g < count; g++)
        put_row_group(&meta, columns, &groups[g], g);
    put_keys(&meta, range);
    thrift_binary(&meta, 6, bytes_text("tidegate version " TIDEGATE_VERSION));
    thrift_list(&meta, 7, THRIFT_STRUCT, COLUMN_COUNT);
    for (int c = 0; c < COLUMN_COUNT; c++) {
        thrift_item_struct(&meta);
        thrift_struct(&meta, 1); /* TypeDefinedOrder */
        thrift_end(&meta);
        thrift_end(&meta);
    }
    thrift_end(&meta);
    buffer_u32_le(out, (uint32_t)(out->size - begin));
    buffer_add_text(out, PARQUET_MAGIC);
}
