/* SPDX-License-Identifier: Apache-2.0
 *
 * The audit's questions to ClickHouse. One walk of the server over the columns of the key gives rows and a sum
 * of hashes for each thousand messages; only of those that differ the hash of each row is asked for. So the
 * rows stay where they are, and what an answer holds is bounded. Rows that are not merged yet, or stand
 * again after a restart, only make a range differ: its rows are then looked at one by one.
 *
 * A row that is not there may have gone for a reason: ReplacingMergeTree keeps one row of a vendor, device,
 * metric and time, that of the later message; days fall out of the table's TTL, or an operator drops the
 * oldest partitions.
 */
#include "sinks/clickhouse/clickhouse.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "cli/auditing.h"
#include "cli/clickhouse_ask.h"
#include "sinks/clickhouse/hosts.h"
#include "sinks/clickhouse/table.h"

enum {
    CHUNK = 1024,               /* messages of one sum */
    RANGES_MAX = 256,           /* of one question for rows */
    MESSAGES_AT_ONCE = 1 << 20, /* of one question for rows */
    KEYS_MAX = 500,             /* of one question for replaced rows */
    PASSWORD_FILE_MAX = 4096,
    DAY_MS = 86400000,
};

struct range {
    uint64_t first_seq, end_seq;
};

struct looking {
    struct auditing *auditing;
    const struct clickhouse_options *options;
    struct ch_hosts hosts;
    struct clickhouse_ask *ask; /* of the shard at hand */
    const struct ch_host *host;
    struct table_shape shape;
    struct buffer query;
    char part[16]; /* of a row that came in two pieces */
    size_t part_size;

    uint64_t first_seq, end_seq;
    uint64_t *rows, *sums; /* of each chunk, of all shards together */
    size_t chunk_count;
    struct range *ranges; /* that differ, ascending */
    size_t range_count;

    /* Why rows are absent. */
    int64_t oldest_ms, ttl_ms; /* oldest_ms INT64_MAX: the table is empty; ttl_ms 0: none */
    struct wanted {
        uint64_t hash;
        int64_t received_ms;
        struct audit_absent *absent;
    } wanted[KEYS_MAX];
    size_t wanted_count;
    struct buffer devices, metrics, times;
    struct err err;
    int rc;
};

/* ---- hosts ---- */

static int password_read(const char *path, struct buffer *out, struct err *err)
{
    int rc = path ? disk_read_named(&disk_real, path, PASSWORD_FILE_MAX, out) : 0;
    if (rc < 0)
        return err_set(err, GW_EINVAL, "password file %s: %s", path, strerror(-rc));
    for (size_t i = 0; i < out->size; i++)
        if (out->data[i] == '\n' || out->data[i] == '\r' || out->data[i] == '\0')
            out->size = i;
    buffer_u8(out, '\0');
    return 0;
}

static char *path_of(const struct auditing *auditing, const char *path)
{
    if (path == NULL || path[0] == '\0')
        return NULL;
    return path[0] == '/' ? mem_strdup(path) : mem_printf("%s/%s", auditing->options->data, path);
}

/* Version and columns: they decide how a time is written. */
static int host_probe(struct looking *looking, struct err *err)
{
    struct buffer answer = {0};
    int rc =
        clickhouse_ask_text(looking->ask, "SELECT version() FORMAT TabSeparated", &answer, err);
    if (rc == 0)
        rc = table_version_parse(buffer_bytes(&answer), &looking->shape, err);
    buffer_clear(&answer);
    buffer_clear(&looking->query);
    table_describe_query(looking->host->database, looking->options->table, &looking->query);
    buffer_u8(&looking->query, '\0');
    if (rc == 0)
        rc = clickhouse_ask_text(looking->ask, (const char *)looking->query.data, &answer, err);
    if (rc == 0)
        rc = table_describe_check(buffer_bytes(&answer), &looking->shape, err);
    buffer_fini(&answer);
    return rc;
}

static int host_connect(struct looking *looking, const struct ch_host *host, struct err *err)
{
    const struct audit_options *options = looking->auditing->options;
    bool own = options->clickhouse_user != NULL;
    struct buffer password = {0};
    const char *given = options->clickhouse_password_file; /* as every path of a command line */
    char *file = !own    ? path_of(looking->auditing, looking->options->password_file)
                 : given ? mem_strdup(given)
                         : NULL;
    char *ca_file = path_of(looking->auditing, looking->options->tls_ca_file);
    int rc = password_read(file, &password, err);
    const struct clickhouse_login login = {
        .user = own ? options->clickhouse_user : looking->options->user,
        .password = file ? (const char *)password.data : NULL,
        .ca_file = ca_file,
        .connect_ms = looking->options->connect_timeout_ms,
    };
    clickhouse_ask_free(looking->ask);
    looking->ask = NULL;
    looking->host = host;
    if (rc == 0)
        rc = clickhouse_ask_new(host->base, &login, &looking->ask, err);
    if (password.size)
        explicit_bzero(password.data, password.size);
    buffer_fini(&password);
    free(file);
    free(ca_file);
    return rc ? rc : host_probe(looking, err);
}

/* The first replica that answers. */
static int shard_connect(struct looking *looking, uint32_t shard, struct err *err)
{
    int rc = GW_EIO;
    for (uint32_t i = 0; i < looking->hosts.count && rc; i++)
        if (looking->hosts.hosts[i].shard == shard)
            rc = host_connect(looking, &looking->hosts.hosts[i], err);
    return rc;
}

/* ---- questions ---- */

static const char *time_text(const struct looking *looking)
{
    return looking->shape.columns[COLUMN_TS].wire == WIRE_DATETIME64
               ? "toUnixTimestamp64Milli(ts)"
               : "(toInt64(toUnixTimestamp(ts)) * 1000 + toInt64(ts_ms))";
}

static void add_hash(const struct looking *looking, bool with_seq, struct buffer *out)
{
    buffer_printf(out,
                  "sipHash64(concat(%svendor, '\\n', device, '\\n', metric, '\\n', toString(%s)))",
                  with_seq ? "toString(seq), '\\n', " : "", time_text(looking));
}

static void add_table(const struct looking *looking, struct buffer *out)
{
    buffer_printf(out, " FROM `%s`.`%s`", looking->host->database, looking->options->table);
}

static void add_gateway(const struct looking *looking, struct buffer *out)
{
    char identity[IDENTITY_TEXT_SIZE];
    buffer_printf(out, " WHERE gateway = '%s' AND ",
                  identity_format(journal_identity(looking->auditing->raw), identity));
}

/* Rows of a fixed size, whatever the pieces that they come in. */
static int each_row(struct looking *looking, struct bytes in, size_t size,
                    void (*row)(struct looking *looking, struct reader *in))
{
    while (in.size) {
        size_t more = size - looking->part_size;
        more = more < in.size ? more : in.size;
        memcpy(looking->part + looking->part_size, in.data, more);
        looking->part_size += more;
        in = bytes_of(in.data + more, in.size - more);
        if (looking->part_size < size)
            break;
        struct reader reader = reader_of(bytes_of(looking->part, size));
        row(looking, &reader);
        looking->part_size = 0;
    }
    return 0;
}

static int ask(struct looking *looking, int (*part)(void *arg, struct bytes in), struct err *err)
{
    looking->part_size = 0;
    int rc = clickhouse_ask_stream(looking->ask, buffer_bytes(&looking->query), part, looking, err);
    return rc == 0 && looking->part_size
               ? err_set(err, GW_EIO, "%s: the answer is cut", looking->host->base)
               : rc;
}

/* ---- sums ---- */

static void sum_row(struct looking *looking, struct reader *in)
{
    uint32_t chunk = reader_u32_le(in), rows = reader_u32_le(in);
    uint64_t sum = reader_u64_le(in);
    if (chunk >= looking->chunk_count)
        return;
    looking->rows[chunk] += rows;
    looking->sums[chunk] += sum;
}

static int on_sums(void *arg, struct bytes in)
{
    return each_row(arg, in, 16, sum_row);
}

static int sums_ask(struct looking *looking, struct err *err)
{
    struct buffer *query = &looking->query;
    buffer_clear(query);
    buffer_printf(query,
                  "SELECT toUInt32(intDiv(toUInt64(seq) - %" PRIu64
                  ", %d)) AS chunk, toUInt32(count()), toUInt64(sum(bitAnd(",
                  looking->first_seq, CHUNK);
    add_hash(looking, true, query);
    buffer_add_text(query, ", 4294967295)))");
    add_table(looking, query);
    add_gateway(looking, query);
    buffer_printf(query, "seq >= %" PRIu64 " AND seq < %" PRIu64 " GROUP BY chunk FORMAT RowBinary",
                  looking->first_seq, looking->end_seq);
    return ask(looking, on_sums, err);
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
    struct audit *audit = looking->auditing->audit;
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

static void hash_row(struct looking *looking, struct reader *in)
{
    uint64_t seq = reader_u64_le(in);
    uint32_t hash = reader_u32_le(in), generation = reader_u32_le(in);
    const struct owed_row row = {.hash = hash, .generation = generation};
    audit_store_row(looking->auditing->audit, seq, &row);
}

static int on_hashes(void *arg, struct bytes in)
{
    return each_row(arg, in, 16, hash_row);
}

/* As many of the ranges from `first` on as fit into one question; *end is the next one. */
static int rows_ask(struct looking *looking, size_t first, size_t *end, struct err *err)
{
    struct buffer *query = &looking->query;
    uint64_t messages = 0;
    buffer_clear(query);
    buffer_add_text(query, "SELECT toUInt64(seq), toUInt32(bitAnd(");
    add_hash(looking, true, query);
    buffer_add_text(query, ", 4294967295)), toUInt32(bitAnd(version, 1048575))");
    add_table(looking, query);
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
    return ask(looking, on_hashes, err);
}

static int shard_rows(struct looking *looking, struct err *err)
{
    int rc = 0;
    for (size_t at = 0, end = 0; at < looking->range_count && rc == 0; at = end)
        rc = rows_ask(looking, at, &end, err);
    return rc;
}

static int all_shards(struct looking *looking,
                      int (*question)(struct looking *looking, struct err *err), struct err *err)
{
    int rc = 0;
    for (uint32_t shard = 0; shard < looking->hosts.shards && rc == 0; shard++) {
        rc = shard_connect(looking, shard, err);
        if (rc == 0)
            rc = question(looking, err);
    }
    return rc;
}

/* ---- why something is absent ---- */

/* "... TTL toDateTime(ts) + toIntervalDay(30) ..." */
static int64_t ttl_of(const char *engine)
{
    static const char day[] = "toIntervalDay(";
    const char *at = strstr(engine, "TTL ");
    at = at ? strstr(at, day) : NULL;
    return at ? strtoll(at + sizeof day - 1, NULL, 10) * DAY_MS : 0;
}

/* The oldest time of the table, and its TTL; of a table that a user may not see, none. */
static int shard_limits(struct looking *looking, struct err *err)
{
    struct buffer answer = {0};
    struct buffer *query = &looking->query;
    buffer_clear(query);
    buffer_printf(query, "SELECT toUInt64(count()), min(%s)", time_text(looking));
    add_table(looking, query);
    buffer_add_text(query, " FORMAT TabSeparated");
    buffer_u8(query, '\0');
    int rc = clickhouse_ask_text(looking->ask, (const char *)query->data, &answer, err);
    if (rc == 0) {
        buffer_u8(&answer, '\0');
        char *end;
        bool filled = strtoull((const char *)answer.data, &end, 10) > 0;
        int64_t oldest = strtoll(end, NULL, 10);
        if (filled && oldest < looking->oldest_ms)
            looking->oldest_ms = oldest;
    }
    buffer_clear(&answer);
    buffer_clear(query);
    buffer_add_text(query, "SELECT engine_full FROM system.tables WHERE database = ");
    clickhouse_quote(bytes_text(looking->host->database), query);
    buffer_add_text(query, " AND name = ");
    clickhouse_quote(bytes_text(looking->options->table), query);
    buffer_add_text(query, " FORMAT TabSeparated");
    buffer_u8(query, '\0');
    if (rc == 0 &&
        clickhouse_ask_text(looking->ask, (const char *)query->data, &answer, err) == 0) {
        buffer_u8(&answer, '\0');
        looking->ttl_ms = ttl_of((const char *)answer.data);
    }
    buffer_fini(&answer);
    return rc;
}

static void other_row(struct looking *looking, struct reader *in)
{
    uint64_t hash = reader_u64_le(in);
    uint64_t version = reader_u64_le(in);
    for (size_t i = 0; i < looking->wanted_count; i++)
        if (looking->wanted[i].hash == hash &&
            (int64_t)(version >> 20) >= looking->wanted[i].received_ms)
            looking->wanted[i].absent->reason = ABSENT_REPLACED;
}

static int on_others(void *arg, struct bytes in)
{
    return each_row(arg, in, 16, other_row);
}

/* Which of the keys at hand have a row of a later message. */
static int shard_others(struct looking *looking, struct err *err)
{
    struct buffer *query = &looking->query;
    buffer_clear(query);
    buffer_add_text(query, "SELECT ");
    add_hash(looking, false, query);
    buffer_add_text(query, " AS hash, toUInt64(max(version))");
    add_table(looking, query);
    buffer_add_text(query, " WHERE device IN (");
    buffer_add_bytes(query, buffer_bytes(&looking->devices));
    buffer_add_text(query, ") AND metric IN (");
    buffer_add_bytes(query, buffer_bytes(&looking->metrics));
    buffer_printf(query, ") AND %s IN (", time_text(looking));
    buffer_add_bytes(query, buffer_bytes(&looking->times));
    buffer_add_text(query, ") GROUP BY hash FORMAT RowBinary");
    return ask(looking, on_others, err);
}

static void others_ask(struct looking *looking)
{
    if (looking->wanted_count && looking->rc == 0)
        looking->rc = all_shards(looking, shard_others, &looking->err);
    looking->wanted_count = 0;
    buffer_clear(&looking->devices);
    buffer_clear(&looking->metrics);
    buffer_clear(&looking->times);
}

static void on_absent(void *arg, struct audit_absent *absent, const struct audit_key *key,
                      int64_t received_ms)
{
    struct looking *looking = arg;
    struct audit_key other = *key;
    int64_t now_ms = clock_wall_ms();
    bool before_oldest = looking->oldest_ms != INT64_MAX &&
                         key->ts_ms < looking->oldest_ms - looking->oldest_ms % DAY_MS;
    if (before_oldest || (looking->ttl_ms && key->ts_ms < now_ms - looking->ttl_ms)) {
        absent->reason = ABSENT_EXPIRED;
        return;
    }
    if (looking->wanted_count == KEYS_MAX)
        others_ask(looking);
    const char *comma = looking->wanted_count ? "," : "";
    other.seq = 0;
    looking->wanted[looking->wanted_count++] =
        (struct wanted){audit_key_hash(&other), received_ms, absent};
    buffer_add_text(&looking->devices, comma);
    clickhouse_quote(key->device, &looking->devices);
    buffer_add_text(&looking->metrics, comma);
    clickhouse_quote(key->metric, &looking->metrics);
    buffer_printf(&looking->times, "%s%" PRId64, comma, key->ts_ms);
}

static void limits_tell(struct looking *looking, size_t cursor)
{
    char *out = looking->auditing->expired[cursor];
    size_t size = sizeof looking->auditing->expired[cursor];
    char text[CLOCK_TEXT_SIZE];
    if (looking->oldest_ms == INT64_MAX) {
        snprintf(out, size, "the table is empty");
        return;
    }
    clock_format_ms(looking->oldest_ms, text);
    if (looking->ttl_ms)
        snprintf(out, size, "the table's oldest reading is of %.10s, its TTL %" PRId64 " days",
                 text, looking->ttl_ms / DAY_MS);
    else
        snprintf(out, size, "the table's oldest reading is of %.10s", text);
}

static int absent_explain(struct looking *looking, size_t cursor, struct audit_absent *absent,
                          size_t count, struct err *err)
{
    looking->oldest_ms = INT64_MAX;
    int rc = all_shards(looking, shard_limits, err);
    if (rc)
        return rc;
    limits_tell(looking, cursor);
    rc = audit_logs_explain(looking->auditing, absent, count, on_absent, looking, err);
    others_ask(looking);
    if (rc == 0 && looking->rc)
        *err = looking->err;
    return rc ? rc : looking->rc;
}

/* ---- a window ---- */

static int window_compare(struct looking *looking, size_t cursor, struct err *err)
{
    static const struct audit_rule rule = {.one_a_key = true, .keeps_old = true};
    struct audit *audit = looking->auditing->audit;
    size_t count;
    auditing_store_begin(looking->auditing, cursor, &rule);
    looking->first_seq = audit_first(audit);
    looking->end_seq = audit_store_end(audit);
    looking->chunk_count = (looking->end_seq - looking->first_seq + CHUNK - 1) / CHUNK;
    looking->rows = mem_zalloc((looking->chunk_count + 1) * sizeof *looking->rows);
    looking->sums = mem_zalloc((looking->chunk_count + 1) * sizeof *looking->sums);
    looking->ranges = mem_zalloc((looking->chunk_count + 1) * sizeof *looking->ranges);
    int rc = all_shards(looking, sums_ask, err);
    if (rc)
        return rc;
    sums_compare(looking);
    if (looking->range_count)
        rc = all_shards(looking, shard_rows, err);
    if (rc)
        return rc;
    struct audit_absent *absent = audit_store_judge(audit, &count);
    if (count)
        rc = absent_explain(looking, cursor, absent, count, err);
    audit_store_finish(audit);
    return rc;
}

int audit_clickhouse(struct auditing *auditing, size_t cursor, struct err *err)
{
    struct looking *looking = mem_zalloc(sizeof *looking);
    looking->auditing = auditing;
    looking->options = auditing_sink(auditing, cursor)->options;
    int rc = ch_hosts_init(&looking->hosts, looking->options->url, err);
    if (rc == 0)
        rc = window_compare(looking, cursor, err);
    clickhouse_ask_free(looking->ask);
    ch_hosts_fini(&looking->hosts);
    buffer_fini(&looking->query);
    buffer_fini(&looking->devices);
    buffer_fini(&looking->metrics);
    buffer_fini(&looking->times);
    free(looking->rows);
    free(looking->sums);
    free(looking->ranges);
    free(looking);
    return rc;
}
