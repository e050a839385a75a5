/* SPDX-License-Identifier: Apache-2.0
 *
 * A worker process and its connection to the broker. Private to worker.c, its life, and session.c, one
 * connection after the other.
 */
#ifndef TIDEGATE_SOURCES_PAHO_SESSION_H
#define TIDEGATE_SOURCES_PAHO_SESSION_H

#include <MQTTAsync.h>
#include <pthread.h>
#include <time.h>

#include "sources/paho/intake.h"
#include "sources/paho/settings.h"

enum {
    FILTERS_MAX = 256,
    URLS_MAX = 16,
    TRIES_BEFORE_OLD = 2, /* of MQTT 5, before 3.1.1 is tried */
};

enum answer { ANSWER_NONE, ANSWER_YES, ANSWER_NO };

struct worker {
    struct paho_settings settings;
    struct intake *intake;
    struct intake_worker *told;
    char *filters[FILTERS_MAX];
    int filter_count;
    char *urls[URLS_MAX];
    int url_count;
    char *password;

    MQTTAsync client;
    int version;  /* MQTTVERSION_5 or MQTTVERSION_3_1_1 */
    int failures; /* one after the other */
    struct buffer properties;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum answer answer;
    bool lost, session_present;
    int refused; /* filters */
    char why[INTAKE_NOTE_SIZE];
    _Atomic bool ending, leaving; /* leaving: the session ends, too */
};

/* One connection from beginning to end. True when it came to stand. Main thread. */
bool session_run(struct worker *worker);

/* So many ms from now, on the clock of worker->changed. */
void worker_deadline(struct timespec *at, int64_t ms);

#endif
