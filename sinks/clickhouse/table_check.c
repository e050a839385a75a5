/* SPDX-License-Identifier: Apache-2.0
 *
 * Is the table one that we can write without loss? Its columns from DESCRIBE, its engine from
 * system.tables. The answers come from outside; nothing in them is trusted. Any thread.
 */
#include <stdarg.h>
#include <stdio.h>

#include "sinks/clickhouse/table_columns.h"

/* ---- tab separated answers ---- */

/* The next line, without its end; false when there is none. */
static bool next_line(struct bytes *in, struct bytes *line)
{
    if (in->size == 0)
        return false;
    const uint8_t *end = memchr(in->data, '\n', in->size);
    size_t size = end ? (size_t)(end - in->data) : in->size;
    *line = (struct bytes){in->data, size};
    size_t taken = size + (end != NULL);
    in->data += taken;
    in->size -= taken;
    return true;
}

/* The next field of a line into `out`, without its escapes; empty when there is none. */
static struct bytes next_field(struct bytes *line, struct buffer *out)
{
    buffer_clear(out);
    size_t at = 0;
    for (; at < line->size && line->data[at] != '\t'; at++) {
        if (line->data[at] == '\\' && at + 1 < line->size)
            at++;
        buffer_u8(out, line->data[at]);
    }
    size_t taken = at < line->size ? at + 1 : at;
    line->data += taken;
    line->size -= taken;
    return buffer_bytes(out);
}

/* ---- what is wrong ---- */

/* One sentence; what no longer fits is counted. */
enum { COMPLAINTS_SIZE = 360 };
struct complaints {
    struct buffer text;
    unsigned left_out;
};

static void complain(struct complaints *complaints, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void complain(struct complaints *complaints, const char *format, ...)
{
    va_list args;
    char text[200];
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (complaints->text.size + strlen(text) + 2 > COMPLAINTS_SIZE) {
        complaints->left_out++;
        return;
    }
    if (complaints->text.size)
        buffer_add_text(&complaints->text, ", ");
    buffer_add_text(&complaints->text, text);
}

/* 0 when there is nothing to say. */
static int complaints_end(struct complaints *complaints, const struct table_shape *shape,
                          struct err *err)
{
    int status = 0;
    if (complaints->left_out)
        buffer_printf(&complaints->text, " and %u more", complaints->left_out);
    if (complaints->text.size)
        status = err_set(err, GW_EINVAL,
                         "the table does not fit: %.*s; `tidegate clickhouse ddl "
                         "--server-version %u.%u` prints one that does",
                         (int)complaints->text.size, (const char *)complaints->text.data,
                         shape->major, shape->minor);
    buffer_fini(&complaints->text);
    return status;
}

/* Text of the server's, short and printable. */
static const char *printable(struct bytes in, char out[48])
{
    size_t size = in.size < 44 ? in.size : 44;
    for (size_t i = 0; i < size; i++)
        out[i] = in.data[i] >= ' ' && in.data[i] <= '~' ? (char)in.data[i] : '?';
    memcpy(out + size, in.size > size ? "..." : "", in.size > size ? 4 : 1);
    return out;
}

/* ---- DESCRIBE ---- */

static int column_find(struct bytes name)
{
    for (int id = 0; id < COLUMN_COUNT; id++)
        if (bytes_equal_text(name, table_columns[id].name))
            return id;
    return -1;
}

/* Fields of a line: name, type, kind of default, its expression, and more in later versions. */
static void take_line(struct bytes line, struct table_shape *shape, bool *seen,
                      struct complaints *complaints)
{
    struct buffer field = {0};
    char shown[48];
    int id = column_find(next_field(&line, &field));
    if (id >= 0) {
        enum column_kind kind = table_columns[id].kind;
        seen[id] = true;
        struct bytes type = next_field(&line, &field);
        if (!type_parse(type, kind, &shape->columns[id]))
            complain(complaints, "%s is %s instead of %s", table_columns[id].name,
                     printable(type, shown), type_wanted(kind));
        struct bytes filled_by = next_field(&line, &field);
        if (filled_by.size && !bytes_equal_text(filled_by, "DEFAULT"))
            complain(complaints, "%s is %s and takes no values", table_columns[id].name,
                     printable(filled_by, shown));
    }
    buffer_fini(&field);
}

/* DateTime needs the column of milliseconds beside it; with DateTime64 a column of that name is the
 * operator's own. */
static void pair_times(struct table_shape *shape, bool *seen, enum table_column_id time,
                       enum table_column_id ms)
{
    if (seen[time] && shape->columns[time].wire == WIRE_DATETIME)
        return;
    shape->columns[ms] = (struct table_column){0};
    seen[ms] = true;
}

/* Times that the type holds in every version, and that days can be told of. */
static void set_range(struct table_shape *shape)
{
    const struct table_column *ts = &shape->columns[COLUMN_TS];
    shape->ts_min_ms = INT64_C(86400000);      /* 18.16 shows all of 1970-01-01 as no date */
    shape->ts_max_ms = INT64_C(4291747199999); /* the end of 2105 */
    if (ts->wire == WIRE_DATETIME64) {
        shape->ts_min_ms = INT64_C(-1420070400000); /* 1925 */
        shape->ts_max_ms = INT64_C(9214646399999);  /* the end of 2261: with nanoseconds too */
    }
}

int table_describe_check(struct bytes answer, struct table_shape *shape, struct err *err)
{
    struct complaints complaints = {0};
    bool seen[COLUMN_COUNT] = {false};
    struct bytes line;
    memset(shape->columns, 0, sizeof shape->columns);
    while (next_line(&answer, &line))
        take_line(line, shape, seen, &complaints);
    pair_times(shape, seen, COLUMN_TS, COLUMN_TS_MS);
    pair_times(shape, seen, COLUMN_RECEIVED, COLUMN_RECEIVED_MS);
    for (int id = 0; id < COLUMN_COUNT; id++)
        if (!seen[id])
            complain(&complaints, "%s is missing", table_columns[id].name);
    set_range(shape);
    return complaints_end(&complaints, shape, err);
}

/* ---- engine ---- */

static bool name_character(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* The next name in an expression. */
static bool next_name(struct bytes *in, struct bytes *name)
{
    while (in->size && !name_character(in->data[0])) {
        in->data++;
        in->size--;
    }
    *name = (struct bytes){in->data, 0};
    while (in->size && name_character(in->data[0])) {
        in->data++;
        in->size--;
        name->size++;
    }
    return name->size > 0;
}

static bool names(struct bytes expression, const char *name)
{
    struct bytes found;
    while (next_name(&expression, &found))
        if (bytes_equal_text(found, name))
            return true;
    return false;
}

/* The arguments of an engine: what stands in the brackets behind its name. */
static struct bytes arguments_of(struct bytes engine_full)
{
    int depth = 0;
    size_t start = engine_full.size;
    for (size_t i = 0; i < engine_full.size; i++) {
        uint8_t c = engine_full.data[i];
        if (depth == 0 && c == '(')
            start = i + 1;
        depth += c == '(';
        depth -= c == ')';
        if (depth == 0 && (c == ')' || c == ' '))
            return start <= i ? bytes_of(engine_full.data + start, i - start) : (struct bytes){0};
    }
    return (struct bytes){0};
}

/* Is `name` an element of the list by itself, not inside a function? */
static bool has_element(struct bytes list, const char *name)
{
    struct bytes element = {list.data, 0};
    int depth = 0;
    if (list.size == 0)
        return false;
    for (size_t i = 0; i <= list.size; i++) {
        if (i < list.size && (list.data[i] != ',' || depth)) {
            depth += list.data[i] == '(';
            depth -= list.data[i] == ')';
            continue;
        }
        element.size = (size_t)(list.data + i - element.data);
        while (element.size && (element.data[0] == ' ' || element.data[0] == '`')) {
            element.data++;
            element.size--;
        }
        while (element.size &&
               (element.data[element.size - 1] == ' ' || element.data[element.size - 1] == '`'))
            element.size--;
        if (bytes_equal_text(element, name))
            return true;
        element.data = list.data + i + 1;
    }
    return false;
}

static bool key_column(int id)
{
    return id == COLUMN_VENDOR || id == COLUMN_DEVICE || id == COLUMN_METRIC || id == COLUMN_TS ||
           id == COLUMN_TS_MS;
}

/* A reading that is sent again, or decoded again, must meet its first row: nothing else of it may
 * decide where the row lies. */
static void check_keys(struct bytes partition_key, struct bytes sorting_key,
                       const struct table_shape *shape, struct complaints *complaints)
{
    for (int id = 0; id < COLUMN_COUNT; id++) {
        const char *name = table_columns[id].name;
        if (key_column(id)) {
            if (shape->columns[id].wire != WIRE_ABSENT && !has_element(sorting_key, name))
                complain(complaints, "ORDER BY lacks %s", name);
            continue;
        }
        if (names(sorting_key, name))
            complain(complaints, "ORDER BY has %s", name);
        if (names(partition_key, name))
            complain(complaints, "PARTITION BY has %s", name);
    }
}

static bool replacing(struct bytes engine)
{
    static const char suffix[] = "ReplacingMergeTree";
    size_t size = sizeof suffix - 1;
    return engine.size >= size && memcmp(engine.data + engine.size - size, suffix, size) == 0;
}

int table_engine_check(struct bytes answer, const struct table_shape *shape, bool *seen,
                       struct err *err)
{
    struct complaints complaints = {0};
    struct buffer engine = {0}, full = {0}, partition = {0}, sorting = {0};
    struct bytes line;
    char shown[48];
    *seen = next_line(&answer, &line);
    if (!*seen)
        return 0;
    next_field(&line, &engine);
    next_field(&line, &full);
    next_field(&line, &partition);
    next_field(&line, &sorting);
    if (!replacing(buffer_bytes(&engine)))
        complain(&complaints, "its engine is %s instead of ReplacingMergeTree(version)",
                 printable(buffer_bytes(&engine), shown));
    else if (!has_element(arguments_of(buffer_bytes(&full)), "version"))
        complain(&complaints, "its engine compares no version");
    else
        check_keys(buffer_bytes(&partition), buffer_bytes(&sorting), shape, &complaints);
    buffer_fini(&engine);
    buffer_fini(&full);
    buffer_fini(&partition);
    buffer_fini(&sorting);
    return complaints_end(&complaints, shape, err);
}
