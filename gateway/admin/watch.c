/* SPDX-License-Identifier: Apache-2.0
 *
 * See watch.h. Everything is under one lock: there are at most a hundred connections.
 */
#include "admin/watch.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"

enum { LOOK_MS = 500 };

struct watched {
    int fd;
    int64_t deadline_ms; /* monotonic; 0: none */
    struct watched *prev, *next;
};

struct watch {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopping;
    struct watched *first;
};

/* The socket is not closed here: that is for its owner, who hears the end of it. */
static void overdue_end(const struct watch *watch)
{
    int64_t now_ms = clock_monotonic_ms();
    for (struct watched *watched = watch->first; watched; watched = watched->next)
        if (watched->deadline_ms && watched->deadline_ms <= now_ms)
            shutdown(watched->fd, SHUT_RDWR);
}

static void *watch_run(void *arg)
{
    struct watch *watch = arg;
    pthread_mutex_lock(&watch->lock);
    while (!watch->stopping) {
        int64_t next_ns = clock_monotonic_ns() + LOOK_MS * INT64_C(1000000);
        struct timespec next = {next_ns / 1000000000, next_ns % 1000000000};
        pthread_cond_timedwait(&watch->changed, &watch->lock, &next);
        overdue_end(watch);
    }
    pthread_mutex_unlock(&watch->lock);
    return NULL;
}

int watch_start(struct watch **out, struct err *err)
{
    struct watch *watch = mem_zalloc(sizeof *watch);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&watch->changed, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&watch->lock, NULL);
    int rc = pthread_create(&watch->thread, NULL, watch_run, watch);
    if (rc) {
        pthread_mutex_destroy(&watch->lock);
        pthread_cond_destroy(&watch->changed);
        free(watch);
        return err_set(err, GW_EIO, "admin: a thread does not start: error %d", rc);
    }
    *out = watch;
    return 0;
}

void watch_stop(struct watch *watch)
{
    if (watch == NULL)
        return;
    gw_assert(watch->first == NULL);
    pthread_mutex_lock(&watch->lock);
    watch->stopping = true;
    pthread_cond_signal(&watch->changed);
    pthread_mutex_unlock(&watch->lock);
    pthread_join(watch->thread, NULL);
    pthread_mutex_destroy(&watch->lock);
    pthread_cond_destroy(&watch->changed);
    free(watch);
}

struct watched *watch_add(struct watch *watch, int fd, int64_t timeout_ms)
{
    struct watched *watched = mem_zalloc(sizeof *watched);
    watched->fd = fd;
    watched->deadline_ms = clock_monotonic_ms() + timeout_ms;
    pthread_mutex_lock(&watch->lock);
    watched->next = watch->first;
    if (watch->first)
        watch->first->prev = watched;
    watch->first = watched;
    pthread_mutex_unlock(&watch->lock);
    return watched;
}

void watch_remove(struct watch *watch, struct watched *watched)
{
    pthread_mutex_lock(&watch->lock);
    if (watched->prev)
        watched->prev->next = watched->next;
    else
        watch->first = watched->next;
    if (watched->next)
        watched->next->prev = watched->prev;
    pthread_mutex_unlock(&watch->lock);
    free(watched);
}

void watch_set(struct watch *watch, struct watched *watched, int64_t timeout_ms)
{
    pthread_mutex_lock(&watch->lock);
    watched->deadline_ms = timeout_ms ? clock_monotonic_ms() + timeout_ms : 0;
    pthread_mutex_unlock(&watch->lock);
}
