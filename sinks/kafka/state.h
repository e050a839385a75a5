/* SPDX-License-Identifier: Apache-2.0
 *
 * The sink's state, shared by its own files: kafka.c (contract, life), link.c (the producer's health:
 * asking, trouble, a new one), pump.c (units into records, reports into answers), transaction.c.
 * Nobody else includes it. The lane's thread, but for the atomics.
 */
#ifndef TIDEGATE_SINKS_KAFKA_STATE_H
#define TIDEGATE_SINKS_KAFKA_STATE_H

#include <stdatomic.h>

#include "sinks/kafka/flight.h"
#include "sinks/kafka/options.h"
#include "sinks/kafka/producer.h"
#include "sinks/kafka/records.h"
#include "sinks/kafka/topics.h"
#include "sinks/kafka/transaction.h"
#include "sinks/kafka/worker.h"

/* try.c: sink_type.probe. */
void kafka_try(const void *options, struct sink_host *host, sink_tell *tell, void *arg);

enum { FLIGHTS_MAX = 9 }; /* as many as a lane has live ones, and one of a replay */

/*     UNASKED --link_tend--> ASKING --all topics answer--> READY
 *        ^                     |                             |
 *        '---------------------'<---trouble, or drained -----'
 *
 * A failed record that needs another attempt, in READY: `draining` until every report came, then all
 * units are given back and the link is UNASKED. */
enum link_state { LINK_UNASKED, LINK_ASKING, LINK_READY };

/* The question about all topics, on the worker. */
struct probe {
    struct worker_job job;
    struct producer *producer;
    const struct kafka_sink_options *options;
    const _Atomic bool *stop;
    rd_kafka_t *handle;
    struct topic_wish wishes[TOPIC_COUNT]; /* topic null: not asked */
    struct topic_answer answers[TOPIC_COUNT];
    /* exactly_once, for a producer that is not ready for transactions yet. */
    bool recover;
    const struct sink_host *host;
    struct recovery recovery;
    int recovery_rc;
    struct err recovery_err;
};

/* The end of a transaction, on the worker. */
struct transaction_end {
    struct worker_job job;
    rd_kafka_t *handle;
    const _Atomic bool *stop;
    bool commit;
    enum transaction_outcome { OUTCOME_STORED, OUTCOME_ABORTED, OUTCOME_UNKNOWN } outcome;
    enum sink_reason reason;
    struct err err;
};

struct sink {
    struct sink_host *host;
    const struct kafka_sink_options *options;
    struct flight_plan plan;

    struct worker *worker; /* from start on */
    uv_timer_t tick;
    uv_timer_t kick; /* after write(): answers and records come from the loop */
    bool started;

    struct producer *producer; /* null: to be made */
    uint32_t retiring;         /* producers that the worker has not ended yet */
    enum link_state link;
    struct probe probe;
    bool probe_running;
    int64_t asked_ms;         /* monotonic: when the topics were last asked */
    enum sink_reason trouble; /* what the last error was about, while nothing worked since */
    struct err trouble_err;
    int64_t trouble_since_ms;
    bool trouble_told; /* the lane knows: further answers have time */

    struct flight flights[FLIGHTS_MAX];
    uint64_t newest_seq; /* first_seq of the live unit that was written last */
    struct records *records;
    struct slice slice; /* being given to the producer; of slice_flight */
    uint64_t refs[SLICE_RECORDS];
    uint32_t ref_at, ref_count; /* records that go one by one, of slice_flight */
    struct flight *slice_flight;

    bool careful; /* a flight sends in lots; the others wait */
    bool failed;  /* a record failed in a way that needs another attempt */
    bool renew;   /* and another producer */
    bool draining;
    bool hurried; /* what was under way is given up too */
    int64_t drain_until_ms;
    enum sink_reason failure;
    struct err failure_err;

    /* exactly_once */
    enum transaction_phase phase;
    struct transaction_end end;
    uint64_t instance; /* of this process, in its positions */
    bool recovered;    /* the producer is ready, and we know where we are */
    bool fenced;       /* another process writes in our name: for good */
    bool position_reported;
    rd_kafka_resp_err_t position_error;

    _Atomic bool stop; /* the worker hurries */
    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;
    uint32_t timers_open;

    uint64_t delivered_now[TOPIC_COUNT]; /* published when reports were taken */
    _Atomic uint64_t delivered[TOPIC_COUNT], errors[SINK_REASON_COUNT], refused, producers;
    _Atomic uint64_t queued, commits, aborts;
};

/* link.c */
/* Make a producer where there is none, ask where nothing is known. */
void link_tend(struct sink *sink);
void link_trouble(struct sink *sink, rd_kafka_resp_err_t error, const char *why);
/* Nothing works, for that reason; the lane hears it from link_tend. */
void trouble_set(struct sink *sink, enum sink_reason reason, const char *why);
/* Something was delivered. */
void link_works(struct sink *sink);
/* Give the producer to the worker. */
void link_retire(struct sink *sink);
/* GW_EINVAL: the options are wrong. */
int link_open(struct sink *sink, struct err *err);

/* pump.c */
void pump(struct sink *sink);
void on_report(void *arg, uint64_t token, rd_kafka_resp_err_t error);
void on_served(void *arg);
void on_trouble(void *arg, rd_kafka_resp_err_t error, const char *why);
/* The flight's answer is RETRY; it stays, and waits for its unit. */
void flight_give_back(struct sink *sink, struct flight *flight, enum sink_reason reason,
                      const char *why);
/* Records failed: stop, let every report come, give all units back. */
void drain_begin(struct sink *sink, enum sink_reason reason, const char *why, bool renew);
/* Reports that should be there are not: first what is under way is given up, then the producer. */
void drain_hurry(struct sink *sink);
/* Give up what is under way (close). */
void pump_forget(struct sink *sink);
void kick(struct sink *sink);
/* All is stored: answers. */
void flight_stored(struct sink *sink, struct flight *flight);
/* Goes on with a drain when every report has come. */
void settle(struct sink *sink);

#endif
