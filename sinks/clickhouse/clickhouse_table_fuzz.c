/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzz target: the three answers of a server, told apart by bytes of zero. Whatever it says, we end
 * with a verdict, and what was accepted can be named in an INSERT.
 */
#include <stdlib.h>

#include "sinks/clickhouse/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct bytes next_answer(struct bytes *in)
{
    const uint8_t *end = in->size ? memchr(in->data, 0, in->size) : NULL;
    struct bytes answer = {in->data, end ? (size_t)(end - in->data) : in->size};
    size_t taken = answer.size + (end != NULL);
    *in = (struct bytes){in->size ? in->data + taken : in->data, in->size - taken};
    return answer;
}

static void check_accepted(const struct table_shape *shape)
{
    struct buffer query = {0};
    for (int id = 0; id < COLUMN_COUNT; id++) {
        const struct table_column *column = &shape->columns[id];
        gw_assert((column->wire == WIRE_ABSENT) == (column->type[0] == '\0'));
        gw_assert(memchr(column->type, 0, sizeof column->type));
        gw_assert(column->wire != WIRE_DATETIME64 ||
                  (column->ticks_per_ms >= 1 && column->ticks_per_ms <= 1000000));
    }
    gw_assert(shape->columns[COLUMN_VERSION].wire == WIRE_INT64);
    gw_assert(shape->ts_min_ms < shape->ts_max_ms);
    table_insert_query(shape, "d", "t", &query);
    table_insert_settings(shape, "0", false, &query);
    buffer_fini(&query);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size);
    struct table_shape shape;
    struct err err;
    bool seen;
    if (table_version_parse(next_answer(&in), &shape, &err) < 0 &&
        table_version_parse(bytes_text("26.7"), &shape, &err) < 0)
        abort();
    if (table_describe_check(next_answer(&in), &shape, &err) == 0)
        check_accepted(&shape);
    table_engine_check(in, &shape, &seen, &err);
    return 0;
}
