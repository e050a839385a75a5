/* SPDX-License-Identifier: Apache-2.0
 *
 * A thread with two lists, jobs to run and jobs that have run, and an async handle between it and the
 * loop. post, close and the callbacks: lane's thread.
 */
#include "sinks/kafka/worker.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

struct job_list {
    struct worker_job *first, **last;
};

struct worker {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t posted;
    struct job_list todo, ran; /* under the lock */
    bool ending;               /* under the lock */
    uv_async_t wake;
    size_t open; /* posted and not told; the loop's */
    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;
};

static void list_init(struct job_list *list)
{
    list->first = NULL;
    list->last = &list->first;
}

static void list_add(struct job_list *list, struct worker_job *job)
{
    job->next = NULL;
    *list->last = job;
    list->last = &job->next;
}

static struct worker_job *list_take(struct job_list *list)
{
    struct worker_job *job = list->first;
    if (job) {
        list->first = job->next;
        if (list->first == NULL)
            list->last = &list->first;
    }
    return job;
}

/* ---- the thread ---- */

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    pthread_mutex_lock(&worker->lock);
    for (;;) {
        struct worker_job *job = list_take(&worker->todo);
        if (job == NULL && worker->ending)
            break;
        if (job == NULL) {
            pthread_cond_wait(&worker->posted, &worker->lock);
            continue;
        }
        pthread_mutex_unlock(&worker->lock);
        job->run(job);
        pthread_mutex_lock(&worker->lock);
        list_add(&worker->ran, job);
        uv_async_send(&worker->wake);
    }
    pthread_mutex_unlock(&worker->lock);
    return NULL;
}

/* ---- the loop ---- */

static void on_wake_closed(uv_handle_t *handle)
{
    struct worker *worker = container_of((uv_async_t *)handle, struct worker, wake);
    void (*closed)(void *arg) = worker->closed;
    void *arg = worker->closed_arg;
    pthread_cond_destroy(&worker->posted);
    pthread_mutex_destroy(&worker->lock);
    free(worker);
    closed(arg);
}

static void end_when_idle(struct worker *worker)
{
    if (!worker->closing || worker->open > 0 || uv_is_closing((uv_handle_t *)&worker->wake))
        return;
    pthread_mutex_lock(&worker->lock);
    worker->ending = true;
    pthread_cond_signal(&worker->posted);
    pthread_mutex_unlock(&worker->lock);
    pthread_join(worker->thread, NULL); /* it waits for work: at once */
    uv_close((uv_handle_t *)&worker->wake, on_wake_closed);
}

static void on_wake(uv_async_t *wake)
{
    struct worker *worker = container_of(wake, struct worker, wake);
    for (;;) {
        pthread_mutex_lock(&worker->lock);
        struct worker_job *job = list_take(&worker->ran);
        pthread_mutex_unlock(&worker->lock);
        if (job == NULL)
            break;
        worker->open--;
        if (job->done)
            job->done(job);
    }
    end_when_idle(worker);
}

struct worker *worker_new(uv_loop_t *loop, const char *name)
{
    struct worker *worker = mem_zalloc(sizeof *worker);
    list_init(&worker->todo);
    list_init(&worker->ran);
    pthread_mutex_init(&worker->lock, NULL);
    pthread_cond_init(&worker->posted, NULL);
    gw_assert(uv_async_init(loop, &worker->wake, on_wake) == 0);
    gw_assert(pthread_create(&worker->thread, NULL, worker_main, worker) == 0);
    char kept[16]; /* what the kernel keeps */
    snprintf(kept, sizeof kept, "help-%.10s", name);
    pthread_setname_np(worker->thread, kept);
    return worker;
}

void worker_post(struct worker *worker, struct worker_job *job)
{
    worker->open++;
    pthread_mutex_lock(&worker->lock);
    list_add(&worker->todo, job);
    pthread_cond_signal(&worker->posted);
    pthread_mutex_unlock(&worker->lock);
}

void worker_close(struct worker *worker, void (*closed)(void *arg), void *arg)
{
    worker->closing = true;
    worker->closed = closed;
    worker->closed_arg = arg;
    /* Later, from the loop, even when nothing is under way. */
    uv_async_send(&worker->wake);
}
