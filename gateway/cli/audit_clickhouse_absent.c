/* SPDX-License-Identifier: Apache-2.0
 *
 * Why a row that was confirmed is not in ClickHouse. It may have gone for a reason: ReplacingMergeTree keeps one
 * row of a vendor, device, metric and time, that of the later message; days fall out of the table's TTL, or
 * an operator drops the oldest partitions.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "cli/audit_clickhouse.h"

enum {
    KEYS_MAX = 500, /* of one question */
    /* A server takes questions of 256 KiB (max_query_size), if nobody changed that. */
    KEY_BYTES_MAX = 128 << 10,
    DAY_MS = 86400000,
};

struct wanted {
    uint64_t hash;
    int64_t received_ms;
    struct audit_absent *absent;
};

struct explaining {
    struct asking *asking;
    int64_t oldest_ms, ttl_ms; /* oldest_ms INT64_MAX: the table is empty; ttl_ms 0: none */
    struct wanted wanted[KEYS_MAX];
    size_t wanted_count;
    struct buffer keys; /* of `wanted`, as tuples */
    struct err err;
    int rc;
};

/* "... TTL toDateTime(ts) + toIntervalDay(30) ..." */
static int64_t ttl_of(const char *engine)
{
    static const char day[] = "toIntervalDay(";
    const char *at = strstr(engine, "TTL ");
    at = at ? strstr(at, day) : NULL;
    return at ? strtoll(at + sizeof day - 1, NULL, 10) * DAY_MS : 0;
}

/* The oldest time of the table, and its TTL; of a table that a user may not see, none. */
static int shard_limits(void *arg, struct err *err)
{
    struct explaining *explaining = arg;
    struct buffer answer = {0};
    struct buffer *query = &explaining->asking->query;
    buffer_clear(query);
    buffer_printf(query, "SELECT toUInt64(count()), min(%s)", asking_time(explaining->asking));
    asking_add_table(explaining->asking, query);
    buffer_add_text(query, " FORMAT TabSeparated");
    buffer_u8(query, '\0');
    int rc = clickhouse_ask_text(explaining->asking->ask, (const char *)query->data, &answer, err);
    if (rc == 0) {
        buffer_u8(&answer, '\0');
        char *end;
        bool filled = strtoull((const char *)answer.data, &end, 10) > 0;
        int64_t oldest = strtoll(end, NULL, 10);
        if (filled && oldest < explaining->oldest_ms)
            explaining->oldest_ms = oldest;
    }
    buffer_clear(&answer);
    buffer_clear(query);
    buffer_add_text(query, "SELECT engine_full FROM system.tables WHERE database = ");
    clickhouse_quote(bytes_text(explaining->asking->host->database), query);
    buffer_add_text(query, " AND name = ");
    clickhouse_quote(bytes_text(explaining->asking->options->table), query);
    buffer_add_text(query, " FORMAT TabSeparated");
    buffer_u8(query, '\0');
    if (rc == 0 && clickhouse_ask_text(explaining->asking->ask, (const char *)query->data, &answer,
                                       err) == 0) {
        buffer_u8(&answer, '\0');
        explaining->ttl_ms = ttl_of((const char *)answer.data);
    }
    buffer_fini(&answer);
    return rc;
}

static void other_row(void *arg, struct reader *in)
{
    struct explaining *explaining = arg;
    uint64_t hash = reader_u64_le(in);
    uint64_t version = reader_u64_le(in);
    for (size_t i = 0; i < explaining->wanted_count; i++)
        if (explaining->wanted[i].hash == hash &&
            (int64_t)(version >> 20) >= explaining->wanted[i].received_ms)
            explaining->wanted[i].absent->reason = ABSENT_REPLACED;
}

/* Which of the keys at hand have a row of a later message. */
static int shard_others(void *arg, struct err *err)
{
    struct explaining *explaining = arg;
    struct buffer *query = &explaining->asking->query;
    buffer_clear(query);
    buffer_add_text(query, "SELECT ");
    asking_add_hash(explaining->asking, false, query);
    buffer_add_text(query, " AS hash, toUInt64(max(version))");
    asking_add_table(explaining->asking, query);
    buffer_printf(query, " WHERE (vendor, device, metric, %s) IN (",
                  asking_time(explaining->asking));
    buffer_add_bytes(query, buffer_bytes(&explaining->keys));
    buffer_add_text(query, ") GROUP BY hash FORMAT RowBinary");
    return asking_rows(explaining->asking, 16, other_row, explaining, err);
}

static void others_ask(struct explaining *explaining)
{
    if (explaining->wanted_count && explaining->rc == 0)
        explaining->rc =
            asking_shards(explaining->asking, shard_others, explaining, &explaining->err);
    explaining->wanted_count = 0;
    buffer_clear(&explaining->keys);
}

static void key_add(struct explaining *explaining, const struct audit_key *key)
{
    struct buffer *out = &explaining->keys;
    const struct bytes parts[] = {key->vendor, key->device, key->metric};
    buffer_add_text(out, out->size ? ",(" : "(");
    for (size_t i = 0; i < array_count(parts); i++) {
        clickhouse_quote(parts[i], out);
        buffer_u8(out, ',');
    }
    buffer_printf(out, "%" PRId64 ")", key->ts_ms);
}

static void on_absent(void *arg, struct audit_absent *absent, const struct audit_key *key,
                      int64_t received_ms)
{
    struct explaining *explaining = arg;
    struct audit_key other = *key;
    int64_t now_ms = clock_wall_ms();
    bool before_oldest = explaining->oldest_ms != INT64_MAX &&
                         key->ts_ms < explaining->oldest_ms - explaining->oldest_ms % DAY_MS;
    if (before_oldest || (explaining->ttl_ms && key->ts_ms < now_ms - explaining->ttl_ms)) {
        absent->reason = ABSENT_EXPIRED;
        return;
    }
    if (explaining->wanted_count == KEYS_MAX || explaining->keys.size > KEY_BYTES_MAX)
        others_ask(explaining);
    other.seq = 0;
    explaining->wanted[explaining->wanted_count++] =
        (struct wanted){audit_key_hash(&other), received_ms, absent};
    key_add(explaining, key);
}

static void limits_tell(struct explaining *explaining, size_t cursor)
{
    char *out = explaining->asking->auditing->expired[cursor];
    size_t size = sizeof explaining->asking->auditing->expired[cursor];
    char text[CLOCK_TEXT_SIZE];
    if (explaining->oldest_ms == INT64_MAX) {
        snprintf(out, size, "the table is empty");
        return;
    }
    clock_format_ms(explaining->oldest_ms, text);
    if (explaining->ttl_ms)
        snprintf(out, size, "the table's oldest reading is of %.10s, its TTL %" PRId64 " days",
                 text, explaining->ttl_ms / DAY_MS);
    else
        snprintf(out, size, "the table's oldest reading is of %.10s", text);
}

int clickhouse_explain(struct asking *asking, size_t cursor, struct audit_absent *absent,
                       size_t count, struct err *err)
{
    struct explaining explaining = {.asking = asking, .oldest_ms = INT64_MAX};
    int rc = asking_shards(asking, shard_limits, &explaining, err);
    if (rc)
        return rc;
    limits_tell(&explaining, cursor);
    rc = audit_logs_explain(asking->auditing, absent, count, on_absent, &explaining, err);
    others_ask(&explaining);
    buffer_fini(&explaining.keys);
    if (rc == 0 && explaining.rc)
        *err = explaining.err;
    return rc ? rc : explaining.rc;
}
