/* SPDX-License-Identifier: Apache-2.0
 *
 * One thread beside the lane's, for the calls of librdkafka that block: metadata, transactions, the
 * end of a client. libuv's own pool will not do: a broker that does not answer would hold up the
 * files of other sinks there. Jobs run in the order they came; each is told on the loop.
 */
#ifndef TIDEGATE_SINKS_KAFKA_WORKER_H
#define TIDEGATE_SINKS_KAFKA_WORKER_H

#include <uv.h>

/* The caller's, one job at a time; embed it. */
struct worker_job {
    void (*run)(struct worker_job *job);  /* worker's thread; may block, for a bounded time */
    void (*done)(struct worker_job *job); /* loop; may be null */
    struct worker_job *next;
};

struct worker;
struct worker *worker_new(uv_loop_t *loop, const char *name);
void worker_post(struct worker *worker, struct worker_job *job);
/* All jobs are run and told first; the worker frees itself, then closed(arg). */
void worker_close(struct worker *worker, void (*closed)(void *arg), void *arg);

#endif
