/* SPDX-License-Identifier: Apache-2.0
 *
 * See patience.h. More time is asked for only while the process works: it used processor time or read
 * from the disk since it was last looked at. A start that hangs is ended by the service manager as if
 * nobody had asked.
 */
#include "patience.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <time.h>

#include "base/clock.h"
#include "notify.h"

enum {
    LOOK_MS = 1000,
    GRANT_MS = 60000,
    WORK_MIN = 10000, /* between two looks: a hundredth of a processor, or 5 MB read */
};

static struct {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool running, end;
} patience = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Grows while the process works: microseconds of processor, and blocks that were read. */
static int64_t work_done(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return ((int64_t)usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
           usage.ru_utime.tv_usec + usage.ru_stime.tv_usec + usage.ru_inblock;
}

/* With the lock held. */
static void wait_a_moment(void)
{
    int64_t until_ns = clock_monotonic_ns() + (int64_t)LOOK_MS * 1000000;
    struct timespec until = {until_ns / 1000000000, until_ns % 1000000000};
    pthread_cond_timedwait(&patience.ended, &patience.lock, &until);
}

static void *patience_main(void *arg)
{
    (void)arg;
    int64_t began_ms = clock_monotonic_ms(), before = work_done();
    pthread_mutex_lock(&patience.lock);
    for (wait_a_moment(); !patience.end; wait_a_moment()) {
        int64_t now = work_done();
        bool works = now - before >= WORK_MIN;
        before = now;
        if (!works)
            continue;
        notify_extend(GRANT_MS);
        notify_status("Recovering the journal, for %d s",
                      (int)((clock_monotonic_ms() - began_ms) / 1000));
    }
    pthread_mutex_unlock(&patience.lock);
    return NULL;
}

void patience_begin(void)
{
    pthread_condattr_t monotonic;
    if (!notify_listened())
        return;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&patience.ended, &monotonic);
    pthread_condattr_destroy(&monotonic);
    patience.end = false;
    patience.running = pthread_create(&patience.thread, NULL, patience_main, NULL) == 0;
    if (!patience.running)
        pthread_cond_destroy(&patience.ended);
}

void patience_end(void)
{
    if (!patience.running)
        return;
    pthread_mutex_lock(&patience.lock);
    patience.end = true;
    pthread_cond_signal(&patience.ended);
    pthread_mutex_unlock(&patience.lock);
    pthread_join(patience.thread, NULL);
    pthread_cond_destroy(&patience.ended);
    patience.running = false;
}
