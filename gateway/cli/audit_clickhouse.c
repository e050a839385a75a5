/* SPDX-License-Identifier: Apache-2.0
 *
 * The audit's questions to ClickHouse. One walk of the server over the columns of the key gives rows and a sum
 * of hashes for each thousand messages; only of those that differ the hash of each row is asked for. So the
 * rows stay where they are, and what an answer holds is bounded. Rows that are not merged yet, or stand
 * again after a restart, only make a range differ: its rows are then looked at one by one.
 */
#include "cli/audit_clickhouse.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    CHUNK = 1024,               /* messages of one sum */
    RANGES_MAX = 256,           /* of one question for rows */
    MESSAGES_AT_ONCE = 1 << 20, /* of one question for rows */
};

struct range {
    uint64_t first_seq, end_seq;
};

struct looking {
    struct asking asking;
    uint64_t first_seq, end_seq;
    uint64_t *rows, *sums; /* of each chunk, of all shards together */
    size_t chunk_count;
    struct range *ranges; /* that differ, ascending */
    size_t range_count;
};

/* ---- sums ---- */

static void add_gateway(const struct looking *looking, struct buffer *out)
{
    char identity[IDENTITY_TEXT_SIZE];
    buffer_printf(out, " WHERE gateway = '%s' AND ",
                  identity_format(journal_identity(looking->asking.auditing->raw), identity));
}

static void sum_row(void *arg, struct reader *in)
{
    struct looking *looking = arg;
    uint32_t chunk = reader_u32_le(in), rows = reader_u32_le(in);
    uint64_t sum = reader_u64_le(in);
    if (chunk >= looking->chunk_count)
        return;
    looking->rows[chunk] += rows;
    looking->sums[chunk] += sum;
}

static int sums_ask(void *arg, struct err *err)
{
    struct looking *looking = arg;
    struct buffer *query = &looking->asking.query;
    buffer_clear(query);
    buffer_printf(query,
                  "SELECT toUInt32(intDiv(toUInt64(seq) - %" PRIu64
                  ", %d)) AS chunk, toUInt32(count()), toUInt64(sum(bitAnd(",
                  looking->first_seq, CHUNK);
    asking_add_hash(&looking->asking, true, query);
    buffer_add_text(query, ", 4294967295)))");
    asking_add_table(&looking->asking, query);
    add_gateway(looking, query);
    buffer_printf(query, "seq >= %" PRIu64 " AND seq < %" PRIu64 " GROUP BY chunk FORMAT RowBinary",
                  looking->first_seq, looking->end_seq);
    return asking_rows(&looking->asking, 16, sum_row, looking, err);
}

static void range_add(struct looking *looking, uint64_t first_seq, uint64_t end_seq)
{
    struct range *last = looking->range_count ? &looking->ranges[looking->range_count - 1] : NULL;
    if (last && last->end_seq == first_seq && end_seq - last->first_seq <= MESSAGES_AT_ONCE)
        last->end_seq = end_seq;
    else
        looking->ranges[looking->range_count++] = (struct range){first_seq, end_seq};
}

/* What is as it should be is ticked off; the rest is to be looked at. */
static void sums_compare(struct looking *looking)
{
    struct audit *audit = looking->asking.auditing->audit;
    for (size_t i = 0; i < looking->chunk_count; i++) {
        uint64_t first = looking->first_seq + i * CHUNK, rows, sum;
        uint64_t end = first + CHUNK < looking->end_seq ? first + CHUNK : looking->end_seq;
        if (audit_store_sum(audit, first, end - first, &rows, &sum) && rows == looking->rows[i] &&
            sum == looking->sums[i])
            audit_store_all(audit, first, end - first);
        else
            range_add(looking, first, end);
    }
}

/* ---- rows ---- */

static void hash_row(void *arg, struct reader *in)
{
    const struct looking *looking = arg;
    uint64_t seq = reader_u64_le(in);
    uint32_t hash = reader_u32_le(in), generation = reader_u32_le(in);
    const struct owed_row row = {.hash = hash, .generation = generation};
    audit_store_row(looking->asking.auditing->audit, seq, &row);
}

/* As many of the ranges from `first` on as fit into one question; *end is the next one. */
static int rows_ask(struct looking *looking, size_t first, size_t *end, struct err *err)
{
    struct buffer *query = &looking->asking.query;
    uint64_t messages = 0;
    buffer_clear(query);
    buffer_add_text(query, "SELECT toUInt64(seq), toUInt32(bitAnd(");
    asking_add_hash(&looking->asking, true, query);
    buffer_add_text(query, ", 4294967295)), toUInt32(bitAnd(version, 1048575))");
    asking_add_table(&looking->asking, query);
    add_gateway(looking, query);
    buffer_add_text(query, "(");
    for (*end = first; *end < looking->range_count && *end - first < RANGES_MAX; ++*end) {
        const struct range *range = &looking->ranges[*end];
        messages += range->end_seq - range->first_seq;
        if (*end > first && messages > MESSAGES_AT_ONCE)
            break;
        buffer_printf(query, "%s(seq >= %" PRIu64 " AND seq < %" PRIu64 ")",
                      *end > first ? " OR " : "", range->first_seq, range->end_seq);
    }
    buffer_add_text(query, ") FORMAT RowBinary");
    return asking_rows(&looking->asking, 16, hash_row, looking, err);
}

static int shard_rows(void *arg, struct err *err)
{
    struct looking *looking = arg;
    int rc = 0;
    for (size_t at = 0, end = 0; at < looking->range_count && rc == 0; at = end)
        rc = rows_ask(looking, at, &end, err);
    return rc;
}

/* ---- a window ---- */

static int window_compare(struct looking *looking, size_t cursor, struct err *err)
{
    static const struct audit_rule rule = {.one_a_key = true, .keeps_old = true};
    struct audit *audit = looking->asking.auditing->audit;
    size_t count;
    auditing_store_begin(looking->asking.auditing, cursor, &rule);
    looking->first_seq = audit_first(audit);
    looking->end_seq = audit_store_end(audit);
    looking->chunk_count = (looking->end_seq - looking->first_seq + CHUNK - 1) / CHUNK;
    looking->rows = mem_zalloc((looking->chunk_count + 1) * sizeof *looking->rows);
    looking->sums = mem_zalloc((looking->chunk_count + 1) * sizeof *looking->sums);
    looking->ranges = mem_zalloc((looking->chunk_count + 1) * sizeof *looking->ranges);
    int rc = asking_shards(&looking->asking, sums_ask, looking, err);
    if (rc)
        return rc;
    sums_compare(looking);
    if (looking->range_count)
        rc = asking_shards(&looking->asking, shard_rows, looking, err);
    if (rc)
        return rc;
    struct audit_absent *absent = audit_store_judge(audit, &count);
    if (count)
        rc = clickhouse_explain(&looking->asking, cursor, absent, count, err);
    audit_store_finish(audit);
    return rc;
}

int audit_clickhouse(struct auditing *auditing, size_t cursor, struct err *err)
{
    struct looking looking = {.rows = NULL};
    int rc = asking_init(&looking.asking, auditing, cursor, err);
    if (rc == 0)
        rc = window_compare(&looking, cursor, err);
    asking_fini(&looking.asking);
    free(looking.rows);
    free(looking.sums);
    free(looking.ranges);
    return rc;
}
