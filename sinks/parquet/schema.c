/* SPDX-License-Identifier: Apache-2.0
 *
 * The two tables of columns. Read-only, any thread.
 *
 * Levels by measurement (bench/parquet.c): doubles gain an eighth from level 9, whole numbers lose by
 * every level above 1.
 */
#include "sinks/parquet/schema.h"

#define STRING_COLUMN(column_name, text_column, is_one_page)                                       \
    {                                                                                              \
        .name = column_name, .source = SOURCE_TEXT, .text = text_column, .type = TYPE_BYTE_ARRAY,  \
        .converted = CONVERTED_UTF8, .logical = LOGICAL_STRING,                                    \
        .encodings = TRY_DICTIONARY | TRY_PLAIN, .one_page = is_one_page                           \
    }
#define TIME_COLUMN(column_name, column_source)                                                    \
    {                                                                                              \
        .name = column_name, .source = column_source, .type = TYPE_INT64,                          \
        .converted = CONVERTED_TIMESTAMP_MILLIS, .logical = LOGICAL_TIMESTAMP,                     \
        .encodings = TRY_DELTA                                                                     \
    }
#define VALUE_DOUBLE                                                                               \
    {                                                                                              \
        .name = "value", .source = SOURCE_VALUE, .type = TYPE_DOUBLE, .optional = true,            \
        .converted = CONVERTED_NONE, .encodings = TRY_PLAIN | TRY_DICTIONARY, .merged_level = 9    \
    }
#define VALUE_UNSCALED                                                                             \
    {                                                                                              \
        .name = "unscaled", .source = SOURCE_VALUE, .type = TYPE_INT64, .optional = true,          \
        .converted = CONVERTED_NONE, .encodings = TRY_PLAIN, .merged_level = 1                     \
    }
#define COLUMNS(value_column)                                                                      \
    STRING_COLUMN("vendor", TEXT_VENDOR, true), STRING_COLUMN("device", TEXT_DEVICE, false),       \
        STRING_COLUMN("metric", TEXT_METRIC, false), TIME_COLUMN("ts", SOURCE_TS), value_column,   \
        STRING_COLUMN("unit", TEXT_UNIT, true),                                                    \
        {.name = "scale",                                                                          \
         .source = SOURCE_SCALE,                                                                   \
         .type = TYPE_INT32,                                                                       \
         .converted = CONVERTED_INT_8,                                                             \
         .logical = LOGICAL_INT8,                                                                  \
         .encodings = TRY_DICTIONARY,                                                              \
         .one_page = true},                                                                        \
        STRING_COLUMN("quality", TEXT_QUALITY, true), STRING_COLUMN("flags", TEXT_FLAGS, true),    \
        STRING_COLUMN("time_source", TEXT_TIME_SOURCE, true),                                      \
        {.name = "seq",                                                                            \
         .source = SOURCE_SEQ,                                                                     \
         .type = TYPE_INT64,                                                                       \
         .converted = CONVERTED_NONE,                                                              \
         .encodings = TRY_DELTA},                                                                  \
        TIME_COLUMN("received", SOURCE_RECEIVED), STRING_COLUMN("gateway", TEXT_GATEWAY, true)

static const struct column double_columns[COLUMN_COUNT] = {COLUMNS(VALUE_DOUBLE)};
static const struct column scaled_columns[COLUMN_COUNT] = {COLUMNS(VALUE_UNSCALED)};

const struct column *schema_columns(bool scaled)
{
    return scaled ? scaled_columns : double_columns;
}
