/* SPDX-License-Identifier: Apache-2.0
 *
 * The life of a worker process: its settings, one connection after the other (session.c), and its end. Two
 * threads of its own: main, and one that waits for standard input to close, which is how the gateway
 * says that it ends, or has died.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/identity.h"
#include "base/log.h"
#include "sources/paho/session.h"
#include "sources/paho/state.h"

enum {
    BACKOFF_MS_MIN = 500,
    BACKOFF_MS_MAX = 30000,
    SETTINGS_BYTES_MAX = 1 << 20,
};
/* Paho takes memory for whatever length a broker announces, at most 256 MiB a packet. */
#define MEMORY_BYTES_MAX (UINT64_C(1) << 30)

/* ---- its life ---- */

static void version_choose(struct worker *worker)
{
    /* A broker of 3.1.1 may just close the connection, so the two are tried in turn until one
     * has stood once. */
    if (worker->failures && worker->failures % TRIES_BEFORE_OLD == 0)
        worker->version = worker->version == MQTTVERSION_5 ? MQTTVERSION_3_1_1 : MQTTVERSION_5;
}

static void backoff(struct worker *worker)
{
    int64_t ms = BACKOFF_MS_MIN << (worker->failures < 7 ? worker->failures : 7);
    struct timespec until;
    ms = ms > BACKOFF_MS_MAX ? BACKOFF_MS_MAX : ms;
    /* Half of it by chance: workers that lost one broker do not come back together. */
    ms = ms / 2 + (int64_t)(clock_monotonic_ns() / 1000 % (uint64_t)(ms / 2 + 1));
    worker_deadline(&until, ms);
    pthread_mutex_lock(&worker->lock);
    while (!worker->ending)
        if (pthread_cond_timedwait(&worker->changed, &worker->lock, &until))
            break;
    pthread_mutex_unlock(&worker->lock);
}

static void not_connected_say(const struct worker *worker)
{
    struct log_text why;
    log_event(LOG_WARN, "broker_not_connected", "client=%s url=%s why=\"%s\"",
              worker->settings.client_id, worker->settings.url,
              log_escape(&why, bytes_text(worker->why)));
}

static void lives(struct worker *worker)
{
    while (!worker->ending) {
        bool stood = session_run(worker);
        if (worker->ending)
            break;
        intake_note_set(worker->intake, worker->why);
        if (worker->failures == 0 || stood)
            not_connected_say(worker);
        worker->failures = stood ? 0 : worker->failures + 1;
        if (!stood)
            version_choose(worker);
        backoff(worker);
    }
}

static void *lifeline(void *arg)
{
    struct worker *worker = arg;
    char byte;
    ssize_t got;
    while ((got = read(STDIN_FILENO, &byte, 1)) > 0 || (got < 0 && errno == EINTR))
        worker->leaving = worker->leaving || (got > 0 && byte == PAHO_LEAVE);
    worker->ending = true;
    pthread_mutex_lock(&worker->lock);
    pthread_cond_broadcast(&worker->changed);
    pthread_mutex_unlock(&worker->lock);
    return NULL;
}

static int settings_take(struct paho_settings *out, struct err *err)
{
    struct buffer text = {0};
    uint8_t byte = 1;
    int rc = 0;
    while (text.size < SETTINGS_BYTES_MAX && read(STDIN_FILENO, &byte, 1) == 1 && byte)
        buffer_u8(&text, byte);
    if (byte)
        rc = err_set(err, GW_EINVAL, "this verb is for the gateway's own use");
    else
        rc = paho_settings_read(buffer_bytes(&text), out, err);
    buffer_fini(&text);
    return rc;
}

/* Cuts the list in place. */
static int split(char *text, const char *separators, char **out, int max)
{
    int count = 0;
    char *rest = NULL;
    for (char *part = strtok_r(text, separators, &rest); part && count < max;
         part = strtok_r(NULL, separators, &rest))
        out[count++] = part;
    return count;
}

static int password_take(struct worker *worker, struct err *err)
{
    if (worker->settings.password_file == NULL)
        return 0;
    int rc = disk_read_line(&disk_real, worker->settings.password_file, 4096, &worker->password);
    return rc < 0 ? err_set(err, GW_EINVAL, "password file %s: %s", worker->settings.password_file,
                            strerror(-rc))
                  : 0;
}

static int worker_open(struct worker *worker, struct err *err)
{
    struct identity identity;
    int rc = settings_take(&worker->settings, err);
    if (rc)
        return rc;
    identity.bits = strtoull(worker->settings.identity, NULL, 16);
    rc = intake_attach(&worker->intake, &disk_real, worker->settings.intake, identity, err);
    if (rc)
        return rc;
    worker->told = intake_worker(worker->intake);
    char *urls = mem_strdup(worker->settings.url); /* lives as long as the process */
    worker->url_count = split(urls, ", ", worker->urls, URLS_MAX);
    worker->filter_count = split(worker->settings.filters, "\n", worker->filters, FILTERS_MAX);
    if (worker->url_count == 0 || worker->filter_count == 0)
        return err_set(err, GW_EINVAL, "settings of a worker: no url or no filter");
    return password_take(worker, err);
}

/* A sanitizer maps terabytes of shadow, so under one there is no such limit. */
static void memory_limit(void)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    struct rlimit memory = {MEMORY_BYTES_MAX, MEMORY_BYTES_MAX};
    setrlimit(RLIMIT_DATA, &memory);
#endif
}

int paho_worker_main(void)
{
    static struct worker worker = {.version = MQTTVERSION_5};
    struct err err;
    pthread_condattr_t monotonic;
    pthread_t waiter;
    signal(SIGINT, SIG_IGN); /* a terminal sends it to all: the gateway says when to end */
    signal(SIGTERM, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    memory_limit();
    if (worker_open(&worker, &err)) {
        log_event(LOG_ERROR, "broker_worker_failed", "why=\"%s\"", err.text);
        return EXIT_CODE_CONFIG;
    }
    pthread_mutex_init(&worker.lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&worker.changed, &monotonic);
    if (pthread_create(&waiter, NULL, lifeline, &worker))
        return EXIT_CODE_FAILED;
    pthread_detach(waiter);
    lives(&worker);
    /* No tidying: Paho's threads may still be at work, and the file is whole at any moment. */
    _exit(EXIT_CODE_OK);
}
