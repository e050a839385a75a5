/* SPDX-License-Identifier: Apache-2.0
 *
 * The columns of a file: DESIGN 7 in Parquet's types. One table for the writer and the reader.
 */
#ifndef TIDEGATE_SINKS_PARQUET_SCHEMA_H
#define TIDEGATE_SINKS_PARQUET_SCHEMA_H

#include <stdbool.h>

#include "sinks/parquet/format.h"
#include "sinks/parquet/rows.h"

enum { COLUMN_COUNT = 13, COLUMN_VALUE = 4 };

/* What a column's numbers in `struct rows` are. */
enum column_source {
    SOURCE_TEXT, /* text[column->text] */
    SOURCE_TS,
    SOURCE_VALUE,
    SOURCE_SCALE,
    SOURCE_SEQ,
    SOURCE_RECEIVED,
};

enum column_logical { LOGICAL_NONE, LOGICAL_STRING, LOGICAL_TIMESTAMP, LOGICAL_INT8 };

/* Encodings a chunk may have; the writer tries each and keeps the smallest. */
enum { TRY_PLAIN = 1, TRY_DICTIONARY = 2, TRY_DELTA = 4 };

struct column {
    const char *name;
    enum column_source source;
    enum rows_text text;
    enum parquet_type type;
    bool optional;
    enum parquet_converted converted;
    enum column_logical logical;
    unsigned encodings;
    int merged_level; /* zstd in merged files, 0: as configured */
    bool one_page;    /* few distinct values: pages cost more than skipping them saves */
};

/* COLUMN_COUNT of them. `scaled`: `unscaled` INT64 stands in place of `value` DOUBLE. */
const struct column *schema_columns(bool scaled);

#endif
