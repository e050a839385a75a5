/* SPDX-License-Identifier: Apache-2.0
 *
 * What the audit's files on ClickHouse share: a sink's hosts, asked one shard after the other, and the words of
 * questions. Private to them. Main thread.
 */
#ifndef TIDEGATE_CLI_AUDIT_CLICKHOUSE_H
#define TIDEGATE_CLI_AUDIT_CLICKHOUSE_H

#include "cli/auditing.h"
#include "cli/clickhouse_ask.h"
#include "sinks/clickhouse/clickhouse.h"
#include "sinks/clickhouse/hosts.h"
#include "sinks/clickhouse/table.h"

struct asking {
    struct auditing *auditing;
    const struct clickhouse_options *options;
    struct ch_hosts hosts;
    struct clickhouse_ask *ask; /* of the shard at hand */
    const struct ch_host *host;
    struct table_shape shape;
    struct buffer query;
    char part[16]; /* of a row that came in two pieces */
    size_t part_size;
};

/* The sink of that cursor. */
int asking_init(struct asking *asking, struct auditing *auditing, size_t cursor, struct err *err);
void asking_fini(struct asking *asking);
/* `question` for each shard, at the first replica that answers. */
int asking_shards(struct asking *asking, int (*question)(void *arg, struct err *err), void *arg,
                  struct err *err);

/* ---- a question ---- */

const char *asking_time(const struct asking *asking);
/* The hash of a row's key, as audit_key_hash has it. */
void asking_add_hash(const struct asking *asking, bool with_seq, struct buffer *out);
void asking_add_table(const struct asking *asking, struct buffer *out);
/* asking->query, answered in RowBinary with rows of `size` bytes, at most 16. */
int asking_rows(struct asking *asking, size_t size, void (*row)(void *arg, struct reader *in),
                void *arg, struct err *err);

/* Why the readings that are absent are not there, into their reasons, and what the table no longer keeps. */
int clickhouse_explain(struct asking *asking, size_t cursor, struct audit_absent *absent,
                       size_t count, struct err *err);

#endif
