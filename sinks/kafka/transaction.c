/* SPDX-License-Identifier: Apache-2.0
 *
 * One unit, one transaction: its records, then our position, then the commit. Commit, abort and
 * init_transactions block, so the worker calls them; the lane's thread takes the reports meanwhile,
 * which they wait for.
 *
 * Invariant: a unit is answered STORED only when a commit said so, or when the position topic, read
 * after all earlier transactions of ours had ended, holds a position behind it. A commit without a
 * clear answer costs the producer: the next one ends what is open and reads the position.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "sinks/kafka/state.h"

enum {
    END_STEP_MS = 2000,    /* of one call; it goes on where it was */
    COMMIT_MS = 10 * 1000, /* then the position topic tells */
    ABORT_MS = 10 * 1000,
    START_MS = 4500, /* the lane gives start() five seconds */
    SERVE_MS = 50,
};

/* ---- ready for transactions ---- */

static int error_take(rd_kafka_error_t *error, struct recovery *out, const char *doing,
                      struct err *err)
{
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    bool lost = rd_kafka_error_is_fatal(error) || !rd_kafka_error_is_retriable(error);
    out->reason = reason_of_error(code);
    if (out->reason == SINK_REASON_OTHER || out->reason == SINK_REASON_TIMEOUT)
        out->reason = SINK_REASON_UNREACHABLE;
    err_set(err, GW_EIO, "%s: %s", doing, rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    return lost ? GW_ECLOSED : GW_EIO;
}

int transaction_recover(const struct kafka_sink_options *options, const struct sink_host *host,
                        rd_kafka_t *handle, int32_t partitions, int timeout_ms,
                        const _Atomic bool *stop, struct recovery *out, struct err *err)
{
    *out = (struct recovery){.reason = SINK_REASON_UNREACHABLE};
    rd_kafka_error_t *error = rd_kafka_init_transactions(handle, timeout_ms);
    /* Done before, and the position could not be read then. */
    if (error && rd_kafka_error_code(error) == RD_KAFKA_RESP_ERR__STATE &&
        rd_kafka_fatal_error(handle, NULL, 0) == 0) {
        rd_kafka_error_destroy(error);
        error = NULL;
    }
    if (error)
        return error_take(error, out, "the brokers do not open transactions for us", err);
    int rc =
        position_read(options, host, handle, partitions, timeout_ms, stop, &out->position, err);
    out->found = rc == 0;
    if (rc == GW_EINVAL)
        out->reason = SINK_REASON_OPERATOR;
    return rc == GW_ENOENT ? 0 : rc;
}

static void fence(struct sink *sink, const struct recovery *recovery)
{
    sink->fenced = true;
    char why[200];
    snprintf(why, sizeof why,
             "another process writes under the identity of this journal (it has come to %" PRIu64
             "): stop one of them, or give one a new identity, then start again",
             recovery->position.next_seq);
    trouble_set(sink, SINK_REASON_FENCED, why);
    link_retire(sink);
}

/* The unit that was under way when the last producer was lost, if the lane gave it again. */
static struct flight *flight_waiting(struct sink *sink)
{
    for (uint32_t i = 0; i < FLIGHTS_MAX; i++)
        if (sink->flights[i].unit)
            return &sink->flights[i];
    return NULL;
}

bool transaction_resume(struct sink *sink, const struct recovery *recovery)
{
    const struct position *position = &recovery->position;
    if (recovery->found && position->instance != sink->instance) {
        fence(sink, recovery);
        kick(sink);
        return false;
    }
    sink->recovered = true;
    struct flight *flight = flight_waiting(sink);
    if (!flight || flight->replay || !recovery->found || position->next_seq <= flight->first_seq)
        return true;
    if (position->next_seq > flight->last_seq) {
        log_event(LOG_INFO, "kafka_unit_found_stored", "sink=%s seq=%" PRIu64, sink->host->name,
                  flight->first_seq);
        link_works(sink);
        flight_stored(sink, flight);
        return true;
    }
    char why[200];
    snprintf(why, sizeof why,
             "topic \"%s\" says that %" PRIu64 " is next, which lies inside a unit",
             sink->options->topic_position, position->next_seq);
    trouble_set(sink, SINK_REASON_OPERATOR, why);
    sink->recovered = false;
    return false;
}

/* ---- a transaction ---- */

bool transaction_begin(struct sink *sink, struct flight *flight)
{
    if (sink->options->delivery != KAFKA_EXACTLY_ONCE || sink->phase == TRANSACTION_OPEN)
        return true;
    if (sink->phase != TRANSACTION_NONE)
        return false;
    rd_kafka_error_t *error = rd_kafka_begin_transaction(producer_handle(sink->producer));
    if (error) {
        drain_begin(sink, SINK_REASON_RESTART, rd_kafka_error_string(error), true);
        rd_kafka_error_destroy(error);
        return false;
    }
    /* Whatever an earlier attempt delivered was void. */
    flight_restart(flight, &sink->plan);
    sink->phase = TRANSACTION_OPEN;
    return true;
}

/* GW_EFULL: no room in the queue, which reports will make. */
static int position_give(struct sink *sink, const struct position *position)
{
    struct buffer value = {0};
    char *key = position_key(sink->host);
    position_format(position, &value);
    sink->position_reported = false;
    int rc = producer_send_one(sink->producer, TOPIC_POSITION, bytes_text(key),
                               buffer_bytes(&value), NULL, record_ref(RECORD_POSITION, 0));
    buffer_fini(&value);
    free(key);
    return rc;
}

/* ---- its end ---- */

static enum transaction_outcome judge(struct transaction_end *end, rd_kafka_error_t *error)
{
    end->reason = reason_of_error(rd_kafka_error_code(error));
    err_set(&end->err, GW_EIO, "%s: %s", end->commit ? "commit" : "abort",
            rd_kafka_error_string(error));
    bool abort = rd_kafka_error_txn_requires_abort(error) && !rd_kafka_error_is_fatal(error);
    rd_kafka_error_destroy(error);
    return abort ? OUTCOME_ABORTED : OUTCOME_UNKNOWN;
}

/* Calls until the library is done or time is over. The error is null when it went well. */
static rd_kafka_error_t *insist(struct transaction_end *end, bool commit, int timeout_ms)
{
    int64_t until = clock_monotonic_ms() + timeout_ms;
    for (;;) {
        rd_kafka_error_t *error = commit ? rd_kafka_commit_transaction(end->handle, END_STEP_MS)
                                         : rd_kafka_abort_transaction(end->handle, END_STEP_MS);
        if (error == NULL || !rd_kafka_error_is_retriable(error) || atomic_load(end->stop) ||
            clock_monotonic_ms() >= until)
            return error;
        rd_kafka_error_destroy(error);
    }
}

static void end_run(struct worker_job *job)
{
    struct transaction_end *end = container_of(job, struct transaction_end, job);
    end->outcome = OUTCOME_ABORTED;
    if (end->commit) {
        rd_kafka_error_t *error = insist(end, true, COMMIT_MS);
        end->outcome = error ? judge(end, error) : OUTCOME_STORED;
    }
    if (end->outcome != OUTCOME_ABORTED)
        return;
    rd_kafka_error_t *error = insist(end, false, ABORT_MS);
    if (error == NULL)
        return;
    struct err why = end->err;
    enum sink_reason reason = end->reason;
    judge(end, error);
    end->outcome = OUTCOME_UNKNOWN;
    if (end->commit) { /* what the commit said tells more */
        end->err = why;
        end->reason = reason;
    }
}

static void end_done(struct worker_job *job)
{
    struct transaction_end *end = container_of(job, struct transaction_end, job);
    struct sink *sink = container_of(end, struct sink, end);
    sink->phase = TRANSACTION_NONE;
    struct flight *flight = flight_waiting(sink);
    if (sink->closing)
        return;
    atomic_fetch_add(end->outcome == OUTCOME_STORED ? &sink->commits : &sink->aborts, 1);
    if (end->outcome == OUTCOME_STORED && flight) {
        link_works(sink);
        flight_stored(sink, flight);
    } else if (end->outcome == OUTCOME_UNKNOWN) {
        enum sink_reason reason =
            end->reason >= SINK_REASON_RESTART ? end->reason : SINK_REASON_UNKNOWN;
        drain_begin(sink, reason, end->err.text, true);
    } else if (flight && flight->too_large.count) {
        /* The lane need not know: the next transaction finds out which record it was. */
        flight_suspect(flight);
        flight_restart(flight, &sink->plan);
        sink->draining = sink->failed = sink->hurried = false;
    } else if (!sink->draining) {
        drain_begin(sink, end->reason, end->err.text, false);
    }
    settle(sink);
    link_tend(sink);
    pump(sink);
}

static void end_begin(struct sink *sink, bool commit)
{
    sink->phase = TRANSACTION_ENDING;
    sink->end = (struct transaction_end){
        .job = {.run = end_run, .done = end_done},
        .handle = producer_handle(sink->producer),
        .stop = &sink->stop,
        .commit = commit,
        .reason = sink->failure,
        .err = sink->failure_err,
    };
    worker_post(sink->worker, &sink->end.job);
}

void transaction_finish(struct sink *sink, struct flight *flight)
{
    if (sink->phase == TRANSACTION_OPEN && flight->replay) {
        /* The position is that of live units. */
        sink->phase = TRANSACTION_POSITION;
        sink->position_reported = true;
        sink->position_error = RD_KAFKA_RESP_ERR_NO_ERROR;
    } else if (sink->phase == TRANSACTION_OPEN) {
        const struct position position = {
            .next_seq = flight->last_seq + 1,
            .first_seq = flight->first_seq,
            .last_seq = flight->last_seq,
            .generation = flight->generation,
            .instance = sink->instance,
        };
        if (position_give(sink, &position) == 0)
            sink->phase = TRANSACTION_POSITION;
    }
    if (sink->phase != TRANSACTION_POSITION || !sink->position_reported)
        return;
    if (sink->position_error)
        drain_begin(sink, reason_of_error(sink->position_error),
                    rd_kafka_err2str(sink->position_error), false);
    else
        end_begin(sink, true);
}

void transaction_abort(struct sink *sink)
{
    end_begin(sink, false);
}

/* ---- start ---- */

/* A transaction of nothing but our position: whoever wrote in our name before finds it and stops. */
static int claim(struct sink *sink, const struct position *position, int64_t until, struct err *err)
{
    rd_kafka_t *handle = producer_handle(sink->producer);
    struct recovery unused;
    rd_kafka_error_t *error = rd_kafka_begin_transaction(handle);
    if (error)
        return error_take(error, &unused, "begin", err);
    int rc = position_give(sink, position);
    while (rc == 0 && !sink->position_reported && clock_monotonic_ms() < until)
        producer_serve(sink->producer, SERVE_MS);
    if (rc || !sink->position_reported)
        return err_set(err, GW_EIO, "no answer to the position in topic \"%s\"",
                       sink->options->topic_position);
    if (sink->position_error)
        return err_set(err, GW_EIO, "topic \"%s\": %s", sink->options->topic_position,
                       rd_kafka_err2str(sink->position_error));
    int64_t left = until - clock_monotonic_ms();
    error = rd_kafka_commit_transaction(handle, left > 500 ? (int)left : 500);
    return error ? error_take(error, &unused, "commit", err) : 0;
}

static int position_choose(struct sink *sink, const struct recovery *recovery, uint64_t *cursor,
                           struct err *err)
{
    if (recovery->found) {
        *cursor = recovery->position.next_seq;
        return 0;
    }
    if (*cursor > 1 && !sink->options->position_new)
        return err_set(
            err, GW_EINVAL,
            "topic \"%s\" knows nothing of this gateway, although it has come to %" PRIu64
            ": was the topic made anew, or another cluster named? If what stands in "
            "Kafka up to there is right, set `position_new: true` for one start",
            sink->options->topic_position, *cursor);
    return 0;
}

static int start_steps(struct sink *sink, uint64_t *cursor, struct err *err)
{
    int64_t until = clock_monotonic_ms() + START_MS;
    rd_kafka_t *handle = producer_handle(sink->producer);
    const struct topic_wish wish = {producer_topic(sink->producer, TOPIC_POSITION), true};
    struct topic_answer answer;
    struct recovery recovery;
    topic_ask(handle, &wish, sink->options, START_MS / 3, &answer);
    if (answer.partitions == 0)
        return err_set(err, GW_EIO, "%s", answer.err.text);
    int rc = position_topic_check(handle, sink->options->topic_position, START_MS / 3, err);
    if (rc)
        return rc;
    int64_t left = until - clock_monotonic_ms();
    rc = transaction_recover(sink->options, sink->host, handle, answer.partitions,
                             left > 500 ? (int)left : 500, &sink->stop, &recovery, err);
    if (rc == 0)
        rc = position_choose(sink, &recovery, cursor, err);
    if (rc)
        return rc;
    struct position position = recovery.found ? recovery.position : (struct position){0};
    position.next_seq = *cursor;
    position.instance = sink->instance;
    rc = claim(sink, &position, until, err);
    /* Whether it was committed is open: another producer will see. */
    return rc ? GW_ECLOSED : 0;
}

int transaction_start(struct sink *sink, uint64_t *cursor, struct err *err)
{
    if (sink->instance == 0)
        sink->instance = identity_random().bits;
    int rc = start_steps(sink, cursor, err);
    if (rc == 0) {
        sink->recovered = true;
        return 0;
    }
    if (rc == GW_ECLOSED)
        link_retire(sink);
    return rc == GW_EINVAL ? rc : GW_EIO;
}
