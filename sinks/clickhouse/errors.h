/* SPDX-License-Identifier: Apache-2.0
 *
 * What an answer of ClickHouse means for the block that was sent: stored, again, or it is the rows.
 * A table of exception codes, and what to think of answers without one. Pure. Any thread.
 */
#ifndef TIDEGATE_SINKS_CLICKHOUSE_ERRORS_H
#define TIDEGATE_SINKS_CLICKHOUSE_ERRORS_H

#include "sinks/clickhouse/http.h"
#include "sinks/sink.h"

enum ch_outcome {
    CH_STORED,  /* of a query: answered */
    CH_RETRY,   /* the same bytes again */
    CH_CONTENT, /* a value of a row is not taken, if the table still has the shape we know */
};

struct ch_verdict {
    enum ch_outcome outcome;
    enum sink_reason reason; /* of RETRY, and of CONTENT when it turns out to be the table */
    bool elsewhere;          /* another replica may take it at once */
    bool recheck;            /* look at the table again before the next attempt */
    bool lost;               /* the connection failed: the server may have been restarted */
    int code;                /* of the exception; 0: none known */
    char why[320];
};

/* An answer to INSERT: anything but 200 with an empty body is no confirmation. `host` is its name
 * for the sentence. */
void ch_judge_insert(const struct http_answer *answer, const char *host, struct ch_verdict *out);
/* An answer to a query that has a result. */
void ch_judge_query(const struct http_answer *answer, const char *host, struct ch_verdict *out);

/* The number behind "Code: " in an answer's text; 0: none. */
int ch_code_of_text(struct bytes text);

#endif
