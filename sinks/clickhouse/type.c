/* SPDX-License-Identifier: Apache-2.0
 *
 * Names of types. 18.16 wants the exact type of the table on the wire, and later versions convert
 * silently, so we write what the table has or refuse it. Any thread.
 */
#include "sinks/clickhouse/type.h"

#define KIND(kind) (1U << (kind))

static const struct {
    const char *name;
    enum wire_type wire;
    unsigned kinds;
} types[] = {
    {"String", WIRE_STRING, KIND(KIND_TEXT)},
    {"LowCardinality(String)", WIRE_LOW_CARDINALITY, KIND(KIND_TEXT)},
    {"Nullable(Float64)", WIRE_NULLABLE_FLOAT64, KIND(KIND_VALUE)},
    {"UInt8", WIRE_INT8, KIND(KIND_SMALL)},
    {"Int8", WIRE_INT8, KIND(KIND_SMALL)},
    {"UInt16", WIRE_INT16, KIND(KIND_SMALL) | KIND(KIND_MILLISECONDS)},
    {"Int16", WIRE_INT16, KIND(KIND_SMALL) | KIND(KIND_MILLISECONDS)},
    {"UInt32", WIRE_INT32, KIND(KIND_SMALL) | KIND(KIND_MILLISECONDS)},
    {"Int32", WIRE_INT32, KIND(KIND_SMALL) | KIND(KIND_MILLISECONDS)},
    {"UInt64", WIRE_INT64,
     KIND(KIND_SMALL) | KIND(KIND_MILLISECONDS) | KIND(KIND_NUMBER) | KIND(KIND_VERSION)},
    {"Int64", WIRE_INT64, KIND(KIND_SMALL) | KIND(KIND_MILLISECONDS) | KIND(KIND_NUMBER)},
};

static const char *const wanted[] = {
    [KIND_TEXT] = "String",         [KIND_TIME] = "DateTime64(3)",
    [KIND_MILLISECONDS] = "UInt16", [KIND_VALUE] = "Nullable(Float64)",
    [KIND_SMALL] = "UInt8",         [KIND_NUMBER] = "UInt64",
    [KIND_VERSION] = "UInt64",
};

const char *type_wanted(enum column_kind kind)
{
    return wanted[kind];
}

/* ---- times ---- */

static bool skip(struct bytes *text, const char *prefix)
{
    size_t size = strlen(prefix);
    if (text->size < size || memcmp(text->data, prefix, size) != 0)
        return false;
    text->data += size;
    text->size -= size;
    return true;
}

static bool skip_digit(struct bytes *text, int *digit)
{
    if (text->size == 0 || text->data[0] < '0' || text->data[0] > '9')
        return false;
    *digit = text->data[0] - '0';
    text->data++;
    text->size--;
    return true;
}

static bool zone_character(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '/' ||
           c == '_' || c == '-' || c == '+';
}

/* 'Asia/Shanghai': how times are shown; what is stored is the same. */
static bool skip_zone(struct bytes *text)
{
    if (!skip(text, "'"))
        return false;
    while (text->size && zone_character(text->data[0])) {
        text->data++;
        text->size--;
    }
    return skip(text, "'");
}

/* DateTime, DateTime('UTC'), DateTime64(3), DateTime64(3, 'UTC') */
static bool parse_time(struct bytes text, struct table_column *out)
{
    int precision;
    if (skip(&text, "DateTime64(")) {
        if (!skip_digit(&text, &precision) || precision < 3)
            return false;
        out->wire = WIRE_DATETIME64;
        out->ticks_per_ms = 1;
        for (int i = 3; i < precision; i++)
            out->ticks_per_ms *= 10;
        if (skip(&text, ",")) {
            skip(&text, " ");
            if (!skip_zone(&text))
                return false;
        }
        return skip(&text, ")") && text.size == 0;
    }
    out->wire = WIRE_DATETIME;
    if (!skip(&text, "DateTime"))
        return false;
    return text.size == 0 || (skip(&text, "(") && skip_zone(&text) && bytes_equal_text(text, ")"));
}

/* ---- any ---- */

static bool parse_named(struct bytes text, enum column_kind kind, struct table_column *out)
{
    for (size_t i = 0; i < array_count(types); i++)
        if (types[i].kinds & KIND(kind) && bytes_equal_text(text, types[i].name)) {
            out->wire = types[i].wire;
            return true;
        }
    return false;
}

bool type_parse(struct bytes text, enum column_kind kind, struct table_column *out)
{
    struct table_column column = {0};
    if (text.size >= sizeof column.type)
        return false;
    if (!(kind == KIND_TIME ? parse_time(text, &column) : parse_named(text, kind, &column)))
        return false;
    memcpy(column.type, text.data, text.size);
    *out = column;
    return true;
}
