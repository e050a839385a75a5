/* SPDX-License-Identifier: Apache-2.0
 *
 * Units into records, reports into answers, with a bounded queue between.
 *
 * Order: records of a device are given in the order of the lane's units and rows, and the idempotent
 * producer keeps it. When records fail in a way that needs another attempt, nothing more is given,
 * what waits in the library is taken back, and when every report has come all units go back to the
 * lane; a unit that comes again waits until those before it have come too. The lane's thread.
 */
#include <inttypes.h>

#include "base/clock.h"
#include "base/log.h"
#include "sinks/kafka/letters.h"
#include "sinks/kafka/state.h"

enum {
    ROUND_MS = 20, /* records given at once */
    DRAIN_MS = 30000,
    DRAIN_GRACE_MS = 5000,
};

static const enum producer_topic topic_of_kind[] = {
    [RECORD_READING] = TOPIC_READINGS,   [RECORD_EVENT] = TOPIC_EVENTS,
    [RECORD_LETTER] = TOPIC_DEADLETTERS, [RECORD_REFUSED] = TOPIC_DEADLETTERS,
    [RECORD_POSITION] = TOPIC_POSITION,
};

static bool exactly_once(const struct sink *sink)
{
    return sink->options->delivery == KAFKA_EXACTLY_ONCE;
}

static void on_kick(uv_timer_t *timer)
{
    struct sink *sink = container_of(timer, struct sink, kick);
    link_tend(sink);
    pump(sink);
}

void kick(struct sink *sink)
{
    /* Not 0: libuv runs a timer that arms itself with 0 for ever, and never polls. */
    if (!sink->closing)
        uv_timer_start(&sink->kick, on_kick, 1, 0);
}

/* ---- reports ---- */

static bool is_size(rd_kafka_resp_err_t error)
{
    return error == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE ||
           error == RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE ||
           error == RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE ||
           error == RD_KAFKA_RESP_ERR_INVALID_RECORD || error == RD_KAFKA_RESP_ERR_INVALID_MSG;
}

static bool is_purge(rd_kafka_resp_err_t error)
{
    return error == RD_KAFKA_RESP_ERR__PURGE_QUEUE || error == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT;
}

static void record_failed(struct sink *sink, struct flight *flight, uint64_t ref,
                          rd_kafka_resp_err_t error)
{
    if (is_size(error)) {
        flight->too_large_reason =
            error == RD_KAFKA_RESP_ERR_INVALID_RECORD || error == RD_KAFKA_RESP_ERR_INVALID_MSG
                ? "invalid_record"
                : "too_large";
        ref_list_add(&flight->too_large, ref);
        return;
    }
    ref_list_add(&flight->failed, ref);
    if (is_purge(error))
        return;
    /* A transaction that cannot go on takes no more: what came before tells why. */
    bool follows = sink->phase != TRANSACTION_NONE && error == RD_KAFKA_RESP_ERR__STATE;
    if (follows && flight->too_large.count)
        error = RD_KAFKA_RESP_ERR_UNKNOWN;
    enum sink_reason reason = reason_of_error(error);
    atomic_fetch_add_explicit(&sink->errors[reason], 1, memory_order_relaxed);
    /* What an operator must mend is told rather than what follows from it. */
    if (sink->failed && reason <= sink->failure)
        return;
    sink->failed = true;
    sink->failure = reason;
    char why[256];
    if (error == RD_KAFKA_RESP_ERR__FATAL && sink->producer &&
        producer_fatal(sink->producer, why, sizeof why))
        err_set(&sink->failure_err, GW_EIO, "the producer failed: %s", why);
    else
        err_set(
            &sink->failure_err, GW_EIO, "topic \"%s\": %s",
            rd_kafka_topic_name(producer_topic(sink->producer, topic_of_kind[record_kind_of(ref)])),
            rd_kafka_err2str(error));
}

void on_report(void *arg, uint64_t token, rd_kafka_resp_err_t error)
{
    struct sink *sink = arg;
    struct flight *flight = &sink->flights[token >> TOKEN_SLOT_SHIFT];
    uint64_t ref = token & ((UINT64_C(1) << TOKEN_SLOT_SHIFT) - 1);
    if (record_kind_of(ref) == RECORD_POSITION) {
        sink->position_reported = true;
        sink->position_error = error;
        sink->delivered_now[TOPIC_POSITION] += error == 0;
        return;
    }
    gw_assert(flight->outstanding > 0);
    flight->outstanding--;
    if (error)
        record_failed(sink, flight, ref, error);
    else
        sink->delivered_now[topic_of_kind[record_kind_of(ref)]]++;
}

void on_trouble(void *arg, rd_kafka_resp_err_t error, const char *why)
{
    struct sink *sink = arg;
    if (error != RD_KAFKA_RESP_ERR__FATAL) {
        link_trouble(sink, error, why);
        return;
    }
    char text[256];
    rd_kafka_resp_err_t fatal = producer_fatal(sink->producer, text, sizeof text);
    enum sink_reason reason = reason_of_error(fatal);
    if (reason < SINK_REASON_OPERATOR)
        reason = SINK_REASON_RESTART;
    drain_begin(sink, reason, text, true);
}

/* ---- giving back ---- */

void flight_give_back(struct sink *sink, struct flight *flight, enum sink_reason reason,
                      const char *why)
{
    struct unit *unit = flight->unit;
    flight->unit = NULL;
    flight->written_ms = clock_monotonic_ms(); /* of an absent unit: since when */
    sink_retry(sink->host, unit, reason, why);
}

/* What was prepared and not given. */
static void slice_drop(struct sink *sink)
{
    struct flight *flight = sink->slice_flight;
    uint64_t mask = (UINT64_C(1) << TOKEN_SLOT_SHIFT) - 1;
    for (uint32_t i = sink->slice.at; i < sink->slice.count; i++) {
        ref_list_add(&flight->failed, (uintptr_t)sink->slice.messages[i]._private & mask);
        flight->outstanding--;
    }
    for (; sink->ref_at < sink->ref_count; sink->ref_at++) {
        ref_list_add(&flight->failed, sink->refs[sink->ref_at]);
        flight->outstanding--;
    }
    sink->slice = (struct slice){0};
    sink->slice_flight = NULL;
}

void drain_begin(struct sink *sink, enum sink_reason reason, const char *why, bool renew)
{
    sink->failed = true;
    if (!sink->draining || reason > sink->failure) {
        sink->failure = reason;
        if (why != sink->failure_err.text)
            err_set(&sink->failure_err, GW_EIO, "%s", why);
    }
    sink->renew |= renew;
    if (sink->draining) {
        if (renew && !sink->hurried)
            sink->drain_until_ms = clock_monotonic_ms();
        return;
    }
    sink->draining = true;
    sink->drain_until_ms = clock_monotonic_ms() + (sink->renew ? DRAIN_GRACE_MS : DRAIN_MS);
    sink->hurried = sink->renew;
    slice_drop(sink);
    /* What a transaction sent is void anyway. */
    if (sink->producer)
        producer_purge(sink->producer, renew || sink->phase != TRANSACTION_NONE);
}

static uint64_t all_outstanding(const struct sink *sink)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < FLIGHTS_MAX; i++)
        sum += sink->flights[i].outstanding;
    return sum;
}

/* The first flight from `order` on, or null. */
static struct flight *flight_from(struct sink *sink, uint64_t order)
{
    struct flight *found = NULL;
    for (uint32_t i = 0; i < FLIGHTS_MAX; i++) {
        struct flight *flight = &sink->flights[i];
        if (flight->used && flight->order >= order &&
            (found == NULL || flight->order < found->order))
            found = flight;
    }
    return found;
}

static void drain_finish(struct sink *sink)
{
    if (all_outstanding(sink) > 0 || sink->phase == TRANSACTION_ENDING)
        return;
    if (sink->phase != TRANSACTION_NONE && !sink->renew) {
        transaction_abort(sink);
        return;
    }
    sink->phase = TRANSACTION_NONE;
    if (sink->renew)
        link_retire(sink);
    sink->link = LINK_UNASKED;
    sink->draining = sink->failed = sink->renew = sink->hurried = false;
    for (struct flight *flight = flight_from(sink, 0); flight;
         flight = flight_from(sink, flight->order + 1))
        if (flight->unit) {
            if (exactly_once(sink)) /* nothing of it counts */
                flight_restart(flight, &sink->plan);
            flight_give_back(sink, flight, sink->failure, sink->failure_err.text);
        }
}

void drain_hurry(struct sink *sink)
{
    int64_t now = clock_monotonic_ms();
    if (!sink->draining || sink->phase == TRANSACTION_ENDING || now < sink->drain_until_ms)
        return;
    sink->drain_until_ms = now + DRAIN_GRACE_MS;
    if (!sink->hurried) {
        sink->hurried = sink->renew = true;
        producer_purge(sink->producer, true);
        return;
    }
    log_event(LOG_ERROR, "kafka_reports_missing", "sink=%s records=%" PRIu64, sink->host->name,
              all_outstanding(sink));
    /* Which of them are stored nobody knows: all go again. */
    for (uint32_t i = 0; i < FLIGHTS_MAX; i++) {
        sink->flights[i].outstanding = 0;
        flight_restart(&sink->flights[i], &sink->plan);
    }
    drain_finish(sink);
}

/* ---- answers ---- */

void flight_stored(struct sink *sink, struct flight *flight)
{
    struct flight done = *flight;
    *flight = (struct flight){.slot = done.slot};
    atomic_fetch_add_explicit(&sink->refused, done.refusal_count, memory_order_relaxed);
    sink->host->answer(sink->host, done.unit,
                       &(struct sink_result){.answer = SINK_STORED,
                                             .refusals = done.refusals,
                                             .refusal_count = done.refusal_count});
    flight_fini(&done);
}

/* A batch is refused whole: what shares it with others must be sent without them. */
static void too_large_settle(struct sink *sink, struct flight *flight)
{
    if (sink->phase == TRANSACTION_OPEN) {
        drain_begin(sink, SINK_REASON_OTHER, "a record is too large", false);
        return;
    }
    sink->careful = true;
    if (all_outstanding(sink) > 0)
        return;
    flight_bisect(flight, &sink->plan);
    kick(sink);
}

static void flight_settle(struct sink *sink, struct flight *flight)
{
    if (!flight->unit || flight->outstanding || sink->slice_flight == flight)
        return;
    if (flight->too_large.count && (flight->lot || flight_given(flight))) {
        too_large_settle(sink, flight);
        return;
    }
    if (!flight_given(flight))
        return;
    if (flight->failed.count) {
        if (sink->link == LINK_READY)
            kick(sink);
    } else if (sink->phase == TRANSACTION_NONE && !exactly_once(sink)) {
        flight_stored(sink, flight);
    } else {
        transaction_finish(sink, flight);
    }
}

static bool anything_too_large(const struct sink *sink)
{
    for (uint32_t i = 0; i < FLIGHTS_MAX; i++)
        if (sink->flights[i].unit && (sink->flights[i].lot || sink->flights[i].too_large.count))
            return true;
    return false;
}

void settle(struct sink *sink)
{
    if (sink->failed && !sink->draining)
        drain_begin(sink, sink->failure, sink->failure_err.text,
                    sink->failure == SINK_REASON_RESTART);
    if (sink->draining) {
        drain_finish(sink);
        return;
    }
    for (uint32_t i = 0; i < FLIGHTS_MAX; i++)
        if (sink->flights[i].used)
            flight_settle(sink, &sink->flights[i]);
    if (sink->careful && !anything_too_large(sink)) {
        sink->careful = false;
        kick(sink);
    }
}

void on_served(void *arg)
{
    struct sink *sink = arg;
    uint64_t before = sink->delivered[TOPIC_READINGS] + sink->delivered[TOPIC_DEADLETTERS];
    for (int i = 0; i < TOPIC_COUNT; i++)
        atomic_store_explicit(&sink->delivered[i], sink->delivered_now[i], memory_order_relaxed);
    if (sink->closing)
        return;
    if (before != sink->delivered[TOPIC_READINGS] + sink->delivered[TOPIC_DEADLETTERS])
        link_works(sink);
    settle(sink);
    pump(sink);
}

/* ---- giving ---- */

/* The flight whose records go next: the oldest that is not given whole. A unit that the lane still
 * holds back keeps those behind it waiting. */
static struct flight *flight_to_send(struct sink *sink)
{
    for (struct flight *flight = flight_from(sink, 0); flight;
         flight = flight_from(sink, flight->order + 1)) {
        if (flight->unit == NULL && flight->replay)
            continue; /* history is in no order with the rest */
        if (flight->unit == NULL)
            return NULL;
        if (flight->failed.count && flight_given(flight)) {
            if (flight->outstanding)
                return NULL; /* whatever fails of these goes with them, and before the next unit */
            flight_repeat(flight);
        }
        if (!flight_given(flight) && (!sink->careful || flight->lot))
            return flight;
    }
    return NULL;
}

/* A record by itself: letters, and whatever has headers. GW_EFULL, or GW_EIO: not readable now. */
static int give_one(struct sink *sink, struct flight *flight, uint64_t ref, struct err *err)
{
    struct letter record = {0};
    enum record_kind kind = record_kind_of(ref);
    if (kind == RECORD_READING || kind == RECORD_EVENT) {
        records_one(sink->records, flight, ref, &record.key, &record.value);
        if (flight->unit->replay)
            record.headers = replay_headers(flight);
    } else {
        int rc = letter_make(&record, sink->host, flight, ref, ref & RECORD_BARE, err);
        if (rc)
            return rc;
    }
    int rc = producer_send_one(sink->producer, topic_of_kind[kind], record.key, record.value,
                               record.headers, (uint64_t)flight->slot << TOKEN_SLOT_SHIFT | ref);
    if (rc && record.headers)
        rd_kafka_headers_destroy(record.headers);
    return rc;
}

/* True: all that was prepared is given. */
static bool give(struct sink *sink)
{
    if (sink->slice.at < sink->slice.count && !producer_send(sink->producer, &sink->slice))
        return false;
    while (sink->ref_at < sink->ref_count) {
        struct err err;
        int rc = give_one(sink, sink->slice_flight, sink->refs[sink->ref_at], &err);
        if (rc == GW_EFULL)
            return false;
        if (rc) {
            drain_begin(sink, SINK_REASON_DISK, err.text, false);
            return false;
        }
        sink->ref_at++;
    }
    sink->slice_flight = NULL;
    return true;
}

static void prepare(struct sink *sink, struct flight *flight, uint32_t count)
{
    enum record_kind kind = record_kind_of(sink->refs[0]);
    flight->outstanding += count;
    sink->slice_flight = flight;
    sink->ref_at = sink->ref_count = 0;
    if ((kind == RECORD_READING || kind == RECORD_EVENT) && !flight->unit->replay)
        records_fill(sink->records, flight, sink->refs, count,
                     producer_partitions(sink->producer, topic_of_kind[kind]), &sink->slice);
    else
        sink->ref_count = count;
}

void pump(struct sink *sink)
{
    int64_t until = clock_monotonic_ms() + ROUND_MS;
    while (!sink->closing && !sink->draining && !sink->failed && sink->link == LINK_READY) {
        if (!give(sink))
            break;
        if (clock_monotonic_ms() >= until) {
            kick(sink);
            break;
        }
        struct flight *flight = flight_to_send(sink);
        if (flight == NULL || !transaction_begin(sink, flight))
            break;
        uint32_t count = flight_take(flight, &sink->plan, sink->refs, SLICE_RECORDS);
        if (count)
            prepare(sink, flight, count);
        else if (!flight_given(flight))
            break; /* reports come first */
    }
    if (sink->producer)
        atomic_store_explicit(&sink->queued, producer_queued(sink->producer), memory_order_relaxed);
    if (!sink->closing)
        settle(sink);
}

void pump_forget(struct sink *sink)
{
    for (struct flight *flight = flight_from(sink, 0); flight;
         flight = flight_from(sink, flight->order + 1)) {
        struct unit *unit = flight->unit;
        flight->unit = NULL;
        if (unit)
            sink_closed(sink->host, unit);
    }
}
