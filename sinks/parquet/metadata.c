/* SPDX-License-Identifier: Apache-2.0
 *
 * FileMetaData back from Thrift: only what is needed to find the pages, all of it checked against the
 * size of the file and against our own schema. Separate from reader.c, which knows pages. One thread.
 */
#include "sinks/parquet/metadata.h"

#include <stdlib.h>

#include "sinks/parquet/reader.h"
#include "sinks/parquet/thrift.h"

void metadata_fini(struct metadata *metadata)
{
    free(metadata->groups);
    *metadata = (struct metadata){0};
}

/* ---- schema ---- */

struct element {
    int64_t type, repetition, children;
    struct bytes name;
};

static struct element read_element(struct thrift_struct at)
{
    struct element element = {.type = -1, .repetition = -1};
    while (thrift_next(&at)) {
        switch (at.id) {
        case 1: element.type = thrift_number(&at); break;
        case 3: element.repetition = thrift_number(&at); break;
        case 4: element.name = thrift_bytes(&at); break;
        case 5: element.children = thrift_number(&at); break;
        default: thrift_skip(&at);
        }
    }
    return element;
}

static bool is_column(const struct element *element, const struct column *column)
{
    int64_t repetition = column->optional ? REPETITION_OPTIONAL : REPETITION_REQUIRED;
    return element->type == (int64_t)column->type && element->repetition == repetition &&
           element->children == 0 && bytes_equal_text(element->name, column->name);
}

static void read_schema(struct thrift_struct *at, struct metadata *metadata)
{
    size_t count = thrift_items(at, THRIFT_STRUCT);
    if (count != COLUMN_COUNT + 1) {
        at->in->failed = true;
        return;
    }
    struct element root = read_element(thrift_next_struct(at));
    bool ours = root.children == COLUMN_COUNT;
    for (int c = 0; c < COLUMN_COUNT; c++) {
        struct element element = read_element(thrift_next_struct(at));
        if (c == COLUMN_VALUE)
            metadata->scaled = is_column(&element, &schema_columns(true)[c]);
        ours &= is_column(&element, &schema_columns(metadata->scaled)[c]);
    }
    if (!ours)
        at->in->failed = true;
}

/* ---- row groups ---- */

struct chunk_claim {
    int64_t type, codec, values, data_offset, dictionary_offset, size;
};

static struct chunk_claim read_column_metadata(struct thrift_struct at)
{
    struct chunk_claim claim = {.data_offset = -1, .dictionary_offset = -1, .size = -1};
    while (thrift_next(&at)) {
        switch (at.id) {
        case 1: claim.type = thrift_number(&at); break;
        case 4: claim.codec = thrift_number(&at); break;
        case 5: claim.values = thrift_number(&at); break;
        case 7: claim.size = thrift_number(&at); break;
        case 9: claim.data_offset = thrift_number(&at); break;
        case 11: claim.dictionary_offset = thrift_number(&at); break;
        default: thrift_skip(&at);
        }
    }
    return claim;
}

static void read_chunk(struct thrift_struct at, struct chunk_place *place,
                       const struct column *column, uint64_t file_size, int64_t *values)
{
    struct chunk_claim claim = {.type = -1};
    while (thrift_next(&at)) {
        if (at.id == 3)
            claim = read_column_metadata(thrift_inner(&at));
        else
            thrift_skip(&at);
    }
    int64_t offset = claim.dictionary_offset >= 0 ? claim.dictionary_offset : claim.data_offset;
    if (claim.type != (int64_t)column->type || claim.codec != CODEC_ZSTD || offset < 4 ||
        claim.size <= 0 || (uint64_t)offset > file_size ||
        (uint64_t)claim.size > file_size - (uint64_t)offset)
        at.in->failed = true;
    *place = (struct chunk_place){(uint64_t)offset, (uint64_t)claim.size};
    *values = claim.values;
}

static void read_group(struct thrift_struct at, struct group_place *group, bool scaled,
                       uint64_t file_size)
{
    int64_t rows = -1;
    int64_t values[COLUMN_COUNT] = {0};
    while (thrift_next(&at)) {
        if (at.id == 1) {
            if (thrift_items(&at, THRIFT_STRUCT) != COLUMN_COUNT) {
                at.in->failed = true;
                return;
            }
            for (int c = 0; c < COLUMN_COUNT; c++)
                read_chunk(thrift_next_struct(&at), &group->chunks[c], &schema_columns(scaled)[c],
                           file_size, &values[c]);
        } else if (at.id == 3) {
            rows = thrift_number(&at);
        } else {
            thrift_skip(&at);
        }
    }
    if (rows <= 0 || rows > READER_GROUP_ROWS_MAX)
        at.in->failed = true;
    for (int c = 0; c < COLUMN_COUNT; c++)
        if (values[c] != rows)
            at.in->failed = true;
    group->rows = (uint32_t)rows;
}

static void read_groups(struct thrift_struct *at, struct metadata *metadata, uint64_t file_size)
{
    size_t count = thrift_items(at, THRIFT_STRUCT);
    if (metadata->groups != NULL)
        at->in->failed = true;
    for (size_t g = 0; g < count && !at->in->failed; g++) {
        metadata->groups = mem_realloc(metadata->groups, (g + 1) * sizeof *metadata->groups);
        metadata->groups[g] = (struct group_place){0};
        metadata->group_count = g + 1;
        read_group(thrift_next_struct(at), &metadata->groups[g], metadata->scaled, file_size);
        metadata->rows += metadata->groups[g].rows;
    }
}

/* ---- keys ---- */

static uint64_t number_of(struct bytes text, int base)
{
    char copy[32] = {0};
    if (text.size)
        memcpy(copy, text.data, text.size < sizeof copy ? text.size : sizeof copy - 1);
    return strtoull(copy, NULL, base);
}

static void read_key(struct thrift_struct at, struct file_range *range)
{
    struct bytes key = {0}, value = {0};
    while (thrift_next(&at)) {
        if (at.id == 1)
            key = thrift_bytes(&at);
        else if (at.id == 2)
            value = thrift_bytes(&at);
        else
            thrift_skip(&at);
    }
    if (at.in->failed)
        return;
    if (bytes_equal_text(key, "tidegate.gateway"))
        range->gateway = number_of(value, 16);
    else if (bytes_equal_text(key, "tidegate.first_seq"))
        range->first_seq = number_of(value, 10);
    else if (bytes_equal_text(key, "tidegate.last_seq"))
        range->last_seq = number_of(value, 10);
    else if (bytes_equal_text(key, "tidegate.generation"))
        range->generation = (uint32_t)number_of(value, 10);
    else if (bytes_equal_text(key, "tidegate.replay"))
        range->replay = true;
}

static void read_keys(struct thrift_struct *at, struct metadata *metadata)
{
    size_t count = thrift_items(at, THRIFT_STRUCT);
    for (size_t i = 0; i < count && !at->in->failed; i++)
        read_key(thrift_next_struct(at), &metadata->range);
}

int metadata_read(struct metadata *metadata, struct bytes in, uint64_t file_size, struct err *err)
{
    *metadata = (struct metadata){0};
    struct reader reader = reader_of(in);
    struct thrift_struct at = thrift_struct_of(&reader);
    bool schema = false;
    int64_t rows = -1;
    while (thrift_next(&at)) {
        if (at.id == 2) {
            read_schema(&at, metadata);
            schema = true;
        } else if (at.id == 3) {
            rows = thrift_number(&at);
        } else if (at.id == 4 && schema) {
            read_groups(&at, metadata, file_size);
        } else if (at.id == 5) {
            read_keys(&at, metadata);
        } else {
            thrift_skip(&at);
        }
    }
    if (reader.failed || !schema || rows < 0 || (uint64_t)rows != metadata->rows) {
        metadata_fini(metadata);
        return err_set(err, GW_ECORRUPT, "the footer is damaged, or not one of ours");
    }
    return 0;
}
