/* SPDX-License-Identifier: Apache-2.0
 *
 * The server's version and the table's shape, from the server's own answers. Pure. Any thread.
 */
#include "sinks/clickhouse/table.h"

#include "sinks/clickhouse/table_columns.h"

/* ---- columns ---- */

const struct table_column_row table_columns[COLUMN_COUNT] = {
    [COLUMN_VENDOR] = {"vendor", KIND_TEXT},
    [COLUMN_DEVICE] = {"device", KIND_TEXT},
    [COLUMN_METRIC] = {"metric", KIND_TEXT},
    [COLUMN_TS] = {"ts", KIND_TIME},
    [COLUMN_TS_MS] = {"ts_ms", KIND_MILLISECONDS},
    [COLUMN_VALUE] = {"value", KIND_VALUE},
    [COLUMN_UNIT] = {"unit", KIND_TEXT},
    [COLUMN_SCALE] = {"scale", KIND_SMALL},
    [COLUMN_QUALITY] = {"quality", KIND_TEXT},
    [COLUMN_FLAGS] = {"flags", KIND_TEXT},
    [COLUMN_TIME_SOURCE] = {"time_source", KIND_TEXT},
    [COLUMN_SEQ] = {"seq", KIND_NUMBER},
    [COLUMN_RECEIVED] = {"received", KIND_TIME},
    [COLUMN_RECEIVED_MS] = {"received_ms", KIND_MILLISECONDS},
    [COLUMN_GATEWAY] = {"gateway", KIND_TEXT},
    [COLUMN_VERSION] = {"version", KIND_VERSION},
};

const char *table_column_name(enum table_column_id id)
{
    return table_columns[id].name;
}

/* ---- version ---- */

static bool parse_number(const uint8_t **at, const uint8_t *end, uint32_t *out)
{
    const uint8_t *start = *at;
    uint32_t value = 0;
    while (*at < end && **at >= '0' && **at <= '9' && value < 100000)
        value = value * 10 + (uint32_t)(*(*at)++ - '0');
    *out = value;
    return *at > start;
}

static bool from(const struct table_shape *shape, uint32_t major, uint32_t minor)
{
    return shape->major > major || (shape->major == major && shape->minor >= minor);
}

static int quote_length(struct bytes text)
{
    return (int)(text.size < 40 ? text.size : 40);
}

int table_version_parse(struct bytes answer, struct table_shape *shape, struct err *err)
{
    *shape = (struct table_shape){0};
    const uint8_t *at = answer.data, *end = answer.data + answer.size;
    if (answer.size == 0 || !parse_number(&at, end, &shape->major) || at == end || *at++ != '.' ||
        !parse_number(&at, end, &shape->minor) ||
        (at < end && *at != '.' && *at != '-' && *at != '\n')) {
        for (size_t i = 0; i < answer.size && i < 40; i++)
            if (answer.data[i] < ' ' || answer.data[i] > '~')
                return err_set(err, GW_EINVAL, "the answer to version() is no version");
        return err_set(err, GW_EINVAL, "`%.*s` is no version of ClickHouse", quote_length(answer),
                       (const char *)answer.data);
    }
    if (!from(shape, 18, 16))
        return err_set(err, GW_EINVAL, "ClickHouse %u.%u is older than 18.16", shape->major,
                       shape->minor);
    shape->low_cardinality = from(shape, 19, 1);
    shape->codecs = from(shape, 19, 11);
    shape->datetime64 = from(shape, 20, 1);
    shape->async_insert = from(shape, 21, 11);
    shape->insert_deduplication_token = from(shape, 22, 2);
    shape->types_conversion = from(shape, 23, 3);
    return 0;
}

/* ---- queries ---- */

/* `name` or 'text', with the quote and the backslash escaped. */
static void add_quoted(const char *text, char quote, struct buffer *out)
{
    buffer_u8(out, (uint8_t)quote);
    for (; *text; text++) {
        if (*text == quote || *text == '\\')
            buffer_u8(out, '\\');
        buffer_u8(out, (uint8_t)*text);
    }
    buffer_u8(out, (uint8_t)quote);
}

static void add_table(const char *database, const char *table, struct buffer *out)
{
    add_quoted(database, '`', out);
    buffer_add_text(out, ".");
    add_quoted(table, '`', out);
}

void table_describe_query(const char *database, const char *table, struct buffer *out)
{
    buffer_add_text(out, "DESCRIBE TABLE ");
    add_table(database, table, out);
    buffer_add_text(out, " FORMAT TabSeparated");
}

void table_engine_query(const char *database, const char *table, struct buffer *out)
{
    buffer_add_text(out,
                    "SELECT engine, engine_full, partition_key, sorting_key FROM system.tables "
                    "WHERE database = ");
    add_quoted(database, '\'', out);
    buffer_add_text(out, " AND name = ");
    add_quoted(table, '\'', out);
    buffer_add_text(out, " FORMAT TabSeparated");
}

void table_insert_query(const struct table_shape *shape, const char *database, const char *table,
                        struct buffer *out)
{
    buffer_add_text(out, "INSERT INTO ");
    add_table(database, table, out);
    const char *before = " (";
    for (int id = 0; id < COLUMN_COUNT; id++)
        if (shape->columns[id].wire != WIRE_ABSENT) {
            buffer_add_text(out, before);
            buffer_add_text(out, table_columns[id].name);
            before = ", ";
        }
    buffer_add_text(out, ") FORMAT Native");
}

void table_insert_settings(const struct table_shape *shape, const char *token, bool again,
                           struct buffer *out)
{
    buffer_add_text(out, "&decompress=1&wait_end_of_query=1&input_format_skip_unknown_fields=0");
    if (shape->types_conversion)
        buffer_add_text(out, "&input_format_native_allow_types_conversion=0");
    /* Asynchronous inserts are the default since 26.2, and may answer before anything is stored. */
    if (shape->async_insert)
        buffer_add_text(out, "&async_insert=0");
    if (again)
        buffer_add_text(out, "&insert_deduplicate=0");
    else if (shape->insert_deduplication_token)
        buffer_printf(out, "&insert_deduplication_token=%s", token);
}
