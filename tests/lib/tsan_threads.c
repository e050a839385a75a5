/* SPDX-License-Identifier: Apache-2.0
 *
 * ThreadSanitizer of gcc 12 knows pthread_create and not C11's thrd_create, and a thread that it does
 * not know crashes in the first intercepted call. librdkafka makes its threads so: in programs
 * built with that sanitizer C11's calls lead to pthreads' here. Elsewhere this file is empty. Any
 * thread.
 */
#include "lib/tsan_threads.h"

#ifdef __SANITIZE_THREAD__
#include <errno.h>
#include <pthread.h>
#include <threads.h>

int thrd_create(thrd_t *thread, thrd_start_t run, void *arg)
{
    /* The result comes back in the same register. */
    void *(*start)(void *) = (void *(*)(void *))(void (*)(void))run;
    return pthread_create(thread, NULL, start, arg) ? thrd_error : thrd_success;
}

int thrd_join(thrd_t thread, int *result)
{
    void *value;
    int rc = pthread_join(thread, &value);
    if (result)
        *result = (int)(long)value;
    return rc ? thrd_error : thrd_success;
}

int mtx_init(mtx_t *mutex, int type)
{
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    if (type & mtx_recursive)
        pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    return pthread_mutex_init((pthread_mutex_t *)mutex, &attr) ? thrd_error : thrd_success;
}

void mtx_destroy(mtx_t *mutex)
{
    pthread_mutex_destroy((pthread_mutex_t *)mutex);
}

int mtx_lock(mtx_t *mutex)
{
    return pthread_mutex_lock((pthread_mutex_t *)mutex) ? thrd_error : thrd_success;
}

int mtx_unlock(mtx_t *mutex)
{
    return pthread_mutex_unlock((pthread_mutex_t *)mutex) ? thrd_error : thrd_success;
}

int cnd_init(cnd_t *condition)
{
    return pthread_cond_init((pthread_cond_t *)condition, NULL) ? thrd_error : thrd_success;
}

void cnd_destroy(cnd_t *condition)
{
    pthread_cond_destroy((pthread_cond_t *)condition);
}

int cnd_signal(cnd_t *condition)
{
    return pthread_cond_signal((pthread_cond_t *)condition) ? thrd_error : thrd_success;
}

int cnd_broadcast(cnd_t *condition)
{
    return pthread_cond_broadcast((pthread_cond_t *)condition) ? thrd_error : thrd_success;
}

int cnd_wait(cnd_t *condition, mtx_t *mutex)
{
    return pthread_cond_wait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex) ? thrd_error
                                                                                    : thrd_success;
}

int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex,
                  const struct timespec *restrict until)
{
    int rc = pthread_cond_timedwait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex, until);
    return rc == ETIMEDOUT ? thrd_timedout : rc ? thrd_error : thrd_success;
}
#endif

void tsan_threads_use(void)
{
}
