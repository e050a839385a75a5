/* SPDX-License-Identifier: Apache-2.0
 *
 * The codes: src/Common/ErrorCodes.cpp of ClickHouse gives them names. The older servers tell the
 * code only in the body ("Code: 60, e.displayText() = ..."), with a status of its own liking; newer
 * ones in a header too. Pure.
 */
#include "sinks/clickhouse/errors.h"

#include <stdio.h>

#include "base/log.h"

enum { ELSEWHERE = 1, RECHECK = 2, CONTENT = 4, TOO_MANY_PARTS = 252 };

static const struct code_row {
    int code;
    enum sink_reason reason;
    int flags;
    const char *name;
} codes[] = {
    /* Values that a column, a constraint or a view over the table does not take. */
    {6, SINK_REASON_SCHEMA, CONTENT | RECHECK, "CANNOT_PARSE_TEXT"},
    {26, SINK_REASON_SCHEMA, CONTENT | RECHECK, "CANNOT_PARSE_QUOTED_STRING"},
    {27, SINK_REASON_SCHEMA, CONTENT | RECHECK, "CANNOT_PARSE_INPUT_ASSERTION_FAILED"},
    {38, SINK_REASON_SCHEMA, CONTENT | RECHECK, "CANNOT_PARSE_DATE"},
    {41, SINK_REASON_SCHEMA, CONTENT | RECHECK, "CANNOT_PARSE_DATETIME"},
    {53, SINK_REASON_SCHEMA, CONTENT | RECHECK, "TYPE_MISMATCH"},
    {69, SINK_REASON_SCHEMA, CONTENT | RECHECK, "ARGUMENT_OUT_OF_BOUND"},
    {70, SINK_REASON_SCHEMA, CONTENT | RECHECK, "CANNOT_CONVERT_TYPE"},
    {72, SINK_REASON_SCHEMA, CONTENT | RECHECK, "CANNOT_PARSE_NUMBER"},
    {117, SINK_REASON_SCHEMA, CONTENT | RECHECK, "INCORRECT_DATA"},
    {131, SINK_REASON_SCHEMA, CONTENT | RECHECK, "TOO_LARGE_STRING_SIZE"},
    {153, SINK_REASON_SCHEMA, CONTENT | RECHECK, "ILLEGAL_DIVISION"},
    {321, SINK_REASON_SCHEMA, CONTENT | RECHECK, "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE"},
    {349, SINK_REASON_SCHEMA, CONTENT | RECHECK, "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN"},
    {395, SINK_REASON_SCHEMA, CONTENT | RECHECK, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"},
    {407, SINK_REASON_SCHEMA, CONTENT | RECHECK, "DECIMAL_OVERFLOW"},
    {469, SINK_REASON_SCHEMA, CONTENT | RECHECK, "VIOLATED_CONSTRAINT"},

    /* The table is not what we were told at start. */
    {8, SINK_REASON_SCHEMA, RECHECK, "THERE_IS_NO_COLUMN"},
    {10, SINK_REASON_SCHEMA, RECHECK, "NOT_FOUND_COLUMN_IN_BLOCK"},
    {16, SINK_REASON_SCHEMA, RECHECK, "NO_SUCH_COLUMN_IN_TABLE"},
    {20, SINK_REASON_SCHEMA, RECHECK, "NUMBER_OF_COLUMNS_DOESNT_MATCH"},
    {36, SINK_REASON_SCHEMA, RECHECK, "BAD_ARGUMENTS"},
    {43, SINK_REASON_SCHEMA, RECHECK, "ILLEGAL_TYPE_OF_ARGUMENT"},
    {44, SINK_REASON_SCHEMA, RECHECK, "ILLEGAL_COLUMN"},
    {46, SINK_REASON_SCHEMA, RECHECK, "UNKNOWN_FUNCTION"},
    {47, SINK_REASON_SCHEMA, RECHECK, "UNKNOWN_IDENTIFIER"},
    {48, SINK_REASON_SCHEMA, RECHECK, "NOT_IMPLEMENTED"},
    {50, SINK_REASON_SCHEMA, RECHECK, "UNKNOWN_TYPE"},
    {60, SINK_REASON_SCHEMA, RECHECK, "UNKNOWN_TABLE"},
    {62, SINK_REASON_SCHEMA, RECHECK, "SYNTAX_ERROR"},
    {73, SINK_REASON_SCHEMA, RECHECK, "UNKNOWN_FORMAT"},
    {81, SINK_REASON_SCHEMA, RECHECK, "UNKNOWN_DATABASE"},
    {115, SINK_REASON_SCHEMA, RECHECK, "UNKNOWN_SETTING"},
    {218, SINK_REASON_SCHEMA, RECHECK, "TABLE_IS_DROPPED"},
    {368, SINK_REASON_SCHEMA, RECHECK, "BAD_CAST"},

    {164, SINK_REASON_DENIED, RECHECK, "READONLY"},
    {192, SINK_REASON_DENIED, RECHECK, "UNKNOWN_USER"},
    {193, SINK_REASON_DENIED, RECHECK, "WRONG_PASSWORD"},
    {194, SINK_REASON_DENIED, RECHECK, "REQUIRED_PASSWORD"},
    {195, SINK_REASON_DENIED, RECHECK, "IP_ADDRESS_NOT_ALLOWED"},
    {291, SINK_REASON_DENIED, RECHECK, "DATABASE_ACCESS_DENIED"},
    {492, SINK_REASON_DENIED, RECHECK, "ACCESS_ENTITY_NOT_FOUND"},
    {497, SINK_REASON_DENIED, RECHECK, "ACCESS_DENIED"},
    {516, SINK_REASON_DENIED, RECHECK, "AUTHENTICATION_FAILED"},

    /* Too much. Parts and quotas are the table's and the user's, on every replica. */
    {201, SINK_REASON_BUSY, 0, "QUOTA_EXCEEDED"},
    {TOO_MANY_PARTS, SINK_REASON_BUSY, 0, "TOO_MANY_PARTS"},
    {173, SINK_REASON_BUSY, ELSEWHERE, "CANNOT_ALLOCATE_MEMORY"},
    {202, SINK_REASON_BUSY, ELSEWHERE, "TOO_MANY_SIMULTANEOUS_QUERIES"},
    {203, SINK_REASON_BUSY, ELSEWHERE, "NO_FREE_CONNECTION"},
    {241, SINK_REASON_BUSY, ELSEWHERE, "MEMORY_LIMIT_EXCEEDED"},
    {439, SINK_REASON_BUSY, ELSEWHERE, "CANNOT_SCHEDULE_TASK"},
    {745, SINK_REASON_BUSY, ELSEWHERE, "SERVER_OVERLOADED"},

    /* May be stored: only the same bytes again tell. */
    {319, SINK_REASON_UNKNOWN, 0, "UNKNOWN_STATUS_OF_INSERT"},
    {159, SINK_REASON_TIMEOUT, ELSEWHERE, "TIMEOUT_EXCEEDED"},
    {160, SINK_REASON_TIMEOUT, ELSEWHERE, "TOO_SLOW"},
    {209, SINK_REASON_TIMEOUT, ELSEWHERE, "SOCKET_TIMEOUT"},
    {210, SINK_REASON_UNKNOWN, ELSEWHERE, "NETWORK_ERROR"},

    {74, SINK_REASON_UNAVAILABLE, ELSEWHERE, "CANNOT_READ_FROM_FILE_DESCRIPTOR"},
    {75, SINK_REASON_UNAVAILABLE, ELSEWHERE, "CANNOT_WRITE_TO_FILE_DESCRIPTOR"},
    {76, SINK_REASON_UNAVAILABLE, ELSEWHERE, "CANNOT_OPEN_FILE"},
    {225, SINK_REASON_UNAVAILABLE, ELSEWHERE, "NO_ZOOKEEPER"},
    {236, SINK_REASON_UNAVAILABLE, ELSEWHERE, "ABORTED"},
    {242, SINK_REASON_UNAVAILABLE, ELSEWHERE, "TABLE_IS_READ_ONLY"},
    {243, SINK_REASON_UNAVAILABLE, ELSEWHERE, "NOT_ENOUGH_SPACE"},
    {254, SINK_REASON_UNAVAILABLE, ELSEWHERE, "NO_ACTIVE_REPLICAS"},
    {279, SINK_REASON_UNAVAILABLE, ELSEWHERE, "ALL_CONNECTION_TRIES_FAILED"},
    {285, SINK_REASON_UNAVAILABLE, ELSEWHERE, "TOO_FEW_LIVE_REPLICAS"},
    {286, SINK_REASON_UNAVAILABLE, ELSEWHERE, "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE"},
    {394, SINK_REASON_UNAVAILABLE, ELSEWHERE, "QUERY_WAS_CANCELLED"},
    {499, SINK_REASON_UNAVAILABLE, ELSEWHERE, "S3_ERROR"},
    {999, SINK_REASON_UNAVAILABLE, ELSEWHERE, "KEEPER_EXCEPTION"},

    /* The body came damaged: the bytes we keep are good. */
    {3, SINK_REASON_OTHER, ELSEWHERE, "UNEXPECTED_END_OF_FILE"},
    {32, SINK_REASON_OTHER, ELSEWHERE, "ATTEMPT_TO_READ_AFTER_EOF"},
    {33, SINK_REASON_OTHER, ELSEWHERE, "CANNOT_READ_ALL_DATA"},
    {40, SINK_REASON_OTHER, ELSEWHERE, "CHECKSUM_DOESNT_MATCH"},
    {246, SINK_REASON_OTHER, ELSEWHERE, "CORRUPTED_DATA"},
    {271, SINK_REASON_OTHER, ELSEWHERE, "CANNOT_DECOMPRESS"},
};

/* Answers without a code: not of ClickHouse itself, but of something before it. */
static const struct status_row {
    int first, last;
    enum sink_reason reason;
    int flags;
    const char *advice;
} statuses[] = {
    {300, 399, SINK_REASON_OPERATOR, 0,
     "redirects are not followed: give the address that it points to as `url`"},
    {401, 401, SINK_REASON_DENIED, 0, "see `user` and `password_file`"},
    {403, 403, SINK_REASON_DENIED, 0, "see `user` and `password_file`"},
    {404, 404, SINK_REASON_OPERATOR, 0, "is this ClickHouse's HTTP port?"},
    {408, 408, SINK_REASON_TIMEOUT, ELSEWHERE, ""},
    {413, 413, SINK_REASON_OPERATOR, 0,
     "something before the server limits the size of a body: raise it, or lower `block_rows`"},
    {429, 429, SINK_REASON_BUSY, ELSEWHERE, ""},
    {400, 499, SINK_REASON_OPERATOR, 0, "is this ClickHouse's HTTP port?"},
    {502, 503, SINK_REASON_UNAVAILABLE, ELSEWHERE, ""},
    {504, 504, SINK_REASON_UNKNOWN, ELSEWHERE, ""},
    {500, 599, SINK_REASON_OTHER, ELSEWHERE, ""},
};

int ch_code_of_text(struct bytes text)
{
    static const char mark[] = "Code: ";
    const uint8_t *at = text.size ? memmem(text.data, text.size, mark, sizeof mark - 1) : NULL;
    if (at == NULL)
        return 0;
    const uint8_t *end = text.data + text.size;
    int code = 0;
    for (at += sizeof mark - 1; at < end && *at >= '0' && *at <= '9' && code < 100000; at++)
        code = code * 10 + (*at - '0');
    return code;
}

static const struct code_row *code_find(int code)
{
    for (size_t i = 0; i < array_count(codes); i++)
        if (codes[i].code == code)
            return &codes[i];
    return NULL;
}

static const struct status_row *status_find(int status)
{
    for (size_t i = 0; i < array_count(statuses); i++)
        if (status >= statuses[i].first && status <= statuses[i].last)
            return &statuses[i];
    return NULL;
}

/* What the answer says, fit for a log line. */
static const char *excerpt(struct bytes body, struct log_text *out)
{
    const uint8_t *line_end = body.size ? memchr(body.data, '\n', body.size) : NULL;
    if (line_end)
        body.size = (size_t)(line_end - body.data);
    if (body.size > 200)
        body.size = 200;
    return log_escape(out, body);
}

static bool says(struct bytes body, const char *what)
{
    return body.size && memmem(body.data, body.size, what, strlen(what));
}

static void judge_code(const struct http_answer *answer, const char *host, int code,
                       struct ch_verdict *out)
{
    struct log_text text;
    const struct code_row *row = code_find(code);
    out->outcome = row && row->flags & CONTENT ? CH_CONTENT : CH_RETRY;
    out->reason = row ? row->reason : SINK_REASON_OTHER;
    out->elsewhere = row == NULL || row->flags & ELSEWHERE;
    out->recheck = row && row->flags & RECHECK;
    out->code = code;
    snprintf(out->why, sizeof out->why, "%s: %s: %s", host, row ? row->name : "exception",
             excerpt(answer->body, &text));
    if (code == TOO_MANY_PARTS && says(answer->body, "Too many partitions"))
        out->reason = SINK_REASON_SCHEMA; /* PARTITION BY is finer than a day: that will not pass */
}

static void judge_status(const struct http_answer *answer, const char *host, struct ch_verdict *out)
{
    struct log_text text;
    const struct status_row *row = status_find(answer->status);
    const char *advice = row ? row->advice : "";
    out->outcome = CH_RETRY;
    out->reason = row ? row->reason : SINK_REASON_UNKNOWN;
    out->elsewhere = row == NULL || row->flags & ELSEWHERE;
    snprintf(out->why, sizeof out->why, "%s: status %d%s%s%s%s", host, answer->status,
             *advice ? ": " : "", advice, answer->body.size ? ": " : "",
             excerpt(answer->body, &text));
}

static void judge_broken(const struct http_answer *answer, const char *host, struct ch_verdict *out)
{
    static const enum sink_reason reasons[] = {
        [HTTP_UNREACHABLE] = SINK_REASON_UNREACHABLE,
        [HTTP_REFUSED] = SINK_REASON_DENIED,
        [HTTP_TIMED_OUT] = SINK_REASON_TIMEOUT,
        [HTTP_BROKEN] = SINK_REASON_UNKNOWN,
    };
    struct log_text text;
    out->outcome = CH_RETRY;
    out->reason = reasons[answer->end];
    out->elsewhere = true;
    out->lost = true;
    snprintf(out->why, sizeof out->why, "%s: %s", host, log_escape(&text, bytes_text(answer->why)));
}

/* True when the answer is a 200 without an exception. The header may come with a 200, and so may
 * the text: the status was sent before the server knew. */
static bool judge(const struct http_answer *answer, const char *host, struct ch_verdict *out)
{
    *out = (struct ch_verdict){.outcome = CH_STORED};
    if (answer->end != HTTP_ANSWERED) {
        judge_broken(answer, host, out);
        return false;
    }
    int code = answer->exception_code;
    if (code <= 0 && (answer->status != 200 || code < 0))
        code = ch_code_of_text(answer->body);
    if (code > 0)
        judge_code(answer, host, code, out);
    else if (answer->status != 200 || answer->exception_code)
        judge_status(answer, host, out);
    return out->outcome == CH_STORED;
}

void ch_judge_insert(const struct http_answer *answer, const char *host, struct ch_verdict *out)
{
    if (!judge(answer, host, out) || answer->body.size == 0)
        return;
    /* An INSERT has no result: this is an exception that came late, or somebody else's page. */
    int code = ch_code_of_text(answer->body);
    if (code)
        judge_code(answer, host, code, out);
    else
        judge_status(answer, host, out);
}

void ch_judge_query(const struct http_answer *answer, const char *host, struct ch_verdict *out)
{
    static const char mark[] = "DB::Exception";
    if (!judge(answer, host, out))
        return;
    bool late = answer->body.size &&
                memmem(answer->body.data, answer->body.size, mark, sizeof mark - 1) != NULL;
    if (late || answer->body_cut) {
        judge_status(answer, host, out);
        out->elsewhere = true;
    }
}
