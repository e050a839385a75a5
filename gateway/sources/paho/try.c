/* SPDX-License-Identifier: Apache-2.0
 *
 * One sign-in at a broker, and out again. Separate from worker.c, whose connection is to stand, has a
 * session that must not be taken over from here, and runs in a process of its own. The caller's thread
 * waits, Paho's answers.
 */
#include <MQTTAsync.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "sources/paho/paho.h"

enum { URLS_MAX = 16, PASSWORD_BYTES_MAX = 4096, LEAVE_MS = 1000 };
#define SYSTEM_CA "/etc/ssl/certs/ca-certificates.crt"

struct visit {
    const struct paho_options *options;
    char *text, *urls[URLS_MAX]; /* `text` cut up */
    int url_count;
    char *password;
    MQTTAsync client;
    int version;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool answered, yes;
    char why[200];
};

/* ---- Paho's thread ---- */

static void answer(struct visit *visit, bool yes, const char *why)
{
    pthread_mutex_lock(&visit->lock);
    visit->answered = true;
    visit->yes = yes;
    snprintf(visit->why, sizeof visit->why, "%s", why);
    pthread_cond_broadcast(&visit->changed);
    pthread_mutex_unlock(&visit->lock);
}

static void on_yes(void *context, MQTTAsync_successData *data)
{
    (void)data;
    answer(context, true, "");
}

static void on_yes5(void *context, MQTTAsync_successData5 *data)
{
    (void)data;
    answer(context, true, "");
}

static void on_no(void *context, MQTTAsync_failureData *data)
{
    static const char *const words[] = {[2] = "the broker does not take our client id",
                                        [3] = "the broker is not available",
                                        [4] = "bad user name or password",
                                        [5] = "not authorized"};
    int code = data ? data->code : 0;
    const char *word = code > 1 && code < (int)array_count(words) ? words[code] : NULL;
    answer(context, false, word ? word : data && data->message ? data->message : "no answer");
}

static void on_no5(void *context, MQTTAsync_failureData5 *data)
{
    const char *reason =
        data && data->reasonCode ? MQTTReasonCode_toString(data->reasonCode) : NULL;
    answer(context, false, reason ? reason : data && data->message ? data->message : "no answer");
}

/* ---- the caller's ---- */

static bool answer_wait(struct visit *visit, int64_t timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000 + 1;
    pthread_mutex_lock(&visit->lock);
    while (!visit->answered)
        if (pthread_cond_timedwait(&visit->changed, &visit->lock, &until))
            break;
    if (!visit->answered)
        snprintf(visit->why, sizeof visit->why, "no answer within %lld s",
                 (long long)timeout_ms / 1000);
    bool yes = visit->yes;
    pthread_mutex_unlock(&visit->lock);
    return yes;
}

static void connect_options(struct visit *visit, int64_t timeout_ms, MQTTAsync_connectOptions *out,
                            MQTTAsync_SSLOptions *tls)
{
    const struct paho_options *options = visit->options;
    MQTTAsync_connectOptions five = MQTTAsync_connectOptions_initializer5;
    MQTTAsync_connectOptions four = MQTTAsync_connectOptions_initializer;
    *out = visit->version == MQTTVERSION_5 ? five : four;
    out->MQTTVersion = visit->version;
    out->connectTimeout = (int)(timeout_ms / 1000);
    out->context = visit;
    out->username = options->user;
    out->password = visit->password;
    out->serverURIs = visit->urls;
    out->serverURIcount = visit->url_count;
    if (visit->version == MQTTVERSION_5) {
        out->cleanstart = 1;
        out->onSuccess5 = on_yes5;
        out->onFailure5 = on_no5;
    } else {
        out->cleansession = 1;
        out->onSuccess = on_yes;
        out->onFailure = on_no;
    }
    if (strncmp(visit->urls[0], "mqtts://", 8) != 0)
        return;
    tls->trustStore = options->tls_ca_file ? options->tls_ca_file : SYSTEM_CA;
    tls->keyStore = options->tls_certificate_file;
    tls->privateKey = options->tls_key_file;
    tls->enableServerCertAuth = 1;
    tls->verify = 1;
    tls->sslVersion = MQTT_SSL_VERSION_TLS_1_2;
    out->ssl = tls;
}

static void leave(struct visit *visit)
{
    MQTTAsync_disconnectOptions options = MQTTAsync_disconnectOptions_initializer;
    options.timeout = LEAVE_MS;
    MQTTAsync_disconnect(visit->client, &options);
    for (int64_t until = clock_monotonic_ms() + LEAVE_MS;
         MQTTAsync_isConnected(visit->client) && clock_monotonic_ms() < until;)
        usleep(10000);
}

static bool try_version(struct visit *visit, int version, int64_t timeout_ms)
{
    char id[64];
    MQTTAsync_createOptions create = MQTTAsync_createOptions_initializer5;
    MQTTAsync_connectOptions connect;
    MQTTAsync_SSLOptions tls = MQTTAsync_SSLOptions_initializer;
    visit->version = create.MQTTVersion = version;
    visit->answered = visit->yes = false;
    snprintf(id, sizeof id, "tidegate-doctor-%d", (int)getpid());
    int rc = MQTTAsync_createWithOptions(&visit->client, visit->urls[0], id,
                                         MQTTCLIENT_PERSISTENCE_NONE, NULL, &create);
    if (rc == MQTTASYNC_SUCCESS) {
        connect_options(visit, timeout_ms, &connect, &tls);
        rc = MQTTAsync_connect(visit->client, &connect);
    }
    if (rc != MQTTASYNC_SUCCESS)
        answer(visit, false, MQTTAsync_strerror(rc) ? MQTTAsync_strerror(rc) : "Paho refuses it");
    bool yes = answer_wait(visit, timeout_ms);
    if (yes)
        leave(visit);
    MQTTAsync_destroy(&visit->client); /* its callbacks have ended after this */
    return yes;
}

static void urls_cut(struct visit *visit)
{
    char *rest = NULL;
    visit->text = mem_strdup(visit->options->url);
    for (char *url = strtok_r(visit->text, ", ", &rest); url && visit->url_count < URLS_MAX;
         url = strtok_r(NULL, ", ", &rest))
        visit->urls[visit->url_count++] = url;
}

static int password_take(struct visit *visit, struct err *err)
{
    const char *path = visit->options->password_file;
    if (path == NULL)
        return 0;
    int rc = disk_read_line(&disk_real, path, PASSWORD_BYTES_MAX, &visit->password);
    return rc < 0 ? err_set(err, GW_EIO, "password file %s: %s", path, strerror(-rc)) : 0;
}

int paho_try(const struct paho_options *options, int64_t timeout_ms, int *version, struct err *err)
{
    struct visit visit = {.options = options, .lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&visit.changed, &attributes);
    pthread_condattr_destroy(&attributes);
    urls_cut(&visit);
    int rc = password_take(&visit, err);
    bool yes = rc == 0 && (try_version(&visit, MQTTVERSION_5, timeout_ms / 2) ||
                           try_version(&visit, MQTTVERSION_3_1_1, timeout_ms / 2));
    if (rc == 0 && !yes)
        rc = err_set(err, GW_EIO, "%s", visit.why);
    *version = visit.version;
    disk_wipe_line(visit.password);
    free(visit.text);
    pthread_cond_destroy(&visit.changed);
    pthread_mutex_destroy(&visit.lock);
    return rc;
}
