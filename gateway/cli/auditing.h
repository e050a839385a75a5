/* SPDX-License-Identifier: Apache-2.0
 *
 * One run of `tidegate audit`: what its files share. Main thread.
 *
 * audit.c the verb and its windows; audit_logs.c the logs; audit_parquet.c, audit_clickhouse*.c,
 * audit_kafka.c a store each; audit_tell.c what comes out.
 */
#ifndef TIDEGATE_CLI_AUDITING_H
#define TIDEGATE_CLI_AUDITING_H

#include "audit.h"
#include "audit_key.h"
#include "config/config.h"
#include "cursors.h"
#include "journal/journal.h"

struct audit_options {
    char *data, *config, *kafka, *clickhouse, *clickhouse_user, *clickhouse_password_file;
    int64_t days;
    uint64_t memory_bytes;
    bool json, logs_only;
};

struct auditing {
    const struct audit_options *options;
    struct config *config;
    struct cursor_list cursors;
    struct journal *raw, *readings;
    struct audit *audit;
    uint64_t first_seq, end_seq; /* of the span */
    uint64_t again, hidden;      /* messages */
    int64_t received_from_ms;    /* the earliest of the window; 0: none */
    /* Of each cursor: why its store could not be asked; "" when it was, or nobody said where it is. */
    char unasked[AUDIT_SINKS_MAX][512];
    /* Of each cursor: what its store no longer keeps, for people; "": everything is kept. */
    char expired[AUDIT_SINKS_MAX][200];
};

/* The sink of that cursor, or null: the configuration does not have it. */
const struct config_sink *auditing_sink(const struct auditing *auditing, size_t cursor);

/* ---- logs ---- */

/* Cursors, raw log, reading log, in this order: each is behind the next. Makes `audit`. */
int audit_logs_open(struct auditing *auditing, struct err *err);
void audit_logs_close(struct auditing *auditing);
/* The window from `first_seq` on: as far as memory goes. */
int audit_logs_read(struct auditing *auditing, uint64_t first_seq, struct err *err);

/* ---- a store ---- */

/* audit_store_begin, and where its sink began. */
void auditing_store_begin(struct auditing *auditing, size_t cursor, const struct audit_rule *rule);

/* Compares the window with the store of that cursor. GW_EIO and the like: it cannot be asked, and what
 * it has is not known. */
int audit_parquet(struct auditing *auditing, size_t cursor, struct err *err);
int audit_clickhouse(struct auditing *auditing, size_t cursor, struct err *err);
int audit_kafka(struct auditing *auditing, size_t cursor, struct err *err);

/* Looks up what is absent once more in the logs, with all that is known of it; it may come more than
 * once. The callback sets absent->reason. */
typedef void audit_explain(void *arg, struct audit_absent *absent, const struct audit_key *key,
                           int64_t received_ms);
int audit_logs_explain(struct auditing *auditing, struct audit_absent *absent, size_t count,
                       audit_explain *explain, void *arg, struct err *err);

/* ---- telling ---- */

/* Prints all of it; counts what stands in damaged places. */
void audit_tell(struct auditing *auditing);

#endif
